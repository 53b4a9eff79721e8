"""C{papa watch}: read what processes print, for good: into files, or a pipe."""

from __future__ import annotations

import signal
import sys

import click

from papa.cli.answers import json_lines_option
from papa.cli.completing import cursor_names, process_names
from papa.cli.connecting import running_kernel
from papa.cli.failures import fail, interrupt
from papa.cli.printing import Printer, printer
from papa.cli.shipping import Shipper

__all__ = ["command"]

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=process_names)
@click.option(
    "--cursor",
    default="",
    metavar="NAME",
    shell_complete=cursor_names,
    help="Read with a place of this name, which outlives this.",
)
@click.option(
    "--to-dir",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Append to FOLDER/PROCESS.log instead.",
)
@click.option("--no-follow", is_flag=True, help="End with what is there.")
@click.option("--raw", is_flag=True, help="Print the very bytes, without times and names.")
@json_lines_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    cursor: str,
    to_dir: str | None,
    no_follow: bool,
    raw: bool,
    json: bool,
) -> None:
    """
    Read what the processes NAMES print, and let papa forget it once it is safe.

    What is written to FOLDER is on the disk before papa is told so; whenever this is killed, and started again, no byte
    is missing in the files, and none is there twice. Where output was dropped before it could be read, a line in
    PROCESS.holes says how much and when; how each process ended, one in PROCESS.ends. SIGHUP has the files opened
    again, for logrotate.

    What is printed is printed before papa is told so; a program that reads it should ask for --raw or --json. With a
    cursor, processes that are made later and match a pattern join, and other readers, each with a cursor of its own,
    get everything, too. Without one, this ends when the processes have ended.

    \b
        papa watch 'web.*' --cursor shipper --to-dir /var/log/web
    """
    # Whoever interrupts this between here and there must not leave a lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    signal.signal(signal.SIGTERM, interrupt)
    shown: Printer | Shipper = printer(raw=raw, as_json=json, names=names) if to_dir is None else Shipper(to_dir)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
        if isinstance(shown, Shipper):
            signal.signal(signal.SIGHUP, lambda number, frame: shown.reopen())
        # An interruption leaves what was read unacknowledged.
        with running_kernel(ctx) as papa, papa.watch_processes(*names, cursor=cursor, follow=not no_follow) as watcher:
            while (items := watcher.read_items()) is not None:
                shown.show(items)
                if to_dir is None:
                    sys.stdout.flush()
                watcher.acknowledge()
    except BrokenPipeError:
        raise  # Whoever was to have this has gone: the rest stays with papa.
    except OSError as error:
        where = "" if to_dir is None else f" to {to_dir}"
        fail(f"cannot write{where}: {error.strerror}; what was not written stays with papa")
    finally:
        shown.finish()
