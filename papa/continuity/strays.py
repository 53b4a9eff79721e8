"""Children of which nobody was told: their anchor was killed between their start and its answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress

__all__ = ["end_strays"]


def end_strays(pipes: Iterable[int]) -> list[int]:
    """
    Kill whoever else has an end of one of these pipes, which were made for one child.

    @param pipes: descriptors of them.
    @return: the pids.
    """
    wanted = {os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in pipes}
    found: list[int] = []
    # Until none is left: one may just have been making another.
    while wanted and (strays := list(_holders(wanted, {os.getpid(), *found}))):
        for pid in strays:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        found += strays
    return found


def _holders(wanted: set[str], but: set[int]) -> Iterator[int]:
    """The processes that have one of these open; those of other users are passed over."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if int(entry) in but:
            continue
        with suppress(OSError):
            if any(_target(entry, name) in wanted for name in os.listdir(f"/proc/{entry}/fd")):
                yield int(entry)


def _target(pid: str, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}")
    except OSError:
        return ""
