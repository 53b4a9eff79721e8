"""C{papa show}: all that papa knows of a process."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import click

from papa.cli.answers import json_option, print_json
from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes
from papa.cli.tables import duration, moment, state
from papa.visible import escaped

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Show the processes NAMES one by one, and who reads them."""
    with running_kernel(ctx) as papa:
        processes = selected_processes(papa, names)
        cursors = papa.list_cursors()
    if as_json:
        print_json(
            processes=[
                {"name": name, **each, "cursors": {key: cursor["marks"][name] for key, cursor in _of(name, cursors)}}
                for name, each in processes.items()
            ]
        )
        return
    for number, (name, process) in enumerate(processes.items()):
        if number:
            click.echo()
        for title, text in _lines(name, process, cursors):
            click.echo(f"{title + ':':10} {escaped(text)}")


def _of(name: str, cursors: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The cursors that read a process."""
    return [(key, cursor) for key, cursor in cursors.items() if name in cursor["marks"]]


def _lines(
    name: str, process: Mapping[str, Any], cursors: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    yield "name", name
    yield "state", state(process)
    yield "pid", str(process["pid"])
    yield "command", process["args"]
    yield "started", f"{moment(process['started'])}, {duration(time.time() - process['started'])} ago"
    yield "user", _user(int(process["uid"]))
    captured = int(process.get("captured", 0))
    yield "output", f"{captured} bytes captured, {process.get('dropped', 0)} of them dropped unread"
    for key, cursor in _of(name, cursors):
        reading = "" if cursor["reading"] else ", and nobody reads with it now"
        yield "cursor", f"{key} is {captured - cursor['marks'][name]} bytes behind{reading}"


def _user(uid: int) -> str:
    with suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    return str(uid)
