"""How much memory it takes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

from bench.field import Field
from bench.gate import Leash
from bench.kernels import Kernel, PapaKernel
from bench.machine import anonymous, proportional
from bench.rounds import Figure, Quantity, Sides, both

__all__ = ["FIGURES"]

#: papa 1.0.6 captures no more than about 510 processes.
_MOST: Final = 400


class Memory(Figure):
    """
    The memory of a kernel, at an anchor with the anchor's.

    The base is the proportional set size (PSS) of a kernel that was just started and holds nothing. What each idle
    child with two captured streams adds, and each connection to the console, is the growth of anonymous memory: PSS
    would shrink with every child, which shares the C library. Memory of the system itself, such as of pipes, is not in
    it. Each round has kernels of its own.
    """

    name = "memory"
    quantities = (
        Quantity(name="memory, base", unit="MB", targets=both(most=40)),
        Quantity(name="memory per idle captured child", unit="KiB", targets=both(most=2)),
        Quantity(name="memory per connection", unit="KiB", targets=both(most=3)),
    )

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        connections = field.amount(1000, 200)
        children = field.amount(1000, 200)

        def fresh(start: Callable[[], Kernel]) -> Callable[[], Mapping[str, float]]:
            def measure() -> Mapping[str, float]:
                kernel = start()
                try:
                    return self._measure(
                        kernel, leash, children if isinstance(kernel, PapaKernel) else min(children, _MOST), connections
                    )
                finally:
                    kernel.end()

            return measure

        starts = {**field.fresh_papas(), **field.fresh_version1()}
        return {name: fresh(start) for name, start in starts.items()}

    def _measure(self, kernel: Kernel, leash: Leash, children: int, connections: int) -> Mapping[str, float]:
        base = proportional(kernel.pids)
        # The first of each brings along what is needed only once.
        kernel.make_many(leash.command, 10, "first.")
        empty = anonymous(kernel.pids)
        kernel.make_many(leash.command, children)
        full = anonymous(kernel.pids)
        open_ones: list[socket.socket] = [kernel.console().sock for _ in range(10)]
        alone = anonymous(kernel.pids)
        open_ones += [kernel.console().sock for _ in range(connections)]
        crowded = anonymous(kernel.pids)
        for sock in open_ones:
            sock.close()
        return {
            self.quantities[0].name: base / 1e6,
            self.quantities[1].name: (full - empty) / children / 1024,
            self.quantities[2].name: (crowded - alone) / connections / 1024,
        }


FIGURES: Final = (Memory(),)
