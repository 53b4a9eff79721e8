"""
Wider pipes for those who print more than a pipe holds while papa is elsewhere: they need not wait for it so often.

A child that writes 64 KiB at a time is read twice as fast from a pipe of 256 KiB. But the system counts pipes against
their user: beyond 64 MiB, new ones hold hardly anything. So only a few are widened.
"""

from __future__ import annotations

import fcntl
from typing import Final

__all__ = ["Widening"]

#: In bytes; wider still is not quicker.
_WIDE: Final = 1 << 18
#: How many pipes may be wide at a time.
_MOST: Final = 32
#: There is none elsewhere than on Linux.
_SET_SIZE: Final[int | None] = getattr(fcntl, "F_SETPIPE_SZ", None)


class Widening:
    """Widens the pipes that were found full."""

    def __init__(self) -> None:
        self._wide: set[int] = set()

    def found_full(self, pipe: int) -> None:
        """A pipe was found to hold all that it can."""
        if pipe in self._wide or len(self._wide) >= _MOST or _SET_SIZE is None:
            return
        # It is tried once, also where the user may have no more.
        self._wide.add(pipe)
        try:
            fcntl.fcntl(pipe, _SET_SIZE, _WIDE)
        except OSError:
            return

    def closed(self, pipe: int) -> None:
        """A pipe is about to be closed: another may be wide."""
        self._wide.discard(pipe)
