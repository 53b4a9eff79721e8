"""C{papa socket}: listening sockets that papa holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from papa import parameters
from papa.asked.listings import ListSockets
from papa.asked.sockets import MakeSocket, RemoveSockets
from papa.cli.answers import json_option, print_json, socket_shape
from papa.cli.completing import socket_names
from papa.cli.connecting import open_connection, selected
from papa.cli.describing import address
from papa.cli.socket_table import show_sockets
from papa.records import Socket

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.group("socket")
def command() -> None:
    """
    Hold sockets, so that servers can be restarted without refusing anybody.

    \b
        papa socket make web --port 8080 --backlog 128
        papa with web -- gunicorn app:app
    """


@command.command("make")
@click.argument("name")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="The port; by default the system chooses one."
)
@click.option("--host", metavar="ADDRESS", help="The address or name to bind to. [default: 127.0.0.1]")
@click.option("--path", type=click.Path(), metavar="PATH", help="The path of a Unix socket, instead.")
@click.option("--umask", metavar="MASK", help="For the mode of that path, in octal with a leading 0.")
@click.option("--family", type=click.Choice(["inet", "inet6", "unix"]), help="[default: inet, or unix with --path]")
@click.option("--type", type=click.Choice(["stream", "dgram", "seqpacket"]), help="[default: stream]")
@click.option("--backlog", type=click.IntRange(0), metavar="N", help="How many connections may wait. [default: 5]")
@click.option("--interface", metavar="NAME", help="Bind to this network interface.")
@click.option("--reuseport", is_flag=True, help="A socket of its own for each process that asks for it.")
@json_option
@click.pass_context
def make_socket(ctx: click.Context, /, name: str, json: bool, **options: Any) -> None:
    """
    Bind a socket and have papa hold it as NAME; the one that was made so before is kept.

    A kernel is started if none runs.
    """
    wanted = {key: value for key, value in options.items() if value is not None}
    if "umask" in wanted:
        wanted["umask"] = parameters.mask(wanted["umask"])
    if "path" in wanted:
        wanted["path"] = os.path.abspath(wanted["path"])
    request = MakeSocket(name=name, **wanted)
    with open_connection(ctx, start=True) as connection:
        made: Socket = connection.ask(request)
    if json:
        print_json(socket_shape(made))
    else:
        click.echo(f"{name} is bound to {address(made)}")


@command.command("ls")
@click.argument("names", nargs=-1, shell_complete=socket_names)
@json_option
@click.pass_context
def list_sockets(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """List the sockets that papa holds, all or NAMES."""
    with open_connection(ctx) as connection:
        sockets = selected(connection, ListSockets, names, "socket")
    if json:
        answer: shapes.Sockets = {"sockets": [socket_shape(each) for each in sockets.values()]}
        print_json(answer)
    elif sockets:
        show_sockets(sockets)


@command.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=socket_names)
@json_option
@click.pass_context
def remove_sockets(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """Have papa close sockets; who shares them goes on, and nobody new can."""
    with open_connection(ctx) as connection:
        removed = list(selected(connection, ListSockets, names, "socket"))
        connection.ask(RemoveSockets(names=tuple(removed)))
    if json:
        answer: shapes.Removed = {"removed": removed}
        print_json(answer)
