"""C{papa events}: what happens in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from papa.cli.answers import json_lines_option, print_json
from papa.cli.connecting import running_kernel
from papa.cli.describing import moment
from papa.records import Happened
from papa.visible import escaped

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]

_FIGURES = {"process-exited": "exit code", "socket-made": "descriptor"}


@click.command()
@click.option("--since", type=click.IntRange(0), default=0, metavar="N", help="Begin behind the event of this number.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option("--clients", is_flag=True, help="Tell who connects and disconnects, too.")
@json_lines_option
@click.pass_context
def command(ctx: click.Context, since: int, follow: bool, clients: bool, json: bool) -> None:
    """
    Show what has happened to sockets, values and processes.

    Events are numbered without a gap, and some ten thousand are kept. Whoever remembers the last number goes on behind
    it with --since; if some of what follows is no longer kept, that is an error.
    """
    with running_kernel(ctx) as papa, papa.watch_events(since, follow=follow, clients=clients) as reader:
        try:
            for event in reader:
                if json:
                    print_json(_shape(event))
                else:
                    click.echo(_line(event))
        except KeyboardInterrupt:
            pass


def _shape(event: Happened) -> shapes.Event:
    return {
        "number": event.number,
        "time": event.timestamp,
        "kind": event.kind,
        "name": event.name,
        "detail": event.detail,
    }


def _line(event: Happened) -> str:
    figure = "" if event.detail is None else f" ({_FIGURES.get(event.kind, 'pid')} {event.detail})"
    return f"{event.number:6}  {moment(event.timestamp)}  {event.kind:15}  {escaped(event.name)}{figure}"
