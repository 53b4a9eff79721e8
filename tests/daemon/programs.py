"""Programs that become daemons, started and looked at from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support import PATIENCE, begin_program, plain_environ, until

#: What every program under test begins with.
PRELUDE = """
import atexit, fcntl, io, os, resource, select, signal, socket, stat, subprocess, sys, termios, threading, time
from papa.daemon import *

FOLDER = os.environ["TESTED_IN"]

def path(name):
    return os.path.join(FOLDER, name)

def note(text):
    '''Write down a line, and who says it.'''
    with open(path("notes"), "a") as notes:
        notes.write(f"{os.getpid()} {text}\\n")

def stay():
    while True:
        signal.pause()

def attempt(call):
    '''What a call fails with.'''
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip()}"
    return "no failure"
"""

_Found = TypeVar("_Found")

#: What says who has started a program, and what would change what it prints and when.
_LEFT_OUT = ("SYSTEMD_", "NOTIFY_", "LISTEN_", "WATCHDOG_", "PYTHONWARNINGS", "PYTHONUNBUFFERED")


def need_root() -> None:
    """Skip a test of what only root may do."""
    if os.geteuid() != 0:
        raise SkipTest("only root can become somebody else")


def status_of(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status)}


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: state, parent, group, session, terminal and so on."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return stat_of(pid)[0] not in ("Z", "X")
    except OSError:
        return False


def ancestors_of(pid: int) -> list[int]:
    """The parent of a process, the parent's parent and so on."""
    found = []
    while pid := int(stat_of(pid)[1]):
        found.append(pid)
    return found


def files_of(pid: int) -> dict[int, str]:
    """What a process has open, by descriptor."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def signals_of(pid: int, what: str) -> set[int]:
    """The signals that a process ignores (SigIgn), catches (SigCgt) or has blocked (SigBlk)."""
    mask = int(status_of(pid)[what], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def core_limits_of(pid: int) -> list[str]:
    """The soft and the hard limit of what may be dumped of a process."""
    title = "Max core file size"
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        return next(line[len(title) :].split()[:2] for line in limits if line.startswith(title))


class DaemonTestCase(SynchronousTestCase):
    """Tests that start programs which go into the background; whatever they leave behind ends with the test."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.environ = {name: value for name, value in plain_environ().items() if not name.startswith(_LEFT_OUT)}
        self.environ["TESTED_IN"] = self.folder
        self.addCleanup(self._end_all)

    def path(self, name: str) -> str:
        """The path of something in this test's folder."""
        return os.path.join(self.folder, name)

    def read(self, name: str) -> str:
        """What stands in a file of this test's folder; nothing if there is none."""
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def notes(self) -> list[tuple[int, str]]:
        """What the programs have noted, in order, and which process each was."""
        lines = [line.partition(" ") for line in self.read("notes").splitlines()]
        return [(int(pid), text) for pid, _, text in lines]

    def noted(self, text: str) -> int:
        """Wait until something was noted; who has."""
        return until(lambda: next((pid for pid, each in self.notes() if each == text), 0), f"noting {text!r}")

    def begin(self, source: str, *, under: Sequence[str] = (), **options: object) -> subprocess.Popen[str]:
        """Start a program, and leave it running until the test ends."""
        command = [*under, sys.executable, "-c", PRELUDE + textwrap.dedent(source)]
        return begin_program(self, command, self.environ, **options)

    def run_program(
        self, source: str, *, code: int | None = 0, under: Sequence[str] = (), **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a launcher until it has ended and nobody has its output open, and check its exit code."""
        program = self.begin(source, under=under, **options)
        try:
            out, err = program.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the launcher, or its output, goes on after {PATIENCE} seconds") from None
        if code is not None:
            self.assertEqual(program.returncode, code, f"{out}{err}")
        return subprocess.CompletedProcess(program.args, program.returncode, out, err)

    def daemon(self, arguments: str = "stay", before: str = "", **options: object) -> int:
        """Start a daemon, by what L{Daemon} is to be given; its pid."""
        source = f"{textwrap.dedent(before)}\nd = Daemon({arguments})\nd.start()\nprint(d.pid)\n"
        return int(self.run_program(source, **options).stdout)

    def assert_becomes(self, expected: _Found, ask: Callable[[], _Found]) -> None:
        """Something becomes true that may still be on its way."""
        with contextlib.suppress(AssertionError):
            until(lambda: ask() == expected)
        self.assertEqual(ask(), expected)

    def assert_ends(self, pid: int) -> None:
        """A process ends by itself."""
        until(lambda: not runs(pid), f"the end of process {pid}")

    def assert_no_daemon(self) -> None:
        """Of all that this test has started, nothing goes on."""
        until(lambda: not self._left(), "the end of all daemons")

    def terminate(self, pid: int) -> None:
        """End a daemon in order, and wait until it has."""
        os.kill(pid, signal.SIGTERM)
        self.assert_ends(pid)

    def _left(self) -> list[int]:
        """The processes of this test that run; its folder stands in their environment."""
        mark = f"TESTED_IN={self.folder}\0".encode()
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environ:
                if mark in environ.read() and runs(int(name)):
                    found.append(int(name))
        return found

    def _end_all(self) -> None:
        while left := self._left():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.assert_ends(pid)
