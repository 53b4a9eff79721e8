"""What a kernel and its processes use, from one moment to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from papa.cli.asking import Asker
from papa.cli.locality import is_local
from papa.cli.processes import selected_processes
from papa.drivers.families import VISIBLE, Usage, descriptors, families, usage
from papa.records import Process

__all__ = ["Figures", "KernelFigures", "Meter", "Sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    What a process uses, with what it has started.

    @ivar processor: percent of one processor; C{memory}: resident bytes; L{None} where that cannot be seen.
    @ivar rate: bytes of output a second.
    """

    process: Process
    processor: float | None
    memory: int | None
    rate: float

    @property
    def fill(self) -> float:
        """How full its buffer is, in percent."""
        return 100 * self.process.buffered / self.process.bufsize if self.process.bufsize else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFigures:
    """
    What the kernel itself uses; L{None} where that cannot be seen.

    @ivar descriptors: how many it has open; C{most}: how many it may.
    """

    pid: int
    processor: float | None = None
    memory: int | None = None
    descriptors: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    How it is at one moment.

    @ivar time: seconds since the epoch.
    """

    time: float
    kernel: KernelFigures
    processes: tuple[Figures, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen before, and when by the steady clock."""

    when: float
    processor: Mapping[int, float]
    captured: Mapping[int, int]


class Meter:
    """Measures; what grows is counted from one measurement to the next."""

    def __init__(self, connection: Asker, names: Sequence[str] = ()) -> None:
        """
        @param names: of the processes to measure, or patterns; none means all.
        """
        self._connection = connection
        self._names = names
        self._visible = VISIBLE and is_local(connection)
        self._seen = _Seen(0.0, {}, {})

    def measure(self) -> Sample:
        """
        The figures of now; what grows, since the last time, or since a process began.

        @raise NotFound: if a name selects nothing.
        """
        processes = selected_processes(self._connection, self._names).values()
        # Not before that: it may be another by now.
        kernel = self._connection.greeting.pid
        now, wall = time.monotonic(), time.time()
        uses = self._uses(kernel, [process.pid for process in processes if process.running])
        seen = _Seen(
            now,
            {pid: use.processor for pid, use in uses.items()},
            {process.pid: process.captured for process in processes},
        )

        def share(pid: int) -> float | None:
            used = seen.processor.get(pid)
            if used is None:
                return None
            return 100 * max(0.0, used - before.processor.get(pid, 0.0)) / span(pid)

        def span(pid: int) -> float:
            began = began_at.get(pid)
            age = wall - began if began is not None and pid not in before.captured else 0.0
            # One that was seen before; or that will begin, by a clock that was set back since it has.
            return max(age if age > 0 else now - before.when, 0.001)

        before, self._seen = self._seen, seen
        began_at = {process.pid: process.started for process in processes}
        return Sample(
            time=wall,
            kernel=_kernel_figures(kernel, uses.get(kernel), share(kernel)),
            processes=tuple(
                Figures(
                    process=process,
                    processor=share(process.pid),
                    memory=uses[process.pid].memory if process.pid in uses else None,
                    rate=max(0, process.captured - before.captured.get(process.pid, 0)) / span(process.pid),
                )
                for process in processes
            ),
        )

    def _uses(self, kernel: int, pids: Sequence[int]) -> dict[int, Usage]:
        if not self._visible:
            return {}
        found = {pid: usage(family) for pid, family in families(pids).items()}
        return found | {kernel: usage([kernel])}


def _kernel_figures(pid: int, use: Usage | None, share: float | None) -> KernelFigures:
    if use is None:
        return KernelFigures(pid=pid)
    used, most = descriptors(pid)
    return KernelFigures(pid=pid, processor=share, memory=use.memory, descriptors=used, most=most)
