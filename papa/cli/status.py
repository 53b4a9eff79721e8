"""C{papa status}: what the kernel holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from papa.cli.answers import json_option, print_json
from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes
from papa.cli.sockets import show_sockets
from papa.cli.tables import duration, state, table

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """
    Show what papa holds: processes, sockets and how many values; with NAMES only the processes of these names.

    Also called ps and ls.
    """
    with running_kernel(ctx) as papa:
        processes = selected_processes(papa, names)
        sockets = {} if names else papa.list_sockets()
        values = {} if names else papa.list_values()
    if as_json:
        print_json(
            processes=[{"name": name, **each} for name, each in processes.items()],
            sockets=[{"name": name, **each} for name, each in sockets.items()],
            values=sorted(values),
        )
    else:
        _show(processes, sockets, values)


def _show(
    processes: Mapping[str, Mapping[str, Any]], sockets: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]
) -> None:
    now = time.time()
    if processes:
        rows = [
            (name, state(each), str(each["pid"]), duration(now - each["started"]), each["args"])
            for name, each in processes.items()
        ]
        table(("PROCESS", "STATE", "PID", "AGE", "COMMAND"), rows)
    if sockets:
        if processes:
            click.echo()
        show_sockets(sockets)
    if values:
        if processes or sockets:
            click.echo()
        click.echo(f"{len(values)} value{'s' if len(values) > 1 else ''}: {', '.join(sorted(values))}")
    if not (processes or sockets or values):
        click.echo("papa holds nothing.")
