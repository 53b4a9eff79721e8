"""How many requests are answered in a second."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from bench.capture import bare_program
from bench.console import Console, exchange
from bench.field import Field
from bench.kernels import Kernel, PapaKernel, Version1
from bench.pipelining import connected
from bench.rounds import ANCHORED, MODES, Figure, Quantity, Sides, Target, both
from bench.started import Program
from papa.commands import Command, Get, Set
from papa.wire import program

__all__ = ["ECHO", "FIGURES"]

ECHO: Final = "bare Twisted echo"
_VALUE: Final = "a value of some bytes"
_CONNECTIONS: Final = 16

#: One connection with a request, and how long the answer to that is.
Talk = tuple[socket.socket, bytes, int]


class Requests(Figure):
    """
    C{get} and C{set} of a value of 21 bytes.

    All clients are the same bare one: it sends the bytes of a request, and receives until all bytes of the answer have
    come. One connection, each request once the last was answered; or 16 connections, each with one request on its way.
    The bare echo is a Twisted server whose protocol writes back what it receives, with requests as long as papa's; its
    rates are the same for all quantities but that of 16 connections. All are Unix sockets.
    """

    name = "requests"
    quantities = (
        Quantity(name="get, console", unit="/s", targets=(*both(Version1.name, least=1), *both(ECHO, least=0.7))),
        Quantity(
            name="set, console",
            unit="/s",
            targets=(
                Target(side=MODES[0], against=Version1.name, least=1),
                Target(side=MODES[0], against=ECHO, least=0.7),
                Target(side=ANCHORED, against=ANCHORED, of="get, console", least=0.25),
            ),
        ),
        Quantity(name="get, program wire", unit="/s", targets=both(ECHO, least=0.7)),
        Quantity(
            name="set, program wire",
            unit="/s",
            targets=(
                Target(side=MODES[0], against=ECHO, least=0.7),
                Target(side=ANCHORED, against=ANCHORED, of="get, program wire", least=0.25),
            ),
        ),
        Quantity(
            name="get, console, 16 connections",
            unit="/s",
            targets=(*both(Version1.name, least=1), *both(ECHO, least=0.7)),
        ),
        Quantity(name="get, program wire, 16 connections", unit="/s", targets=both(ECHO, least=0.7)),
    )

    def sides(self, field: Field) -> Sides:
        self._count = field.amount(5000, 500)
        sides: dict[str, Callable[[], Mapping[str, float]]] = {}
        for kernel in (*field.papas(), *field.version1()):
            with kernel.console() as console:
                console.ask(f"set held {_VALUE}")
            sides[kernel.name] = partial(self._by_kernel, kernel)
        path = os.path.join(field.folder, "echo")
        echo = Program(bare_program("echo", path), talks=True)
        field.on_end(echo.end)
        echo.output.readline()
        sides[ECHO] = partial(self._by_echo, path)
        return sides

    def _by_kernel(self, kernel: Kernel) -> Mapping[str, float]:
        names = [quantity.name for quantity in self.quantities]
        found = {
            names[0]: self._in_turn([on_console(kernel, "get held")]),
            names[1]: self._in_turn([on_console(kernel, f"set held {_VALUE}")]),
            names[4]: self._in_turn([on_console(kernel, "get held") for _ in range(_CONNECTIONS)]),
        }
        if isinstance(kernel, PapaKernel):
            get, change = Get(name="held"), Set(name="held", value=_VALUE)
            found |= {
                names[2]: self._in_turn([on_program_wire(kernel, get)]),
                names[3]: self._in_turn([on_program_wire(kernel, change)]),
                names[5]: self._in_turn([on_program_wire(kernel, get) for _ in range(_CONNECTIONS)]),
            }
        return found

    def _by_echo(self, path: str) -> Mapping[str, float]:
        def talk() -> Talk:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            request = b"x" * 40
            return sock, request, len(request)

        one, many = self._in_turn([talk()]), self._in_turn([talk() for _ in range(_CONNECTIONS)])
        return {
            quantity.name: many if f"{_CONNECTIONS} connections" in quantity.name else one
            for quantity in self.quantities
        }

    def _in_turn(self, talks: Sequence[Talk]) -> float:
        """The rate; the connections are closed."""
        began = time.perf_counter()
        if len(talks) == 1:
            for _ in range(self._count):
                exchange(*talks[0])
        else:
            for _ in range(self._count // len(talks)):
                for sock, request, _ in talks:
                    sock.sendall(request)
                for sock, _, size in talks:
                    exchange(sock, b"", size)
        elapsed = time.perf_counter() - began
        for sock, _, _ in talks:
            sock.close()
        return self._count // len(talks) * len(talks) / elapsed


def on_console(kernel: Kernel, line: str) -> Talk:
    """A request on the console."""
    console = Console(kernel.path)
    answer = console.ask(line)
    return console.sock, f"{line}\n".encode(), len(answer.encode()) + 2


def on_program_wire(kernel: PapaKernel, command: Command) -> Talk:
    """A request on the program wire."""
    sock, reader = connected(kernel)
    request = program.request_bytes(command, 1)
    sock.sendall(request)
    size = 0
    while (box := reader.take()) is None:
        data = sock.recv(65536)
        size += len(data)
        reader.receive(data)
    program.read_answer(command, box)
    return sock, request, size


FIGURES: Final = (Requests(),)
