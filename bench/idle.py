"""What it costs to do nothing."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from bench.field import Field
from bench.kernels import PapaKernel
from bench.machine import cpu
from bench.peers import CIRCUS, SUPERVISOR, managers
from bench.rounds import Figure, Quantity, Sides, both

__all__ = ["FIGURES"]

#: papa 1.0.6 captures no more than about 510 processes.
_MOST: Final = 400


class Idle(Figure):
    """
    The share of a processor that is used while 1 000 children are quiet (400 with papa 1.0.6, which captures no more).

    All sides stand idle at once for some seconds in each round, and what each has used in them is looked up. Quick
    rounds have fewer children, and are shorter.
    """

    name = "idle"
    quantities = (Quantity(name="idle with 1 000 quiet children", unit="%", targets=both(most=0.04)),)

    def sides(self, field: Field) -> Sides:
        self._span = field.amount(10, 2)
        leash = field.leash()
        count = field.amount(1000, 100)
        pids: dict[str, Sequence[int]] = {}
        for kernel in (*field.papas(), *field.version1()):
            kernel.make_many(leash.command, count if isinstance(kernel, PapaKernel) else min(count, _MOST))
            pids[kernel.name] = kernel.pids
        for name, start in managers(field, (SUPERVISOR, CIRCUS)).items():
            manager = start(leash.command, count)
            field.on_end(manager.end)
            while len(manager.children()) < count:
                select.select([], [], [], 0.1)
            pids[name] = manager.pids
        select.select([], [], [], 1)
        # Whoever is measured first in a round waits for all.
        first = next(iter(pids))
        self._before = {name: (time.monotonic(), cpu(each)) for name, each in pids.items()}
        return {name: partial(self._measure, name, each, wait=name == first) for name, each in pids.items()}

    def _measure(self, name: str, pids: Sequence[int], *, wait: bool) -> Mapping[str, float]:
        if wait:
            select.select([], [], [], self._span)
        now, used = time.monotonic(), cpu(pids)
        began, before = self._before[name]
        self._before[name] = now, used
        return {self.quantities[0].name: 100 * (used - before) / (now - began)}


FIGURES: Final = (Idle(),)
