"""C{papa shutdown}: end a kernel that holds nothing."""

from __future__ import annotations

import click

from papa.cli.connecting import running_kernel
from papa.cli.failures import EXIT_NOT_REACHED, fail

__all__ = ["command"]


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """
    End the kernel, if it holds nothing that somebody may count on.

    Otherwise it stays, and this says what it still holds, with exit code 3. It ends once its last client has gone.
    """
    with running_kernel(ctx) as papa:
        held = [
            f"{len(things)} {kind if len(things) > 1 else kind.removesuffix('es' if kind == 'processes' else 's')}"
            for kind, things in (
                ("processes", papa.list_processes()),
                ("sockets", papa.list_sockets()),
                ("values", papa.list_values()),
            )
            if things
        ]
        leaving = papa.exit_if_idle()
    if not leaving:
        fail(f"papa stays: it holds {', '.join(held) or 'something'}; papa status shows what", EXIT_NOT_REACHED)
    click.echo("papa ends with its last connection")
