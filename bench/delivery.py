"""How fast captured output comes to those who read it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from bench.capture import bare_program
from bench.field import Field
from bench.gate import Gate
from bench.kernels import Kernel, PapaKernel, Version1
from bench.rounds import Figure, Quantity, Sides, both
from bench.started import Ends, Program

__all__ = ["FIGURES", "RAW"]

RAW: Final = "raw socketpair copy"
_AMP: Final = "Twisted's amp"


def _rate(size: int, seconds: float, said: bytes) -> float:
    if int(said) != size:
        raise RuntimeError(f"{int(said)} bytes have come of {size}")
    return size / seconds / 1e6


class Version1Client(Figure):
    """
    What one process prints, to a program that uses the client of papa 1.0.6.

    The client is the same for all, 1.0.6's own. It watches before the child (C{head -c} of /dev/zero) is let go;
    counted is until it has read the last byte and the end of the process. The buffer is large enough for all: no byte
    is dropped.
    """

    name = "delivery"
    quantities = (Quantity(name="delivery to a client of 1.0.6", unit="MB/s", targets=both(Version1.name, least=3)),)

    def sides(self, field: Field) -> Sides:
        gate = field.gate()
        size = field.amount(64 << 20, 8 << 20)
        return {
            kernel.name: partial(self._measure, kernel, gate, size, old.python)
            for old in field.version1()
            for kernel in (*field.papas(), old)
        }

    def _measure(self, kernel: Kernel, gate: Gate, size: int, python: str) -> Mapping[str, float]:
        kernel.make("loud", gate.behind("/usr/bin/head", "-c", str(size), "/dev/zero"), f"bufsize={2 * size}")
        gate.await_there(1)
        client = bare_program("version1_client", kernel.path, "loud")
        with Program([python, "-W", "ignore", *client[1:]], talks=True) as reader:
            reader.output.readline()
            began = time.perf_counter()
            gate.open(1)
            said = reader.output.readline()
            return {self.quantities[0].name: _rate(size, time.perf_counter() - began, said)}


class OwnClients(Figure):
    """
    Output that is kept already, to papa's own two clients on the program wire, each in a process of its own.

    Counted is from when the client is told to begin until it has read and acknowledged all, with the end of the
    process. Against two Python processes and a pair of Unix sockets, one sending as much from memory, 64 KiB at a time,
    the other receiving it. Beside them two processes that do so with Twisted's own amp, in boxes as large as papa's,
    and without acknowledging any.
    """

    name = "clients"
    quantities = (
        Quantity(name="delivery to the blocking client", unit="MB/s", targets=both(RAW, least=0.5)),
        Quantity(name="delivery to the Deferred client", unit="MB/s", targets=both(RAW, least=0.5)),
    )

    def sides(self, field: Field) -> Sides:
        size = field.amount(256 << 20, 32 << 20)
        sides: dict[str, Callable[[], Mapping[str, float]]] = {
            kernel.name: partial(self._by_kernel, kernel, size) for kernel in field.papas()
        }
        sides[RAW] = partial(self._by_copy, "copy", size)
        sides[_AMP] = partial(self._by_copy, "amp_copy", size)
        return sides

    def _by_kernel(self, kernel: PapaKernel, size: int) -> Mapping[str, float]:
        return {
            quantity.name: self._read(kernel, size, client)
            for quantity, client in zip(self.quantities, ("blocking_client", "deferred_client"), strict=True)
        }

    def _read(self, kernel: PapaKernel, size: int, client: str) -> float:
        pid = kernel.make("loud", ["/usr/bin/head", "-c", str(size), "/dev/zero"], f"stderr=stdout bufsize={2 * size}")
        with Ends([pid]) as ends:
            ends.wait()
        return self._told(bare_program(client, kernel.control, "loud"), size)

    def _by_copy(self, program: str, size: int) -> Mapping[str, float]:
        rate = self._told(bare_program(program, str(size)), size)
        return {quantity.name: rate for quantity in self.quantities}

    @staticmethod
    def _told(command: Sequence[str], size: int) -> float:
        with Program(command, talks=True) as program:
            program.output.readline()
            began = time.perf_counter()
            program.input.write(b"begin\n")
            program.input.flush()
            said = program.output.readline()
            return _rate(size, time.perf_counter() - began, said)


FIGURES: Final = (Version1Client(), OwnClients())
