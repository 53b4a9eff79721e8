"""Kernels that hold much: processes, connections, and memory."""

from __future__ import annotations

import resource

from bench.capture import bare_program
from bench.field import Field
from bench.gate import Leash
from bench.kernels import PapaKernel
from bench.machine import processes_left
from bench.pipelining import pipelined
from bench.started import Ends, Program
from papa.commands import MakeProcess

__all__ = ["connect_many", "fill", "make_idle", "room", "some"]

#: Descriptors that a kernel needs beside what it is given to hold.
_ASIDE = 1200


def make_idle(kernel: PapaKernel, leash: Leash, count: int, prefix: str = "idle") -> None:
    """Make so many idle children, with one captured stream each, C{idle.0} and so on."""
    pipelined(
        kernel,
        [MakeProcess(name=f"{prefix}.{number}", args=tuple(leash.command), stderr="stdout") for number in range(count)],
    )


def room(kind: type[PapaKernel], processes: int) -> int:
    """How many descriptors a kernel has left that has so many processes with one captured stream each."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return max(0, most - kind.descriptors * processes - _ASIDE)


def some(field: Field, kind: type[PapaKernel], wanted: int) -> int:
    """So many processes, or as many as the system allows without others coming to want; that is noted."""
    left, descriptors = processes_left(), room(kind, 0)
    count = min(wanted, left * 3 // 4, descriptors // kind.descriptors)
    if count < wanted:
        field.notes.append(
            f"{count} processes, for the system allows {left} more in all, and {kind.name} {descriptors} descriptors"
        )
    return count


def connect_many(field: Field, kernel: PapaKernel, count: int) -> None:
    """Have a process hold so many connections to the program wire, until the figure has been taken."""
    holder = Program(bare_program("holder", kernel.control, str(count)), talks=True)
    field.on_end(holder.end)
    if holder.output.readline() != b"holding\n":
        raise RuntimeError(f"{kernel.name} does not let {count} connections in")


def fill(kernel: PapaKernel, size: int, piece: int = 64 << 20) -> None:
    """Have a kernel keep so many bytes of output, of processes that have ended: C{kept.0} and so on."""
    pids = [
        kernel.make(
            f"kept.{number}", ["/usr/bin/head", "-c", str(piece), "/dev/zero"], f"stderr=stdout bufsize={piece}"
        )
        for number in range(size // piece)
    ]
    if pids:
        with Ends(pids) as ends:
            ends.wait()
