"""C{papa status}: what the kernel holds."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import click

from papa.asked.listings import ListSockets, ListValues
from papa.cli.answers import json_option, print_json, process_shape, socket_shape
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection
from papa.cli.describing import counted, duration, state
from papa.cli.processes import selected_processes
from papa.cli.socket_table import show_sockets
from papa.cli.tables import show_table
from papa.records import Process, Socket

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """
    Show what papa holds: processes, sockets and how many values; with NAMES only the processes of these names.

    Also called ps and ls.
    """
    with open_connection(ctx) as connection:
        processes = selected_processes(connection, names)
        sockets = {} if names else connection.ask(ListSockets())
        values = [] if names else list(connection.ask(ListValues()))
        kernel = connection.greeting
    if json:
        answer: shapes.Status = {
            "processes": [process_shape(each) for each in processes.values()],
            "sockets": [socket_shape(each) for each in sockets.values()],
            "values": values,
            "kernel": {"pid": kernel.pid, "anchor": kernel.anchor or None, "kernels": kernel.kernels},
        }
        print_json(answer)
    else:
        _show(processes, sockets, values)
        if kernel.kernels > 1 and not names:
            times = "once" if kernel.kernels == 2 else f"{kernel.kernels - 1} times"
            click.echo(f"\nThis is kernel {kernel.kernels} of its anchor: another has gone on {times}.")


def _show(processes: Mapping[str, Process], sockets: Mapping[str, Socket], values: Collection[str]) -> None:
    now = time.time()
    if processes:
        rows = [
            (name, state(each), str(each.pid), duration(now - each.started), " ".join(each.args))
            for name, each in processes.items()
        ]
        show_table(("PROCESS", "STATE", "PID", "AGE", "COMMAND"), rows)
    if sockets:
        if processes:
            click.echo()
        show_sockets(sockets)
    if values:
        if processes or sockets:
            click.echo()
        click.echo(f"{counted(len(values), 'value')}: {', '.join(values)}")
    if not (processes or sockets or values):
        click.echo("papa holds nothing.")
