"""C{papa upgrade}: have another kernel go on with all that is held."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from papa.cli.answers import json_option, print_json
from papa.cli.connecting import running_kernel

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command()
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, executable=True),
    metavar="PATH",
    help="Run it with this Python; with the same by default.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, python: str | None, json: bool) -> None:
    """
    Have the papa that is installed now go on with all that the running one holds.

    The next kernel first shows that it can go on from the state; if it cannot, nothing happens, and this says why. Then
    the running one gives way. No process notices, no connection to a held socket is refused, and clients go on by
    themselves.
    """
    with running_kernel(ctx) as papa:
        before = papa.kernel_pid
        begun = time.monotonic()
        papa.upgrade(os.path.abspath(python) if python else "")
        rehearsed = time.monotonic()
        while papa.kernel_pid == before:
            papa.list_values("no such name")
        now = time.monotonic()
        answer: shapes.Upgraded = {
            "pid": papa.kernel_pid or 0,
            "before": before or 0,
            "pause": now - rehearsed,
            "preparation": rehearsed - begun,
        }
    if json:
        print_json(answer)
    else:
        click.echo(
            f"papa goes on with pid {answer['pid']} instead of {before}; "
            f"the pause was {answer['pause']:.2f} s, after {answer['preparation']:.1f} s of preparation"
        )
