"""How many processes are made in a second."""

from __future__ import annotations

import itertools
import os
import pwd
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bench.field import Field
from bench.gate import Leash
from bench.kernels import PapaKernel, Version1
from bench.pipelining import pipelined
from bench.plenty import connect_many, fill, room
from bench.rounds import ANCHORED, PAPA, Figure, Quantity, Sides, Target
from bench.started import Ends
from papa.commands import MakeProcess

__all__ = ["FIGURES", "POPEN"]

POPEN: Final = "subprocess.Popen"
_FOLDER: Final = "/"
_SERIAL: Final = itertools.count()


def _as_nobody(request: MakeProcess) -> MakeProcess:
    """The same with the user and the group of nobody, and a limit."""
    nobody = pwd.getpwnam("nobody")
    return replace(request, uid=nobody.pw_uid, gid=nobody.pw_gid, groups=(nobody.pw_gid,), rlimits={"core": (0, 0)})


class Making(Figure):
    """
    Processes with a working_dir and captured output, made one after the other, and idle from then on (C{cat} of a
    pipe).

    papa is asked on its program wire, for all of them at once, and counted is until the last answer has come; or for
    one after the other, each once the one before was answered, with the blocking client. Against subprocess.Popen in a
    loop, with the same working directory, two pipes, and a session of its own; and papa 1.0.6 on its console. With a
    user, groups and limits, papa is compared to itself; that needs root. subprocess.Popen does that in a copy of the
    process that calls it, and so does papa: how long it takes depends on how large that is. Here it has about half of
    papa's memory.
    """

    name = "spawn"
    quantities = (
        Quantity(
            name="make process",
            unit="/s",
            targets=(Target(side=PAPA, against=POPEN, least=0.9), Target(side=ANCHORED, against=POPEN, least=0.6)),
        ),
        Quantity(name="make process, each when the last was answered", unit="/s"),
        Quantity(
            name="make process with uid, groups and rlimits",
            unit="/s",
            targets=tuple(Target(side=mode, against=mode, of="make process", least=0.5) for mode in (PAPA, ANCHORED)),
        ),
    )

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        count = field.amount(300, 50)
        sides: dict[str, Callable[[], Mapping[str, float]]] = {}
        if os.geteuid():
            field.notes.append("with uid, groups and rlimits: only root can")
        for kernel in field.papas():
            sides[kernel.name] = partial(self._by_papa, kernel, leash, count)
        for old in field.version1():
            sides[old.name] = partial(self._by_version1, old, leash, count)
        sides[POPEN] = partial(self._by_popen, leash, count)
        return sides

    def _by_papa(self, kernel: PapaKernel, leash: Leash, count: int) -> Mapping[str, float]:
        request = MakeProcess(name="one", args=tuple(leash.command), working_dir=_FOLDER)
        found = {self.quantities[0].name: count / pipelined(kernel, named(request, count))}
        kernel.kill_all()
        with kernel.client() as client:
            began = time.perf_counter()
            for number in range(count):
                client.make_process(f"one.{number}", args=leash.command, working_dir=_FOLDER)
            found[self.quantities[1].name] = count / (time.perf_counter() - began)
        kernel.kill_all()
        if not os.geteuid():
            found[self.quantities[2].name] = count / pipelined(kernel, named(_as_nobody(request), count))
            kernel.kill_all()
        return found

    def _by_version1(self, kernel: Version1, leash: Leash, count: int) -> Mapping[str, float]:
        with kernel.console() as console:
            began = time.perf_counter()
            for number in range(count):
                console.make(f"one.{number}", leash.command, f"working_dir={_FOLDER}")
            elapsed = time.perf_counter() - began
        kernel.kill_all()
        return {self.quantities[1].name: count / elapsed}

    def _by_popen(self, leash: Leash, count: int) -> Mapping[str, float]:
        rate = _popen_rate(leash, count)
        found = {quantity.name: rate for quantity in self.quantities[:2]}
        if not os.geteuid():
            nobody = pwd.getpwnam("nobody")
            found[self.quantities[2].name] = _popen_rate(
                leash,
                count,
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[nobody.pw_gid],
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
            )
        return found


def _popen_rate(leash: Leash, count: int, **identity: Any) -> float:
    """How many processes subprocess.Popen makes in a second."""
    began = time.perf_counter()
    children = [
        subprocess.Popen(
            leash.command,
            cwd=_FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **identity,
        )
        for _ in range(count)
    ]
    elapsed = time.perf_counter() - began
    with Ends([child.pid for child in children]) as ends:
        ends.kill()
    for child in children:
        child.communicate()
    return count / elapsed


def named(request: MakeProcess, count: int) -> Sequence[MakeProcess]:
    """So many requests of a kind, under names that no other of them has."""
    return [replace(request, name=f"made.{next(_SERIAL)}") for _ in range(count)]


class MakingWithMuch(Figure):
    """
    How long a process takes to be made by a kernel that has grown, and by one that was just started.

    The one keeps 2 GiB of output, and has 10 000 descriptors open, which are connections. Both are asked on the program
    wire, for all processes at once; so it is how long each keeps the kernel from anything else. At an anchor the output
    is not in the kernel's own memory. Quick rounds have 128 MiB and 1 000 descriptors.
    """

    name = "spawn-large"
    quantities = (
        Quantity(
            name="make process at 2 GB and 10 000 descriptors",
            unit="ms",
            targets=tuple(Target(side=mode, against=f"{mode}, at start", most=2) for mode in (PAPA, ANCHORED)),
        ),
    )

    def sides(self, field: Field) -> Sides:
        leash = field.leash()
        count = field.amount(200, 50)
        sides: dict[str, Callable[[], Mapping[str, float]]] = {}
        for kernel in field.papas():
            fill(kernel, field.amount(2 << 30, 128 << 20))
            connect_many(field, kernel, field.amount(min(10_000, room(type(kernel), count)), 1000))
            sides[kernel.name] = partial(self._measure, kernel, leash, count)
        for kernel in field.papas():
            sides[f"{kernel.name}, at start"] = partial(self._measure, kernel, leash, count)
        return sides

    def _measure(self, kernel: PapaKernel, leash: Leash, count: int) -> Mapping[str, float]:
        request = MakeProcess(name="one", args=tuple(leash.command), working_dir=_FOLDER)
        elapsed = pipelined(kernel, named(request, count))
        kernel.kill_all("made.*")
        return {self.quantities[0].name: elapsed / count * 1000}


FIGURES: Final = (Making(), MakingWithMuch())
