"""Who has started a process: in processes of their own, with all that standard input may be."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.daemon.programs import DaemonTestCase
from tests.support import PATIENCE

#: Says who has started it, without having done anything before that.
PROGRAM = """
from papa.daemon import started_by_init, started_by_super_server
print(started_by_init(), started_by_super_server())
"""
#: Starts it, and waits for it: so its parent is not process 1, even where that runs the tests.
SHELL = ("sh", "-c", '"$@"; exit $?', "sh")


class SuperServerTests(DaemonTestCase):
    """What stands for a client is a socket that has an address."""

    def ask(self, stdin: Any, *under: str) -> bool:
        """Whether a program with such a standard input thinks that a super server has started it."""
        finished = subprocess.run(
            [*(under or SHELL), sys.executable, "-c", PROGRAM],
            check=True,
            env=self.environ,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        said = finished.stdout.split()
        self.assertEqual(said[0], "False")
        return said[1] == "True"

    def socket(self, *arguments: Any) -> socket.socket:
        sock = socket.socket(*arguments)
        self.addCleanup(sock.close)
        return sock

    def test_null(self) -> None:
        """Nothing to read."""
        self.assertFalse(self.ask(subprocess.DEVNULL))

    def test_closed(self) -> None:
        """Standard input that is closed."""
        self.assertFalse(self.ask(None, "sh", "-c", '"$@" <&-; exit $?', "sh"))

    def test_file(self) -> None:
        """A file."""
        with open(self.path("file"), "w+", encoding="ascii") as file:
            self.assertFalse(self.ask(file))

    def test_pipe(self) -> None:
        """A pipe."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.assertFalse(self.ask(reading))

    def test_terminal(self) -> None:
        """A terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        self.assertFalse(self.ask(theirs))

    def test_pair(self) -> None:
        """A pair of sockets, as some programs use it instead of pipes."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.assertFalse(self.ask(theirs))

    def test_listening(self) -> None:
        """A socket that listens is what inetd hands over with C{wait}."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                server = socket.create_server((host, 0), family=family)
            except OSError:
                continue
            self.addCleanup(server.close)
            self.assertTrue(self.ask(server))

    def test_connected(self) -> None:
        """A client, of which both ends know an address."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        client = socket.create_connection(server.getsockname())
        self.addCleanup(client.close)
        accepted, _ = server.accept()
        self.addCleanup(accepted.close)
        self.assertTrue(self.ask(accepted))

    def test_datagrams(self) -> None:
        """A socket of datagrams."""
        sock = self.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.assertTrue(self.ask(sock))

    def test_unix(self) -> None:
        """A socket with a path, and a client that came there."""
        server = self.socket(socket.AF_UNIX)
        server.bind(self.path("x.sock"))
        server.listen()
        self.assertTrue(self.ask(server))
        client = self.socket(socket.AF_UNIX)
        client.connect(self.path("x.sock"))
        accepted, _ = server.accept()
        self.addCleanup(accepted.close)
        self.assertTrue(self.ask(accepted))

    def test_abstract(self) -> None:
        """A socket with a name that is no path."""
        server = self.socket(socket.AF_UNIX)
        server.bind(f"\0papa-test-{os.getpid()}-{id(self)}")
        server.listen()
        self.assertTrue(self.ask(server))

    def test_asked_twice(self) -> None:
        """Asking leaves standard input as it is."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        program = """
            print(started_by_super_server(), started_by_super_server(), os.fstat(0).st_ino,
                len(os.listdir("/proc/self/fd")))
        """
        said = self.run_program(program, stdin=server).stdout.split()
        self.assertEqual(said[:3], ["True", "True", str(os.fstat(server.fileno()).st_ino)])


class InitTests(DaemonTestCase):
    """What looks after a process, instead of just having started it."""

    def ask(self, *under: str) -> bool:
        """Whether a program that was started in some way thinks that init has done that."""
        finished = subprocess.run(
            [*under, sys.executable, "-c", PROGRAM],
            check=True,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return finished.stdout.split()[0] == "True"

    def test_program(self) -> None:
        """A program has started it."""
        self.assertFalse(self.ask(*SHELL))

    def test_systemd(self) -> None:
        """Systemd says that it has started just this process."""
        self.assertTrue(self.ask("sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh"))

    def test_below_systemd(self) -> None:
        """Systemd has started what has started this process."""
        self.assertFalse(self.ask("sh", "-c", 'export SYSTEMD_EXEC_PID=$$; "$@"; exit $?', "sh"))

    def test_orphan(self) -> None:
        """A process whose parent has gone belongs to process 1, if nobody else takes orphans in."""
        program = self.begin("""
            launcher = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == launcher:
                time.sleep(0.01)
            print(os.getppid() == 1, started_by_init())
        """)
        assert program.stdout is not None
        adopted, said = program.stdout.read().split()
        self.assertEqual(said, adopted)

    def test_first_process(self) -> None:
        """Process 1 of a container was started by nobody, and has nobody whose background it could go into."""
        if shutil.which("unshare") is None:
            raise SkipTest("there is no unshare here")
        under = ["unshare", "--pid", "--fork", "--kill-child"]
        if os.geteuid() != 0:
            under[1:1] = ["--user"]
        if subprocess.run([*under, "true"], check=False, stderr=subprocess.DEVNULL, timeout=PATIENCE).returncode:
            raise SkipTest("may not make a container here")
        self.assertTrue(self.ask(*under))
        # What it starts was started by it.
        self.assertTrue(self.ask(*under, *SHELL))
