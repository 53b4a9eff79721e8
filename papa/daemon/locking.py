"""
A lock that an open file has, and that the system lets go of when the last process has closed it.

That is a lock of the open file description (fcntl(2), F_OFD_SETLK). It is kept over fork(2), and it can be looked at
without being taken for a moment, which would keep others out: with flock(2) that has kept out all of fifty starters.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

__all__ = ["is_locked", "lock"]

#: C{struct flock}: type, whence, start, length, pid.
_LAYOUT: Final = struct.Struct("@hhqqi4x")
_TAKE: Final = getattr(fcntl, "F_OFD_SETLK", None)
_LOOK: Final = getattr(fcntl, "F_OFD_GETLK", None)


def lock(descriptor: int) -> bool:
    """
    Lock a file that is open for writing; whether it was free.

    @raise OSError: if it cannot be locked.
    """
    try:
        if _TAKE is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.fcntl(descriptor, _TAKE, _LAYOUT.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_locked(descriptor: int) -> bool:
    """Whether a file is locked that was opened anew, to look; not to be asked of what has the lock itself."""
    if _LOOK is None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    found = fcntl.fcntl(descriptor, _LOOK, _LAYOUT.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_LAYOUT.unpack(found)[0] != fcntl.F_UNLCK)
