"""What a verb prints for a program to read: one JSON object, or one a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from papa.cli import shapes
    from papa.records import Process, Socket

__all__ = ["JSON_VERSION", "json_lines_option", "json_option", "print_json", "process_shape", "socket_shape"]

#: Counted up when a program that reads the JSON would have to change. New keys do not count.
JSON_VERSION: Final = 1

json_option = click.option("--json", is_flag=True, help="Print one JSON object.")
json_lines_option = click.option("--json", is_flag=True, help="Print one JSON object a line.")


def print_json(shape: Mapping[str, object]) -> None:
    """Print an answer, one of L{papa.cli.shapes}."""
    import json  # Most answers are for people, who are to have them quickly.

    click.echo(json.dumps({"version": JSON_VERSION, **shape}))


def process_shape(process: Process) -> shapes.Process:
    """What is printed of a process."""
    return {
        "name": process.name,
        "args": list(process.args),
        "pid": process.pid,
        "running": process.running,
        "started": process.started,
        "uid": process.uid,
        "gid": process.gid,
        "exit_code": process.exit_code,
        "captured": process.captured,
        "buffered": process.buffered,
        "bufsize": process.bufsize,
        "dropped": process.dropped,
    }


def socket_shape(socket: Socket) -> shapes.Socket:
    """What is printed of a socket."""
    return {
        "name": socket.name,
        "family": socket.family,
        "type": socket.type,
        "backlog": socket.backlog,
        "host": socket.host,
        "port": socket.port,
        "interface": socket.interface,
        "path": socket.path,
        "umask": socket.umask,
        "reuseport": socket.reuseport,
        "fileno": socket.fileno,
    }
