"""The kernels that are measured: papa in both modes, and papa 1.0.6."""

from __future__ import annotations

import os
import re
import select
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from bench.console import Console
from bench.rounds import ANCHORED, PAPA
from bench.started import PATIENCE, Ends, Program, plain_environ
from papa.client.blocking import Papa
from papa.client.location import Location
from papa.client.program import Connection

__all__ = ["AnchoredKernel", "Kernel", "PapaKernel", "Version1"]


class Kernel:
    """
    A kernel that serves a console at a Unix path.

    @ivar path: of its console.
    @ivar pids: of the processes that it consists of.
    """

    name: ClassVar[str] = ""

    def __init__(self, folder: str) -> None:
        """
        @param folder: in which it gets one of its own.
        """
        self.folder = tempfile.mkdtemp(prefix="kernel-", dir=folder)
        self.path = os.path.join(self.folder, "console")
        self.program = self._started()
        self.pids = [self.program.pid]

    def _started(self) -> Program:
        raise NotImplementedError

    def console(self) -> Console:
        """A conversation on its console."""
        return Console(self.path)

    def make(self, name: str, command: Sequence[str], options: str = "") -> int:
        """Make a process; its pid."""
        with self.console() as console:
            return console.make(name, command, options)

    def make_many(self, command: Sequence[str], count: int, prefix: str = "idle.") -> list[int]:
        """Make so many of the same; their pids."""
        with self.console() as console:
            return [console.make(f"{prefix}{number}", command) for number in range(count)]

    def finish(self, name: str) -> None:
        """Have a process forgotten that ends by itself."""
        with self.console() as console:
            console.watch_to_end(name)

    def remove(self, names: str) -> None:
        """Have processes forgotten, as soon as they have ended."""
        with self.console() as console:
            console.ask(f"remove processes {names}")

    def kill_all(self, names: str = "") -> None:
        """Kill processes, and have them forgotten."""
        with self.console() as console:
            said = console.ask(f"list processes {names}")
            pids = [int(pid) for pid in re.findall(r" pid=(\d+) running=True", said)]
            if not said:
                return
            console.ask(f"remove processes {names or '*'}")
            with Ends(pids) as ends:
                ends.kill()
                ends.wait()

    def end(self) -> None:
        """Kill its processes, and end it."""
        with suppress(OSError, EOFError, RuntimeError):
            self.kill_all()
        self.program.end()


class PapaKernel(Kernel):
    """This papa."""

    name = PAPA
    options: ClassVar[Sequence[str]] = ()
    #: What runs C{papa}; to be measured otherwise, a profiler may stand before it.
    command: ClassVar[Sequence[str]] = (sys.executable, "-P", "-m", "papa")
    #: How many descriptors a process with one captured stream takes: its pipe, and a pidfd.
    descriptors: ClassVar[int] = 2

    def _started(self) -> Program:
        reading, writing = os.pipe()
        self.environ = plain_environ(PAPA_RUNTIME_DIR=self.folder, XDG_CONFIG_HOME=self.folder)
        program = Program(
            [*self.command, "serve", "-u", self.path, "--ready-fd", str(writing), *self.options],
            environ=self.environ,
            log=os.path.join(self.folder, "log"),
            descriptors=[writing],
        )
        os.close(writing)
        with open(reading, encoding="utf-8") as ready:
            said = ready.read()
        if not said.startswith("ready "):
            program.end()
            raise RuntimeError(f"papa does not come up: {said}")
        return program

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.control = os.path.join(self.folder, "papa.sock")
        connection = self.connection()
        self.kernel_pid = connection.greeting.pid
        self.pids = [self.kernel_pid]
        if connection.greeting.anchor:
            self.pids.append(connection.greeting.anchor)
        connection.close()

    def connection(self) -> Connection:
        """A conversation on its program wire."""
        return Connection(Location(path=self.control), PATIENCE)

    def client(self) -> Papa:
        """The blocking client."""
        return Papa(self.control)


class AnchoredKernel(PapaKernel):
    """This papa at an anchor."""

    name = ANCHORED
    options = ("--anchor",)
    #: The same twice: the kernel holds for another anchor what its own has.
    descriptors = 4


class Version1(Kernel):
    """papa 1.0.6."""

    name = "papa 1.0.6"

    def __init__(self, folder: str, python: str) -> None:
        """
        @param python: of an environment that has it.
        """
        self.python = python
        super().__init__(folder)

    def _started(self) -> Program:
        program = Program(
            [os.path.join(os.path.dirname(self.python), "papa"), "-u", self.path], log=os.path.join(self.folder, "log")
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError):
                self.console().sock.close()
                return program
            select.select([], [], [], 0.02)  # Nothing tells when it listens.
        program.end()
        raise RuntimeError("papa 1.0.6 does not come up")
