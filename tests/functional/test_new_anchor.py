"""Anchors that become another program when their kernel has given way to another."""

from __future__ import annotations

import os
import signal

import papa
from papa.records import UNKNOWN_EXIT
from tests.client.sharing import parent_of
from tests.functional import test_continuity, test_lost_anchor
from tests.support import until


class NewAnchorTests(test_continuity.AnchoredTestCase):
    """An upgrade, and then the anchor's own."""

    def upgrade(self) -> None:
        """Upgrade, and wait for the anchor."""
        begun = self.begun()
        self.client.upgrade()
        self.client.list_values("none")
        until(lambda: self.begun() not in ("", begun), "another program")

    def begun(self) -> str:
        """What the anchor was told when it became what it is; it differs with each time for its descriptors are."""
        with open(f"/proc/{self.anchor.pid}/cmdline", encoding="utf-8") as words:
            told = words.read().rstrip("\0").rpartition("\0")[2]
        if not told.startswith("--state="):
            return ""
        # The inode of the pipe by which it hears of signals.
        return next(
            (
                target
                for name in os.listdir(f"/proc/{self.anchor.pid}/fd")
                if (target := self.link(name)).startswith("pipe:")
            ),
            "",
        )

    def link(self, name: str) -> str:
        try:
            return os.readlink(f"/proc/{self.anchor.pid}/fd/{name}")
        except OSError:
            return ""

    def test_all_stays(self) -> None:
        """The anchor has its pid and its children still, and each kernel after that goes on."""
        self.client.make_socket("web", port=0)
        self.client.set("a", "b")
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; read x; echo two; exit 3"], stdin=papa.PIPE)
        self.client.make_process("early", "/bin/sh", ["-c", "exit 4"])
        until(lambda: not self.client.list_processes("early")["early"]["running"], "its end")
        before = [self.client.list_sockets(), self.client.list_values()]
        pid = self.client.list_processes("job")["job"]["pid"]
        for _ in range(2):
            self.upgrade()
            self.assertEqual(parent_of(pid), self.anchor.pid)
            self.kill()
            self.assertEqual([self.client.list_sockets(), self.client.list_values()], before)
            assert self.client.kernel_pid is not None
            self.assertEqual(parent_of(self.client.kernel_pid), self.anchor.pid)
        self.client.write_process("job", b"go\n")
        for name, expected in (("job", (b"one\ntwo\n", 3)), ("early", (b"", 4))):
            with self.client.watch_processes(name) as watcher:
                self.assertEqual(test_continuity.KilledTests.read_all(watcher), expected)

    def test_children_as_before(self) -> None:
        """What it starts then begins as what it started before; it has nothing open that it had not."""
        said = []
        for _ in range(2):
            self.client.make_process("job", "/bin/sh", ["-c", "ulimit -Sn; umask; pwd; env | sort; ls /proc/self/fd"])
            with self.client.watch_processes("job") as watcher:
                said.append(test_continuity.KilledTests.read_all(watcher))
            self.upgrade()
        self.assertEqual(said[0], said[1])
        before = self.anchor.descriptors()
        self.upgrade()
        until(lambda: self.anchor.descriptors() == before, "as many descriptors as before")

    def test_exits_meanwhile(self) -> None:
        """Processes that end while it becomes another are all seen to, with their codes."""
        for number in range(40):
            self.client.make_process(f"p{number}", "/bin/sh", ["-c", f"read x; exit {number}"], stdin=papa.PIPE)
        for number in range(20):
            self.client.close_stdin(f"p{number}")
        self.client.upgrade()
        for number in range(20, 40):
            self.client.close_stdin(f"p{number}")
        for number in range(40):
            with self.client.watch_processes(f"p{number}") as watcher:
                self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"", number))

    def test_ends_in_order(self) -> None:
        """It is sent signals as before."""
        self.upgrade()
        before = self.client.kernel_pid
        os.kill(self.anchor.pid, signal.SIGUSR2)

        def another() -> bool:
            self.client.list_values("none")
            return self.client.kernel_pid != before

        until(another, "another kernel")
        self.client.close()
        self.assertEqual(self.anchor.end(), 0)
        left = os.listdir(self.environ["PAPA_RUNTIME_DIR"])
        self.assertEqual([name for name in left if name.endswith(".sock")], [])


class OrphansTests(test_lost_anchor.LostAnchorTestCase):
    """An anchor whose kernel and children were another's becomes another program."""

    def test_seen_to(self) -> None:
        """Their ends are seen."""
        self.client.make_process("job", "/bin/sh", ["-c", "read x; exit 3"], stdin=papa.PIPE)
        self.kill_anchor()
        before = self.client.kernel_pid
        self.client.upgrade()
        self.client.list_values("none")
        self.assertNotEqual(self.client.kernel_pid, before)
        self.kill()
        self.client.write_process("job", b"go\n")
        with self.client.watch_processes("job") as watcher:
            self.assertIn(test_continuity.KilledTests.read_all(watcher)[1], (3, UNKNOWN_EXIT))
