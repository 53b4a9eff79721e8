"""Under which number a descriptor lies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["moved", "reserved"]


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


@contextmanager
def reserved(count: int) -> Iterator[None]:
    """
    Have so many numbers kept for later.

    @raise OSError: if there are fewer.
    """
    kept = [os.open(os.devnull, os.O_RDONLY)]
    try:
        for _ in range(count - 1):
            kept.append(os.dup(kept[0]))
        yield
    finally:
        for descriptor in kept:
            os.close(descriptor)
