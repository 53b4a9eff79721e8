"""Processes that an anchor looks after, and whose parent it is not: that was another anchor, which has gone."""

from __future__ import annotations

import os
import select

from papa.drivers.handles import exit_code, handle_of
from papa.records import UNKNOWN_EXIT

__all__ = ["Orphans"]


class Orphans:
    """
    Their pidfds, behind one descriptor that is readable once one of them has ended.

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

    def ended(self) -> list[tuple[int, int]]:
        """Pid and exit code of those that have, each once."""
        found = []
        for handle, _ in self._ready.poll(0):
            pid = self.pids.pop(handle)
            self._ready.unregister(handle)
            found.append((pid, exit_code(pid, handle)))
            os.close(handle)
        return found
