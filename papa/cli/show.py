"""C{papa show}: all that papa knows of a process."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from papa.asked.listings import ListCursors
from papa.cli.answers import json_option, print_json, process_shape
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection
from papa.cli.describing import duration, moment, state
from papa.cli.processes import selected_processes
from papa.records import Cursor, Process
from papa.visible import escaped

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], json: bool) -> None:
    """Show the processes NAMES one by one, and who reads them."""
    with open_connection(ctx) as connection:
        processes = selected_processes(connection, names)
        cursors: dict[str, Cursor] = connection.ask(ListCursors())
    if json:
        answer: shapes.Processes = {
            "processes": [
                {
                    **process_shape(process),
                    "cursors": {key: each.marks[name] for key, each in _of(name, cursors).items()},
                }
                for name, process in processes.items()
            ]
        }
        print_json(answer)
        return
    for number, process in enumerate(processes.values()):
        if number:
            click.echo()
        for title, text in _lines(process, _of(process.name, cursors)):
            click.echo(f"{title + ':':10} {escaped(text)}")


def _of(name: str, cursors: Mapping[str, Cursor]) -> dict[str, Cursor]:
    """The cursors that read a process."""
    return {key: cursor for key, cursor in cursors.items() if name in cursor.marks}


def _lines(process: Process, cursors: Mapping[str, Cursor]) -> Iterator[tuple[str, str]]:
    yield "name", process.name
    yield "state", state(process)
    yield "pid", str(process.pid)
    yield "command", " ".join(process.args)
    yield "started", f"{moment(process.started)}, {duration(time.time() - process.started)} ago"
    yield "user", _user(process.uid)
    yield "output", f"{process.captured} bytes captured, {process.dropped} of them dropped unread"
    yield "buffer", f"{process.buffered} of {process.bufsize} bytes"
    for key, cursor in cursors.items():
        reading = "" if cursor.reading else ", and nobody reads with it now"
        yield "cursor", f"{key} is {process.captured - cursor.marks[process.name]} bytes behind{reading}"


def _user(uid: int) -> str:
    with suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    return str(uid)
