"""What operations cost in a kernel that holds much, and how long others wait for them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

from bench.capture import bare_program
from bench.console import exchange
from bench.field import Field
from bench.gate import Leash
from bench.kernels import AnchoredKernel, PapaKernel
from bench.latency import latency
from bench.machine import cpu
from bench.pipelining import pipelined
from bench.plenty import connect_many, make_idle, room, some
from bench.requests import on_program_wire
from bench.rounds import Figure, Quantity, Sides, Target, both
from bench.spawning import named
from bench.started import Ends, Program
from papa.client.watcher import Watcher
from papa.commands import Command, Get, ListProcesses, MakeProcess, Set

__all__ = ["FIGURES"]

_FEW: Final = 10
_MANY: Final = 5000


class Scale(Figure):
    """
    The cost of operations in a kernel with 5 000 idle processes, or as many as the system allows, and as many of 10 000
    connections as the limit of open files allows, and in one with 10 of each, in microseconds of processor time; at an
    anchor, with the anchor's.

    Requests are sent one after the other on one connection of the program wire. C{make process} includes the start of
    the program; an exit is that of a process that was killed; a line goes to a watcher on the console. Quick rounds
    have 300 processes and 1 000 connections.
    """

    _OPERATIONS: ClassVar[Sequence[str]] = (
        "get",
        "set",
        "list one process",
        "list ten by a wildcard",
        "connect",
        "make process",
        "exit",
        "line to a watcher",
    )

    def __init__(self, name: str, kind: type[PapaKernel]) -> None:
        self.name = name
        self._kind = kind
        target = Target(side=kind.name, against=f"{kind.name}, few", most=1.3)
        self.quantities = [
            Quantity(name=f"cost of {operation}", unit="µs", targets=(target,)) for operation in self._OPERATIONS
        ]

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        self._times = field.amount(500, 50)
        many = some(field, self._kind, field.amount(_MANY, 300))
        connections = field.amount(min(10_000, room(self._kind, many)), 1000)
        field.notes.append(f"{many} processes and {connections} connections")
        sides: dict[str, Callable[[], Mapping[str, float]]] = {}
        for suffix, processes, connected in (("", many, connections), (", few", _FEW, _FEW)):
            kernel = field.papa(self._kind)
            make_idle(kernel, leash, processes - 10)
            make_idle(kernel, leash, 10, "ten")
            connect_many(field, kernel, connected)
            with kernel.client() as client:
                client.set("held", "value")
            sides[f"{kernel.name}{suffix}"] = partial(self._measure, kernel, leash)
        return sides

    def _measure(self, kernel: PapaKernel, leash: Leash) -> Mapping[str, float]:
        found = {
            "get": self._ask(kernel, Get(name="held")),
            "set": self._ask(kernel, Set(name="held", value="other")),
            "list one process": self._ask(kernel, ListProcesses(names=("ten.3",))),
            "list ten by a wildcard": self._ask(kernel, ListProcesses(names=("ten.*",))),
            "connect": self._connect(kernel),
        }
        found["make process"], found["exit"] = self._processes(kernel, leash)
        found["line to a watcher"] = self._lines(kernel, leash)
        return {f"cost of {operation}": value * 1e6 for operation, value in found.items()}

    def _ask(self, kernel: PapaKernel, command: Command) -> float:
        sock, request, size = on_program_wire(kernel, command)
        with sock:
            used = cpu(kernel.pids)
            for _ in range(self._times):
                exchange(sock, request, size)
            return (cpu(kernel.pids) - used) / self._times

    def _connect(self, kernel: PapaKernel) -> float:
        used = cpu(kernel.pids)
        for _ in range(self._times):
            kernel.console().sock.close()
        return (cpu(kernel.pids) - used) / self._times

    def _processes(self, kernel: PapaKernel, leash: Leash) -> tuple[float, float]:
        count = self._times // 5
        requests = named(MakeProcess(name="one", args=tuple(leash.command)), count)
        used = cpu(kernel.pids)
        pipelined(kernel, requests)
        made = cpu(kernel.pids) - used
        with kernel.client() as client:
            pids = [client.list_processes(request.name)[request.name]["pid"] for request in requests]
            with Ends(pids) as ends:
                used = cpu(kernel.pids)
                ends.kill()
                ends.wait()
            client.get("held")
            ended = cpu(kernel.pids) - used
            client.remove_processes(*(request.name for request in requests))
        return made / count, ended / count

    def _lines(self, kernel: PapaKernel, leash: Leash) -> float:
        count = self._times // 10
        pid = kernel.make("quiet", leash.command)
        used = cpu(kernel.pids)
        latency(kernel, pid, "quiet", count, longest_pause=0.005)
        used = cpu(kernel.pids) - used
        kernel.kill_all("quiet")
        return used / count


class Waiting(Figure):
    """
    With 5 000 processes: how long it takes to hear of an exit and to list all of them, and how long others wait.

    From when a process is killed until a watcher on the console has read that it was closed: the median of some. To
    list all: the blocking client, page by page. Meanwhile a process of its own asks for a value, over and over, and
    finds how long it was kept waiting at most: by the clock, which the rest of the machine disturbs; and how long the
    kernel has computed meanwhile, which it does not. Operations are listed one by one; the last are that all processes
    end at once, and that all are removed. Quick rounds have 300 processes.
    """

    name = "waiting"
    _OPERATIONS: ClassVar[Sequence[str]] = (
        "list, program wire",
        "list, console",
        "watch all",
        "stop watching all",
        "make process",
        "all exit",
        "remove all",
    )
    quantities = (
        Quantity(name="exit to closed at a watcher", unit="ms", targets=both(most=2)),
        Quantity(name="list 5 000 processes", unit="ms", targets=both(most=100)),
        *(
            Quantity(
                name=f"others wait for: {operation}",
                unit="ms",
                targets=both(most=10 if operation.startswith("list") else 20),
            )
            for operation in _OPERATIONS
        ),
        Quantity(name="others wait, at most, by the clock", unit="ms", targets=both(most=20)),
    )

    def sides(self, field: Field) -> Sides:
        many = some(field, AnchoredKernel, field.amount(_MANY, 300))
        self._exits = field.amount(20, 5)
        return {name: partial(self._measure, field, start, many) for name, start in field.fresh_papas().items()}

    def _measure(self, field: Field, start: Callable[[], PapaKernel], many: int) -> Mapping[str, float]:
        leash = Leash(field.folder)
        kernel = start()
        try:
            make_idle(kernel, leash, many)
            found = {
                "exit to closed at a watcher": statistics.median(self._hear_of_exits(kernel, leash)) * 1000,
                "list 5 000 processes": self._list(kernel) * 1000,
            }
            return found | self._waits(kernel, leash)
        finally:
            leash.release()
            kernel.end()

    def _hear_of_exits(self, kernel: PapaKernel, leash: Leash) -> list[float]:
        found = []
        for number in range(self._exits):
            pid = kernel.make(f"leaving.{number}", leash.command)
            with kernel.console() as console, Ends([pid]) as ends:
                console.watch(f"leaving.{number}")
                time.sleep(0.05)
                began = time.perf_counter()
                ends.kill()
                console.read_batch()
                found.append(time.perf_counter() - began)
                console.acknowledge()
        return found

    @staticmethod
    def _list(kernel: PapaKernel) -> float:
        with kernel.client() as client:
            client.get("held")
            began = time.perf_counter()
            client.list_processes()
            return time.perf_counter() - began

    def _waits(self, kernel: PapaKernel, leash: Leash) -> dict[str, float]:
        found: dict[str, float] = {}
        longest = 0.0
        pids = [str(pid) for pid in kernel.pids]
        with (
            Program(bare_program("prober", kernel.control, *pids), talks=True) as prober,
            kernel.client() as client,
            kernel.console() as console,
        ):

            def probe() -> tuple[float, float]:
                prober.input.write(b"\n")
                prober.input.flush()
                by_clock, computed = map(float, prober.output.readline().split())
                return by_clock, computed

            def all_exit() -> None:
                with Ends([each["pid"] for each in client.list_processes().values()]) as ends:
                    probe()
                    leash.release()
                    ends.wait()

            watchers: list[Watcher] = []
            operations: dict[str, Callable[[], object]] = {
                "list, program wire": client.list_processes,
                "list, console": lambda: console.ask("list processes"),
                "watch all": lambda: watchers.append(client.watch_processes()),
                "stop watching all": lambda: watchers.pop().close(),
                "make process": lambda: client.make_process("one", args=leash.command),
                "all exit": all_exit,
                "remove all": lambda: client.remove_processes("*"),
            }
            for operation, call in operations.items():
                probe()
                call()
                time.sleep(0.1)  # What a client leaves to the kernel to do is part of it.
                by_clock, computed = probe()
                longest = max(longest, by_clock)
                found[f"others wait for: {operation}"] = computed * 1000
        return found | {"others wait, at most, by the clock": longest * 1000}


FIGURES: Final = (Scale("scale", PapaKernel), Scale("scale-anchored", AnchoredKernel), Waiting())
