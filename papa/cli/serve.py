"""C{papa serve}: run a kernel, in the foreground or in the background."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from papa import places
from papa.cli.failures import EXIT_FAILED, EXIT_USAGE, fail
from papa.client.autostart import launch
from papa.client.location import Location
from papa.errors import Unreachable

__all__ = ["command"]


@click.command()
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve the console at this port of 127.0.0.1."
)
@click.option("-u", "--unix-socket", metavar="PATH", help="Serve the console at this Unix path.")
@click.option(
    "--console",
    multiple=True,
    metavar="ENDPOINT",
    help="Serve it there: tcp:PORT[:interface=ADDRESS], unix:PATH or ssl:PORT:…; may be repeated.",
)
@click.option("--control", multiple=True, metavar="ENDPOINT", help="Serve programs (AMP) there; may be repeated.")
@click.option("--daemonize", is_flag=True, help="Return as soon as the kernel serves, and leave it in the background.")
@click.option("--timeout", type=float, default=10, show_default=True, help="How long --daemonize waits, in seconds.")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--lifeline-fd", type=int, hidden=True)
@click.option("--until-last-client", is_flag=True, hidden=True)
@click.pass_context
def command(ctx: click.Context, /, daemonize: bool, timeout: float, **options: Any) -> None:
    """
    Run a kernel.

    Its console is where -p, -u and --console say, or else papa --socket or $PAPA_SOCKET, or else at 127.0.0.1:20202, if
    that is free; and always at console.sock in the runtime folder too, if that is free: $PAPA_RUNTIME_DIR, /run/papa
    for root, $XDG_RUNTIME_DIR/papa, or /tmp/papa-UID. It serves its own user and root, nobody else; at an endpoint
    ssl:PORT:interface=ADDRESS:privateKey=FILE:certKey=FILE:clientCerts=FILE also whoever shows a certificate that one
    in clientCerts has signed. It ends on SIGTERM and SIGINT, without touching the processes that it has started.
    """
    if ctx.obj is not None and options["port"] is options["unix_socket"] is None and not options["console"]:
        location = Location.read(ctx.obj)
        options |= {"port": location.port, "unix_socket": location.path}
    arguments = _arguments(options)
    if not daemonize:
        _serve(arguments, options["ready_fd"])
        return
    log = places.log_path(places.prepare(places.runtime_folder()))
    try:
        kernel, where = launch(arguments, timeout=timeout, log=log)
    except Unreachable as error:
        fail(str(error), EXIT_FAILED)
    click.echo(f"papa is home, pid {kernel.pid}, at {' and '.join(where)}; its log is {log}")
    # It is init's from now on; nothing is to be waited for.
    kernel.returncode = 0


def _arguments(options: dict[str, Any]) -> list[str]:
    """The options as L{papa.tap.Options} reads them."""
    if options["unix_socket"] is not None:
        options["unix_socket"] = os.path.abspath(options["unix_socket"])
    arguments = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, tuple):
            arguments += [word for each in value for word in (flag, each)]
        elif value is not None and value is not False:
            arguments += [flag, str(value)]
    return arguments


def _serve(arguments: list[str], ready: int | None) -> None:
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python.usage import UsageError

    from papa.tap import Options, makeService

    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        _give_up(str(error), EXIT_USAGE, ready)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    service: Any = makeService(options, reactor)
    try:
        service.privilegedStartService()
    except SystemExit as error:
        _give_up(str(error.code).removeprefix("papa: "), EXIT_FAILED, ready)
    system: Any = reactor
    system.callWhenRunning(service.startService)
    system.addSystemEventTrigger("before", "shutdown", service.stopService)
    system.run()


def _give_up(reason: str, code: int, ready: int | None) -> None:
    """Say why, to whoever waits for this kernel too."""
    if ready is not None:
        os.write(ready, f"{reason}\n".encode())
    fail(reason, code)
