"""How long it takes until a watcher has what a child has printed."""

from __future__ import annotations

import os
import random
import select
import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from bench.field import Field
from bench.gate import Leash
from bench.kernels import Kernel, Version1
from bench.rounds import Figure, Quantity, Sides, both

__all__ = ["FIGURES", "latency"]


class Latency(Figure):
    """
    A line that is written to a child's standard output until a watcher has read it.

    The line is written by the benchmark itself, to the same pipe that the child has (C{/proc/PID/fd/1}), so that no
    child has to be scheduled first. The watcher is a bare client of the console, the same for both; it acknowledges
    each line. Between lines are pauses of 5 to 150 ms, at random, the same for all: papa 1.0.6 looks for output at
    intervals. Given is the median of a round.
    """

    name = "latency"
    quantities = (
        Quantity(
            name="a written line to a watcher's read",
            unit="ms",
            targets=(*both(most=1), *both(Version1.name, most=1 / 50)),
        ),
    )

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        count = field.amount(40, 8)
        kernels = (*field.papas(), *field.version1())
        return {kernel.name: partial(self._measure, kernel, leash, count) for kernel in kernels}

    def _measure(self, kernel: Kernel, leash: Leash, count: int) -> Mapping[str, float]:
        pid = kernel.make("quiet", leash.command)
        found = latency(kernel, pid, "quiet", count)
        kernel.kill_all()
        return {self.quantities[0].name: statistics.median(found) * 1000}


def latency(kernel: Kernel, pid: int, name: str, count: int, longest_pause: float = 0.15) -> list[float]:
    """How long each of so many lines took to a watcher, in seconds; between them are pauses at random."""
    pauses = random.Random(count)
    found = []
    pipe = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_CLOEXEC)
    with kernel.console() as console:
        console.watch(name)
        for number in range(count):
            select.select([], [], [], pauses.uniform(0.005, longest_pause))
            began = time.perf_counter()
            os.write(pipe, b"a line\n")
            console.read_batch()
            found.append(time.perf_counter() - began)
            console.acknowledge(stop=number == count - 1)
    os.close(pipe)
    return found


FIGURES: Final = (Latency(),)
