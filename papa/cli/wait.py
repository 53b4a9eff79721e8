"""C{papa wait}: wait until a process has come so far."""

from __future__ import annotations

import re
import select
import time
from typing import Final

import click

from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes
from papa.cli.failures import EXIT_NOT_REACHED, fail
from papa.cli.printing import ending
from papa.client.blocking import Watcher
from papa.errors import BadRequest
from papa.records import Closed, Output
from papa.visible import escaped

__all__ = ["command"]

#: How long a line may be, in bytes, before what it began with is looked at no more.
_LONGEST: Final = 1 << 16


class _Pattern(click.ParamType[re.Pattern[bytes] | None]):
    """C{exit}, or C{output=} and a regular expression."""

    name = "state"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[bytes] | None:
        word, _, expression = str(value).partition("=")
        if value == "exit":
            return None
        if word != "output" or not expression:
            self.fail(f"{value!r} is nothing to wait for: write exit or output=REGEX", param, ctx)
        try:
            return re.compile(expression.encode(errors="surrogateescape"))
        except re.error as error:
            self.fail(f"{expression!r} is no regular expression: {error}", param, ctx)


@click.command()
@click.argument("name", shell_complete=process_names)
@click.option("--for", "pattern", type=_Pattern(), default="exit", metavar="STATE", help="exit, or output=REGEX.")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up after this, with exit code 3.")
@click.pass_context
def command(ctx: click.Context, name: str, pattern: re.Pattern[bytes] | None, timeout: float | None) -> None:
    """
    Wait until the process NAME has ended, or has printed a line that contains something.

    Its kept output counts, too. This takes nothing away from anybody.

    \b
        papa wait job
        papa wait --for 'output=ready on port [0-9]+' --timeout 30 web.1
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with running_kernel(ctx) as papa:
        if len(selected_processes(papa, [name])) != 1:
            raise BadRequest(f"{name!r} is more than one process: wait for one at a time")
        with papa.watch_processes(name, observe=True) as watcher:
            _wait(watcher, name, pattern, deadline)


def _wait(watcher: Watcher, name: str, pattern: re.Pattern[bytes] | None, deadline: float | None) -> None:
    lines: dict[int, bytes] = {}
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not watcher.ready and not select.select([watcher], [], [], left)[0]:
            fail(f"{name} has not come so far", EXIT_NOT_REACHED)
        for item in watcher.read_items() or ():
            if isinstance(item, Closed):
                if pattern is None:
                    click.echo(f"{name} {ending(item)}")
                    return
                fail(f"{name} {ending(item)} before it printed that", EXIT_NOT_REACHED)
            if pattern is None or not isinstance(item, Output):
                continue
            *whole, rest = (lines.pop(item.channel, b"") + item.data).split(b"\n")
            for line in (*whole, rest):
                if pattern.search(line):
                    click.echo(escaped(line.decode(errors="surrogateescape")))
                    return
            lines[item.channel] = rest[-_LONGEST:]
