"""How a process ended that somebody else reaps: what its pidfd and the system tell of it."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from typing import Final

from papa.records import UNKNOWN_EXIT

__all__ = ["exit_code", "handle_of", "is_handle"]

#: From linux/pidfd.h: what to ask for, since Linux 6.15, and where the answer begins and ends.
_GET_INFO: Final = 0xC040FF0B
_EXIT: Final = 1 << 3
_INFO: Final = struct.Struct("<Q52xi")


def handle_of(pid: int) -> list[int]:
    """A pidfd of a process; none where the system has no such thing, or none left, or the process has gone."""
    try:
        return [os.pidfd_open(pid)]
    except (AttributeError, OSError):
        return []


def is_handle(descriptor: int) -> bool:
    """Whether a descriptor is a pidfd."""
    try:
        signal.pidfd_send_signal(descriptor, 0)
    except (ProcessLookupError, PermissionError):
        return True
    except OSError:
        return False
    return True


def exit_code(pid: int, handle: int) -> int:
    """
    How a process ended, whoever is its parent.

    @param handle: a pidfd of it, which is readable: it has ended.
    @return: as L{subprocess} has it; L{UNKNOWN_EXIT} if its parent was quicker, and the system does not tell.
    """
    status = _of_zombie(pid, handle)
    if status is None:
        status = _of_reaped(handle)
    return UNKNOWN_EXIT if status is None else os.waitstatus_to_exitcode(status)


def _of_zombie(pid: int, handle: int) -> int | None:
    """The wait status of one that was not reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            state, *fields = stat.read().rpartition(")")[2].split()
        if not _may_look_at(pid):
            return None  # Whoever may not is shown a 0, as of a process that has ended with 0.
        # It is still there, so what was read was its own, and not of another that has its number by now.
        signal.pidfd_send_signal(handle, 0)
    except OSError:
        return None
    return int(fields[-1]) if state == "Z" else None


def _may_look_at(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/cwd")
    except PermissionError:
        return False
    except FileNotFoundError:
        return True  # As of any that has ended.
    return True


def _of_reaped(handle: int) -> int | None:
    asked = bytearray(_INFO.pack(_EXIT, 0))
    try:
        fcntl.ioctl(handle, _GET_INFO, asked)
    except OSError:
        return None
    told, status = _INFO.unpack(asked)
    return status if told & _EXIT else None
