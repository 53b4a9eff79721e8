"""C{papa socket}: listening sockets that papa holds."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

import click

from papa import parameters
from papa.cli.answers import json_option, print_json
from papa.cli.completing import socket_names
from papa.cli.connecting import running_kernel, started_kernel
from papa.cli.tables import address, table

__all__ = ["command", "show_sockets"]

_FAMILIES: Final = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "unix": socket.AF_UNIX}
_TYPES: Final = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}


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
@click.option("--port", type=click.IntRange(0, 65535), help="The port; by default the system chooses one.")
@click.option("--host", metavar="ADDRESS", help="The address or name to bind to. [default: 127.0.0.1]")
@click.option("--path", metavar="PATH", help="The path of a Unix socket, instead.")
@click.option("--umask", metavar="MASK", help="For the mode of that path, in octal with a leading 0.")
@click.option("--family", type=click.Choice([*_FAMILIES]), help="[default: inet, or unix with --path]")
@click.option("--type", "kind", type=click.Choice([*_TYPES]), help="[default: stream]")
@click.option("--backlog", type=click.IntRange(0), help="How many connections may wait. [default: 5]")
@click.option("--interface", metavar="NAME", help="Bind to this network interface.")
@click.option("--reuseport", is_flag=True, help="A socket of its own for each process that asks for it.")
@json_option
@click.pass_context
def make_socket(ctx: click.Context, /, name: str, as_json: bool, **options: Any) -> None:
    """
    Bind a socket and have papa hold it as NAME; the one that was made so before is kept.

    A kernel is started if none runs.
    """
    umask = options.pop("umask")
    family, kind = options.pop("family"), options.pop("kind")
    with started_kernel(ctx) as papa:
        made = papa.make_socket(
            name,
            **options,
            family=_FAMILIES.get(family),
            socket_type=_TYPES.get(kind),
            umask=None if umask is None else parameters.mask(umask),
        )
    if as_json:
        print_json(name=name, **made)
    else:
        click.echo(f"{name} is bound to {address(made)}")


@command.command("ls")
@click.argument("names", nargs=-1, shell_complete=socket_names)
@json_option
@click.pass_context
def list_sockets(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """List the sockets that papa holds, all or NAMES."""
    with running_kernel(ctx) as papa:
        sockets = papa.list_sockets(*names)
    if as_json:
        print_json(sockets=[{"name": name, **each} for name, each in sockets.items()])
    elif sockets:
        show_sockets(sockets)


def show_sockets(sockets: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of sockets."""
    rows = [
        (name, f"{each['family']} {each['type']}", address(each), str(each.get("fileno", "one a process")), "")
        for name, each in sockets.items()
    ]
    table(("SOCKET", "KIND", "ADDRESS", "DESCRIPTOR", ""), rows)


@command.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=socket_names)
@click.pass_context
def remove_sockets(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Have papa close sockets; who shares them goes on, and nobody new can."""
    with running_kernel(ctx) as papa:
        papa.remove_sockets(*names)
