"""When what was said to a kernel that was lost is said again, to the one that goes on from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from papa.errors import ConnectionLost, GivesWay

__all__ = ["retried"]

_Result = TypeVar("_Result")


def retried(
    say: Callable[[], _Result], go_on: Callable[[ConnectionLost], object], patience: float, *, repeatable: bool
) -> _Result:
    """
    Say something; again if it is known not to have been done, or that does no harm, when the connection was lost.

    @param go_on: finds the kernel that goes on; raises L{ConnectionLost} if there is none.
    @param patience: for how many seconds after the first loss it is said again.
    @param repeatable: whether it does no harm.
    @raise ConnectionLost: if it cannot be known whether it was done.
    """
    deadline: float | None = None
    while True:
        try:
            return say()
        except ConnectionLost as lost:
            deadline = time.monotonic() + patience if deadline is None else deadline
            if not (repeatable or isinstance(lost, GivesWay)) or time.monotonic() > deadline:
                raise
            go_on(lost)
