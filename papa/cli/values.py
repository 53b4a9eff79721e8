"""C{papa value}: what papa remembers for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from papa.asked.listings import ListValues
from papa.asked.values import Get, RemoveValues, Set
from papa.cli.answers import json_option, print_json
from papa.cli.completing import value_names
from papa.cli.connecting import open_connection, selected
from papa.errors import NotFound
from papa.names import nearest

if TYPE_CHECKING:
    from papa.cli import shapes

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
@json_option
@click.pass_context
def set_value(ctx: click.Context, name: str, value: str | None, json: bool) -> None:
    """
    Keep VALUE under NAME; without VALUE, keep what comes on standard input.

    What is given as VALUE can be seen by others in the list of processes: give a secret on standard input. An empty
    value forgets the name. A kernel is started if none runs.
    """
    if value is None:
        value = sys.stdin.buffer.read().decode(errors="surrogateescape")
    with open_connection(ctx, start=True) as connection:
        connection.ask(Set(name=name, value=value or None))
    if json:
        answer: shapes.ValueLength = {"name": name, "length": len(value)}
        print_json(answer)


@command.command("get")
@click.argument("name", shell_complete=value_names)
@json_option
@click.pass_context
def get_value(ctx: click.Context, name: str, json: bool) -> None:
    """Print the value of NAME; a newline follows it on a terminal only."""
    with open_connection(ctx) as connection:
        value: str | None = connection.ask(Get(name=name))
        if value is None:
            raise NotFound(f"there is no value {name!r}{nearest(name, connection.ask(ListValues()))}")
    if json:
        answer: shapes.Value = {"name": name, "value": value}
        print_json(answer)
        return
    sys.stdout.buffer.write(value.encode(errors="surrogateescape") + b"\n" * sys.stdout.isatty())


@command.command("ls")
@click.argument("names", nargs=-1, shell_complete=value_names)
@json_option
@click.pass_context
def list_values(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """List the names of values, all or NAMES, and how long they are; what they are, papa value get prints."""
    from papa.cli.tables import show_table

    with open_connection(ctx) as connection:
        values = selected(connection, ListValues, names, "value")
    if json:
        answer: shapes.Values = {"values": [{"name": name, "length": len(value)} for name, value in values.items()]}
        print_json(answer)
    elif values:
        show_table(("LENGTH", "VALUE"), [(str(len(value)), name) for name, value in values.items()], {"LENGTH"})


@command.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=value_names)
@json_option
@click.pass_context
def remove_values(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """Forget values; web.* are all whose name begins so."""
    with open_connection(ctx) as connection:
        removed = list(selected(connection, ListValues, names, "value"))
        connection.ask(RemoveValues(names=names))
    if json:
        answer: shapes.Removed = {"removed": removed}
        print_json(answer)
