"""The clock by which a reactor calls later: one that nobody sets."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["go_by_steady_clock"]


def go_by_steady_clock(reactor: Any) -> None:
    """
    Have a reactor measure time by the steady clock. Twisted's do not: set back by an hour, they call an hour late.

    What is to be called already goes over to that clock.
    """
    ahead = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic
    # All by as much, so that their order is the same.
    for call in reactor.getDelayedCalls():
        call.time += ahead
        call.seconds = time.monotonic
