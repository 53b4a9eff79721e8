"""Under which number a descriptor lies."""

from __future__ import annotations

import fcntl
import os

__all__ = ["moved"]


def moved(descriptor: int, number: int | None) -> int:
    """
    The same under another number, or the next one that is free: children may have been told of it.

    @return: what takes the place of the descriptor, which stays as it is where there is none.
    """
    if number is None or number == descriptor:
        return descriptor
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, number)
    except OSError:
        return descriptor
    os.close(descriptor)
    return moved
