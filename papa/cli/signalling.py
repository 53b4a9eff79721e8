"""C{papa signal}: send signals to processes."""

from __future__ import annotations

import os
import signal

import click

from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes
from papa.cli.failures import fail
from papa.daemon import DaemonError
from papa.daemon.signals import signal_name, signal_number
from papa.errors import Error

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
@click.pass_context
def command(ctx: click.Context, number: int, names: tuple[str, ...]) -> None:
    """
    Send SIGNAL to the processes NAMES; web.* are all whose name begins so.

    papa lends a handle of each process, so that a signal never goes to another one that has got its number. It needs
    a Unix socket to the kernel, which is what papa uses by itself.

    \b
        papa signal TERM web.1
        papa signal HUP 'web.*'
    """
    failed = []
    with running_kernel(ctx) as papa:
        processes = selected_processes(papa, names)
        for name in [name for name, process in processes.items() if process["running"]]:
            try:
                handle = papa.lend_process(name)
                try:
                    signal.pidfd_send_signal(handle, number)
                finally:
                    os.close(handle)
            except (Error, OSError) as error:
                failed.append(f"{name}: {error}")
            else:
                click.echo(f"sent {signal_name(number)} to {name}, pid {processes[name]['pid']}")
    failed += [f"{name} has ended" for name, process in processes.items() if not process["running"] and name in names]
    if failed:
        fail("; ".join(failed))
