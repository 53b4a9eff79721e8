"""
Taking and giving back the path of a Unix socket without ever deleting what is not ours, or not dead.

A path is claimed with a lock on a file beside it, C{PATH.lock}, held as long as the socket; the system lets go of it
when papa dies, however it dies. Under the lock, and only there, a dead socket of our own is deleted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
import sys
import tempfile
from typing import Final

from papa.errors import SocketFailed

__all__ = ["SocketPath"]

#: More than is ever written to a lock file, in bytes.
_LONGEST: Final = 64
#: What is: the device and inode of a socket, or nothing yet.
_NOTED: Final = re.compile(rb"(?:[0-9]+ [0-9]+\n)?")


class SocketPath:
    """
    A claimed path.

    @ivar lock: the descriptor of the locked file: whoever has a duplicate has claimed the path, too.
    """

    def __init__(self, path: str) -> None:
        """
        Claim the path and clear a dead socket away.

        @raise SocketFailed: if anything but a dead socket of ours is there, or somebody else has claimed it.
        """
        self.path = path
        self._identity: tuple[int, int] | None = None
        self.lock = _lock(path + ".lock")
        try:
            self._clear()
        except OSError as error:
            self._unlock()
            raise SocketFailed(f"Cannot take {path} over: {error.strerror}") from error
        except BaseException:
            self._unlock()
            raise

    @classmethod
    def adopted(cls, path: str, lock: int) -> SocketPath:
        """
        A path that was claimed before, and whose socket is bound.

        @param lock: of the claim.
        """
        claimed = cls.__new__(cls)
        claimed.path, claimed.lock, claimed._identity = path, lock, None
        with contextlib.suppress(ValueError):
            device, inode = os.pread(lock, _LONGEST, 0).split()
            claimed._identity = (int(device), int(inode))
        return claimed

    def _clear(self) -> None:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise SocketFailed(f"{self.path} exists and is not a socket: papa deletes no files; move it away first")
        if found.st_uid != os.geteuid():
            raise SocketFailed(f"{self.path} is a socket of another user (uid {found.st_uid})")
        if not _dead(self.path):
            raise SocketFailed(f"{self.path} is a live socket: something is serving there")
        os.unlink(self.path)

    def bind(self, sock: socket.socket, mode: int | None) -> None:
        """
        Bind a socket here.

        @param mode: the file's mode; L{None} leaves it to the process's mask. The file never has a wider one, not
            even for a moment.
        @raise OSError: if the system refuses.
        """
        if mode is not None and sys.platform != "linux":
            self._bind_unseen(sock, mode)
        else:
            if mode is not None:
                os.fchmod(sock.fileno(), mode)
            sock.bind(self.path)
        found = os.lstat(self.path)
        self._identity = (found.st_dev, found.st_ino)
        # For whoever goes on with it: what will lie here then need not be ours.
        with contextlib.suppress(OSError):
            os.ftruncate(self.lock, 0)
            os.pwrite(self.lock, b"%d %d\n" % self._identity, 0)
        if mode is not None and stat.S_IMODE(found.st_mode) != mode:
            self._widen(mode)

    def _bind_unseen(self, sock: socket.socket, mode: int) -> None:
        """Bind in a folder that nobody else can enter, for only on Linux a file begins with the mode of its socket."""
        folder = tempfile.mkdtemp(prefix=".", dir=os.path.dirname(self.path))
        hidden = os.path.join(folder, "s")
        try:
            sock.bind(hidden)
            os.chmod(hidden, mode)
            if os.path.lexists(self.path):
                raise FileExistsError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            os.rename(hidden, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)
            os.rmdir(folder)

    def _widen(self, mode: int) -> None:
        """Set the mode of the very file that was bound, which the process's mask had narrowed."""
        handle = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if (found.st_dev, found.st_ino) == self._identity:
                os.chmod(f"/proc/self/fd/{handle}", mode)
        finally:
            os.close(handle)

    def release(self) -> None:
        """Give the path back; delete the socket there if it is still the one that was bound."""
        if self._identity is not None:
            try:
                found = os.lstat(self.path)
                if (found.st_dev, found.st_ino) == self._identity:
                    os.unlink(self.path)
            except OSError:
                pass  # Gone already, or the folder is: nothing of ours is left there.
        self._unlock()

    def _unlock(self) -> None:
        with contextlib.suppress(OSError):  # As above.
            if _is_at(self.path + ".lock", os.fstat(self.lock)):
                os.unlink(self.path + ".lock")
        os.close(self.lock)


def _lock(path: str) -> int:
    """Lock a file that papa itself made, and give its descriptor."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise SocketFailed(f"Cannot create {path}: {error.strerror}") from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise SocketFailed(f"{path} is not a lock file of ours")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if found.st_nlink > 1 or not _NOTED.fullmatch(os.pread(handle, _LONGEST, 0)):
                raise SocketFailed(f"{path} is not a lock file of ours: move it away first")
            # Whoever had the lock may have deleted the file between our open and our lock.
            if _is_at(path, found):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise SocketFailed(f"{path.removesuffix('.lock')} is held by another running process") from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(path: str, found: os.stat_result) -> bool:
    """Whether that very file is there."""
    try:
        return os.path.samestat(os.lstat(path), found)
    except FileNotFoundError:
        return False


def _dead(path: str) -> bool:
    """Whether nothing serves there: only a refused connection says so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False
