"""
A file with a process's id, that only one process at a time can have.

The file is locked (L{papa.daemon.locking}) for as long as its owner lives, so the system itself lets go of it when the
owner dies, however it dies; what stands in it is for people, and for programs that only look. The lock counts for the
file that is at the path: whoever gets it looks whether that is still the same one, and only who has it deletes it. So
of any number of starters one wins.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final

from papa.daemon.descriptors import open_above
from papa.daemon.errors import AlreadyLocked, DaemonError, LockError, LockFailed, LockNotReentrant, NotMyLock
from papa.daemon.identity import group_id
from papa.daemon.locking import is_locked, lock
from papa.daemon.processes import is_alive, started_at

__all__ = ["PidLockFile"]

_log = logging.getLogger("papa.daemon.PidLockFile")

#: How often a lock that is waited for is tried, in seconds.
_POLL: Final = 0.05
#: How long an owner may take to write its pid, in seconds.
_GRACE: Final = 1.0
#: How far the times of a file and of a process may differ, in seconds, though one has written the other.
_SLACK: Final = 2.0
#: What tells a file whose owner locks it: where it is not locked, the owner is dead.
_LOCKED: Final = "locked"
#: How a folder is opened that need not be read; some systems have only reading for that.
_LOOK: Final[int] = getattr(os, "O_PATH", os.O_RDONLY)
#: How much of a file is read.
_LONGEST: Final = 4096


class PidLockFile:
    """
    A lock.

    @ivar file_name: the absolute path.
    @ivar timeout: how long L{acquire} waits, in units of C{unit} seconds.
    @ivar my_pid: the pid that this lock was sealed with; L{None} while it is not ours.
    @ivar last_read_pid: what L{read_pid} found last.
    """

    def __init__(
        self,
        file_name: str | os.PathLike[str],
        timeout: float | None = 0,
        reentrant: bool = False,
        *,
        unit: float = 1.0,
        mode: int = 0o644,
        group: int | str | None = None,
    ) -> None:
        """
        @param timeout: how long to wait for the lock; 0 and L{None} fail at once.
        @param reentrant: whether C{with} may be nested.
        @param unit: how many seconds a timeout counts in; 60 for programs that mean minutes.
        @param mode: of the file, whatever the umask; C{group}: its group, where the file is made.
        @raise LockError: if the path is not absolute.
        """
        path = os.fspath(file_name)
        if not isinstance(path, str) or not os.path.isabs(path):
            raise LockError(f"The path of a lock must be absolute, not {path!r}")
        self.file_name = path
        self.timeout = timeout or 0
        self.reentrant = reentrant
        self.unit = unit
        self.mode = mode
        self.group = group
        self.my_pid: int | None = None
        self.my_timestamp: str | None = None
        self.last_read_pid: int | None = None
        self.last_read_timestamp: str | None = None
        self.outside_lock = False
        self._descriptor: int | None = None
        self._folder: int | None = None
        self._taker = 0
        self._out_of_reach = False
        self._lock_count = 0

    def __repr__(self) -> str:
        return f"PidLockFile({self.file_name!r})"

    @property
    def descriptors(self) -> set[int]:
        """What has to stay open while the lock is held."""
        return {each for each in (self._descriptor, self._folder) if each is not None}

    def acquire(self, timeout: float | None = None) -> None:
        """
        Get the lock, and leave the file empty until L{seal}.

        @param timeout: how long to wait; by default as the lock was made with.
        @raise AlreadyLocked: if somebody else has it, still.
        @raise LockNotReentrant: if we have it, sealed.
        @raise LockFailed: if the file cannot be made.
        """
        if self.my_pid is not None:
            if self.reentrant:
                raise LockError(f"{self.file_name} is sealed already: take it again with the context manager protocol")
            raise LockNotReentrant(f"{self.file_name} is locked by this process already")
        if self._descriptor is not None:
            raise LockError(f"{self.file_name} is acquired already, and not sealed")
        if self._is_outside():
            # Whoever has started us has written our pid, or its own: it answers for the lock.
            self.outside_lock = True
            return
        wait = (self.timeout if timeout is None else timeout or 0) * self.unit
        deadline = time.monotonic() + max(0.0, wait)
        grace = time.monotonic() + _GRACE
        while (holder := self._try()) is not None:
            now = time.monotonic()
            # Who has not written its pid may be about to.
            if now >= deadline and (is_alive(holder) or now >= grace):
                raise AlreadyLocked(self._held_by(holder))
            time.sleep(_POLL)

    def _held_by(self, holder: int) -> str:
        if not holder:
            return f"{self.file_name} is locked by a process that has not said which it is"
        if is_alive(holder):
            return f"{self.file_name} is locked by process {holder}"
        return f"{self.file_name} is locked, by a process that {holder} has left behind"

    def _try(self) -> int | None:
        """Get the lock if it is free; else the pid of who has it, 0 where that is not written yet."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            descriptor = open_above(self.file_name, flags, 0o600)
        except OSError as error:
            raise LockFailed(f"Cannot make {self.file_name}: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LockFailed(f"{self.file_name} is no file that could be locked")
            holder = self._lock(descriptor)
            if holder is None:
                self._prepare(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if holder is None:
            self._descriptor = descriptor
            self._taker = os.getpid()
        else:
            os.close(descriptor)
        return holder

    def _lock(self, descriptor: int) -> int | None:
        try:
            if not lock(descriptor):
                return _owner(descriptor)
        except OSError as error:
            raise LockFailed(f"Cannot lock {self.file_name}: {error.strerror}") from error
        if not self._is_at_path(descriptor):
            return 0  # Its owner has deleted it since we opened it.
        if os.fstat(descriptor).st_nlink > 1:
            raise LockFailed(f"{self.file_name} has another name, too, and is no pid file: move it away")
        # Not every program that writes such a file locks it.
        return _live_writer(descriptor)

    def _prepare(self, descriptor: int) -> None:
        """Empty the file, and have it be whose it should be."""
        os.ftruncate(descriptor, 0)
        try:
            os.fchmod(descriptor, self.mode)
            if self.group is not None:
                os.fchown(descriptor, -1, group_id(self.group))
        except (OSError, DaemonError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise LockFailed(f"Cannot give {self.file_name} its mode and group: {reason}") from error
        # By this folder the file is found in the end, too, though the root of all paths may be another by then.
        self._folder = open_above(os.path.dirname(self.file_name), _LOOK | os.O_DIRECTORY)

    def let_go_of_folder(self) -> None:
        """Keep the lock without its folder, which is no place for a process to reach; the file will not be deleted."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
            self._out_of_reach = True

    def _is_at_path(self, descriptor: int) -> bool:
        if self._out_of_reach:
            return True
        own = os.fstat(descriptor)
        try:
            if self._folder is None:
                there = os.lstat(self.file_name)
            else:
                there = os.stat(os.path.basename(self.file_name), dir_fd=self._folder, follow_symlinks=False)
        except PermissionError:
            return True  # Who has given up its rights cannot look.
        except OSError:
            return False
        return os.path.samestat(own, there)

    def seal(self, pid: int | None = None) -> int:
        """
        Write down whose the lock is; get it first, if that was not done.

        @param pid: this process by default.
        @return: the pid.
        @raise LockNotReentrant: if it is sealed already.
        """
        if self.my_pid is not None:
            if self.reentrant:
                raise LockError(f"{self.file_name} is sealed already: take it again with the context manager protocol")
            raise LockNotReentrant(f"{self.file_name} is sealed already")
        if self._descriptor is None and not self.outside_lock:
            self.acquire()
        pid = os.getpid() if pid is None else pid
        if self._descriptor is not None:
            if not self._is_at_path(self._descriptor):
                raise LockError(f"{self.file_name} was replaced by somebody who did not have the lock")
            self.my_timestamp = time.strftime("%Y-%m-%d.%H:%M:%S")
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{pid}\n{self.my_timestamp}\n{_LOCKED}\n".encode(), 0)
        self.my_pid = pid
        self._taker = os.getpid()
        self._lock_count = 1
        return pid

    def release(self) -> None:
        """
        Let go of the lock, and delete its file; but a copy of its owner that was forked leaves both to the owner.

        @raise NotMyLock: if we do not have it.
        @raise LockError: if it was taken more than once, with the context manager protocol.
        """
        if self._descriptor is None and not self.outside_lock:
            raise NotMyLock(f"{self.file_name} is not locked by this process")
        if self._lock_count > 1:
            raise LockError(f"{self.file_name} was taken {self._lock_count} times: leave the context managers first")
        if self._descriptor is not None and self._taker == os.getpid():
            self._delete(self._descriptor)
        self.forget()

    def _delete(self, descriptor: int) -> None:
        if not self._is_at_path(descriptor):
            _log.warning("%s is not ours any more, and stays", self.file_name)
            return
        try:
            if self._out_of_reach:
                raise PermissionError(errno.EACCES, "it is out of reach")
            os.unlink(os.path.basename(self.file_name), dir_fd=self._folder)
        except OSError as error:
            # Who has given up its rights may not delete it; an empty file that is not locked is nobody's.
            _log.info("cannot delete %s: %s", self.file_name, error.strerror)
            with suppress(OSError):
                os.ftruncate(descriptor, 0)

    def take_over(self) -> None:
        """Be the owner, in place of the process that this one was forked from."""
        self._taker = os.getpid()

    def forget(self) -> None:
        """Have nothing to do with the lock any more; who got it from us by fork(2) keeps it."""
        for descriptor in self.descriptors:
            with suppress(OSError):
                os.close(descriptor)
        self._descriptor = self._folder = self.my_pid = self.my_timestamp = None
        self.outside_lock = self._out_of_reach = False
        self._lock_count = 0

    def break_lock(self) -> None:
        """Delete the file, whoever owns it. Its owner does not notice; who starts next takes a new lock."""
        outside = self.outside_lock
        self.forget()
        if not outside:
            try:
                os.unlink(self.file_name)
            except OSError as error:
                _log.info("cannot delete %s: %s", self.file_name, error.strerror)

    def read_pid(self) -> int | None:
        """What stands in the file; L{None} if there is no pid in it, or no file."""
        self.last_read_pid = self.last_read_timestamp = None
        with suppress(OSError), _opened(self.file_name) as descriptor:
            self.last_read_pid, self.last_read_timestamp = _read(descriptor)
        return self.last_read_pid

    def owner(self) -> int | None:
        """
        The pid of who has the lock; 0 where it has not said, or that is another by now; L{None} if it is free.

        @raise LockFailed: if that cannot be seen.
        """
        try:
            with _opened(self.file_name) as descriptor:
                if is_locked(descriptor):
                    return _owner(descriptor)
                return _live_writer(descriptor)
        except PermissionError as error:
            raise LockFailed(f"Cannot look at {self.file_name}: {error.strerror}") from error
        except OSError:
            return None

    def is_active(self) -> bool:
        """Whether somebody has the lock."""
        return self.owner() is not None

    def is_stale(self, timeout: float | None = 1) -> bool:
        """
        Whether there is a file, and nobody has the lock.

        @param timeout: how long a file without a pid may still get one, in units of C{unit} seconds.
        """
        if self.is_primary() or not os.path.lexists(self.file_name):
            return False
        deadline = time.monotonic() + (timeout or 0) * self.unit
        while not self.is_active():
            if self.read_pid() is not None or time.monotonic() >= deadline:
                return os.path.lexists(self.file_name)
            time.sleep(_POLL)
        return False

    def is_locked(self) -> bool:
        """Whether the lock is ours, or of who has started us."""
        return self.is_primary() or self._is_outside()

    def _is_outside(self) -> bool:
        """Whether our parent has the lock, or a program that does not lock such files has written our pid."""
        with suppress(OSError), _opened(self.file_name) as descriptor:
            if is_locked(descriptor):
                return _read(descriptor)[0] == os.getppid()
            return _live_writer(descriptor) in (os.getpid(), os.getppid())
        return False

    def is_primary(self) -> bool:
        """Whether we have the lock ourselves."""
        return self._descriptor is not None

    def __enter__(self) -> PidLockFile:
        if self._lock_count and not self.reentrant:
            raise LockNotReentrant(f"{self.file_name} is sealed already, and not reentrant")
        if self._lock_count:
            self._lock_count += 1
        else:
            self.seal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock_count > 1:
            self._lock_count -= 1
        else:
            self.release()


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> tuple[int | None, str | None]:
    """The pid and the time in a file; L{None} for what is not there."""
    return _said_in(os.pread(descriptor, _LONGEST, 0))


def _said_in(data: bytes) -> tuple[int | None, str | None]:
    lines = data.decode(errors="replace").splitlines()
    if not lines or not re.fullmatch("[1-9][0-9]{0,9}", lines[0].strip()):
        return None, None
    return int(lines[0]), lines[1] if len(lines) > 1 else None


def _owner(descriptor: int) -> int:
    """Whose a file is that is locked; 0 where that is not written yet, or the number is another's by now."""
    pid, _ = _read(descriptor)
    # The clock may have been moved since it was written.
    return 0 if pid is None or (_began_later(pid, descriptor) and not _has_open(pid, descriptor)) else pid


def _began_later(pid: int, descriptor: int) -> bool:
    """Whether a process began after a file was written: then it has only got the number of the one that wrote it."""
    began = started_at(pid)
    return began is not None and began > os.fstat(descriptor).st_mtime + _SLACK


def _has_open(pid: int, descriptor: int) -> bool:
    """Whether a process has a file open, or it is not for us to see."""
    file = os.fstat(descriptor)
    try:
        opened = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return True
    for name in opened:
        with suppress(OSError):
            if os.path.samestat(file, os.stat(f"/proc/{pid}/fd/{name}")):
                return True
    return False


def _live_writer(descriptor: int) -> int | None:
    """Who has written a file that is not locked, if that lives and does not lock its files."""
    # Read once: between two reads somebody may take the lock, and empty the file.
    data = os.pread(descriptor, _LONGEST, 0)
    pid, _ = _said_in(data)
    if pid is None or not is_alive(pid) or _LOCKED.encode() in data:
        return None
    return None if _began_later(pid, descriptor) else pid
