"""C{papa signal}: send signals to processes."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from papa.asked.listings import ListProcesses
from papa.asked.processes import LendProcess
from papa.cli.answers import json_option, print_json
from papa.cli.asking import Asker
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection
from papa.cli.failures import fail
from papa.cli.locality import is_local
from papa.cli.processes import selected_processes
from papa.daemon import DaemonError
from papa.daemon.signals import signal_name, signal_number
from papa.errors import Error, SpawnFailed
from papa.records import Process

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


class _Signal(click.ParamType[int]):
    """A signal by name, with or without SIG, or by number."""

    name = "signal"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        word = str(value)
        try:
            return signal_number(int(word) if word.isdecimal() else word)
        except DaemonError:
            self.fail(f"{value!r} is no signal: write TERM, SIGTERM or 15", param, ctx)


@click.command("signal")
@click.argument("number", metavar="SIGNAL", type=_Signal())
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@json_option
@click.pass_context
def command(ctx: click.Context, number: int, names: tuple[str, ...], json: bool) -> None:
    """
    Send SIGNAL to the processes NAMES; web.* are all whose name begins so.

    papa lends a handle of each process, so that a signal never goes to another one that has got its number. It needs
    a Unix socket to the kernel, which is what papa uses by itself.

    \b
        papa signal TERM web.1
        papa signal HUP 'web.*'
    """
    failed: list[str] = []
    answer: shapes.Signalled = {"signal": signal_name(number), "sent": []}
    with open_connection(ctx) as connection:
        processes = selected_processes(connection, names)
        for process in processes.values():
            if not process.running:
                failed += [f"{process.name} has ended"] * (process.name in names)
                continue
            try:
                _send(connection, process, number)
            except (Error, OSError) as error:
                failed.append(f"{process.name}: {error}")
                continue
            answer["sent"].append({"name": process.name, "pid": process.pid})
            if not json:
                click.echo(f"sent {answer['signal']} to {process.name}, pid {process.pid}")
    if json:
        print_json(answer)
    if failed:
        fail("; ".join(failed))


def _send(connection: Asker, process: Process, number: int) -> None:
    if not hasattr(signal, "pidfd_send_signal") and is_local(connection):
        # The next best thing: it has run until this moment.
        now = connection.ask(ListProcesses(names=(process.name,))).get(process.name)
        if now is None or now.pid != process.pid or not now.running:
            raise SpawnFailed("it has ended")
        os.kill(process.pid, number)
        return
    handle = connection.lend(LendProcess(name=process.name)).descriptor
    try:
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
