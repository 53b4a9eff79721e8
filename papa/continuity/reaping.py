"""
Reaping children, each at the same cost however many there are.

To ask the system for whichever child has ended, it looks at all of them: with 5 000 that takes longer than all else
that an end brings. So children are seen by their pidfds. For what nobody has a pidfd of, as what descendants have left,
all are looked at once in a while.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

__all__ = ["Reaper"]

#: How long what nobody waits for stays a zombie, in seconds.
_SOME_TIME: Final = 1.0


class Reaper:
    """
    Knows which children have ended.

    @ivar due: when all are to be looked at, on the steady clock; L{None} if there is no reason to.
    """

    def __init__(self) -> None:
        self._ready = select.epoll()
        self._pids: dict[int, int] = {}
        self._blind: set[int] = set()
        self.due: float | None = None

    def fileno(self) -> int:
        """What to poll; beside that, L{signalled} is to be called when SIGCHLD comes."""
        return self._ready.fileno()

    def watch(self, pid: int, handle: int | None) -> None:
        """
        See the end of a child.

        @param handle: a pidfd of it, which stays the caller's, and is not closed before L{let_go}; L{None} if none is
            to be had.
        """
        if handle is None:
            self._blind.add(pid)
        else:
            self._pids[handle] = pid
            self._ready.register(handle, select.EPOLLIN)

    def let_go(self, handle: int) -> None:
        """A descriptor is about to be closed, whatever it is."""
        if self._pids.pop(handle, None) is not None:
            self._ready.unregister(handle)

    def forget(self, pid: int) -> None:
        """Somebody knows how it has ended."""
        self._blind.discard(pid)

    def signalled(self) -> None:
        """A child has ended, perhaps one that nobody has a pidfd of."""
        due = time.monotonic() + (0 if self._blind else _SOME_TIME)
        self.due = due if self.due is None else min(due, self.due)

    def ended(self, urgent: Sequence[int]) -> Iterator[tuple[int, int]]:
        """
        Reap what has ended, one after the other: how one has ended is to be noted before the next is reaped.

        @param urgent: pids of children that are looked at in any case.
        @return: pid and exit code of each, as L{subprocess} has it.
        """
        for handle, _ in self._ready.poll(0):
            if handle in self._pids:  # It may have been let go of since.
                yield from self._ended(handle)
        if self.due is not None:
            for pid in urgent:
                with suppress(ChildProcessError):
                    yield from _reaped(os.P_PID, pid)
            if self.due <= time.monotonic():
                self.due = None
                with suppress(ChildProcessError):
                    while one := _reaped(os.P_ALL, 0):
                        yield from one

    def _ended(self, handle: int) -> list[tuple[int, int]]:
        try:
            found = _reaped(os.P_PIDFD, handle)
        except ChildProcessError:
            # It is another's, or was reaped already.
            self.let_go(handle)
            return []
        if found:
            self.let_go(handle)
        return found


def _reaped(kind: int, which: int) -> list[tuple[int, int]]:
    """
    A child, if it has ended.

    @raise ChildProcessError: if there is no such child.
    """
    ended = os.waitid(kind, which, os.WEXITED | os.WNOHANG)
    if ended is None:
        return []
    return [(ended.si_pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)]
