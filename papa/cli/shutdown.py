"""C{papa shutdown}: end a kernel that holds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from papa.asked.listings import ListProcesses, ListSockets, ListValues
from papa.asked.talk import ExitIfIdle
from papa.cli.answers import json_option, print_json
from papa.cli.connecting import open_connection
from papa.cli.describing import counted
from papa.cli.failures import EXIT_NOT_REACHED, fail

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, json: bool) -> None:
    """
    End the kernel, if it holds nothing that somebody may count on.

    Otherwise it stays, and this says what it still holds, with exit code 3. It ends once its last client has gone.
    """
    with open_connection(ctx) as connection:
        answer: shapes.Ending = {
            "leaving": False,
            "processes": len(connection.ask(ListProcesses())),
            "sockets": len(connection.ask(ListSockets())),
            "values": len(connection.ask(ListValues())),
        }
        answer["leaving"] = connection.ask(ExitIfIdle())
    if json:
        print_json(answer)
    elif answer["leaving"]:
        click.echo("papa ends with its last connection")
    if not answer["leaving"]:
        found = (("process", answer["processes"]), ("socket", answer["sockets"]), ("value", answer["values"]))
        held = [counted(number, thing) for thing, number in found if number]
        fail(f"the kernel stays: it holds {', '.join(held) or 'something'}; papa status shows what", EXIT_NOT_REACHED)
