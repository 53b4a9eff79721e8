"""What systemd and what it starts say to each other, with a service manager of the test's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from papa.daemon import systemd
from tests.daemon.programs import DaemonTestCase
from tests.support import PATIENCE

#: What a service sees of what it was handed.
RECEIVER = """
import json, os
from papa.daemon.systemd import inherited_descriptors, inherited_sockets
numbers = inherited_descriptors()
sockets = inherited_sockets()
print(json.dumps({
    "numbers": numbers,
    "sockets": [[name, sock.fileno(), sock.family.name, str(sock.getsockname())] for name, sock in sockets],
    "inheritable": [sock.get_inheritable() for _, sock in sockets],
    "left": sorted(name for name in os.environ if name.startswith("LISTEN_")),
    "again": inherited_descriptors() + inherited_sockets(),
}))
"""

#: Hands over sockets, and becomes the service.
MANAGER = """
import fcntl, os, sys
program, *handed = sys.argv[1:]
if os.environ["LISTEN_PID"] == "itself":
    os.environ["LISTEN_PID"] = str(os.getpid())
# First the sockets go where none of the numbers is in the way, and then where they belong.
apart = [fcntl.fcntl(int(each), fcntl.F_DUPFD_CLOEXEC, 50) for each in handed]
for number, each in enumerate(apart, 3):
    os.dup2(each, number)
os.execv(sys.executable, [sys.executable, "-c", program])
"""


class EnvironTestCase(SynchronousTestCase):
    """Tests that change what this process finds in its environment."""

    def set(self, **variables: str | None) -> None:
        """Change variables until the test ends; L{None} takes one away."""
        for name, value in variables.items():
            self.addCleanup(self._put, name, os.environ.get(name))
            self._put(name, value)

    def _put(self, name: str, value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class NotifyTests(EnvironTestCase, DaemonTestCase):
    """Telling the service manager."""

    def manager(self, address: str) -> socket.socket:
        """A service manager that listens somewhere."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.bind(address)
        return sock

    def test_path(self) -> None:
        """A manager at a path hears one message of lines."""
        manager = self.manager(self.path("notify"))
        self.set(NOTIFY_SOCKET=self.path("notify"))
        self.assertIs(systemd.notify(READY=1, STATUS="serving: größer"), True)
        self.assertEqual(manager.recv(4096).decode(), "READY=1\nSTATUS=serving: größer")

    def test_abstract(self) -> None:
        """A manager without a path hears it, too."""
        name = f"papa-test-{os.getpid()}-@-{id(self)}"
        manager = self.manager(f"\0{name}")
        self.set(NOTIFY_SOCKET=f"@{name}")
        self.assertIs(systemd.notify(WATCHDOG=1), True)
        self.assertEqual(manager.recv(4096), b"WATCHDOG=1")

    def test_again(self) -> None:
        """The manager may be told something again and again."""
        manager = self.manager(self.path("notify"))
        self.set(NOTIFY_SOCKET=self.path("notify"))
        for number in range(3):
            self.assertTrue(systemd.notify(STATUS=number))
        self.assertEqual([manager.recv(4096) for _ in range(3)], [b"STATUS=0", b"STATUS=1", b"STATUS=2"])

    def test_bytes_that_are_no_text(self) -> None:
        """What cannot be said as it is is said all the same."""
        manager = self.manager(self.path("notify"))
        self.set(NOTIFY_SOCKET=self.path("notify"))
        self.assertTrue(systemd.notify(STATUS=os.fsdecode(b"file \xff")))
        self.assertTrue(manager.recv(4096).startswith(b"STATUS=file "))

    def test_descriptors(self) -> None:
        """Descriptors go with what is said."""
        manager = self.manager(self.path("notify"))
        self.set(NOTIFY_SOCKET=self.path("notify"))
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.assertTrue(systemd.notify([writing], FDSTORE=1, FDNAME="mine"))
        os.close(writing)
        said, descriptors, _, _ = socket.recv_fds(manager, 4096, 4)
        self.assertEqual(said, b"FDSTORE=1\nFDNAME=mine")
        os.write(descriptors[0], b"through")
        os.close(descriptors[0])
        self.assertEqual(os.read(reading, 100), b"through")

    def test_not_asked(self) -> None:
        """Where nobody has asked to be told nobody is."""
        for where in (None, "", "notify", "vsock:2:1234"):
            self.set(NOTIFY_SOCKET=where)
            self.assertIs(systemd.notify(READY=1), False)

    def test_nobody_there(self) -> None:
        """A manager that has gone is no failure."""
        self.set(NOTIFY_SOCKET=self.path("notify"))
        self.assertIs(systemd.notify(READY=1), False)
        self.manager(self.path("notify")).close()
        self.assertIs(systemd.notify(READY=1), False)
        self.set(NOTIFY_SOCKET="/" + "x" * 200)
        self.assertIs(systemd.notify(READY=1), False)

    def test_nothing_left_open(self) -> None:
        """Telling leaves nothing open."""
        self.manager(self.path("notify"))
        self.set(NOTIFY_SOCKET=self.path("notify"))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            systemd.notify(READY=1)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class StoreSizeTests(EnvironTestCase):
    """How many descriptors are kept for a process."""

    def test_kept(self) -> None:
        """As many as it is told, also by a manager that does not say for whom."""
        for pid in (None, "7"):
            self.set(NOTIFY_SOCKET="/x", FDSTORE="12", SYSTEMD_EXEC_PID=pid)
            self.assertEqual(systemd.store_size(7), 12)

    def test_not_kept(self) -> None:
        """None for a process that is not the service's own, where none are, or where it makes no sense."""
        for variables in (
            {"SYSTEMD_EXEC_PID": "8"},
            {"FDSTORE": None},
            {"FDSTORE": "0"},
            {"FDSTORE": "-1"},
            {"FDSTORE": "²"},
            {"NOTIFY_SOCKET": None},
        ):
            self.set(**{"NOTIFY_SOCKET": "/x", "FDSTORE": "12", "SYSTEMD_EXEC_PID": "7", **variables})
            self.assertEqual(systemd.store_size(7), 0)


class WatchdogTests(EnvironTestCase):
    """How often to say that one is not hung."""

    def test_watched(self) -> None:
        """Twice in the time that is allowed."""
        self.set(WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
        self.assertEqual(systemd.watchdog_interval(), 1.5)

    def test_anybody(self) -> None:
        """Where it does not say who is watched, we are."""
        self.set(WATCHDOG_USEC="500000", WATCHDOG_PID=None)
        self.assertEqual(systemd.watchdog_interval(), 0.25)

    def test_another(self) -> None:
        """Another process is watched."""
        for pid in (str(os.getppid()), "", "x"):
            self.set(WATCHDOG_USEC="3000000", WATCHDOG_PID=pid)
            self.assertIsNone(systemd.watchdog_interval())

    def test_nobody(self) -> None:
        """Nobody is watched, or what is said of it makes no sense."""
        for time in (None, "", "0", "-1", "soon", "1.5"):
            self.set(WATCHDOG_USEC=time, WATCHDOG_PID=str(os.getpid()))
            self.assertIsNone(systemd.watchdog_interval())


class InheritanceTests(DaemonTestCase):
    """Sockets that were handed over."""

    def receive(
        self, *handed: socket.socket, to: str = "itself", count: str | None = None, names: Sequence[str] | None = None
    ) -> dict[str, object]:
        """Start a program that is handed sockets, as descriptors from 3 on; what it sees."""
        self.environ["LISTEN_FDS"] = str(len(handed)) if count is None else count
        if names is not None:
            self.environ["LISTEN_FDNAMES"] = ":".join(names)
        self.environ["LISTEN_PID"] = to
        finished = subprocess.run(
            [sys.executable, "-c", MANAGER, RECEIVER, *(str(sock.fileno()) for sock in handed)],
            check=False,
            env=self.environ,
            pass_fds=[sock.fileno() for sock in handed],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(finished.returncode, 0, finished.stderr)
        found: dict[str, object] = json.loads(finished.stdout)
        return found

    def listener(self) -> socket.socket:
        sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(sock.close)
        return sock

    def unix(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(self.path("x.sock"))
        sock.listen()
        return sock

    def test_handed(self) -> None:
        """The sockets come in order and with their names, are the service's alone, and are handed over once."""
        tcp, unix = self.listener(), self.unix()
        self.assertEqual(
            self.receive(tcp, unix, names=["web", "local"]),
            {
                "numbers": [3, 4],
                "sockets": [
                    ["web", 3, "AF_INET", str(tcp.getsockname())],
                    ["local", 4, "AF_UNIX", self.path("x.sock")],
                ],
                "inheritable": [False, False],
                "left": [],
                "again": [],
            },
        )

    def test_without_names(self) -> None:
        """Sockets that have no names have empty ones."""
        for names in (None, ["web"]):
            found = self.receive(self.listener(), self.listener(), names=names)
            assert isinstance(found["sockets"], list)
            self.assertEqual([each[0] for each in found["sockets"]], ["", ""] if names is None else ["web", ""])

    def test_for_another(self) -> None:
        """What was handed to another process, for instance to the parent, is not ours; and that is not passed on."""
        for pid in (str(os.getpid()), ""):
            found = self.receive(self.listener(), to=pid)
            self.assertEqual((found["numbers"], found["sockets"], found["left"]), ([], [], []))

    def test_no_number(self) -> None:
        """Where it does not say how many there are none are."""
        for count in ("0", "-1", "²"):
            found = self.receive(self.listener(), count=count)
            self.assertEqual((found["numbers"], found["sockets"], found["left"]), ([], [], []))

    def test_not_handed(self) -> None:
        """A process that was started by hand was handed nothing."""
        self.environ.pop("LISTEN_FDS", None)
        finished = subprocess.run(
            [sys.executable, "-c", RECEIVER], check=True, env=self.environ, capture_output=True, timeout=PATIENCE
        )
        self.assertEqual(json.loads(finished.stdout)["sockets"], [])
