"""A file that a daemon's standard output and error go to, and that may be renamed under it."""

from __future__ import annotations

import logging
import os

from papa.daemon.descriptors import duplicate_above, flush_streams, redirect
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
        if not os.path.isabs(self.path):
            raise DaemonError(f"The path of a log must be absolute, not {self.path!r}")

    def open(self, uid: int | None = None, gid: int | None = None) -> int:
        """
        Open it, at its end.

        @param uid: whose it shall be, and C{gid}, if it is made now.
        @return: a descriptor, not inheritable.
        @raise DaemonError: if it cannot be opened.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
        try:
            try:
                descriptor = os.open(self.path, flags | os.O_EXCL, self._mode)
            except FileExistsError:
                descriptor = os.open(self.path, flags, self._mode)
            else:
                if uid is not None or gid is not None:
                    os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
            try:
                return duplicate_above(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DaemonError(f"Cannot open the log {self.path}: {error.strerror}") from error

    def reopen(self) -> None:
        """Go on in the file that is at the path now; if there is none to be had, in the one before."""
        try:
            descriptor = self.open()
        except DaemonError as error:
            _log.warning("going on in the former log: %s", error)
            return
        flush_streams()
        for number in (1, 2):
            redirect(number, descriptor)
        os.close(descriptor)
