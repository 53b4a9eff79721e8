"""
Looking for garbage among what is new, and not among all that papa holds.

Now and then Python looks through all objects for those that only refer to each other: with 5 000 processes that takes
0.1 s, in which nobody is served. Next to nothing of what papa holds for long ever becomes such garbage. So what has
been looked through once is passed over from then on; and all of it is looked through again when it is twice as much.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["pass_over_what_stays"]

#: By how much what is passed over grows before all of it is looked through.
_GROWTH: Final = 2
#: The generation that Python looks through last, with all others.
_OLDEST: Final = 2


class _Passing:
    """
    Is told when Python has looked for garbage.

    How much is passed over is counted as it is added to, and only when that seems to be too much is it counted out:
    most of it may have gone meanwhile.
    """

    def __init__(self) -> None:
        gc.freeze()
        self._looked_through = self._passed_over = gc.get_freeze_count()
        self._all = False

    def __call__(self, phase: str, found: Mapping[str, Any]) -> None:
        if phase != "stop" or found["generation"] != _OLDEST:
            return
        self._passed_over += len(gc.get_objects(generation=_OLDEST))
        gc.freeze()
        if self._all:
            self._looked_through = self._passed_over
            self._all = False
        elif self._passed_over > _GROWTH * self._looked_through:
            self._passed_over = gc.get_freeze_count()
            if self._passed_over > _GROWTH * self._looked_through:
                gc.unfreeze()
                self._passed_over, self._all = 0, True


def pass_over_what_stays() -> None:
    """Do so in this process from now on."""
    gc.callbacks.append(_Passing())
