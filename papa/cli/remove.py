"""C{papa rm}: have papa forget processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from papa.asked.processes import RemoveProcesses
from papa.cli.answers import json_option, print_json
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection
from papa.cli.processes import selected_processes

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """
    Throw away what the processes NAMES have printed, and forget them when they have ended.

    Nothing is stopped: a process that runs goes on, unread. papa signal TERM ends it.
    """
    with open_connection(ctx) as connection:
        processes = selected_processes(connection, names)
        if processes:
            connection.ask(RemoveProcesses(names=tuple(processes)))
    if json:
        answer: shapes.ForgottenProcesses = {
            "removed": [{"name": each.name, "pid": each.pid, "running": each.running} for each in processes.values()]
        }
        print_json(answer)
        return
    for process in processes.values():
        left = f"runs on, with pid {process.pid}, until it ends" if process.running else "is forgotten"
        click.echo(f"{process.name} {left}")
