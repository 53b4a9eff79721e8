"""
The end of a kernel that has met a want of memory, when another goes on from it.

Memory may end between any two steps, and what was half done then cannot be told from what was done. What was noted is
right: so the kernel ends as if killed, before anybody hears of anything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import ILogObserver
from zope.interface import implementer

__all__ = ["Fuse"]

#: Made before it is needed, when there is nothing to make it of.
_LAST_WORDS: Final = b"papa has no memory to go on with: another kernel goes on from what was noted\n"
#: What the kernel exits with: EX_OSERR of sysexits.h.
_EXIT: Final = 71
_STANDARD_ERROR: Final = 2


@implementer(ILogObserver)
class Fuse:
    """Observes the log, where every failure comes by that nobody had an answer to."""

    def __init__(self, end: Callable[[int], object] = os._exit, descriptor: int = _STANDARD_ERROR) -> None:
        """
        @param end: ends the kernel, with an exit code.
        @param descriptor: of what the last words are written to.
        """
        self._end = end
        self._descriptor = descriptor

    def __call__(self, event: dict[str, Any]) -> None:
        """Something is logged."""
        # What Twisted logs in its old way has the failure under another name.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None and isinstance(failure.value, MemoryError):
            try:
                os.write(self._descriptor, _LAST_WORDS)
            finally:
                self._end(_EXIT)
