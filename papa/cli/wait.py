"""C{papa wait}: wait until a process has come so far."""

from __future__ import annotations

import re
import select
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import click

from papa.cli.answers import json_option, print_json
from papa.cli.completing import process_names
from papa.cli.connecting import kernel_location, open_connection, started_kernel
from papa.cli.failures import EXIT_NOT_REACHED, fail
from papa.cli.printing import ending
from papa.cli.processes import selected_processes
from papa.drivers.families import VISIBLE, families, listening
from papa.errors import BadRequest
from papa.records import Closed, Item, Output, Process
from papa.visible import escaped

if TYPE_CHECKING:
    from papa.cli import shapes
    from papa.client.blocking import Watcher

__all__ = ["command"]

#: How long a line may be, in bytes, before what it began with is looked at no more.
_LONGEST: Final = 1 << 16
#: How long to wait before looking again at what nothing tells of, in seconds.
_PAUSE: Final = 0.05
#: So long the kernel has to answer, however short the wait is to be, in seconds.
_LEAST: Final = 1.0


class _Goal(Protocol):
    """How far a process is to come."""

    @property
    def unmet(self) -> str:
        """What it has not done otherwise."""

    def look(self, process: Process) -> shapes.Reached | None:
        """Whether it has, as far as can be seen from outside."""

    def read(self, item: Item) -> shapes.Reached | None:
        """Whether what it printed, or its end, shows that it has."""

    def told(self, reached: shapes.Reached) -> str:
        """That it has, in words."""


class _Exit:
    """Its end."""

    unmet = "has not ended"

    def look(self, process: Process) -> None:
        """That will be told."""

    def read(self, item: Item) -> shapes.Reached | None:
        if not isinstance(item, Closed):
            return None
        return {"name": item.name, "state": "exit", "exit_code": item.exit_code, "line": None, "where": None}

    def told(self, reached: shapes.Reached) -> str:
        return f"{reached['name']} {ending(reached['exit_code'] or 0)}"


@dataclass(slots=True)
class _Line:
    """A line that contains something."""

    pattern: re.Pattern[bytes]
    unmet: str = "has not printed such a line"
    _begun: dict[int, bytes] = field(default_factory=dict)

    def look(self, process: Process) -> None:
        """That will be read."""

    def read(self, item: Item) -> shapes.Reached | None:
        if not isinstance(item, Output):
            return None
        *whole, rest = (self._begun.pop(item.channel, b"") + item.data).split(b"\n")
        for line in (*whole, rest):
            if self.pattern.search(line):
                shown = escaped(line.decode(errors="surrogateescape"))
                return {"name": item.name, "state": "output", "exit_code": None, "line": shown, "where": None}
        self._begun[item.channel] = rest[-_LONGEST:]
        return None

    def told(self, reached: shapes.Reached) -> str:
        return reached["line"] or ""


@dataclass(frozen=True, slots=True)
class _Port:
    """
    That it accepts connections.

    @ivar where: the port or path; L{None} for any.
    """

    where: int | str | None
    unmet: str = "does not listen there"

    def look(self, process: Process) -> shapes.Reached | None:
        try:
            if not VISIBLE:
                fail("this system does not tell who listens where: wait for a line of output, or for the end")
            found = listening(families([process.pid])[process.pid])
        except PermissionError:
            fail(f"on what {process.name} listens is for its user and for root to see")
        for each in found:
            if self.where in (None, each):
                return {"name": process.name, "state": "port", "exit_code": None, "line": None, "where": each}
        return None

    def read(self, item: Item) -> None:
        """That can be seen only from outside."""

    def told(self, reached: shapes.Reached) -> str:
        where = reached["where"]
        return f"{reached['name']} listens on {f'port {where}' if isinstance(where, int) else escaped(str(where))}"


class _Goals(click.ParamType[_Goal]):
    """C{exit}, C{output=} and a regular expression, or C{port}, with or without the one."""

    name = "state"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> _Goal:
        word, _, detail = str(value).partition("=")
        if value == "exit":
            return _Exit()
        if value == "port":
            return _Port(None)
        if word == "port" and detail.startswith("/"):
            return _Port(detail)
        if word == "port" and detail.isascii() and detail.isdecimal() and 0 < int(detail) < 1 << 16:
            return _Port(int(detail))
        if word != "output" or not detail:
            choices = "exit, output=REGEX, port, port=NUMBER or port=/PATH"
            self.fail(f"{value!r} is nothing to wait for: write {choices}", param, ctx)
        try:
            return _Line(re.compile(detail.encode(errors="surrogateescape")))
        except re.error as error:
            self.fail(f"{detail!r} is no regular expression: {error}", param, ctx)


@click.command()
@click.argument("name", shell_complete=process_names)
@click.option(
    "--for",
    "goal",
    type=_Goals(),
    default="exit",
    metavar="STATE",
    envvar="PAPA_WAIT_FOR",
    help="exit, output=REGEX, port, port=NUMBER or port=/PATH. [default: exit]",
)
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up after this, with exit code 3.")
@json_option
@click.pass_context
def command(ctx: click.Context, name: str, goal: _Goal, timeout: float | None, json: bool) -> None:
    """
    Wait until the process NAME has ended, has printed a line that contains something, or accepts connections.

    Its kept output counts, too. This takes nothing away from anybody. With port it waits until the process, or one that
    it has started, listens on a TCP port or a Unix socket, any or that one; nobody connects to see. A held socket that
    it was given counts from the start, for connections to it wait and are not refused.

    \b
        papa wait job
        papa wait --for 'output=ready in [0-9]+ ms' --timeout 30 web.1
        papa wait --for port=8080 --timeout 30 web.1
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with ExitStack() as stack:
        with _answering(ctx, timeout):
            with open_connection(ctx) as connection:
                processes = selected_processes(connection, [name])
            if len(processes) != 1:
                raise BadRequest(f"{name!r} is more than one process: wait for one at a time")
            (process,) = processes.values()
            papa = stack.enter_context(started_kernel(ctx))
            watcher = stack.enter_context(papa.watch_processes(process.name, observe=True))
        reached = _wait(watcher, process, goal, deadline)
    if json:
        print_json(reached)
    else:
        click.echo(goal.told(reached))


@contextmanager
def _answering(ctx: click.Context, timeout: float | None) -> Iterator[None]:
    """Give up where the kernel does not answer in time."""

    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        fail(f"the kernel at {kernel_location(ctx)} does not answer", EXIT_NOT_REACHED)

    # Whichever of several things is waited for.
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0 if timeout is None else max(timeout, _LEAST))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _wait(watcher: Watcher, process: Process, goal: _Goal, deadline: float | None) -> shapes.Reached:
    looking = isinstance(goal, _Port)
    while True:
        if reached := goal.look(process):
            return reached
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        pause = left if not looking else _PAUSE if left is None else min(left, _PAUSE)
        if not watcher.ready and not select.select([watcher], [], [], pause)[0]:
            if left == pause:
                fail(f"{process.name} {goal.unmet} so far", EXIT_NOT_REACHED)
            continue
        for item in watcher.read_items() or ():
            if reached := goal.read(item):
                return reached
            if isinstance(item, Closed):
                was = "was " if item.exit_code < 0 else ""
                fail(f"{item.name} {goal.unmet}, and {was}{ending(item.exit_code)}", EXIT_NOT_REACHED)
