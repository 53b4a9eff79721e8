"""A pid file: that one process at a time has it, for as long as that lives, whatever lies at the path."""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pathlib
import re
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from papa.daemon import AlreadyLocked, LockError, LockFailed, LockNotReentrant, NotMyLock, PidLockFile, status
from papa.daemon.identity import become
from papa.daemon.processes import started_at
from tests.daemon.programs import DaemonTestCase
from tests.drivers.apart import apart
from tests.support import PATIENCE

#: Has the lock until it is told to let go of it.
HOLDER = """
lock = PidLockFile(path("x.pid"))
lock.acquire()
lock.seal()
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
"""
#: Has it, and does not say who it is.
SILENT_HOLDER = """
lock = PidLockFile(path("x.pid"))
lock.acquire()
print("held", flush=True)
stay()
"""
#: How many start at once.
STARTERS = 50
#: How often they do, in each test of that.
ROUNDS = 20
#: A user and a group that no file knows.
NOBODY_KNOWN = 54321


class LockTestCase(DaemonTestCase):
    """Tests of one pid file, which is not there at first."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.path("x.pid")

    def lock(self, **options: Any) -> PidLockFile:
        """A lock that is let go of after the test."""
        lock = PidLockFile(self.file, **options)
        self.addCleanup(lock.forget)
        return lock

    def write(self, content: str, age: float = 0.0) -> None:
        """Put a file there that was written so many seconds ago."""
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(content)
        then = time.time() - age
        os.utime(self.file, (then, then))

    def content(self) -> str:
        return self.read("x.pid")

    def hold(self, source: str = HOLDER) -> subprocess.Popen[str]:
        """A process that has the lock."""
        holder = self.begin(source, stdin=subprocess.PIPE)
        self.hear(holder, "held")
        return holder

    def hear(self, program: subprocess.Popen[str], expected: str) -> None:
        """Read a line of what a program says."""
        assert program.stdout is not None
        self.assertEqual(program.stdout.readline(), f"{expected}\n")

    def tell(self, program: subprocess.Popen[str]) -> None:
        """Let a program go on that waits for a line."""
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()

    def sleeper(self) -> int:
        """A process that knows nothing of locks."""
        program = subprocess.Popen(["sleep", "1000"], env=self.environ)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program.pid

    def zombie(self) -> int:
        """A process that has ended, and that nobody has waited for."""
        program = subprocess.Popen(["true"])
        self.addCleanup(program.wait)
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        return program.pid

    def dead(self) -> int:
        """The pid of a process that there is no more."""
        program = subprocess.Popen(["true"])
        program.wait()
        return program.pid

    def assert_free(self) -> PidLockFile:
        """Nobody has the lock, and who wants it gets it at once; the lock."""
        lock = self.lock()
        self.assertFalse(lock.is_active())
        self.assertIsNone(lock.owner())
        lock.acquire()
        self.assertTrue(lock.is_primary())
        self.assertFalse(lock.outside_lock)
        lock.seal()
        self.assertEqual(self.lock().owner(), os.getpid())
        return lock

    def assert_stale(self) -> None:
        """There is a file, and nobody has the lock."""
        self.assertTrue(self.lock().is_stale(0))
        self.assert_free().release()

    def assert_locked_by(self, pid: int) -> None:
        """Somebody else has the lock."""
        lock = self.lock()
        error = self.assertRaises(AlreadyLocked, lock.acquire)
        self.assertEqual(str(error), f"{self.file} is locked by process {pid}")
        self.assertEqual((lock.owner(), lock.is_active(), lock.is_stale(0)), (pid, True, False))
        self.assertFalse(lock.is_primary())
        self.assertFalse(lock.is_locked())


class PathTests(LockTestCase):
    """Where a lock may be."""

    def test_relative(self) -> None:
        """A relative path is refused: a daemon changes its folder."""
        error = self.assertRaises(LockError, PidLockFile, "x.pid")
        self.assertIn("must be absolute", str(error))

    def test_bytes(self) -> None:
        """A path of bytes is refused."""
        self.assertRaises(LockError, PidLockFile, os.fsencode(self.file))

    def test_nothing_like_a_path(self) -> None:
        """What is no path at all is refused."""
        self.assertRaises(TypeError, PidLockFile, 3)

    def test_pathlib(self) -> None:
        """A path may be an object; what the lock shows is its text."""
        lock = PidLockFile(pathlib.Path(self.file))
        self.assertEqual(lock.file_name, self.file)
        self.assertEqual(repr(lock), f"PidLockFile({self.file!r})")
        with lock:
            self.assertEqual(lock.read_pid(), os.getpid())

    def test_linked(self) -> None:
        """A file that has another name, too, is nobody's pid file, and stays as it is."""
        with open(self.path("precious"), "w", encoding="ascii") as file:
            file.write("precious")
        os.link(self.path("precious"), self.file)
        with self.assertRaisesRegex(LockFailed, "has another name, too"):
            self.lock().acquire()
        self.assertEqual(self.read("precious"), "precious")

    def test_symlink(self) -> None:
        """A link at the path is not followed, and what it leads to stays as it is."""
        with open(self.path("precious"), "w", encoding="ascii") as file:
            file.write("precious")
        os.symlink(self.path("precious"), self.file)
        self.assertRaises(LockFailed, self.lock().acquire)
        self.assertEqual(self.read("precious"), "precious")
        self.assertIsNone(self.lock().read_pid())
        self.assertIsNone(self.lock().owner())

    def test_dangling_symlink(self) -> None:
        """A link that leads nowhere makes no file there."""
        os.symlink(self.path("elsewhere"), self.file)
        self.assertRaises(LockFailed, self.lock().acquire)
        self.assertFalse(os.path.exists(self.path("elsewhere")))

    def test_no_folder(self) -> None:
        """A path in a folder that is not there cannot be locked, and the message says why."""
        error = self.assertRaises(LockFailed, PidLockFile(self.path("no/x.pid")).acquire)
        self.assertIn("No such file or directory", str(error))

    def test_folder_at_the_path(self) -> None:
        """A folder cannot be a lock."""
        os.mkdir(self.file)
        error = self.assertRaises(LockFailed, self.lock().acquire)
        self.assertIn("Is a directory", str(error))

    def test_fifo_at_the_path(self) -> None:
        """A pipe with a name cannot be a lock, and nobody waits at it for ever."""
        os.mkfifo(self.file)
        self.assertRaises(LockFailed, self.lock().acquire)
        self.assertIsNone(self.lock().owner())
        self.assertTrue(os.path.exists(self.file))

    def test_device_at_the_path(self) -> None:
        """A device cannot be a lock, and stays."""
        self.assertRaises(LockFailed, PidLockFile(os.devnull).acquire)
        self.assertTrue(os.path.exists(os.devnull))

    def test_folder_that_cannot_be_listed(self) -> None:
        """A folder in which files may be made is enough; it need not be readable."""
        self.assertEqual(apart(lock_in_drop_box, self.folder), ["made", "gone"])

    def test_moved_folder(self) -> None:
        """A lock is released in its folder, though that has another path by then."""
        os.mkdir(self.path("before"))
        lock = PidLockFile(self.path("before/x.pid"))
        lock.seal()
        os.rename(self.path("before"), self.path("after"))
        os.mkdir(self.path("before"))
        lock.release()
        self.assertEqual(os.listdir(self.path("after")), [])


class OwnerTests(LockTestCase):
    """The life of a lock that nobody else wants."""

    def test_content(self) -> None:
        """The first line is the pid, the second the time, as programs that read such files expect."""
        lock = self.lock()
        self.assertEqual(lock.seal(), os.getpid())
        lines = self.content().splitlines()
        self.assertEqual(lines[0], str(os.getpid()))
        self.assertTrue(re.fullmatch(r"\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d", lines[1]), lines)
        self.assertEqual(lock.read_pid(), os.getpid())
        self.assertEqual((lock.my_pid, lock.my_timestamp), (os.getpid(), lines[1]))
        self.assertEqual((lock.last_read_pid, lock.last_read_timestamp), (os.getpid(), lines[1]))

    def test_longer_content_before(self) -> None:
        """Nothing of what stood in the file before is left in it."""
        self.write("x" * 10_000)
        self.lock().seal()
        self.assertEqual(self.content().splitlines()[0], str(os.getpid()))
        self.assertNotIn("x", self.content())

    def test_other_pid(self) -> None:
        """What is written down may be another pid, for instance one that the owner has forked."""
        pid = self.sleeper()
        lock = self.lock()
        self.assertEqual(lock.seal(pid), pid)
        self.assertEqual(self.content().splitlines()[0], str(pid))
        self.assert_locked_by(pid)
        lock.release()
        self.assertFalse(os.path.exists(self.file))

    def test_acquired(self) -> None:
        """A lock that was acquired and not sealed is ours, and its file is there and empty."""
        lock = self.lock()
        lock.acquire()
        self.assertEqual(self.content(), "")
        self.assertTrue(os.path.exists(self.file))
        self.assertTrue(lock.is_primary())
        self.assertTrue(lock.is_locked())
        self.assertTrue(lock.is_active())
        self.assertFalse(lock.is_stale())
        self.assertEqual((lock.owner(), lock.read_pid(), lock.my_pid), (0, None, None))

    def test_sealed(self) -> None:
        """A sealed lock is ours, and says so."""
        lock = self.lock()
        lock.seal()
        self.assertTrue(lock.is_primary())
        self.assertTrue(lock.is_locked())
        self.assertTrue(lock.is_active())
        self.assertFalse(lock.is_stale())
        self.assertEqual(lock.owner(), os.getpid())

    def test_never_taken(self) -> None:
        """Where there is no file nothing is locked, and nothing stale."""
        lock = self.lock()
        self.assertEqual((lock.owner(), lock.read_pid()), (None, None))
        self.assertEqual((lock.is_active(), lock.is_stale(), lock.is_locked(), lock.is_primary()), (False,) * 4)
        self.assertEqual(lock.descriptors, set())

    def test_release(self) -> None:
        """Releasing deletes the file, and the lock can be taken again."""
        lock = self.lock()
        for _ in range(2):
            lock.acquire()
            lock.seal()
            lock.release()
            self.assertFalse(os.path.exists(self.file))
            self.assertEqual((lock.my_pid, lock.descriptors, lock.is_primary()), (None, set(), False))

    def test_release_unsealed(self) -> None:
        """A lock that was only acquired can be released."""
        lock = self.lock()
        lock.acquire()
        lock.release()
        self.assertFalse(os.path.exists(self.file))

    def test_release_of_nothing(self) -> None:
        """What one does not have one cannot release."""
        lock = self.lock()
        self.assertRaises(NotMyLock, lock.release)
        lock.seal()
        lock.release()
        self.assertRaises(NotMyLock, lock.release)

    def test_descriptors_gone(self) -> None:
        """Taking and releasing leaves nothing open."""
        before = os.listdir("/proc/self/fd")
        for _ in range(10):
            with self.lock():
                pass
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_descriptors_not_inherited(self) -> None:
        """What a lock has open is not for programs that are started."""
        lock = self.lock()
        lock.seal()
        self.assertEqual({os.get_inheritable(each) for each in lock.descriptors}, {False})

    def test_no_standard_descriptors(self) -> None:
        """What a lock has open is never a standard stream, also where those are closed."""
        program = """
            for number in (0, 1, 2):
                os.close(number)
            with PidLockFile(path("x.pid")) as lock:
                found = sorted(lock.descriptors)
            note(min(found) > 2)
        """
        self.run_program(program)
        self.assertEqual([text for _, text in self.notes()], ["True"])

    def test_acquire_twice(self) -> None:
        """A lock that is acquired already is refused."""
        lock = self.lock()
        lock.acquire()
        error = self.assertRaises(LockError, lock.acquire)
        self.assertIn("acquired already", str(error))
        self.assertTrue(lock.is_primary())

    def test_seal_twice(self) -> None:
        """A sealed lock can be neither sealed nor acquired again."""
        lock = self.lock()
        lock.seal()
        self.assertRaises(LockNotReentrant, lock.seal)
        self.assertRaises(LockNotReentrant, lock.acquire)
        self.assertIsInstance(LockNotReentrant(), AlreadyLocked)

    def test_seal_twice_reentrant(self) -> None:
        """A reentrant lock tells how it is taken again."""
        lock = self.lock(reentrant=True)
        lock.seal()
        for call in (lock.seal, lock.acquire):
            error = self.assertRaises(LockError, call)
            self.assertIn("context manager", str(error))
            self.assertNotIsInstance(error, AlreadyLocked)

    def test_with(self) -> None:
        """Within the block the lock is ours and sealed; behind it there is no file."""
        with self.lock() as lock:
            self.assertEqual(lock.read_pid(), os.getpid())
            self.assertEqual(lock.owner(), os.getpid())
        self.assertFalse(os.path.exists(self.file))

    def test_with_acquired(self) -> None:
        """A block takes over a lock that was acquired before."""
        lock = self.lock()
        lock.acquire()
        with lock:
            self.assertEqual(lock.read_pid(), os.getpid())
        self.assertFalse(os.path.exists(self.file))

    def test_with_failure(self) -> None:
        """A block that fails lets go of the lock, and the failure goes on."""

        def fail() -> None:
            with self.lock():
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertFalse(os.path.exists(self.file))

    def test_with_locked(self) -> None:
        """A block that does not get the lock does not run, and leaves it to its owner."""
        holder = self.hold()
        ran = []

        def enter() -> None:
            with self.lock():
                ran.append(True)

        self.assertRaises(AlreadyLocked, enter)
        self.assertEqual(ran, [])
        self.assert_locked_by(holder.pid)

    def test_nested(self) -> None:
        """A lock that is not reentrant is not taken in its own block, which keeps it."""
        with self.lock() as lock:
            error = self.assertRaises(LockNotReentrant, lock.__enter__)
            self.assertIn("not reentrant", str(error))
            self.assertTrue(lock.is_primary())
        self.assertFalse(os.path.exists(self.file))

    def test_nested_reentrant(self) -> None:
        """Only leaving the outermost block of a reentrant lock lets go of it."""
        lock = self.lock(reentrant=True)
        with lock:
            with lock:
                with lock:
                    self.assertTrue(os.path.exists(self.file))
                self.assertTrue(lock.is_primary())
            self.assertTrue(lock.is_primary())
            self.assertEqual(lock.owner(), os.getpid())
        self.assertFalse(lock.is_primary())
        self.assertFalse(os.path.exists(self.file))

    def test_release_nested(self) -> None:
        """A lock is not released within nested blocks, and both still end in order."""
        lock = self.lock(reentrant=True)
        with lock:
            with lock:
                error = self.assertRaises(LockError, lock.release)
                self.assertIn("taken 2 times", str(error))
                self.assertTrue(lock.is_primary())
            self.assertTrue(os.path.exists(self.file))
        self.assertFalse(os.path.exists(self.file))

    def test_sealed_and_nested(self) -> None:
        """A reentrant lock that was sealed by hand stays ours behind a block."""
        lock = self.lock(reentrant=True)
        lock.seal()
        with lock:
            pass
        self.assertEqual(self.lock().owner(), os.getpid())
        lock.release()
        self.assertFalse(os.path.exists(self.file))


class FileTests(LockTestCase):
    """The file as others find it, and what they may do to it."""

    def test_mode(self) -> None:
        """The mode is as it was asked for, whatever the umask, also of a file that lay there."""
        for umask, mode, there in itertools.product((0o077, 0o000), (0o644, 0o600, 0o664), (False, True)):
            self.addCleanup(os.umask, os.umask(umask))
            if there:
                self.write("stale")
            lock = self.lock(mode=mode)
            lock.seal()
            self.assertEqual(oct(os.stat(self.file).st_mode & 0o7777), oct(mode))
            lock.release()

    def test_default_mode(self) -> None:
        """Everybody may read who it is, and nobody else may write."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.lock().seal()
        self.assertEqual(oct(os.stat(self.file).st_mode & 0o7777), "0o644")

    def test_group(self) -> None:
        """The file's group is as it was asked for, by number or name."""
        entry = grp.getgrall()[-1] if os.geteuid() == 0 else grp.getgrgid(os.getegid())
        for group in (entry.gr_gid, entry.gr_name):
            with self.lock(group=group):
                self.assertEqual(os.stat(self.file).st_gid, entry.gr_gid)

    def test_unknown_group(self) -> None:
        """A group that there is not is an error of the lock, which is not held then."""
        lock = self.lock(group="no such group")
        error = self.assertRaises(LockError, lock.acquire)
        self.assertIn("no such group", str(error))
        self.assertFalse(lock.is_primary())
        self.assertFalse(self.lock().is_active())

    def test_foreign_group(self) -> None:
        """Who may not give the file its group does not get the lock."""
        if os.geteuid() == 0:
            self.skipTest("root may give files to any group")
        lock = self.lock(group=next(each for each in itertools.count() if each not in {*os.getgroups(), os.getegid()}))
        self.assertRaises(LockFailed, lock.acquire)
        self.assertFalse(lock.is_primary())

    def release_noting_loss(self, lock: PidLockFile) -> None:
        """Release a lock whose file is another's now, which is no failure, but is said."""
        with self.assertLogs("papa.daemon.PidLockFile", "WARNING") as logged:
            lock.release()
        self.assertEqual(logged.records[0].getMessage(), f"{self.file} is not ours any more, and stays")

    def test_replaced(self) -> None:
        """A file that somebody has put in the place of ours stays as it is."""
        lock = self.lock()
        lock.seal()
        os.rename(self.file, self.path("ours"))
        self.write("12345\n")
        self.release_noting_loss(lock)
        self.assertEqual(self.content(), "12345\n")
        self.assertFalse(lock.is_primary())

    def test_replaced_by_link(self) -> None:
        """A link to our own file is somebody else's, too, and stays."""
        lock = self.lock()
        lock.seal()
        os.rename(self.file, self.path("ours"))
        os.symlink(self.path("ours"), self.file)
        self.release_noting_loss(lock)
        self.assertTrue(os.path.islink(self.file))

    def test_replaced_before_sealing(self) -> None:
        """A lock whose file was replaced cannot be sealed, and the other file stays as it is."""
        lock = self.lock()
        lock.acquire()
        os.rename(self.file, self.path("ours"))
        self.write("12345\n")
        error = self.assertRaises(LockError, lock.seal)
        self.assertIn("was replaced", str(error))
        self.assertEqual(self.content(), "12345\n")

    def test_deleted(self) -> None:
        """A lock whose file somebody has deleted can be released."""
        lock = self.lock()
        lock.seal()
        os.unlink(self.file)
        self.release_noting_loss(lock)
        self.assertFalse(lock.is_primary())

    def test_break(self) -> None:
        """Breaking a lock deletes the file, whoever owns it; who comes next gets a new one, which the owner leaves."""
        holder = self.hold()
        self.lock().break_lock()
        self.assertFalse(os.path.exists(self.file))
        self.assert_free()
        self.tell(holder)
        self.hear(holder, "released")
        self.assertEqual(self.lock().owner(), os.getpid())

    def test_break_own(self) -> None:
        """A lock can be broken by its owner."""
        lock = self.lock()
        lock.seal()
        lock.break_lock()
        self.assertFalse(lock.is_primary())
        self.assert_free()

    def test_break_nothing(self) -> None:
        """Where there is no file there is nothing to break."""
        self.lock().break_lock()
        self.assertFalse(os.path.exists(self.file))

    def test_no_right_to_delete(self) -> None:
        """Who has given up its rights empties the file instead of deleting it; that is nobody's, and free."""
        self.addCleanup(os.chmod, self.folder, 0o700)
        self.assertEqual(apart(release_without_rights, self.folder), "not ours")
        os.chmod(self.folder, 0o700)
        self.assertEqual(self.content(), "")
        self.assertTrue(os.path.exists(self.file))
        self.assert_stale()

    def test_let_go_of_folder(self) -> None:
        """A lock that has let go of its folder is kept, and sealed; in the end its file is emptied."""
        lock = self.lock()
        lock.acquire()
        lock.let_go_of_folder()
        self.assertEqual([os.readlink(f"/proc/self/fd/{each}") for each in lock.descriptors], [self.file])
        lock.seal()
        self.assertEqual(self.lock().owner(), os.getpid())
        lock.let_go_of_folder()
        lock.release()
        self.assertEqual((os.path.exists(self.file), self.content()), (True, ""))
        self.assert_stale()


class StaleTests(LockTestCase):
    """Files that nobody has locked."""

    def test_dead(self) -> None:
        """The owner has died; it may have written the time, too, and locked its file."""
        dead = self.dead()
        for content in (f"{dead}", f"{dead}\n", f"{dead}\n2001-02-03.04:05:06"):
            self.write(content)
            self.assertEqual(self.lock().read_pid(), dead)
            self.assert_stale()
        leave(self.file, dead)
        self.assertEqual(self.lock().read_pid(), dead)
        self.assert_stale()

    def test_nothing_that_is_a_pid(self) -> None:
        """What stands there is no pid, or none that a process has."""
        for content in ("", "\n", "garbage", "0", "-1", "1.5", "\0\0\0\0", "4294967297", "9" * 30, "٣", "\n1\n", "1 2"):
            self.write(content)
            self.assert_stale()

    def test_no_text(self) -> None:
        """What stands there is not even text."""
        with open(self.file, "wb") as file:
            file.write(b"\xff\xfe\x00\x80" * 4096)
        self.assertIsNone(self.lock().read_pid())
        self.assert_stale()

    def test_zombie(self) -> None:
        """A process that has ended owns nothing, though nobody has waited for it."""
        self.write(f"{self.zombie()}\n")
        self.assert_stale()

    def test_recycled(self) -> None:
        """A process that began after the file was written is not the one that wrote it."""
        self.write(f"{self.sleeper()}\n", age=3600)
        self.assert_stale()

    def test_live_number_of_a_locking_program(self) -> None:
        """A program that locks its file, and has not locked it, is dead; its number is somebody else's now."""
        leave(self.file, self.sleeper())
        self.assert_stale()

    def test_live_program_that_does_not_lock(self) -> None:
        """A file of a program that does not lock files is its own for as long as it lives."""
        program = subprocess.Popen(["sleep", "1000"], env=self.environ)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        content = f"{program.pid}\n"
        self.write(content)
        self.assert_locked_by(program.pid)
        self.assertEqual(self.content(), content)
        program.kill()
        program.wait()
        self.assert_stale()

    def test_own_number_in_an_old_file(self) -> None:
        """A file with our own number that is older than we are is not ours, as after a container was started again."""
        began = started_at(os.getpid())
        assert began is not None
        self.write(f"{os.getpid()}\n", age=time.time() - began + 3600)
        self.assertFalse(self.lock().is_locked())
        self.assert_stale()

    def test_own_number_of_a_locking_program(self) -> None:
        """A file with our own number that nobody has locked is not ours, if its owner would have locked it."""
        leave(self.file, os.getpid())
        self.assert_stale()

    def test_own_number_written_by_another(self) -> None:
        """A file that somebody has just written our number to answers for us, and is not ours to delete."""
        content = f"{os.getpid()}\n"
        self.write(content)
        lock = self.lock()
        lock.acquire()
        self.assertTrue(lock.outside_lock)
        self.assertFalse(lock.is_primary())
        self.assertTrue(lock.is_locked())
        self.assertEqual(lock.seal(), os.getpid())
        lock.release()
        self.assertFalse(lock.outside_lock)
        with lock:
            self.assertTrue(lock.outside_lock)
        lock.acquire()
        lock.break_lock()
        self.assertEqual(self.content(), content)

    def test_parents_number(self) -> None:
        """So does one with the number of who has started us, unless it is older than that."""
        program = "lock = PidLockFile(path('x.pid'))\nlock.acquire()\nprint(lock.outside_lock, lock.is_primary())"
        self.write(f"{os.getpid()}\n")
        self.assertEqual(self.run_program(program).stdout, "True False\n")
        began = started_at(os.getpid())
        assert began is not None
        self.write(f"{os.getpid()}\n", age=time.time() - began + 3600)
        self.assertEqual(self.run_program(program).stdout, "False True\n")

    def test_locked_by_parent(self) -> None:
        """What a lock's owner starts is covered by its lock, and does not let go of it."""
        program = "lock = PidLockFile(path('x.pid'))\nlock.seal()\nprint(lock.outside_lock)\nlock.release()"
        with self.lock():
            self.assertEqual(self.run_program(program).stdout, "True\n")
            self.assertEqual(self.lock().owner(), os.getpid())

    def test_waits_for_a_pid(self) -> None:
        """A file without a pid is stale only when it has not got one in time, which counts in the lock's unit."""
        self.write("")
        began = time.monotonic()
        self.assertTrue(self.lock().is_stale(0.2))
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        began = time.monotonic()
        self.assertTrue(self.lock(unit=60).is_stale(0.005))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)


class OthersTests(LockTestCase):
    """Locks that other processes have."""

    def test_locked(self) -> None:
        """The owner has it, as long as it does not let go."""
        holder = self.hold()
        self.assert_locked_by(holder.pid)
        self.assertEqual(self.lock().read_pid(), holder.pid)
        self.assertRaises(AlreadyLocked, self.lock().seal)
        self.assertRaises(NotMyLock, self.lock().release)
        self.tell(holder)
        self.hear(holder, "released")
        self.assertFalse(os.path.exists(self.file))
        self.assert_free()

    def test_refused_at_once(self) -> None:
        """Who does not want to wait does not."""
        self.hold()
        for timeout in (0, None, -1):
            began = time.monotonic()
            self.assertRaises(AlreadyLocked, self.lock(timeout=timeout).acquire)
            self.assertRaises(AlreadyLocked, self.lock(timeout=PATIENCE).acquire, 0)
            self.assertLess(time.monotonic() - began, PATIENCE / 2)

    def test_taken_while_it_is_looked_at(self) -> None:
        """Who has left the file does not take itself for its owner if another takes the lock just as it looks."""
        lock = self.lock()
        lock.seal()
        lock.forget()
        read = os.pread

        def read_and_empty(descriptor: int, size: int, offset: int) -> bytes:
            data = read(descriptor, size, offset)
            os.truncate(self.file, 0)  # As somebody does who has got it.
            return data

        self.patch(os, "pread", read_and_empty)
        self.assertFalse(self.lock().is_locked())

    def test_waits(self) -> None:
        """A timeout counts in seconds, or in the lock's unit, and one that is given to acquire goes first."""
        self.hold()
        for lock, arguments, least in (
            (self.lock(timeout=0.12), (), 0.12),
            (self.lock(timeout=0.002, unit=60), (), 0.12),
            (self.lock(), (0.12,), 0.12),
            (self.lock(unit=60), (0.002,), 0.12),
            (self.lock(timeout=1000), (0.12,), 0.12),
        ):
            began = time.monotonic()
            self.assertRaises(AlreadyLocked, lock.acquire, *arguments)
            self.assertGreaterEqual(time.monotonic() - began, least)
            self.assertLess(time.monotonic() - began, PATIENCE / 2)

    def wait_for_lock(self, let_go: Callable[[], object]) -> None:
        """A process that waits gets the lock when its owner lets go of it in some way."""
        waiter = self.begin(f"""
            lock = PidLockFile(path("x.pid"))
            print("waits", flush=True)
            lock.acquire({PATIENCE})
            lock.seal()
            print("has it", flush=True)
            stay()
        """)
        self.hear(waiter, "waits")
        let_go()
        self.hear(waiter, "has it")
        self.assert_locked_by(waiter.pid)

    def test_waits_until_released(self) -> None:
        """Who waits gets the lock when it is released."""
        holder = self.hold()
        self.wait_for_lock(lambda: self.tell(holder))

    def test_waits_until_killed(self) -> None:
        """Who waits gets the lock when its owner is killed."""
        self.wait_for_lock(self.hold().kill)

    def test_killed(self) -> None:
        """A lock whose owner was killed is free at once, though its file stays."""
        holder = self.hold()
        holder.kill()
        holder.wait()
        self.assertEqual(self.lock().read_pid(), holder.pid)
        self.assert_stale()

    def test_killed_again_and_again(self) -> None:
        """It is free as soon as the owner has ended, even if nobody has waited for that."""
        self.assertEqual(apart(take_from_killed, self.folder, 30), 30)

    def test_what_the_owner_started(self) -> None:
        """What the owner has started does not keep the lock when the owner is killed."""
        holder = self.hold("""
            lock = PidLockFile(path("x.pid"))
            lock.seal()
            sleeper = subprocess.Popen(["sleep", "1000"], close_fds=False)
            print("held", flush=True)
            stay()
        """)
        holder.kill()
        holder.wait()
        self.assert_stale()

    def test_what_the_owner_forked(self) -> None:
        """What the owner has forked keeps the lock after its death, and the message says so."""
        holder = self.hold("""
            lock = PidLockFile(path("x.pid"))
            lock.seal()
            if os.fork() == 0:
                print("held", flush=True)
                stay()
            stay()
        """)
        holder.kill()
        holder.wait()
        error = self.assertRaises(AlreadyLocked, self.lock().acquire)
        self.assertIn(f"by a process that {holder.pid} has left behind", str(error))

    def test_own_other_lock(self) -> None:
        """Another lock of the same process is another's: a thread does not get what another has."""
        with self.lock():
            other = self.lock()
            error = self.assertRaises(AlreadyLocked, other.acquire)
            self.assertIn(f"is locked by process {os.getpid()}", str(error))
            self.assertFalse(other.outside_lock)
        with other:
            self.assertTrue(other.is_primary())

    def test_silent(self) -> None:
        """An owner that has not written down its pid has the lock all the same."""
        self.hold(SILENT_HOLDER)
        lock = self.lock()
        self.assertEqual((lock.owner(), lock.is_active(), lock.is_stale(0), lock.read_pid()), (0, True, False, None))
        error = self.assertRaises(AlreadyLocked, lock.acquire)
        self.assertIn("has not said which it is", str(error))

    def test_looking_keeps_nobody_out(self) -> None:
        """Somebody who looks whether the lock is free is not in the way of somebody who takes it."""
        self.assertEqual(apart(take_while_looked_at, self.folder, 200), [])


class ForkTests(LockTestCase):
    """Locks and processes that go on twice."""

    def test_forgotten_by_the_launcher(self) -> None:
        """A launcher that forgets a lock leaves it to its child."""
        self.assertEqual(apart(leave_to_child, self.folder), {"others": "AlreadyLocked", "after": False})

    def test_end_of_the_launcher(self) -> None:
        """A launcher that ends without a word leaves the lock to its child, too."""
        holder = self.hold("""
            lock = PidLockFile(path("x.pid"))
            lock.acquire()
            if os.fork():
                os._exit(0)
            lock.seal()
            print("held", flush=True)
            stay()
        """)
        holder.wait()
        pid = self.lock().read_pid()
        assert pid is not None
        self.assertNotEqual(pid, holder.pid)
        self.assert_locked_by(pid)

    def test_child_leaves_the_block(self) -> None:
        """A child that was forked within the block, and leaves it, leaves the lock to the owner."""
        self.assertEqual(apart(child_leaves_block, self.folder), {"file": True, "ours": True})


class RaceTests(LockTestCase):
    """Many who start at once: exactly one of them gets the lock."""

    def race(self, before: list[str], lookers: int = 0) -> None:
        self.assert_one_winner_each(apart(race, self.folder, STARTERS, ROUNDS, before, lookers), ROUNDS)

    def assert_one_winner_each(self, rounds: list[dict[str, Any]], count: int) -> None:
        """In every round one has won, the others were told so, and the winner stands in the file."""
        self.assertEqual(len(rounds), count)
        expected = {"won": 1, "lost": STARTERS - 1, "failed": 0, "owner": True}
        self.assertEqual([each for each in rounds if each != expected], [])

    def test_nothing_there(self) -> None:
        """At a path where nothing is, or from where the owner before has just gone."""
        self.race(["nothing"])

    def test_stale_file(self) -> None:
        """At a path where a stale file lies, of any kind."""
        self.race(["dead", "dead owner", "garbage", "empty", "recycled owner", "recycled", "left"])

    def test_looked_at(self) -> None:
        """While others look all the time whether the lock is free, or stale, or whose it is."""
        self.race(["nothing", "dead owner", "empty", "recycled owner", "left"], lookers=3)


# What runs in processes of its own.


@contextlib.contextmanager
def forked(run: Callable[[], object]) -> Iterator[int]:
    """A child that runs something; it is killed in the end, if it has not ended."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def leave(path: str, pid: int) -> None:
    """Have a file lie at a path as the owner of a lock leaves it behind that dies; with some pid."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    lock = PidLockFile(path)
    lock.seal(pid)
    lock.forget()


def outcome_of(call: Callable[[], object]) -> str:
    """The kind of what a call fails with."""
    try:
        call()
    except LockError as error:
        return type(error).__name__
    return "nothing"


def lock_in_drop_box(folder: str) -> list[str]:
    """Take a lock in a folder that may be written to and not read."""
    os.mkdir(os.path.join(folder, "box"))
    os.chmod(folder, 0o755)
    os.chmod(os.path.join(folder, "box"), 0o333)
    if os.geteuid() == 0:
        become(NOBODY_KNOWN, NOBODY_KNOWN, init_groups=True)
    path = os.path.join(folder, "box", "x.pid")
    lock = PidLockFile(path)
    lock.seal()
    found = ["made" if os.path.exists(path) else "not made"]
    lock.release()
    return [*found, "still there" if os.path.exists(path) else "gone"]


def release_without_rights(folder: str) -> str:
    """Take a lock, lose the right to write to its folder, and release it."""
    lock = PidLockFile(os.path.join(folder, "x.pid"))
    lock.seal()
    os.chmod(folder, 0o555)
    if os.geteuid() == 0:
        become(NOBODY_KNOWN, NOBODY_KNOWN, init_groups=True)
    lock.release()
    return "not ours" if not lock.is_primary() and not lock.descriptors else "ours"


def take_from_killed(folder: str, count: int) -> int:
    """Kill the owner of a lock, and take it; how often that went well."""
    path = os.path.join(folder, "x.pid")
    reading, writing = os.pipe()

    def hold() -> None:
        PidLockFile(path).seal()
        os.write(writing, b".")
        signal.pause()

    for _ in range(count):
        with forked(hold) as pid:
            os.read(reading, 1)
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            lock = PidLockFile(path)
            lock.seal()
            lock.forget()
    return count


def take_while_looked_at(folder: str, count: int) -> list[str]:
    """Take a lock again and again from a dead owner whose number lives, while somebody looks; how that failed."""
    path = os.path.join(folder, "x.pid")
    failures = []
    with forked(lambda: look_until(path, os.getppid())), forked(signal.pause) as innocent:
        for _ in range(count):
            leave(path, innocent)
            lock = PidLockFile(path)
            try:
                lock.acquire()
            except LockError as error:
                failures.append(f"{type(error).__name__}: {error}")
            lock.forget()
    return failures


def look_until(path: str, parent: int) -> None:
    """Look how a lock is, in all ways, until the parent has gone."""
    while os.getppid() == parent:
        lock = PidLockFile(path)
        lock.is_active()
        lock.is_stale(0)
        lock.owner()
        status(path)


def leave_to_child(folder: str) -> dict[str, Any]:
    """Acquire a lock, and let a child seal it; what another then gets, and whether the file is there in the end."""
    path = os.path.join(folder, "x.pid")
    (told, tell), (heard, say) = os.pipe(), os.pipe()
    lock = PidLockFile(path)
    lock.acquire()

    def live() -> None:
        lock.seal()
        os.write(say, b".")
        os.read(told, 1)
        lock.release()

    with forked(live) as pid:
        os.read(heard, 1)
        lock.forget()
        others = outcome_of(PidLockFile(path).acquire)
        os.write(tell, b".")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return {"others": others, "after": os.path.exists(path)}


def child_leaves_block(folder: str) -> dict[str, bool]:
    """Fork a child in the block of a lock, which leaves the block by ending; what is left of the lock then."""
    path = os.path.join(folder, "x.pid")

    def leave() -> None:
        lock.__exit__(None, None, None)

    with PidLockFile(path) as lock:
        with forked(leave) as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return {"file": os.path.exists(path), "ours": PidLockFile(path).owner() == os.getpid()}


def race(folder: str, starters: int, rounds: int, before: list[str], lookers: int) -> list[dict[str, Any]]:
    """
    Let many processes take one lock at once, again and again.

    @param before: what lies at the path; one after the other, round by round. C{left} is what the winner before left.
    @param lookers: how many processes only look.
    @return: of each round, how many won, lost and failed, and whether the file says that one of them has it.
    """
    path = os.path.join(folder, "x.pid")
    (go, start), (end, finish), (heard, say) = os.pipe(), os.pipe(), os.pipe()

    def starter() -> None:
        for inherited in (start, finish, heard):
            os.close(inherited)
        compete(path, go, end, say)

    def hear() -> list[str]:
        data = b""
        while data.count(b".") < starters:
            data += os.read(heard, 65536)
        return data.decode().split(".")[:-1]

    found = []
    with contextlib.ExitStack() as children:
        innocent = children.enter_context(forked(signal.pause))
        with forked(lambda: None) as dead:
            pass
        for _ in range(lookers):
            children.enter_context(forked(lambda: look_until(path, os.getppid())))
        pids = [children.enter_context(forked(starter)) for _ in range(starters)]
        kinds = list(itertools.islice(itertools.cycle(before), rounds + 1))
        for kind, following in itertools.pairwise(kinds):
            lay(path, kind, dead, innocent)
            os.write(start, b"." * starters)
            outcomes = hear()
            counts = {each: outcomes.count(each) for each in ("won", "lost", "failed")}
            found.append({**counts, "owner": PidLockFile(path).owner() in pids})
            os.write(finish, (b"l" if following == "left" else b"r") * starters)
            hear()
    return found


def compete(path: str, go: int, end: int, say: int) -> None:
    """Try to get a lock whenever a byte can be read, and let go of it, one way or the other, behind the next one."""
    while os.read(go, 1):
        lock = PidLockFile(path)
        outcome = b"failed."
        try:
            lock.acquire()
            lock.seal()
            outcome = b"won."
        except AlreadyLocked:
            outcome = b"lost."
        except Exception:  # noqa: BLE001 - shown, and counted
            traceback.print_exc()
        os.write(say, outcome)
        leave = os.read(end, 1) == b"l"
        if lock.is_primary():
            if leave:
                lock.forget()
            else:
                lock.release()
        os.write(say, b"ready.")


def lay(path: str, kind: str, dead: int, innocent: int) -> None:
    """Put a stale file at a path."""
    contents = {
        "dead": f"{dead}\n",
        "garbage": "garbage",
        "empty": "",
        "recycled": f"{innocent}\n",
    }
    if kind in contents:
        with open(path, "w", encoding="ascii") as file:
            file.write(contents[kind])
        if kind == "recycled":
            os.utime(path, (1e9, 1e9))
    elif kind in ("dead owner", "recycled owner"):
        leave(path, dead if kind == "dead owner" else innocent)
