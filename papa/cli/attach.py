"""C{papa attach}: talk to a process that runs."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

import click

from papa.cli.completing import process_names
from papa.cli.connecting import open_connection, started_kernel
from papa.cli.failures import exit_status, fail
from papa.cli.printing import ending
from papa.cli.processes import selected_processes
from papa.client.blocking import Papa, Watcher
from papa.errors import BadRequest, LimitReached
from papa.records import STDOUT, Closed, Hole, Item, Output
from papa.visible import escaped

__all__ = ["command"]

_READ_SIZE: Final = 65536
#: How long to wait before input is offered again that the process has no room for, in seconds.
_PAUSE: Final = 0.05


@click.command()
@click.argument("name", shell_complete=process_names)
@click.option("--raw", is_flag=True, help="Let what it prints act on the terminal.")
@click.pass_context
def command(ctx: click.Context, name: str, raw: bool) -> None:
    """
    Show what the process NAME prints, its kept output first, and send it what is typed.

    Ctrl-C detaches, and leaves it running; Ctrl-D ends its standard input, which it has if it was made with stdin=pipe.
    What is shown is not taken away from anybody. If the process ends, this ends with its exit code, or 128 and the
    number of the signal that ended it.
    """
    with open_connection(ctx) as connection:
        processes = list(selected_processes(connection, [name]))
    if len(processes) != 1:
        raise BadRequest(f"{name!r} is more than one process: attach to one")
    (name,) = processes
    with started_kernel(ctx) as papa:
        if sys.stdin.isatty():
            click.echo(f"attached to {name}: Ctrl-C detaches, and leaves it running", err=True)
        try:
            with papa.watch_processes(name, observe=True) as watcher:
                code = _talk(papa, watcher, name, raw=raw)
        except KeyboardInterrupt:
            click.echo(f"\ndetached from {name}, which runs on", err=True)
            return
    if sys.stdin.isatty():
        click.echo(f"{name} {ending(code)}", err=True)
    sys.exit(exit_status(code))


def _talk(papa: Papa, watcher: Watcher, name: str, *, raw: bool) -> int:
    """Pass on what is typed and what is printed; the exit code in the end."""
    waiting = b""
    typing = True
    while True:
        reading = [watcher] if waiting or not typing else [watcher, sys.stdin]
        ready = [watcher] if watcher.ready else select.select(reading, [], [], _PAUSE if waiting else None)[0]
        if sys.stdin in ready:
            waiting = os.read(sys.stdin.fileno(), _READ_SIZE)
            typing = bool(waiting)
            if not typing:
                _end_input(papa, name)
        if waiting:
            waiting = _send(papa, name, waiting)
        if watcher in ready:
            for item in watcher.read_items() or ():
                if isinstance(item, Closed):
                    return item.exit_code
                _show(item, raw=raw)


def _send(papa: Papa, name: str, data: bytes) -> bytes:
    """Send some input; what the process has no room for."""
    try:
        papa.write_process(name, data)
    except LimitReached:
        return data
    except BadRequest as error:
        fail(str(error))
    return b""


def _end_input(papa: Papa, name: str) -> None:
    try:
        papa.close_stdin(name)
    except BadRequest as error:
        click.echo(f"papa: {error}", err=True)


def _show(item: Item, *, raw: bool) -> None:
    if isinstance(item, Hole):
        click.echo(f"\n{item.size} bytes were dropped here: the buffer was full", err=True)
    elif isinstance(item, Output):
        stream = sys.stdout if item.channel == STDOUT else sys.stderr
        if raw:
            stream.buffer.write(item.data)
        else:
            text = item.data.decode(errors="surrogateescape")
            stream.write("\n".join(escaped(line.removesuffix("\r")) for line in text.split("\n")))
        stream.flush()
