"""How much of what children print is captured, how fast, and at what cost, while nobody watches."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from bench import bare
from bench.field import Field
from bench.gate import Gate
from bench.kernels import Kernel, Version1
from bench.machine import cpu
from bench.peers import CIRCUS, SUPERVISOR, Manager, managers
from bench.rounds import ANCHORED, PAPA, Figure, Quantity, Sides, Target, both
from bench.started import Ends, Program

__all__ = ["BARE", "FIGURES", "bare_program"]

BARE: Final = "bare read loop"
_EPOLL: Final = "bare epoll loop"
_LINE: Final = 100


def bare_program(name: str, *arguments: str) -> list[str]:
    """What runs one of the programs in L{bench.bare}."""
    return [sys.executable, "-I", os.path.join(os.path.dirname(bare.__file__), f"{name}.py"), *arguments]


@dataclass(frozen=True)
class Captured:
    """How it went: seconds in all, and of a processor."""

    elapsed: float
    processor: float


def _pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def _settle() -> None:
    """Let what has read the last bytes come to rest; all sides get the same moment."""
    _pause(0.1)


def _by_kernel(kernel: Kernel, gate: Gate, command: Sequence[str]) -> Captured:
    """By a kernel that runs already, with its default buffer of 1 MiB, of which the oldest goes."""
    pid = kernel.make("loud", gate.behind(*command), "stderr=stdout")
    gate.await_there(1)
    with Ends([pid]) as ends:
        used, began = cpu(kernel.pids), time.perf_counter()
        gate.open(1)
        ends.wait()
        elapsed = time.perf_counter() - began
    _settle()
    used = cpu(kernel.pids) - used
    kernel.remove("loud")
    return Captured(elapsed, used)


def _by_loop(loop: str, gate: Gate, command: Sequence[str]) -> Captured:
    with Program(bare_program(loop, *gate.behind(*command)), talks=True) as reader:
        gate.await_there(1)
        began = time.perf_counter()
        gate.open(1)
        used = float(reader.output.readline())
        return Captured(time.perf_counter() - began, used)


def _by_manager(manager: Callable[[Sequence[str], int], Manager], gate: Gate, command: Sequence[str]) -> Captured:
    """By a manager that is started for it, and keeps the output in a file of at most 1 MiB."""
    with manager(gate.behind(*command), 1) as running:
        gate.await_there(1)
        with Ends(running.children()) as ends:
            used, began = cpu(running.pids), time.perf_counter()
            gate.open(1)
            ends.wait()
            elapsed = time.perf_counter() - began
        _settle()
        return Captured(elapsed, cpu(running.pids) - used)


class _OneChild(Figure):
    """A figure of one child that prints at full speed."""

    #: Which managers take part, and which in quick rounds.
    managers: ClassVar[Sequence[str]] = (SUPERVISOR,)
    quick_managers: ClassVar[Sequence[str]] = ()

    def commands(self, field: Field) -> Sequence[Sequence[str]]:
        """What it runs, one after the other."""
        raise NotImplementedError

    def values(self, field: Field, captured: Sequence[Captured]) -> Mapping[str, float]:
        """What is found by it."""
        raise NotImplementedError

    def sides(self, field: Field) -> Sides:
        gate = field.gate()
        commands = self.commands(field)

        def measure(capture: Callable[[Sequence[str]], Captured]) -> Callable[[], Mapping[str, float]]:
            return lambda: self.values(field, [capture(command) for command in commands])

        sides = {
            kernel.name: measure(partial(_by_kernel, kernel, gate)) for kernel in (*field.papas(), *field.version1())
        }
        sides[BARE] = measure(partial(_by_loop, "reader", gate))
        sides[_EPOLL] = measure(partial(_by_loop, "epoll_reader", gate))
        for name, manager in managers(field, self.quick_managers if field.quick else self.managers).items():
            sides[name] = measure(partial(_by_manager, manager, gate))
        return sides


_STREAM_TARGETS: Final = (
    Target(side=PAPA, against=BARE, least=0.75),
    Target(side=ANCHORED, against=BARE, least=0.25),
    *both(Version1.name, least=1.3),
)


class Stream(_OneChild):
    """
    One child at full speed, and nobody watches.

    Counted is what it has printed by the time from when it was let go until it has exited: its pipe is full all the
    time, so it goes as fast as it is read. The first runs C{head -c} of /dev/zero, which writes some KiB at a time and
    is itself what bounds all sides; the second C{dd}, 64 KiB at a time. papa and papa 1.0.6 keep 1 MiB in memory;
    supervisor writes a file of at most 1 MiB; the bare loop reads 64 KiB at a time with os.read, which waits, and keeps
    nothing. The bare epoll loop asks epoll before each read and keeps 1 MiB, as any must that reads from more than one
    child.
    """

    name = "capture"
    quantities = (
        Quantity(name="capture, one child at full speed", unit="MB/s", targets=_STREAM_TARGETS),
        Quantity(name="capture, one child, 64 KiB a write", unit="MB/s", targets=_STREAM_TARGETS),
    )

    def commands(self, field: Field) -> Sequence[Sequence[str]]:
        size = self._size(field)
        return (
            ("/usr/bin/head", "-c", str(size), "/dev/zero"),
            ("/bin/dd", "if=/dev/zero", "bs=65536", f"count={size >> 16}", "status=none"),
        )

    @staticmethod
    def _size(field: Field) -> int:
        return field.amount(1 << 30, 1 << 26)

    def values(self, field: Field, captured: Sequence[Captured]) -> Mapping[str, float]:
        return {
            quantity.name: self._size(field) / each.elapsed / 1e6
            for quantity, each in zip(self.quantities, captured, strict=True)
        }


class Lines(_OneChild):
    """
    A million lines of 100 bytes, one write each, and nobody watches: the processor time of whoever captures them.

    Of papa at an anchor, kernel and anchor together. The bare loop counts from its first read to its last, in a process
    of its own. What is kept, and where, is as with C{capture}; circus writes a file of at most 1 MiB, too. Quick rounds
    have fewer lines, and leave out circus; the time is for a million.
    """

    name = "lines"
    quantities = (
        Quantity(
            name="capture of 1 M lines, processor time",
            unit="s",
            targets=(
                Target(side=PAPA, against=BARE, most=1.5),
                Target(side=ANCHORED, against=BARE, most=3),
                *both(SUPERVISOR, most=1),
            ),
        ),
        Quantity(name="capture of 1 M lines, rate", unit="MB/s"),
    )
    managers = (SUPERVISOR, CIRCUS)
    quick_managers = (SUPERVISOR,)

    def commands(self, field: Field) -> Sequence[Sequence[str]]:
        return (bare_program("lines", str(self._count(field))),)

    @staticmethod
    def _count(field: Field) -> int:
        return field.amount(1_000_000, 100_000)

    def values(self, field: Field, captured: Sequence[Captured]) -> Mapping[str, float]:
        count = self._count(field)
        return {
            self.quantities[0].name: captured[0].processor * 1e6 / count,
            self.quantities[1].name: count * _LINE / captured[0].elapsed / 1e6,
        }


class Crowd(Figure):
    """
    200 children that print at full speed at once, and nobody watches.

    Each runs C{cat} of /dev/zero. Once all are at it, what each has written is looked up in its /proc/PID/io, and again
    some seconds later. The throughput is what all have written in between, by the time; the fairness is what the
    slowest has written divided by what the fastest has. Only kernels take part.
    """

    name = "crowd"
    quantities = (
        Quantity(name="capture, 200 children at once", unit="MB/s", targets=both(Version1.name, least=1.5)),
        Quantity(name="200 children, slowest / fastest", unit="", targets=both(least=0.5)),
    )
    _COUNT: ClassVar[int] = 200

    def sides(self, field: Field) -> Sides:
        gate = field.gate()
        kernels = (*field.papas(), *field.version1())
        span = field.amount(5.0, 0.5)
        return {kernel.name: partial(self._measure, kernel, gate, span) for kernel in kernels}

    def _measure(self, kernel: Kernel, gate: Gate, span: float) -> Mapping[str, float]:
        pids = kernel.make_many(gate.behind("/bin/cat", "/dev/zero"), self._COUNT, "crowd.")
        gate.await_there(self._COUNT)
        gate.open(self._COUNT)
        while min(map(_written, pids)) < 1 << 18:
            _pause(0.05)
        began, before = time.perf_counter(), [_written(pid) for pid in pids]
        _pause(span)
        elapsed, after = time.perf_counter() - began, [_written(pid) for pid in pids]
        kernel.kill_all("crowd.*")
        printed = [late - early for early, late in zip(before, after, strict=True)]
        return {
            self.quantities[0].name: sum(printed) / elapsed / 1e6,
            self.quantities[1].name: min(printed) / max(printed),
        }


def _written(pid: int) -> int:
    """How many bytes a process has written."""
    with open(f"/proc/{pid}/io", encoding="ascii") as io:
        return next(int(line.split()[1]) for line in io if line.startswith("wchar"))


FIGURES: Final = (Stream(), Lines(), Crowd())
