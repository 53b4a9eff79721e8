"""A gate that children wait at, so that none begins before all is ready and no start is measured with their work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bench.started import await_readable

__all__ = ["Gate", "Leash", "gate"]


class Gate:
    """Two named pipes: children say at one that they are there, and hear at the other that they may go on."""

    def __init__(self, folder: str) -> None:
        there, go = paths = [os.path.join(folder, name) for name in ("there", "go")]
        for path in paths:
            os.mkfifo(path)
        self._there, self._go = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in paths)
        self._script = os.path.join(folder, "gate.sh")
        with open(self._script, "w", encoding="utf-8") as script:
            # 'read' takes one byte after the other, so that each of many children gets one line.
            script.write(f'echo >{there}\nread -r line <{go}\nexec "$@"\n')

    def behind(self, *command: str) -> list[str]:
        """A command that becomes the given one once the gate was opened for it."""
        return ["/bin/sh", self._script, *command]

    def await_there(self, count: int) -> None:
        """
        Wait until so many children are at the gate.

        @raise TimeoutError: if they do not come.
        """
        while count:
            await_readable(self._there, "the start of a child")
            count -= len(os.read(self._there, count))

    def open(self, count: int) -> None:
        """Let so many children through."""
        os.write(self._go, b"\n" * count)

    def close(self) -> None:
        """Watch it no more."""
        os.close(self._there)
        os.close(self._go)


@contextmanager
def gate(folder: str) -> Iterator[Gate]:
    """A gate in a folder of its own below the given one."""
    made = Gate(tempfile.mkdtemp(prefix="gate-", dir=folder))
    try:
        yield made
    finally:
        made.close()


class Leash:
    """
    Children that print nothing and wait for nothing but the end of the benchmark, whatever that comes of.

    @ivar command: what such a child runs.
    """

    def __init__(self, folder: str) -> None:
        path = os.path.join(tempfile.mkdtemp(prefix="leash-", dir=folder), "leash")
        os.mkfifo(path)
        self._held = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.command = ["/bin/cat", path]

    def release(self) -> None:
        """Let all of them exit."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
