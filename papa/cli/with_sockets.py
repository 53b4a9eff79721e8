"""C{papa with}: run a program on sockets that papa holds."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from typing import Final

import click

from papa.cli.completing import files, socket_names
from papa.cli.connecting import running_kernel
from papa.cli.failures import EXIT_FAILED, fail

__all__ = ["command"]

#: The first descriptor that is handed over: sd_listen_fds(3).
_FIRST: Final = 3


# What stands behind the names is the program's, with or without a --.
@click.command("with", context_settings={"allow_interspersed_args": False})
@click.argument("sockets", metavar="SOCKET[,SOCKET...]", shell_complete=socket_names)
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=files)
@click.pass_context
def command(ctx: click.Context, sockets: str, program: tuple[str, ...]) -> None:
    """
    Run PROGRAM in the foreground on sockets that papa holds.

    The program takes this command's place in the terminal, and finds the sockets as systemd hands them over
    (LISTEN_FDS), which gunicorn, Twisted's systemd: endpoint and many others understand; the first is descriptor 3,
    for uvicorn --fd 3. When it ends, papa goes on holding the sockets: connections wait for the next one.

    \b
        papa with web -- gunicorn app:app
    """
    program = program[program[0] == "--" :]
    if not program:
        raise click.UsageError("Missing argument 'PROGRAM...'.")
    names = sockets.split(",")
    with running_kernel(ctx) as papa:
        lent = [papa.lend_socket(name).detach() for name in names]
    _hand_over(lent)
    os.environ.pop("LISTEN_PIDFDID", None)  # Of a systemd that has handed over others, to this very process.
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(lent)), "LISTEN_FDNAMES": ":".join(names)}
    try:
        os.execvp(program[0], program)  # noqa: S606 - that is what it is for
    except OSError as error:
        fail(f"cannot run {program[0]!r}: {error.strerror}", EXIT_FAILED)


def _hand_over(descriptors: Sequence[int]) -> None:
    """Put them where the program looks for them."""
    after = _FIRST + len(descriptors)
    # Copies first: one may lie where another belongs.
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, after) for descriptor in descriptors]
    for target, copy in enumerate(copies, _FIRST):
        os.dup2(copy, target)
