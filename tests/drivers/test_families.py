"""What processes and what they have started use."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.families import descriptors, families, listening, usage
from tests.support import PATIENCE, until

#: Prints the pid of a child in a session of its own, and of one of that child's, and waits for the end of its input.
_FAMILY = """
import os, subprocess, sys
child = subprocess.Popen(
    ["sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"], stdout=subprocess.PIPE, start_new_session=True
)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
sys.stdin.read()
os.killpg(child.pid, 9)
child.wait()
"""


class FamilyTests(SynchronousTestCase):
    """Who belongs together."""

    def start(self, program: str) -> subprocess.Popen[str]:
        """A program that ends with its input."""
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(process.communicate, timeout=PATIENCE)
        return process

    def test_descendants(self) -> None:
        """What a process has started belongs to it, whatever the session; nobody else does."""
        process = self.start(_FAMILY)
        assert process.stdout is not None
        started = {int(word) for word in process.stdout.readline().split()}
        self.assertEqual(families([process.pid]), {process.pid: {process.pid, *started}})

    def test_orphans(self) -> None:
        """One whose parent has ended belongs to whose session it is in."""
        shell = subprocess.Popen(
            ["sh", "-c", "sh -c 'sleep 1000 & echo $!'; exec sleep 1000"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(shell.communicate)
        self.addCleanup(os.killpg, shell.pid, signal.SIGKILL)
        assert shell.stdout is not None
        orphan = int(shell.stdout.readline())
        until(lambda: families([shell.pid]) == {shell.pid: {shell.pid, orphan}}, "the middle shell's end")

    def test_one_within_another(self) -> None:
        """Of two families the inner one has its own."""
        own = os.getpid()
        process = self.start("import sys; sys.stdin.read()")
        found = families([own, process.pid])
        self.assertEqual(found[process.pid], {process.pid})
        self.assertNotIn(process.pid, found[own])

    def test_ended(self) -> None:
        """One that has ended has nobody, and uses nothing."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.assertEqual(families([ended.pid]), {ended.pid: {ended.pid}})
        self.assertEqual((usage([ended.pid]).processor, usage([ended.pid]).memory), (0.0, 0))
        self.assertEqual((listening([ended.pid]), descriptors(ended.pid)), ([], (None, None)))


class UsageTests(SynchronousTestCase):
    """What they use."""

    def test_own(self) -> None:
        """Processor time and memory are those of the process, and add up."""
        used = usage([os.getpid()])
        self.assertLess(abs(used.processor - sum(os.times()[:2])), 0.5)
        with open("/proc/self/status", encoding="ascii") as status:
            resident = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))
        self.assertTrue(0.8 < used.memory / resident < 1.2, (used.memory, resident))
        self.assertGreater(usage([os.getpid(), os.getppid()]).memory, used.memory)

    def test_descriptors(self) -> None:
        """How many are open, and may be."""
        before, most = descriptors(os.getpid())
        assert before is not None
        with open(os.devnull, encoding="ascii"):
            self.assertEqual(descriptors(os.getpid()), (before + 1, most))


class ListeningTests(SynchronousTestCase):
    """Where they listen."""

    def test_sockets(self) -> None:
        """A bound socket counts once it listens, of either family."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as sock:
                try:
                    sock.bind((host, 0))
                except OSError:
                    continue
                port = sock.getsockname()[1]
                self.assertNotIn(port, listening([os.getpid()]))
                sock.listen()
                self.assertIn(port, listening([os.getpid()]))
            self.assertNotIn(port, listening([os.getpid()]))

    def test_paths(self) -> None:
        """A Unix socket counts by its path, an abstract one by its name behind an @."""
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "ä s")
        abstract = f"papa-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
            for sock, name in ((one, path), (other, f"\0{abstract}")):
                sock.bind(name)
                self.assertFalse({path, f"@{abstract}"} & set(listening([os.getpid()])))
            one.listen()
            other.listen()
            self.assertLessEqual({path, f"@{abstract}"}, set(listening([os.getpid()])))

    def test_forged(self) -> None:
        """A name that looks like rows of a table makes nobody listen, and does not stop anybody from looking."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as target, socket.socket(socket.AF_UNIX) as liar:
            inode = os.fstat(target.fileno()).st_ino
            row = f"0000000000000000: 00000002 00000000 00010000 0001 01 {inode} /ready"
            liar.bind(f"\0\nno row at all\n{row}"[:108])
            self.assertNotIn("/ready", listening([os.getpid()]))

    def test_of_others(self) -> None:
        """Sockets of others do not count."""
        with socket.create_server(("127.0.0.1", 0)) as sock, subprocess.Popen(["sleep", "1000"]) as other:
            try:
                self.assertNotIn(sock.getsockname()[1], listening([other.pid]))
            finally:
                other.kill()
