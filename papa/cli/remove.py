"""C{papa rm}: have papa forget processes."""

from __future__ import annotations

import click

from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes

__all__ = ["command"]


@click.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """
    Throw away what the processes NAMES have printed, and forget them when they have ended.

    Nothing is stopped: a process that runs goes on, unread. papa signal TERM ends it.
    """
    with running_kernel(ctx) as papa:
        processes = selected_processes(papa, names)
        papa.remove_processes(*processes)
    for name, process in processes.items():
        left = f"runs on, with pid {process['pid']}, until it ends" if process["running"] else "is forgotten"
        click.echo(f"{name} {left}")
