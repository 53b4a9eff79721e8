"""Claiming paths: nothing is deleted that is not ours, or not dead, and two never have the same."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import tests
from papa.drivers.paths import SocketPath
from papa.errors import SocketFailed
from tests.drivers.apart import apart
from tests.support import until

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(tests.__file__)))

#: Claims a path, says so, and keeps it until its input ends.
_CLAIMER = """
import sys
from papa.drivers.paths import SocketPath
from papa.errors import SocketFailed
print("ready", flush=True)
sys.stdin.readline()
try:
    claimed = SocketPath(sys.argv[1])
except SocketFailed as error:
    print(f"refused: {error}", flush=True)
else:
    print("claimed", flush=True)
sys.stdin.readline()
"""


class PathTestCase(SynchronousTestCase):
    """Tests with a folder of their own, and a path in it."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, "s")
        self.lock = f"{self.path}.lock"

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def open_files(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def adopted(self) -> SocketPath:
        """A path that was claimed, and whose claim somebody else goes on with after the claimant was killed."""
        before = SocketPath(self.path)
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        before.bind(sock, 0o600)
        return SocketPath.adopted(self.path, before.lock)

    def refused(self) -> str:
        """What is said of a path that cannot be claimed; nothing has changed by it."""
        before, names = self.open_files(), self.names()
        error = self.assertRaises(SocketFailed, SocketPath, self.path)
        self.assertEqual((self.open_files(), self.names()), (before, names))
        return str(error)

    def claimed(self) -> SocketPath:
        claimed = SocketPath(self.path)
        self.addCleanup(self.forget, claimed)
        return claimed

    @staticmethod
    def forget(claimed: SocketPath) -> None:
        try:
            claimed.release()
        except OSError as error:
            if error.errno != errno.EBADF:  # The test has given it back.
                raise

    def unix_socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        return sock

    def dead_socket(self, path: str, kind: int = socket.SOCK_STREAM) -> None:
        with self.unix_socket(kind) as sock:
            sock.bind(path)

    def claimer(self) -> subprocess.Popen[str]:
        """Another process that will claim the path when it is told."""
        process = subprocess.Popen(
            [sys.executable, "-c", _CLAIMER, self.path],
            env={**os.environ, "PYTHONPATH": _ROOT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    @staticmethod
    def go(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    @staticmethod
    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def said_by(self, script: str) -> list[str]:
        """The words that a program says that is given the path."""
        finished = subprocess.run(
            [sys.executable, "-c", script, self.path],
            check=True,
            env={**os.environ, "PYTHONPATH": _ROOT},
            stdout=subprocess.PIPE,
            text=True,
        )
        return finished.stdout.split()


class OccupiedTests(PathTestCase):
    """What is there already."""

    def test_nothing(self) -> None:
        """A path where nothing is can be claimed; all that is there then is the lock, for its user alone."""
        self.claimed()
        self.assertEqual(self.names(), ["s.lock"])
        self.assertEqual(stat.S_IMODE(os.lstat(self.lock).st_mode) & 0o077, 0)

    def test_file(self) -> None:
        """A file stays as it is."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("precious")
        self.assertIn("is not a socket: papa deletes no files; move it away first", self.refused())
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")

    def test_symlink(self) -> None:
        """A link stays, and what it leads to: a file, a dead socket, or nothing."""
        victim = os.path.join(self.folder, "victim")
        for make in (lambda: self.dead_socket(victim), lambda: os.mkdir(victim), lambda: None):
            make()
            os.symlink(victim, self.path)
            self.assertIn("is not a socket", self.refused())
            self.assertEqual(os.readlink(self.path), victim)
            os.unlink(self.path)
            if os.path.isdir(victim):
                os.rmdir(victim)
            elif os.path.lexists(victim):
                os.unlink(victim)

    def test_folder(self) -> None:
        """A folder stays."""
        os.mkdir(self.path)
        self.assertIn("is not a socket", self.refused())

    def test_fifo(self) -> None:
        """A FIFO stays, and is not waited for."""
        os.mkfifo(self.path)
        self.assertIn("is not a socket", self.refused())

    def test_live_socket(self) -> None:
        """A live socket stays, of whatever type, and goes on serving."""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with self.unix_socket(kind) as sock:
                sock.bind(self.path)
                if kind != socket.SOCK_DGRAM:
                    sock.listen(5)
                self.assertIn("is a live socket: something is serving there", self.refused())
                with self.unix_socket(kind) as client:
                    client.connect(self.path)
            os.unlink(self.path)

    def test_busy_socket(self) -> None:
        """A socket that is too busy to accept is alive."""
        with self.unix_socket() as sock:
            sock.bind(self.path)
            sock.listen(0)
            waiting = self.unix_socket()
            waiting.connect(self.path)
            with self.unix_socket() as probe:
                probe.setblocking(False)
                self.assertEqual(probe.connect_ex(self.path), errno.EAGAIN)
            self.assertIn("is a live socket", self.refused())

    def test_dead_socket(self) -> None:
        """A dead socket, of whatever type, is deleted, and the path can be bound."""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            self.dead_socket(self.path, kind)
            claimed = SocketPath(self.path)
            self.assertEqual(self.names(), ["s.lock"])
            claimed.bind(self.unix_socket(), 0o600)
            claimed.release()
            self.assertEqual(self.names(), [])

    def test_foreign_socket(self) -> None:
        """A dead socket of another user stays; its owner is named."""
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        self.dead_socket(self.path)
        os.chown(self.path, 65534, 65534)
        self.assertIn("is a socket of another user (uid 65534)", self.refused())

    def test_missing_folder(self) -> None:
        """A path in a folder that is not there is refused with the reason."""
        self.path = os.path.join(self.folder, "missing", "s")
        self.assertIn("No such file or directory", self.refused())

    def test_dead_socket_that_cannot_be_deleted(self) -> None:
        """A dead socket in a folder that may not be changed is refused with the reason."""
        self.assertIn("Permission denied", apart(_take_from_sticky_folder))


class LockTests(PathTestCase):
    """The lock beside the path."""

    def test_held(self) -> None:
        """A path that is claimed cannot be claimed again, by the same process or another."""
        self.claimed()
        self.assertIn(f"{self.path} is held by another running process", self.refused())
        other = self.claimer()
        self.go(other)
        self.assertEqual(self.line(other), "ready")
        self.assertRegex(self.line(other), "^refused: .* is held by another running process$")

    def test_freed_by_death(self) -> None:
        """However a claimer dies, the path can be claimed: the lock that it leaves is no lock."""
        other = self.claimer()
        self.go(other)
        self.assertEqual([self.line(other), self.line(other)], ["ready", "claimed"])
        self.assertIn("is held by another running process", self.refused())
        self.end(other)
        self.assertEqual(self.names(), ["s.lock"])
        self.claimed()

    def test_no_live_socket_is_probed_while_held(self) -> None:
        """A dead socket under somebody's lock stays: its holder may be about to bind."""
        with open(self.lock, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.dead_socket(self.path)
            self.assertIn("is held by another running process", self.refused())

    def test_symlink(self) -> None:
        """A lock that is a link is not followed: what it leads to is neither made nor opened."""
        victim = os.path.join(self.folder, "victim")
        os.symlink(victim, self.lock)
        self.assertIn("Too many levels of symbolic links", self.refused())
        with open(victim, "w", encoding="utf-8"):
            pass
        self.assertIn("Too many levels of symbolic links", self.refused())

    def test_no_file(self) -> None:
        """A lock that is a folder or a FIFO is refused, and the FIFO is not waited for."""
        os.mkdir(self.lock)
        self.assertIn("Is a directory", self.refused())
        os.rmdir(self.lock)
        os.mkfifo(self.lock)
        self.assertIn("is not a lock file of ours", self.refused())

    def test_precious(self) -> None:
        """A lock that is somebody's file, or has another name, is refused, and stays as it is."""
        for content in ("precious\n", "12 13\n14", "12 13"):
            with open(self.lock, "w", encoding="utf-8") as file:
                file.write(content)
            self.assertIn("is not a lock file of ours", self.refused())
            with open(self.lock, encoding="utf-8") as file:
                self.assertEqual(file.read(), content)
            os.unlink(self.lock)
        with open(other := os.path.join(self.folder, "other"), "w", encoding="utf-8"):
            pass
        os.link(other, self.lock)
        self.assertIn("is not a lock file of ours", self.refused())

    def test_foreign(self) -> None:
        """A lock that belongs to another user is refused: they could hold it for ever."""
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        with open(self.lock, "w", encoding="utf-8"):
            pass
        os.chown(self.lock, 65534, 65534)
        self.assertIn("is not a lock file of ours", self.refused())

    def test_stale(self) -> None:
        """A lock that nobody holds is taken over."""
        with open(self.lock, "w", encoding="utf-8"):
            pass
        self.claimed()

    def test_lock_of_another_is_not_deleted(self) -> None:
        """Whoever gives a path back leaves a lock that is another's by then."""
        first = SocketPath(self.path)
        os.unlink(self.lock)
        self.claimed()
        first.release()
        self.assertIn("is held by another running process", self.refused())

    def test_race(self) -> None:
        """Of 50 processes that claim one path at once, with a dead socket there, exactly one wins."""
        for _ in range(4):
            self.dead_socket(self.path)
            self.assertEqual(self.said_by(_RACE), ["held"] * 49 + ["won"])
            os.unlink(self.lock)  # Left by the winner, who died with it.

    def test_claimed_and_given_back_by_many(self) -> None:
        """Processes that claim, bind and give back over and over never have it at the same time, and never fail."""
        self.assertEqual(self.said_by(_TURNS), ["0"] * 4)
        self.assertEqual([name for name in self.names() if name != "alone"], [])


#: Fifty processes wait, claim the path at once, and keep it until all have tried; what became of each.
_RACE = """
import os, sys
from papa.drivers.paths import SocketPath
from papa.errors import SocketFailed

go, results, over = os.pipe(), os.pipe(), os.pipe()
pids = []
for _ in range(50):
    pid = os.fork()
    if not pid:
        os.close(go[1]), os.close(over[1])
        os.read(go[0], 1)
        try:
            claimed = SocketPath(sys.argv[1])
            os.write(results[1], b"won\\n")
        except SocketFailed as error:
            os.write(results[1], b"held\\n" if "is held by another running process" in str(error) else b"strange\\n")
        finally:
            os.read(over[0], 1)
            os._exit(0)
    pids.append(pid)
os.close(go[1])
with open(results[0]) as lines:
    print(*sorted(lines.readline().strip() for _ in pids))
os.close(over[1])
for pid in pids:
    os.waitpid(pid, 0)
"""

#: Four processes; each claims and gives back 100 times, and ends with how often it was not alone.
_TURNS = """
import os, socket, sys
from papa.drivers.paths import SocketPath
from papa.errors import SocketFailed

path, alone = sys.argv[1], os.path.join(os.path.dirname(sys.argv[1]), "alone")

def work():
    turns = 0
    while turns < 100:
        try:
            claimed = SocketPath(path)
        except SocketFailed as error:
            assert "is held by another" in str(error), error
            continue
        os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
        with socket.socket(socket.AF_UNIX) as sock:
            claimed.bind(sock, 0o600)
        os.unlink(alone)
        claimed.release()
        turns += 1

pids = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    pids.append(pid)
print(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""


class BoundTests(PathTestCase):
    """Binding, and giving back."""

    def test_mode(self) -> None:
        """The file has the mode that was asked for, wider or narrower than the process's mask has it."""
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        for mode in (0o600, 0o660, 0o666, 0o777, 0o000):
            claimed = SocketPath(self.path)
            with self.unix_socket() as sock:
                claimed.bind(sock, mode)
            self.assertEqual(stat.S_IMODE(os.lstat(self.path).st_mode), mode)
            claimed.release()

    def test_mode_of_the_process(self) -> None:
        """Where no mode is asked for, the process's mask decides."""
        before = os.umask(0o027)
        self.addCleanup(os.umask, before)
        self.claimed().bind(self.unix_socket(), None)
        self.assertEqual(stat.S_IMODE(os.lstat(self.path).st_mode), 0o750)

    def test_never_wider_at_any_moment(self) -> None:
        """Between any two system calls, the file is never wider than asked, and the process's mask never another."""
        for mask in (0, 0o022, 0o077, 0o777):
            before = os.umask(mask)
            self.addCleanup(os.umask, before)
            for mode in (0o600, 0o666):
                claimed = SocketPath(self.path)
                modes, masks = self.observed(lambda claimed=claimed, mode=mode: claimed.bind(self.unix_socket(), mode))
                self.assertEqual({found & ~mode for found in modes}, {0})
                self.assertIn(mode, modes)
                self.assertEqual(masks, {mask})
                claimed.release()

    def observed(self, act: Callable[[], None]) -> tuple[set[int], set[int]]:
        """The modes of the file, and the masks of the process, after each call that an act makes."""
        modes, masks = set(), set()

        def look(frame: Any, event: str, argument: Any) -> None:
            if os.path.lexists(self.path):
                modes.add(stat.S_IMODE(os.lstat(self.path).st_mode))
            with open("/proc/self/status", encoding="utf-8") as status:
                masks.update(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))

        sys.setprofile(look)
        try:
            act()
        finally:
            sys.setprofile(None)
        return modes, masks

    def test_mode_is_of_the_bound_file(self) -> None:
        """A file that somebody has put in its place is not opened to anybody."""
        claimed = self.claimed()
        before = os.umask(0o777)
        self.addCleanup(os.umask, before)
        sock = self.unix_socket()
        replaced = []

        def replace(frame: Any, event: str, argument: Any) -> None:
            # As soon as the system has bound it, and papa has looked what was bound.
            if event == "c_return" and argument is os.lstat and not replaced:
                replaced.append(True)
                os.unlink(self.path)
                with open(self.path, "w", encoding="utf-8"):
                    pass

        sys.setprofile(replace)
        try:
            claimed.bind(sock, 0o666)
        finally:
            sys.setprofile(None)
        self.assertEqual(replaced, [True])
        self.assertEqual(stat.S_IMODE(os.lstat(self.path).st_mode), 0)

    def test_released(self) -> None:
        """Given back, nothing is left, and the path can be claimed."""
        before = self.open_files()
        claimed = SocketPath(self.path)
        with self.unix_socket() as sock:
            claimed.bind(sock, 0o600)
        claimed.release()
        self.assertEqual((self.names(), self.open_files()), ([], before))
        self.claimed()

    def test_released_unbound(self) -> None:
        """A path that was never bound is given back too; what has come there since is not ours."""
        claimed = SocketPath(self.path)
        self.dead_socket(self.path)
        claimed.release()
        self.assertEqual(self.names(), ["s"])

    def test_released_when_replaced(self) -> None:
        """A socket that another has bound in the place of ours is not deleted."""
        claimed = SocketPath(self.path)
        claimed.bind(self.unix_socket(), 0o600)
        os.rename(self.path, os.path.join(self.folder, "moved"))
        other = self.unix_socket()
        other.bind(self.path)
        claimed.release()
        self.assertEqual(self.names(), ["moved", "s"])

    def test_released_when_gone(self) -> None:
        """Giving back what has been deleted is no failure."""
        claimed = SocketPath(self.path)
        claimed.bind(self.unix_socket(), 0o600)
        shutil.rmtree(self.folder)
        claimed.release()
        self.assertFalse(os.path.exists(self.folder))

    def test_lock_reaches_no_child(self) -> None:
        """The lock ends with papa: no child that outlives it keeps the path claimed."""
        claimed = SocketPath(self.path)
        with subprocess.Popen(["sleep", "1000"], close_fds=False) as child:
            until(lambda: os.readlink(f"/proc/{child.pid}/exe").endswith("sleep") or True)
            claimed.release()
            self.claimed()
            child.kill()


def _take_from_sticky_folder() -> str:
    """Claim a path with a dead socket of our own in a folder where it may not be deleted."""
    from tests.drivers.apart import not_here

    if os.geteuid() != 0:
        not_here("only root can give folders away")
    folder = tempfile.mkdtemp(prefix="papa-test-")
    path = os.path.join(folder, "s")
    try:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        with open(f"{path}.lock", "w", encoding="utf-8"):
            pass
        for name in (path, f"{path}.lock"):
            os.chown(name, 65534, 65534)
        os.chmod(folder, 0o755)
        os.seteuid(65534)
        try:
            SocketPath(path)
        except SocketFailed as error:
            return str(error)
        finally:
            os.seteuid(0)
        return "it was claimed"
    finally:
        shutil.rmtree(folder)


class AdoptedTests(PathTestCase):
    """Paths that another papa has claimed before."""

    def test_given_back(self) -> None:
        """The socket that is still there goes with its claim."""
        self.adopted().release()
        self.assertEqual(self.names(), [])

    def test_what_is_not_ours(self) -> None:
        """What somebody else has put there meanwhile stays: it may be serving."""
        adopted = self.adopted()
        os.rename(self.path, f"{self.path}.old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            again = SocketPath.adopted(self.path, adopted.lock)
            again.release()
        self.assertEqual(self.names(), ["s", "s.old"])
