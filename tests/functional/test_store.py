"""Anchors that a service manager starts again, with a stand-in for systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading

import papa
from papa.errors import ConnectionLost
from papa.records import Closed, Output
from tests.servicemanager import ServiceManager
from tests.support import PATIENCE, HeldProcessesTestCase, script, until

#: Prints a number each millisecond or so, for ever.
_COUNT = """
import itertools, time
for number in itertools.count(1):
    print(number, flush=True)
    time.sleep(0.001)
"""
_SERVE = """
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    listening.accept()[0].sendall(b"hello")
"""


class StoreTestCase(HeldProcessesTestCase):
    """Tests with a kernel that a service manager looks after."""

    counted = True

    most = 512

    def setUp(self) -> None:
        super().setUp()
        path = os.path.join(self.folder, "console.sock")
        command = [script("papa"), "serve", "--anchor", "-u", path]
        self.manager = ServiceManager(self.folder, command, self.environ, self.most)
        self.addCleanup(self.manager.close)
        self.manager.start()
        self.client = self.papa_client()
        self.addCleanup(self._end_processes)

    @property
    def kernel(self) -> int:
        """The pid of the kernel."""
        self.client.list_values("none")
        assert self.client.kernel_pid is not None
        return self.client.kernel_pid

    def kill(self, *, kernel: bool) -> None:
        """Kill the anchor, and with it the kernel if that is to go; wait for what comes after it."""
        starts, pid = self.manager.starts, self.kernel
        # It is to keep what is held first: that was sent, and is heard by somebody else.
        self.settle()
        anchor = self.manager.pid
        os.kill(anchor, signal.SIGSTOP)
        if kernel:
            os.kill(pid, signal.SIGKILL)
        os.kill(anchor, signal.SIGKILL)
        self.manager.await_ready(starts + 1)

    def settle(self) -> None:
        """Wait until the anchor has done all that it was told."""
        pid = self.manager.pid

        def sleeps() -> bool:
            with open(f"/proc/{pid}/syscall", encoding="ascii") as call:
                return call.read().split()[0] in ("7", "271", "73")

        until(sleeps, "that the anchor has nothing to do")

    def kernels(self) -> int:
        """How many there have been."""
        found: int = json.loads(self.papa("status", "--json").stdout)["kernel"]["kernels"]
        return found

    def read(self, name: str) -> tuple[bytes, int | None]:
        """All that a process prints, to its end, and how it ends."""
        with self.client.watch_processes(name) as watcher:
            printed, code = b"", None
            while (items := watcher.read_items()) is not None:
                printed += b"".join(item.data for item in items if isinstance(item, Output))
                code = next((item.exit_code for item in items if isinstance(item, Closed)), code)
        return printed, code

    def state(self) -> list[object]:
        return [self.client.list_sockets(), self.client.list_values(), self.client.list_processes()]


class BothKilledTests(StoreTestCase):
    """The anchor and its kernel, with kill -9."""

    def test_all_stays(self) -> None:
        """Sockets, values and processes are there as they were, again and again."""
        self.client.make_socket("web", port=0)
        self.client.make_socket("unix", path=os.path.join(self.folder, "unix.sock"), family=socket.AF_UNIX)
        self.client.set("a", "b\nc")
        self.client.make_process("ended", "/bin/sh", ["-c", "exit 3"], stdout=papa.DEVNULL, stderr=papa.DEVNULL)
        self.client.make_process("job", "sleep", ["100"])
        until(lambda: self.client.list_processes("ended")["ended"].get("exit_code") == 3, "its end")
        before = self.state()
        for _ in range(3):
            pid = self.kernel
            self.kill(kernel=True)
            self.assertEqual(self.state(), before)
            self.assertNotEqual(self.kernel, pid)
        self.assertEqual(self.kernels(), 4)

    def test_output(self) -> None:
        """What a process prints comes to the last byte, each once; what is sent to it arrives."""
        self.client.make_process("count", sys.executable, ["-c", _COUNT])
        self.client.make_process("echo", "/bin/cat", stdin=papa.PIPE)
        for word in ("one", "two", "three"):
            self.kill(kernel=True)
            self.client.write_process("echo", f"{word}\n".encode())
        self.client.close_stdin("echo")
        os.kill(self.client.list_processes("count")["count"]["pid"], signal.SIGTERM)
        self.assertEqual(self.read("echo"), (b"one\ntwo\nthree\n", 0))
        printed, code = self.read("count")
        self.assertEqual(code, -15)
        numbers = [int(line) for line in printed.splitlines()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_nobody_is_refused(self) -> None:
        """Who connects to a held socket meanwhile is served by whoever shares it."""
        self.client.make_socket("web", port=0)
        self.client.make_process("server", sys.executable, ["-c", _SERVE, "$(socket.web.fileno)"])
        port = self.client.list_sockets()["web"]["port"]
        wrong: list[object] = []
        served = [0]
        done = threading.Event()

        def connect() -> None:
            while not done.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                        if (heard := connection.recv(5)) != b"hello":
                            wrong.append(heard)
                        served[0] += 1
                except OSError as error:
                    wrong.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(done.set)
        for _ in range(2):
            self.kill(kernel=True)
            before = served[0]
            until(lambda before=before: served[0] > before + 10 or wrong, "service")
        self.assertEqual(wrong, [])

    def test_dropped(self) -> None:
        """What is held no more is kept no more: its address is free, the process sees the end of its input."""
        self.client.make_socket("web", port=0)
        port = self.client.list_sockets()["web"]["port"]
        self.client.make_process("cat", "/bin/cat", stdin=papa.PIPE)
        self.kill(kernel=True)
        self.client.remove_sockets("web")
        self.client.close_stdin("cat")
        self.assertEqual(self.read("cat"), (b"", 0))
        self.settle()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
        self.kill(kernel=True)
        self.assertEqual(self.client.list_sockets(), {})
        self.assertEqual(self.client.list_processes(), {})

    def test_many(self) -> None:
        """Many things take few places, also after many have gone."""
        for number in range(60):
            self.client.make_process(f"p{number}", "sleep", ["100"])
        for number in range(0, 60, 2):
            os.kill(self.client.list_processes(f"p{number}")[f"p{number}"]["pid"], signal.SIGKILL)
        until(lambda: sum(each["running"] for each in self.client.list_processes().values()) == 30, "their end")
        before = self.state()
        self.settle()
        self.assertLess(len(self.manager.names), 8)
        self.kill(kernel=True)
        self.assertEqual(self.state(), before)
        self.assertEqual(self.manager.refused, 0)


class AnchorKilledTests(StoreTestCase):
    """The anchor alone: the manager starts another for the kernel that lives."""

    def test_kernel_goes_on(self) -> None:
        """There is one anchor, the manager's, and the kernel is the same; time and again."""
        self.client.make_socket("web", port=0)
        self.client.make_process("job", "sleep", ["100"])
        before, kernel = self.state(), self.kernel
        for _ in range(2):
            self.kill(kernel=False)
            self.assertEqual(self.state(), before)
            self.assertEqual((self.kernel, self.kernels()), (kernel, 1))
        self.assertEqual(self.manager.starts, 3)
        self.kill(kernel=True)
        self.assertEqual(self.state(), before)

    def test_start_meanwhile(self) -> None:
        """A process that is started while there is no anchor is one of the next; its end is known."""
        anchor = self.manager.pid
        os.kill(anchor, signal.SIGKILL)
        self.client.make_process("job", "/bin/sh", ["-c", "exit 7"])
        until(lambda: self.client.list_processes("job")["job"].get("exit_code") == 7, "its end")
        self.manager.await_ready(2)
        self.assertNotIn("cannot start", self.manager.said())

    def test_then_killed(self) -> None:
        """What was made meanwhile is kept from then on."""
        os.kill(self.manager.pid, signal.SIGKILL)
        self.client.set("a", "b")
        self.client.make_socket("web", port=0)
        self.manager.await_ready(2)
        before = self.state()
        self.kill(kernel=True)
        self.assertEqual(self.state(), before)


class RestartTests(StoreTestCase):
    """What an operator asks of the manager."""

    def test_restart(self) -> None:
        """A restart is for papa alone: all that is held stays."""
        self.client.make_socket("unix", path=os.path.join(self.folder, "unix.sock"), family=socket.AF_UNIX)
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; read x; echo two; exit 3"], stdin=papa.PIPE)
        before = self.state()
        self.manager.restart()
        self.assertEqual(self.manager.ended, 0)
        self.assertEqual(self.client.list_sockets(), before[0])
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(os.path.join(self.folder, "unix.sock"))
        self.client.write_process("job", b"\n")
        self.assertEqual(self.read("job"), (b"one\ntwo\n", 3))

    def test_stop(self) -> None:
        """A stop gives everything up, and the next start begins empty."""
        self.client.set("a", "b")
        self.manager.stop()
        self.assertEqual((self.manager.ended, self.manager.names), (0, []))
        self.manager.start()
        self.assertEqual(self.papa_client().list_values(), {})

    def test_upgrade(self) -> None:
        """An anchor that has become another program keeps it as well."""
        self.client.set("a", "b")
        self.client.make_process("job", "sleep", ["100"])
        anchor = self.manager.pid
        self.client.upgrade()
        until(lambda: b"--state=" in self.words_of(anchor), "the new anchor")
        before = self.state()
        until(lambda: b"--state=" in self.words_of(anchor) and self.manager.names, "what is kept")
        self.kill(kernel=True)
        self.assertEqual(self.state(), before)

    @staticmethod
    def words_of(pid: int) -> bytes:
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            return words.read()


class SmallStoreTests(StoreTestCase):
    """A manager that keeps little."""

    most = 9

    def test_full(self) -> None:
        """What does not fit is not kept in part; papa says so, and begins empty when both are killed."""
        for number in range(40):
            self.client.set(f"v{number}", "x")
            self.client.make_socket(
                f"s{number}", path=os.path.join(self.folder, f"{number}.sock"), family=socket.AF_UNIX
            )
        until(lambda: "the service manager cannot keep what is held" in self.manager.said(), "that it is said")
        until(lambda: not self.manager.names, "that nothing is kept")
        self.kill(kernel=True)
        with self.assertRaises(ConnectionLost):
            self.client.list_sockets()
        self.assertEqual(self.papa_client().list_sockets(), {})
