"""C{papa upgrade}: have another kernel go on with all that is held."""

from __future__ import annotations

import os
import time

import click

from papa.cli.connecting import running_kernel

__all__ = ["command"]


@click.command()
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, executable=True),
    metavar="PATH",
    help="Run it with this Python; with the same by default.",
)
@click.pass_context
def command(ctx: click.Context, python: str | None) -> None:
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
        click.echo(
            f"papa goes on with pid {papa.kernel_pid} instead of {before}; "
            f"the pause was {now - rehearsed:.2f} s, after {rehearsed - begun:.1f} s of preparation"
        )
