"""Leaving a kernel without what it needs, for a moment: with limits of its own, which any user may lower and lift."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["KINDS", "hungry"]

#: Of the output and the state, which lie in memory files, so much or less has room, in bytes.
_LARGEST_FILE: Final = 1 << 20


def _open_now(pid: int, chance: random.Random) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _mapped_now(pid: int, chance: random.Random) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as figures:
        return int(figures.read().split()[0]) * resource.getpagesize()


def _any_size(pid: int, chance: random.Random) -> int:
    return chance.randrange(_LARGEST_FILE)


_LIMITS: Final[Mapping[str, tuple[int, Callable[[int, random.Random], int]]]] = {
    "descriptors": (resource.RLIMIT_NOFILE, _open_now),
    "memory": (resource.RLIMIT_AS, _mapped_now),
    "room for files": (resource.RLIMIT_FSIZE, _any_size),
}

#: What there can be too little of.
KINDS: Final = tuple(_LIMITS)


@contextmanager
def hungry(pid: int, kind: str, chance: random.Random) -> Iterator[None]:
    """
    Meanwhile a process gets no more of something than it has.

    @param kind: of L{KINDS}.
    @raise ProcessLookupError: if it has ended before.
    """
    limit, amount = _LIMITS[kind]
    try:
        most = amount(pid, chance)
    except FileNotFoundError:
        raise ProcessLookupError from None
    before = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (most, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, limit, before)
