"""How long a command of the shell takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from bench.field import Field
from bench.kernels import PapaKernel
from bench.rounds import Figure, Quantity, Sides, both

__all__ = ["FIGURES"]


class Status(Figure):
    """
    C{papa status} from its start to its end, with ten processes to show; beside it, a Python that does nothing.

    Given is the median of a round.
    """

    name = "status"
    quantities = (Quantity(name="papa status, start to end", unit="ms", targets=both(most=100)),)

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        count = field.amount(10, 3)
        kernels = field.papas()
        for kernel in kernels:
            kernel.make_many(leash.command, 10)
        sides = {kernel.name: partial(self._of, kernel, count) for kernel in kernels}
        return sides | {"python -c pass": partial(self._time, kernels[0], [sys.executable, "-c", "pass"], count)}

    def _of(self, kernel: PapaKernel, count: int) -> Mapping[str, float]:
        return self._time(kernel, [*kernel.command, "--socket", kernel.path, "status"], count)

    def _time(self, kernel: PapaKernel, command: Sequence[str], count: int) -> Mapping[str, float]:
        found = []
        for _ in range(count):
            began = time.perf_counter()
            subprocess.run(command, env=kernel.environ, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            found.append(time.perf_counter() - began)
        return {self.quantities[0].name: statistics.median(found) * 1000}


FIGURES: Final = (Status(),)
