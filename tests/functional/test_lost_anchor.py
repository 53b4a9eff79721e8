"""Anchors that are killed, while the kernel and all that it holds go on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket

import papa
from papa.records import UNKNOWN_EXIT
from tests.client.sharing import parent_of
from tests.functional import test_continuity
from tests.support import PATIENCE, until


class LostAnchorTestCase(test_continuity.AnchoredTestCase):
    """Tests that kill the anchor; what comes of it ends with its kernel."""

    def setUp(self) -> None:
        super().setUp()
        self.anchors = [self.anchor.pid]
        self.addCleanup(self._end_kernel)
        self.client.list_values("none")

    def _end_kernel(self) -> None:
        self._end_processes()
        with contextlib.suppress(papa.Error, ProcessLookupError):
            self.client.list_values("none")
            assert self.client.kernel_pid is not None
            anchor = self.latest_anchor()
            os.kill(self.client.kernel_pid, signal.SIGTERM)
            self.client.close()
            until(lambda: self.gone(anchor), "the end of the anchor")

    def gone(self, pid: int) -> bool:
        """Whether a process has ended."""
        return not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid)

    def latest_anchor(self) -> int:
        """The pid of the anchor that holds everything now: of all processes the one that started the kernel, or was."""
        return self.anchors[-1]

    def kill_anchor(self) -> int:
        """Kill the anchor; the pid of the one that holds everything then."""
        told = self.anchor.said().count("another anchor holds everything now")
        os.kill(self.anchors[-1], signal.SIGKILL)
        until(lambda: self.anchor.said().count("another anchor holds everything now") > told, "another anchor")
        self.anchors.append(self.anchor_of_kernel())
        return self.anchors[-1]

    def anchor_of_kernel(self) -> int:
        """The child of the kernel that is an anchor; 0 if it has none."""
        assert self.client.kernel_pid is not None
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if parent_of(int(entry)) == self.client.kernel_pid and not self.is_zombie(int(entry)):
                    with open(f"/proc/{entry}/cmdline", "rb") as words:
                        if b"papa.continuity.anchor" in words.read().split(b"\0"):
                            return int(entry)
        return 0


class AnchorKilledTests(LostAnchorTestCase):
    """Kill -9 of the anchor, and of what comes after it."""

    def test_kernel_goes_on(self) -> None:
        """The kernel serves on and says so; what it holds, the next one has from the new anchor."""
        self.client.make_socket("web", port=0)
        self.client.make_socket("unix", path=os.path.join(self.folder, "unix.sock"), family=socket.AF_UNIX)
        self.client.set("a", "b")
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; read x; echo two; exit 3"], stdin=papa.PIPE)
        before = [self.client.list_sockets(), self.client.list_values()]
        kernel = self.client.kernel_pid
        anchor = self.kill_anchor()
        self.assertEqual([self.client.list_sockets(), self.client.list_values()], before)
        self.assertEqual(self.client.kernel_pid, kernel)
        self.assertIn("the anchor has gone: this kernel goes on", self.anchor.said())
        self.assertEqual(json.loads(self.papa("status", "--json").stdout)["kernel"]["anchor"], anchor)
        self.client.set("a", "c")
        self.kill()
        self.assertEqual(self.client.get("a"), "c")
        self.assertEqual(self.client.list_sockets(), before[0])
        assert self.client.kernel_pid is not None
        self.assertEqual(parent_of(self.client.kernel_pid), anchor)
        self.client.write_process("job", b"go\n")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"one\ntwo\n", 3))

    def test_several_times(self) -> None:
        """Anchors and kernels may be killed in turn."""
        self.client.make_process("job", "/bin/sh", ["-c", "read x; exit 3"], stdin=papa.PIPE)
        for _ in range(3):
            self.kill_anchor()
            self.kill()
            self.client.list_values("none")
        self.client.make_process("other", "/bin/sh", ["-c", "exit 4"])
        self.client.write_process("job", b"go\n")
        for name, code in (("job", 3), ("other", 4)):
            with self.client.watch_processes(name) as watcher:
                self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"", code))

    def test_spawning_goes_on(self) -> None:
        """Processes can be made at once, if need be by an anchor that is waited for, and as the first would have."""
        limits = {}
        for name in ("before", "after"):
            self.client.make_process(name, "/bin/sh", ["-c", "ulimit -Sn; umask; pwd; env | sort; exit 5"])
            with self.client.watch_processes(name) as watcher:
                limits[name] = test_continuity.KilledTests.read_all(watcher)
            if name == "before":
                os.kill(self.anchors[-1], signal.SIGKILL)
        self.assertEqual(limits["after"], limits["before"])
        self.assertEqual(limits["after"][1], 5)
        self.anchors.append(self.anchor_of_kernel())

    def test_exits_of_orphans(self) -> None:
        """Children of an anchor that has gone are seen to exit, those that do so while there is none too."""
        with self.subTest("with the next"):
            self.client.make_process("one", "/bin/sh", ["-c", "read x; exit 7"], stdin=papa.PIPE)
            self.client.make_process("two", "/bin/sh", ["-c", "read x; kill -9 $$"], stdin=papa.PIPE)
            self.client.make_process("three", "/bin/sh", ["-c", "read x; exit 0"], stdin=papa.PIPE)
            self.kill_anchor()
            for name, code in (("one", 7), ("two", -9), ("three", 0)):
                self.client.write_process(name, b"go\n")
                with self.client.watch_processes(name) as watcher:
                    self.assertIn(test_continuity.KilledTests.read_all(watcher)[1], (code, UNKNOWN_EXIT))

    def test_exit_is_kept(self) -> None:
        """What the first anchor has told of an exit, the kernel after the next knows too."""
        self.client.make_process("job", "/bin/sh", ["-c", "exit 7"])
        until(lambda: not self.client.list_processes("job")["job"]["running"], "its end")
        self.kill_anchor()
        self.kill()
        self.assertEqual(self.client.list_processes("job")["job"]["exit_code"], 7)
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"", 7))

    def test_large_output(self) -> None:
        """No output is lost over any of that."""
        self.client.make_process(
            "job", "/bin/sh", ["-c", "seq 1000000; exit 2"], bufsize="64m", env={"PATH": os.environ["PATH"]}
        )
        self.kill_anchor()
        self.kill()
        self.client.list_values("none")
        self.kill_anchor()
        with self.client.watch_processes("job") as watcher:
            said, code = test_continuity.KilledTests.read_all(watcher)
        self.assertIn(code, (2, UNKNOWN_EXIT))
        self.assertEqual(said, b"".join(b"%d\n" % number for number in range(1, 1_000_001)))

    def test_upgrade(self) -> None:
        """An upgrade goes through the new anchor, and ends the kernel that has started it."""
        self.client.set("a", "1")
        anchor = self.kill_anchor()
        before = self.client.kernel_pid
        self.client.upgrade()
        self.assertEqual(self.client.get("a"), "1")
        self.assertNotEqual(self.client.kernel_pid, before)
        assert self.client.kernel_pid is not None
        self.assertEqual(parent_of(self.client.kernel_pid), anchor)

    def test_ends_in_order(self) -> None:
        """SIGTERM to the new anchor ends everything but the children; no file is left."""
        anchor = self.kill_anchor()
        kernel = self.client.kernel_pid
        assert kernel is not None
        os.kill(anchor, signal.SIGTERM)
        self.client.close()
        until(lambda: self.gone(kernel) and self.gone(anchor), "the end of both")
        left = os.listdir(self.environ["PAPA_RUNTIME_DIR"])
        self.assertEqual([name for name in left if name.endswith(".sock")], [])
        self.anchors.pop()

    def test_both_at_once(self) -> None:
        """If both are killed at once everything has gone: nothing goes on by halves, and a kernel can be started."""
        self.client.set("a", "1")
        kernel, others = self.client.kernel_pid, self.anchor.children()
        assert kernel is not None
        os.kill(self.anchor.pid, signal.SIGSTOP)
        os.kill(kernel, signal.SIGSTOP)
        for pid in (self.anchor.pid, kernel):
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(map(self.gone, others)), "the end of all")
        again = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
        with again.talk() as talk:
            self.assertEqual(talk.ask("list values"), "")

    def test_killed_while_it_takes_over(self) -> None:
        """If the kernel is killed before it has told everything, no other is started with half of it."""
        for number in range(20):
            self.client.set(f"v{number}", "x")
        kernel = self.client.kernel_pid
        assert kernel is not None
        os.kill(kernel, signal.SIGSTOP)
        os.kill(self.anchor.pid, signal.SIGKILL)
        self.anchor.process.wait(PATIENCE)
        os.kill(kernel, signal.SIGCONT)
        starting = until(self.anchor_of_kernel, "the start of another anchor")
        os.kill(kernel, signal.SIGKILL)
        until(lambda: self.gone(starting) or self.holds_everything(), "its decision")
        if not self.holds_everything():
            self.assertTrue(self.gone(starting))
            again = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
            with again.talk() as talk:
                self.assertEqual(talk.ask("list values"), "")

    def holds_everything(self) -> bool:
        return "another anchor holds everything now" in self.anchor.said()
