"""What the machine has for papa."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

__all__ = ["memory", "output_bound"]

#: How much there is where nobody tells, in bytes.
_UNKNOWN: Final = 2 << 30


def memory() -> int:
    """How much memory papa may use, in bytes: the machine's, or less if a limit says so."""
    return min(_limits(), default=_UNKNOWN)


def output_bound() -> int:
    """How much output papa may keep of all processes together, in bytes: the rest is for all else, and for others."""
    return memory() // 2


def _limits() -> Iterator[int]:
    with suppress(ValueError, OSError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = resource.getrlimit(resource.RLIMIT_AS)[0]
    if own != resource.RLIM_INFINITY:
        yield own
    yield from _of_control_groups()


def _of_control_groups(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> Iterator[int]:
    """The bounds of the control group and of those that it is in: C{memory.max}, of version 2."""
    path = ""
    with suppress(OSError), open(own, encoding="utf-8") as groups:
        path = next((line[3:].strip("/\n") for line in groups if line.startswith("0::")), "")
    while True:
        with suppress(OSError, ValueError), open(os.path.join(root, path, "memory.max"), encoding="ascii") as limit:
            yield int(limit.read())
        if not path:
            return
        path = os.path.dirname(path)
