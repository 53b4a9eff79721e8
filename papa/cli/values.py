"""C{papa value}: what papa remembers for programs."""

from __future__ import annotations

import sys

import click

from papa.cli.answers import json_option, print_json
from papa.cli.completing import value_names
from papa.cli.connecting import running_kernel, started_kernel
from papa.cli.failures import EXIT_NOT_FOUND, fail
from papa.cli.tables import table
from papa.names import nearest

__all__ = ["command"]


@click.group("value")
def command() -> None:
    """
    Keep texts under names, for whatever comes and goes.

    \b
        papa value set deployed 2026-11-21
        papa value get deployed
    """


@command.command("set")
@click.argument("name", shell_complete=value_names)
@click.argument("value", required=False)
@click.pass_context
def set_value(ctx: click.Context, name: str, value: str | None) -> None:
    """
    Keep VALUE under NAME; without VALUE, keep what comes on standard input.

    What is given as VALUE can be seen by others in the list of processes: give a secret on standard input. An empty
    value forgets the name.
    """
    if value is None:
        value = sys.stdin.buffer.read().decode(errors="surrogateescape")
    with started_kernel(ctx) as papa:
        papa.set(name, value)


@command.command("get")
@click.argument("name", shell_complete=value_names)
@json_option
@click.pass_context
def get_value(ctx: click.Context, name: str, as_json: bool) -> None:
    """Print the value of NAME; a newline follows it on a terminal only."""
    with running_kernel(ctx) as papa:
        value = papa.get(name)
        if value is None:
            fail(f"there is no value {name!r}{nearest(name, papa.list_values())}", EXIT_NOT_FOUND)
    if as_json:
        print_json(name=name, value=value)
        return
    sys.stdout.buffer.write(value.encode(errors="surrogateescape") + b"\n" * sys.stdout.isatty())


@command.command("ls")
@click.argument("names", nargs=-1, shell_complete=value_names)
@json_option
@click.pass_context
def list_values(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """List the names of values, all or NAMES, and how long they are; what they are, papa value get prints."""
    with running_kernel(ctx) as papa:
        sizes = {name: len(value) for name, value in papa.list_values(*names).items()}
    if as_json:
        print_json(values=[{"name": name, "length": size} for name, size in sizes.items()])
    elif sizes:
        table(("VALUE", "LENGTH", ""), [(name, str(size), "") for name, size in sizes.items()])


@command.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=value_names)
@click.pass_context
def remove_values(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Forget values; web.* are all whose name begins so."""
    with running_kernel(ctx) as papa:
        held = papa.list_values()
        for name in names:
            if not papa.list_values(name):
                fail(f"there is no value {name!r}{nearest(name, held)}", EXIT_NOT_FOUND)
        papa.remove_values(*names)
