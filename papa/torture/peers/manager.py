"""What a manager of processes is to the scenario."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from typing import Final, Protocol

from papa.errors import Unreachable
from papa.torture import service
from papa.torture.peers import worker

__all__ = ["Daemon", "Manager", "Plan", "installed", "parent_of"]

#: How long a manager has to come up again, in seconds; after how long it is taken to stay; the pause between attempts.
_PATIENCE: Final = 10.0
_STAYS: Final = 3.0
_PAUSE: Final = 0.5


@dataclass(frozen=True)
class Plan:
    """
    What is to be run.

    @ivar folder: for the manager's files; C{notes}: for what the programs note.
    @ivar printers: how many run at a time.
    @ivar port: of the service, at 127.0.0.1.
    """

    folder: str
    notes: str
    printers: int
    port: int

    def printer(self, slot: str) -> list[str]:
        """The words of a printer."""
        return [sys.executable, "-S", "-E", worker.__file__, self.notes, slot]

    def service(self, where: str) -> list[str]:
        """The words of the service: where as L{papa.torture.service.main} has it."""
        return [sys.executable, "-S", "-E", service.__file__, where, self.notes]

    def path(self, name: str) -> str:
        """Of a file of the manager's."""
        return os.path.join(self.folder, name)

    def lines(self) -> Iterator[bytes]:
        """What the manager has put into its files of standard output, one for each printer."""
        for name in glob(self.path("out.*")):
            with open(name, "rb") as file:
                yield from file


class Manager(Protocol):
    """
    Runs the printers and the service, and again whatever has ended.

    @ivar version: its name and version, and C{pid} that of what is killed.
    """

    version: str

    @property
    def pid(self) -> int:
        """Of the process that is killed, and whose child everything is."""

    def start(self) -> None:
        """Begin."""

    def kill(self) -> bool:
        """Kill it with SIGKILL, and start it again as its documentation says; whether it came up."""

    def end(self) -> None:
        """End it in order, and all that it runs."""

    def codes(self) -> dict[int, int]:
        """The exit codes that it has told, by process id."""


class Daemon:
    """A manager that is a program with a file of settings, started in the foreground."""

    def __init__(self, plan: Plan, command: list[str]) -> None:
        self._plan = plan
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the program."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the program."""
        with open(self._plan.path("said"), "ab") as said:
            self._process = subprocess.Popen(
                self._command, cwd=self._plan.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    def kill(self) -> bool:
        """Kill it, and start it again until it stays."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            self.start()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STAYS)
                time.sleep(_PAUSE)
                continue
            return True
        return False

    def end(self) -> None:
        """Tell it to end; it ends what it runs."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def installed(program: str, package: str) -> str:
    """
    Where a program is: beside this Python, or in the path.

    @raise Unreachable: if it is nowhere.
    """
    found = shutil.which(program, path=os.path.dirname(sys.executable)) or shutil.which(program)
    if found is None:
        raise Unreachable(f"{program} is not installed here: pip install {package}")
    return found


def parent_of(pid: int) -> int | None:
    """The parent of a process, if that is there."""
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])
    return None
