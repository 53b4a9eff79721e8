"""Kernels that are killed, or give way, while others rely on what they hold."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import papa
from papa.client.deferred import connect
from papa.errors import BadRequest, LimitReached, NotAllowed
from papa.records import Closed, Output
from papa.torture.hunger import hungry
from papa.torture.ordeal import torture
from tests.client.sharing import parent_of
from tests.support import (
    PATIENCE,
    HeldProcessesTestCase,
    KernelTestCase,
    RealKernel,
    limited_to,
    script,
    unmeasured,
    until,
)


class AnchoredTestCase(HeldProcessesTestCase):
    """
    Tests of a kernel at an anchor.

    @ivar anchor: the anchor; what is asked of it is answered by its kernel.
    """

    counted = True

    def setUp(self) -> None:
        super().setUp()
        self.anchor = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
        self.client = self.papa_client()
        self.addCleanup(self._end_processes)

    def kill(self) -> int:
        """Kill the kernel; the pid that it had."""
        self.client.list_values("none")
        pid = self.client.kernel_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid), "its death")
        return pid

    @staticmethod
    def is_zombie(pid: int) -> bool:
        """Whether it has ended and was not reaped."""
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return False


class KilledTests(AnchoredTestCase):
    """Kill -9."""

    def test_all_stays(self) -> None:
        """Sockets, values and processes are there, under the same numbers, though the kernel is another."""
        self.client.make_socket("web", port=0)
        self.client.make_socket("unix", path=os.path.join(self.folder, "unix.sock"), family=socket.AF_UNIX)
        self.client.set("a", "b\nc")
        self.client.make_process("job", "sleep", ["100"], env={"PATH": os.environ["PATH"]})
        before = self.state()
        for _ in range(2):
            pid = self.kill()
            self.assertEqual(self.state(), before)
            self.assertNotEqual(self.client.kernel_pid, pid)
            self.assertEqual(parent_of(self.client.kernel_pid), self.anchor.pid)

    def test_collected_by_another(self) -> None:
        """Who reads along and could not be told the end, which another has collected, says so."""
        run = self.begin_papa("run", "--raw", "job", "--", "head", "-c", "4000000", "/dev/zero")
        assert run.stdout is not None
        # It stands still once nobody reads what it writes, long before the end has come to it.
        self.assertEqual(run.stdout.read(1), "\0")
        with self.client.watch_processes("job") as watcher:
            while watcher.read_items() is not None:
                pass
        self.assertEqual(watcher.exit_code, {"job": 0})
        self.assertEqual(self.client.list_processes(), {})
        self.kill()
        _, said = run.communicate(timeout=PATIENCE)
        self.assertEqual((run.returncode, said), (1, "papa: job has ended, and somebody else has collected how\n"))

    def state(self) -> list[object]:
        return [self.client.list_sockets(), self.client.list_values(), self.client.list_processes()]

    def test_server_goes_on(self) -> None:
        """Whoever connects to a held socket finds its server, and a new server can be started on it."""
        self.client.make_socket("echo", port=0)
        code = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile 1: s.accept()[0].sendall(b'hi')"
        words = ["-c", code, "$(socket.echo.fileno)"]
        self.client.make_process("one", sys.executable, words)
        port = self.client.list_sockets("echo")["echo"]["port"]
        self.assertEqual(self.heard(port), b"hi")
        self.kill()
        self.assertEqual(self.heard(port), b"hi")
        self.client.make_process("two", sys.executable, words)
        os.kill(self.client.list_processes("one")["one"]["pid"], signal.SIGKILL)
        until(lambda: not self.client.list_processes("one")["one"]["running"], "the end of the first")
        self.assertEqual(self.heard(port), b"hi")

    def heard(self, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            return connection.recv(2)

    def test_numbers(self) -> None:
        """Sockets keep the numbers that children know them by, though many other things are held before and behind."""
        for number in range(8):
            self.client.make_process(f"early.{number}", "/bin/sh", ["-c", "echo; exec sleep 100"], inherit_env=True)
            self.client.make_socket(f"web.{number}", port=0)
        before = self.client.list_sockets()
        self.assertEqual(len({each["fileno"] for each in before.values()}), 8)
        for _ in range(3):
            self.kill()
            self.assertEqual(self.client.list_sockets(), before)

    def test_open_runtime_folder(self) -> None:
        """A runtime folder that is open to others by now keeps no kernel from going on, be it after an upgrade."""
        runtime = self.environ["PAPA_RUNTIME_DIR"]
        self.client.set("a", "b")
        self.client.close()
        with papa.Papa(os.path.join(self.folder, "console.sock")) as self.client:
            os.chmod(runtime, 0o755)
            self.addCleanup(os.chmod, runtime, 0o700)
            self.kill()
            self.assertEqual(self.client.get("a"), "b")
            self.client.upgrade()
            self.assertEqual(self.client.get("a"), "b")
        self.assertEqual(self.anchor.said().count("going on all the same: The runtime folder"), 2)

    def test_exit_in_between(self) -> None:
        """A process that ended while there was no kernel is known to have, with its code."""
        release = os.path.join(self.folder, "release")
        os.mkfifo(release)
        self.client.make_process("job", "/bin/sh", ["-c", f"read x < {release}; echo bye; exit 7"])
        os.kill(self.anchor.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.anchor.pid, signal.SIGCONT)
        self.kill()
        with open(release, "w", encoding="ascii") as fifo:
            fifo.write("go\n")
        pid = self.pid_of_job()
        until(lambda: self.is_zombie(pid), "its end")
        os.kill(self.anchor.pid, signal.SIGCONT)
        with self.client.watch_processes("job") as watcher:
            found = self.read_all(watcher)
        self.assertEqual(found, (b"bye\n", 7))

    def pid_of_job(self) -> int:
        return max(child for child in self.anchor.children() if os.getsid(child) == child)

    @staticmethod
    def read_all(watcher: papa.Watcher) -> tuple[bytes, int | None]:
        said, code = b"", None
        while (items := watcher.read_items()) is not None:
            said += b"".join(item.data for item in items if isinstance(item, Output))
            code = next((item.exit_code for item in items if isinstance(item, Closed)), code)
        return said, code

    def test_watcher_goes_on(self) -> None:
        """A watcher that had read something reads on behind it; nothing comes twice."""
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; read x; echo two; exit 3"], stdin=papa.PIPE)
        watcher = self.client.watch_processes("job")
        first = watcher.read()
        assert first is not None
        self.assertEqual([each.data for each in first[0]], [b"one\n"])
        self.kill()
        self.client.write_process("job", b"go\n")
        self.assertEqual(self.read_all(watcher), (b"two\n", 3))
        self.assertEqual(self.client.list_processes(), {})

    def test_input_ends(self) -> None:
        """A process's input can be ended by the next kernel: nobody else holds it open."""
        self.client.make_process("cat", "cat", stdin=papa.PIPE, env={"PATH": os.environ["PATH"]})
        self.client.write_process("cat", b"text")
        self.kill()
        self.client.close_stdin("cat")
        with self.client.watch_processes("cat") as watcher:
            self.assertEqual(self.read_all(watcher), (b"text", 0))

    def test_input_stays(self) -> None:
        """Input that was answered for comes to the process once, and so does its end, whenever kernels are killed."""
        go = self.fifo("go")
        code = f"while read n < {go} && test $n -gt 0; do head -c $n; done; exec cat"
        self.client.make_process("job", "/bin/sh", ["-c", code], stdin=papa.PIPE, inherit_env=True, bufsize="16m")
        sent = b""
        for number in range(4):
            # More than the pipe takes, and then so much that no more is taken until the process has read.
            for _ in range(100):
                data = b"".join(b"%d.%07d\n" % (number, line) for line in range(len(sent), len(sent) + 2000))
                try:
                    self.client.write_process("job", data)
                except LimitReached:
                    break
                sent += data
            else:
                self.fail("it takes any amount")
            self.kill()
            self.say(go, "100000")
            self.wait_for_output((number + 1) * 100_000)
        self.kill()
        self.client.close_stdin("job")
        self.kill()
        self.say(go, "0")
        with self.client.watch_processes("job") as watcher:
            said, code = self.read_all(watcher)
        self.assertEqual((len(said), code), (len(sent), 0))
        self.assertEqual(said, sent)

    def wait_for_output(self, size: int) -> None:
        until(lambda: self.client.list_processes()["job"]["captured"] == size, "its reading")

    @staticmethod
    def say(fifo: str, text: str) -> None:
        with open(fifo, "w", encoding="ascii") as writing:
            writing.write(f"{text}\n")

    def test_input_that_nobody_reads(self) -> None:
        """A process that closes its input has what was on its way thrown away, and can be sent no more."""
        go, end = self.fifo("go"), self.fifo("end")
        self.client.make_process(
            "job", "/bin/sh", ["-c", f"read x < {go}; exec <&-; echo; read x < {end}"], stdin=papa.PIPE
        )
        self.client.write_process("job", b"x" * 100_000)
        self.kill()
        self.client.list_values("none")
        self.say(go, "go")

        def refused() -> bool:
            try:
                self.client.write_process("job", b"more")
            except BadRequest:
                return True
            except LimitReached:
                pass
            return False

        until(refused, "that it is known to be closed")
        self.kill()
        with self.assertRaisesRegex(BadRequest, "closed"):
            self.client.write_process("job", b"more")
        self.say(end, "end")

    def fifo(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        os.mkfifo(path)
        return path

    def test_large_output(self) -> None:
        """Much output that nobody has read yet is there to the last byte, also what was in the pipe."""
        self.client.make_process(
            "job", "/bin/sh", ["-c", "seq 1000000; exit 2"], bufsize="64m", env={"PATH": os.environ["PATH"]}
        )
        for _ in range(3):
            self.kill()
            self.client.list_values("none")
        with self.client.watch_processes("job") as watcher:
            said, code = self.read_all(watcher)
        self.assertEqual(code, 2)
        self.assertEqual(said, b"".join(b"%d\n" % number for number in range(1, 1_000_001)))

    def test_events_go_on(self) -> None:
        """The numbers of events have no gap."""
        self.client.set("a", "1")
        self.kill()
        self.client.set("b", "2")
        with self.client.watch_events(since=0, follow=False) as events:
            self.assertEqual([(each.number, each.name) for each in events], [(1, "a"), (2, "b")])

    def test_follower_goes_on(self) -> None:
        """Whoever follows events misses none over a kernel's death."""
        with self.papa_client().watch_events(since=0) as events:
            self.client.set("a", "1")
            self.assertEqual([each.number for each in events.read()], [1])
            self.kill()
            self.client.set("b", "2")
            self.assertEqual(events.read(), [])
            self.assertEqual([(each.number, each.name) for each in events.read()], [(2, "b")])

    def test_ends_in_order(self) -> None:
        """SIGTERM to the anchor ends everything but the children, with exit code 0, and no file is left."""
        self.kill()
        self.client.close()
        self.assertEqual(self.anchor.end(), 0)
        left = os.listdir(self.environ["PAPA_RUNTIME_DIR"])
        self.assertEqual([name for name in left if name.endswith(".sock")], [])

    def test_told_to_end(self) -> None:
        """So does SIGTERM to the kernel."""
        self.client.list_values("none")
        assert self.client.kernel_pid is not None
        os.kill(self.client.kernel_pid, signal.SIGTERM)
        self.client.close()
        self.assertEqual(self.anchor.process.wait(PATIENCE), 0)

    def test_version_1(self) -> None:
        """A client of papa 1.0.6's wire gets a closed connection at worst."""
        with self.anchor.talk() as talk:
            talk.ask("set a b")
            self.kill()
            self.assertEqual(talk.read_to_end(), b"")
        with self.anchor.talk() as talk:
            self.assertIn("b", talk.ask("get a"))

    def test_shown(self) -> None:
        """The status and the doctor tell of the anchor, and how many kernels it has had."""
        self.kill()
        self.client.list_values("none")
        said = json.loads(self.papa("status", "--json").stdout)["kernel"]
        self.assertEqual(said, {"pid": self.client.kernel_pid, "anchor": self.anchor.pid, "kernels": 2})
        self.assertIn("kernel 2 of its anchor: another has gone on once.", self.papa("status").stdout)
        self.assertIn(f"pid {self.anchor.pid}; kernels so far: 2", self.papa("doctor", code=None).stdout)


class UpgradeTests(AnchoredTestCase):
    """Giving way."""

    def test_nobody_notices(self) -> None:
        """After an upgrade everything is as before, and clients that were connected go on."""
        other = self.papa_client()
        other.set("a", "1")
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; read x; exit 3"], stdin=papa.PIPE)
        with self.papa_client().watch_processes("job") as watcher:
            self.assertIsNotNone(watcher.read())
            before = self.client.kernel_pid
            self.client.upgrade()
            self.assertEqual(other.get("a"), "1")
            # What is not safe to repeat is, for the kernel that gave way has said that it did not do it.
            other.write_process("job", b"go\n")
            self.assertEqual(KilledTests.read_all(watcher), (b"", 3))
        self.assertNotEqual(other.kernel_pid, before)

    def test_input_goes_on(self) -> None:
        """Input that a process has not taken yet comes to it all the same, and then its end."""
        go = os.path.join(self.folder, "go")
        os.mkfifo(go)
        self.client.make_process(
            "job", "/bin/sh", ["-c", f"read x < {go}; exec wc -c"], stdin=papa.PIPE, inherit_env=True
        )
        self.client.write_process("job", b"x" * 300_000)
        self.client.close_stdin("job")
        self.client.upgrade()
        self.client.list_values("none")
        with open(go, "w", encoding="ascii") as fifo:
            fifo.write("go\n")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(KilledTests.read_all(watcher), (b"300000\n", 0))

    def test_client_that_does_not_read(self) -> None:
        """Nobody waits long for a client that does not read what it asked for."""
        words = ["-c", "head -c 5000000 /dev/zero; exec sleep 100"]
        self.client.make_process("job", "/bin/sh", words, bufsize="16m", inherit_env=True)
        until(lambda: self.client.list_processes()["job"].get("captured") == 5_000_000, "its output")
        other = self.papa_client()
        other.watch_processes("job").read()
        self.client.upgrade()
        begun = time.monotonic()
        self.client.list_values("none")
        self.assertLess(time.monotonic() - begun, 0.9)

    def test_two_at_once(self) -> None:
        """Who asks while another upgrade is under way is refused, and each gets the answer to its own question."""
        answers: list[str] = []

        def upgrade(client: papa.Papa) -> None:
            try:
                client.upgrade()
                answers.append("")
            except NotAllowed as error:
                answers.append(str(error))

        threads = [threading.Thread(target=upgrade, args=(self.papa_client(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(sorted(answers), ["", "An upgrade is under way already"])

    def test_broken(self) -> None:
        """A version that cannot go on is refused with the reason, and nothing happens."""
        self.client.set("a", "1")
        before = self.client.kernel_pid
        with self.assertRaisesRegex(NotAllowed, "cannot go on: it ended with 0 before it could go on"):
            self.client.upgrade("/bin/true")
        with self.assertRaisesRegex(NotAllowed, "cannot start it: .*No such file"):
            self.client.upgrade("/no/such/python")
        self.assertEqual(self.client.get("a"), "1")
        self.assertEqual(self.client.kernel_pid, before)

    def test_command(self) -> None:
        """C{papa upgrade} says what it did; without an anchor, why it cannot."""
        said = self.papa("upgrade").stdout
        self.assertRegex(said, r"\Apapa goes on with pid \d+ instead of \d+; the pause was \d\.\d\d s, after .* s")
        plain = RealKernel(
            self.folder,
            [script("papa"), "serve", "-u", os.path.join(self.folder, "plain.sock")],
            {**self.environ, "PAPA_RUNTIME_DIR": os.path.join(self.folder, "other")},
        )
        self.addCleanup(plain.end)
        finished = self.papa("--socket", os.path.join(self.folder, "plain.sock"), "upgrade", code=1)
        self.assertIn("has no anchor", finished.stderr)

    def test_signal(self) -> None:
        """SIGUSR2 to the anchor, as ExecReload sends it, does the same."""
        self.client.list_values("none")
        before = self.client.kernel_pid
        os.kill(self.anchor.pid, signal.SIGUSR2)

        def another() -> bool:
            self.client.list_values("none")
            return self.client.kernel_pid != before

        until(another, "another kernel")


class DeferredTests(TestCase):
    """The client of Twisted programs."""

    def test_goes_on(self) -> Deferred[None]:
        """A watch goes on over a killed kernel and one that gave way, each byte once."""
        return Deferred.fromCoroutine(self.watch())

    async def watch(self) -> None:
        case = AnchoredTestCase("setUp")
        case.setUp()
        self.addCleanup(case.doCleanups)
        path = os.path.join(case.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        kernel = await connect(reactor, path)
        await kernel.make_process("job", ["/bin/sh", "-c", "while read x; do echo $x; done; exit 4"], stdin="pipe")
        said = b""
        async with kernel.watch_processes("job") as watch:
            for number in range(6):
                await kernel.write_process("job", b"%d\n" % number)
                while not said.endswith(b"%d\n" % number):
                    item = await watch.__anext__()
                    assert isinstance(item, Output)
                    said += item.data
                    watch.acknowledge(item)
                if number % 2:
                    case.kill()
                else:
                    await kernel.upgrade()
                await kernel.get("a")
            await kernel.close_stdin("job")
            async for item in watch:
                assert isinstance(item, Closed)
                self.assertEqual(item.exit_code, 4)
                await watch.acknowledge(item)
        await kernel.close()
        self.assertEqual(said, b"0\n1\n2\n3\n4\n5\n")


class OrdealTests(KernelTestCase):
    """The short form of the ordeal."""

    def test_nothing_is_lost(self) -> None:
        """Twelve kernels are ended in every way under load, and nothing is lost: no byte, no code, no connection."""
        self.patch(os, "environ", unmeasured(dict(os.environ)))
        score = torture(seed=7, seconds=600, kills=12, printers=4, lines=1500)
        self.assertEqual(score.faults, [])
        self.assertTrue(score.perfect, score.summary())
        self.assertEqual(sum(score.kernels.values()), 12)


class ShortageTests(KernelTestCase):
    """Few descriptors."""

    counted = True

    def test_as_many_as_there_may_be(self) -> None:
        """Whatever a kernel holds, another can go on with it: as many are refused before it is too much."""
        anchor = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"), under=limited_to(64, 160))
        path = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        with papa.Papa(path) as client:
            started = 0
            with self.assertRaises(LimitReached):
                for _ in range(100):
                    client.make_process(f"job.{started}", "/bin/sh", ["-c", "exec sleep 100"], inherit_env=True)
                    started += 1
            self.assertGreater(started, 5)
            for _ in range(2):
                pid = client.kernel_pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                self.assertEqual(len(client.list_processes()), started)
                self.assertNotEqual(client.kernel_pid, pid)
            running = anchor.descriptors()
            for process in client.list_processes().values():
                os.kill(process["pid"], signal.SIGKILL)
            # What has ended takes no descriptors, neither here nor there: two pipes and a pidfd.
            until(lambda: anchor.descriptors() <= running - 3 * started, "their ends")
            client.remove_processes()
            until(lambda: not client.list_processes(), "their removal")
            self.assertLessEqual(anchor.descriptors(), running - 3 * started)


class HungerTests(AnchoredTestCase):
    """No memory."""

    def test_request_that_is_too_large(self) -> None:
        """What there is no memory for is refused, or done by the next kernel; what runs goes on, to the last byte."""
        self.client.set("large", "as it was")
        words = ["-c", "i=0; while [ $i -lt 100000 ]; do echo $((i=i+1)); done; read x; exit 3"]
        self.client.make_process("job", "/bin/sh", words, stdin=papa.PIPE, overflow="block", bufsize="8k")
        chance = random.Random(3)
        said = b""
        with self.papa_client().watch_processes("job") as watcher:
            for size in (1, 3_000_000, 20_000, 9_000_000, 300_000):
                before = self.client.get("large")
                pid = self.client.kernel_pid
                assert pid is not None
                with hungry(pid, "memory", chance):
                    try:
                        self.client.set("large", "x" * size)
                    except LimitReached:
                        self.assertEqual(self.client.get("large"), before)
                    else:
                        self.assertEqual(self.client.get("large"), "x" * size)
                    for output in (watcher.read() or ((), (), ()))[0]:
                        said += output.data
            self.client.write_process("job", b"go\n")
            rest, code = KilledTests.read_all(watcher)
        self.assertEqual((said + rest, code), (b"".join(b"%d\n" % number for number in range(1, 100_001)), 3))


class AnchorTests(KernelTestCase):
    """The anchor itself."""

    counted = True

    def test_small(self) -> None:
        """It knows nothing of Twisted, nor of anything else but the standard library."""
        code = (
            "import papa.continuity.anchor, sys; "
            "print([name for name in sys.modules if name.partition('.')[0] in ('twisted', 'zope', 'click', 'rich')])"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, "[]\n")

    def test_kernel_that_cannot_begin(self) -> None:
        """If the first kernel does not come up, the anchor ends with its code and its reason."""
        finished = self.papa("serve", "--anchor", "-u", "/proc/x", code=1)
        self.assertIn("Cannot create /proc/x.lock", finished.stderr)

    def test_nothing_is_left(self) -> None:
        """When all of it is killed, no kernel that waits in reserve stays behind, nor any copy of it."""
        kernel = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
        group = os.getpgid(kernel.pid)
        until(lambda: len(self.members(group)) == 3, "the kernel in reserve")
        kernel.process.kill()
        with papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")) as client:
            assert client.kernel_pid is not None
            os.kill(client.kernel_pid, signal.SIGKILL)
        kernel.process.wait()
        until(lambda: not self.members(group), "the end of all of them")

    def members(self, group: int) -> list[int]:
        """The pids of a process group, but for what was not reaped yet, and but for this very program's."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                state, _, its_group = stat.read().rpartition(")")[2].split()[:3]
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    ours = self.folder.encode() in environ.read()
                if int(its_group) == group and state != "Z" and ours:
                    found.append(int(entry))
        return found

    def test_quiet(self) -> None:
        """While nothing happens it does not wake up."""
        kernel = self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
        until(lambda: len(self.members(os.getpgid(kernel.pid))) == 3, "the kernel in reserve")
        before = kernel.wake_ups()
        with papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")) as client:
            for number in range(100):
                client.set("a", str(number))
        self.assertLessEqual(kernel.wake_ups() - before, 1)
