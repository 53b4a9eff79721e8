"""Processes that one looks after, and has not started: they were left by others, which have gone."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from papa.drivers.handles import exit_code, handle_of
from papa.records import UNKNOWN_EXIT

__all__ = ["Orphans", "adopt_orphans"]

#: Of prctl(2).
_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """Be the parent of what descendants leave when they end; of a kernel, of the copy that waits to be the next one."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Orphans:
    """
    Pidfds of what another anchor was the parent of, behind one descriptor that is readable once one of them has ended.

    @ivar pids: of each by its pidfd.
    """

    def __init__(self) -> None:
        self._ready = select.epoll()
        self.pids: dict[int, int] = {}

    def fileno(self) -> int:
        """What to poll."""
        return self._ready.fileno()

    def watch(self, pid: int, handle: int | None = None) -> int | None:
        """
        See its end.

        @param handle: a pidfd of it, which stays the caller's.
        @return: how it ended, if nothing of it is left.
        """
        for own in handle_of(pid) if handle is None else [os.dup(handle)]:
            self.pids[own] = pid
            self._ready.register(own, select.EPOLLIN)
            return None
        return UNKNOWN_EXIT

    def go_on(self, watched: Iterable[tuple[int, int]]) -> None:
        """See the ends of these, each a pidfd and a pid, that another program has watched in this process."""
        for handle, pid in watched:
            self.watch(pid, handle)
            os.close(handle)

    def ended(self) -> list[tuple[int, int]]:
        """Pid and exit code of those that have, each once."""
        found = []
        for handle, _ in self._ready.poll(0):
            pid = self.pids.pop(handle)
            self._ready.unregister(handle)
            found.append((pid, exit_code(pid, handle)))
            os.close(handle)
        return found
