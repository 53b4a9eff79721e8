"""A file that a daemon's standard output and error go to, and that may be renamed under it."""

from __future__ import annotations

import logging
import os

from papa.daemon.descriptors import flush_streams, open_above, redirect
from papa.daemon.errors import DaemonError

__all__ = ["LogFile"]

_log = logging.getLogger("papa.daemon.LogFile")


class LogFile:
    """
    A log.

    @ivar path: where it is; absolute.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int = 0o640) -> None:
        """
        @raise DaemonError: if the path is not absolute.
        """
        self.path = os.fspath(path)
        self._mode = mode
        self._identity: tuple[int, int] | None = None
        if not os.path.isabs(self.path):
            raise DaemonError(f"The path of a log must be absolute, not {self.path!r}")

    def open(self, uid: int | None = None, gid: int | None = None) -> int:
        """
        Open it, at its end.

        @param uid: whose it shall be, and C{gid}, if it is made now.
        @return: a descriptor, not inheritable.
        @raise DaemonError: if it cannot be opened.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NOCTTY
        try:
            try:
                descriptor = open_above(self.path, flags | os.O_EXCL, self._mode)
            except FileExistsError:
                descriptor = open_above(self.path, flags, self._mode)
            else:
                # Whatever the umask is by then: who may read one log may read the next.
                os.fchmod(descriptor, self._mode)
                if uid is not None or gid is not None:
                    os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
            self._identity = _identity(descriptor)
        except OSError as error:
            raise DaemonError(f"Cannot open the log {self.path}: {error.strerror}") from error
        return descriptor

    def reopen(self) -> None:
        """
        Go on in the file that is at the path now; if there is none to be had, in the one before.

        Of standard output and error, what goes elsewhere stays there.
        """
        before = self._identity
        try:
            descriptor = self.open()
        except DaemonError as error:
            _log.warning("going on in the former log: %s", error)
            return
        flush_streams()
        for number in (1, 2):
            if before is None or _identity(number) == before:
                redirect(number, descriptor)
        os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
