"""
Looking for garbage among what is new, and not among all that papa holds.

Now and then Python looks through all objects for those that only refer to each other: with 5 000 processes that takes
0.1 s, in which nobody is served. Next to nothing of what papa holds for long ever becomes such garbage. So what has
been looked through once is passed over from then on, which costs least if it is done while there is little of it; and
when it is twice as much, all of it is looked through again, at a time when papa has little to do.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["pass_over_what_stays"]

#: By how much what is passed over grows before all of it is looked through.
_GROWTH: Final = 2
#: How often that is looked at, in seconds, and with how much computing in between, in seconds too, papa is quiet.
_PERIOD: Final = 60.0
_QUIET: Final = 1.0
#: After how many periods without quiet it is done all the same.
_PATIENCE: Final = 10
#: After how many new objects, and then after how many looks through the younger, the older are looked through: with the
#: ten that Python has for the oldest it is 60 000 objects by then, which takes 50 ms; with one, 10 000. Python 3.13
#: has 2000 for the youngest.
_THRESHOLDS: Final = (700, 10, 1)
#: The generation that Python looks through last, with all others.
_OLDEST: Final = 2


class _Passing:
    """
    Is told when Python has looked for garbage.

    How much is passed over is counted as it is added to, and only when that seems to be too much is it counted out:
    most of it may have gone meanwhile.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        gc.set_threshold(*_THRESHOLDS)
        gc.freeze()
        self._looked_through = self._passed_over = gc.get_freeze_count()
        self._computed = time.process_time()
        self._waited = 0
        reactor.callLater(_PERIOD, self._look_through_if_due)

    def __call__(self, phase: str, found: Mapping[str, Any]) -> None:
        if phase == "stop" and found["generation"] == _OLDEST:
            self._passed_over += len(gc.get_objects(generation=_OLDEST))
            gc.freeze()

    def _look_through_if_due(self) -> None:
        computed, self._computed = time.process_time() - self._computed, time.process_time()
        if self._passed_over > _GROWTH * self._looked_through:
            self._waited += 1
            if computed < _QUIET or self._waited >= _PATIENCE:
                self._look_through()
        self._reactor.callLater(_PERIOD, self._look_through_if_due)

    def _look_through(self) -> None:
        self._waited = 0
        self._passed_over = gc.get_freeze_count()
        if self._passed_over > _GROWTH * self._looked_through:
            self._passed_over = 0
            gc.unfreeze()
            gc.collect()
            self._looked_through = self._passed_over


def pass_over_what_stays(reactor: Any) -> None:
    """
    Do so in this process from now on.

    @param reactor: an C{IReactorTime}.
    """
    gc.callbacks.append(_Passing(reactor))
