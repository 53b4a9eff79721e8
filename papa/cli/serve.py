"""C{papa serve}: run a kernel, in the foreground or in the background."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from papa import places
from papa.cli.answers import print_json
from papa.cli.failures import EXIT_FAILED, EXIT_USAGE, fail
from papa.client.autostart import UMASK, served_at
from papa.client.location import Location
from papa.continuity.requirements import MISSING, without_anchor
from papa.daemon import Daemon, DaemonError, signal_map
from papa.daemon.descriptors import pipe_above
from papa.daemon.logfile import LogFile
from papa.errors import Unreachable

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]


@click.command()
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve the console at this port of 127.0.0.1."
)
@click.option("-u", "--unix-socket", type=click.Path(), metavar="PATH", help="Serve the console at this Unix path.")
@click.option(
    "--console",
    multiple=True,
    metavar="ENDPOINT",
    help="Serve it there: tcp:PORT[:interface=ADDRESS], unix:PATH or ssl:PORT:…; may be repeated.",
)
@click.option("--control", multiple=True, metavar="ENDPOINT", help="Serve programs (AMP) there; may be repeated.")
@click.option("--daemonize", is_flag=True, help="Return as soon as the kernel serves, and leave it in the background.")
@click.option(
    "--timeout", type=float, default=10, show_default=True, metavar="SECONDS", help="How long --daemonize waits."
)
@click.option(
    "--anchor/--no-anchor",
    default=None,
    help="Have another kernel go on with all that is held if this one dies. The default with --daemonize.",
)
@click.option("--log-file", type=click.Path(dir_okay=False), hidden=True)
@click.option("--anchor-fd", type=int, hidden=True)
@click.option("--json", is_flag=True, help="Print one JSON object, with --daemonize.")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--lifeline-fd", type=int, hidden=True)
@click.option("--until-last-client", is_flag=True, hidden=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    anchor: bool | None,
    log_file: str | None,
    daemonize: bool,
    timeout: float,
    json: bool,
    **options: Any,
) -> None:
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
    if anchor and MISSING:
        raise click.UsageError(f"--anchor: {without_anchor()}")
    if not daemonize:
        if anchor:
            _become_anchor(options, log_file)
        _serve_here(options, log_file)
        return
    log = places.log_path(places.prepare(places.runtime_folder()))
    anchored = anchor is not False and not MISSING
    _read(_arguments(options))
    started = _Word() if anchored else None

    def serve() -> None:
        if started is not None:
            started.pass_on(options)
            _become_anchor(options, log)
        _serve(_read(_arguments(options)), daemon.ready)

    daemon = Daemon(
        target=serve,
        detach=True,
        umask=UMASK,
        # What its children may, and how they begin, is theirs.
        prevent_core=False,
        process_ids=None,
        init_groups=False,
        signal_map=dict.fromkeys(signal_map, signal.SIG_DFL),
        inherit_files=[] if started is None else [started.writing],
        log_file=log,
        await_ready=not anchored,
        ready_timeout=timeout,
    )
    try:
        daemon.start()
        assert daemon.pid is not None
        where = daemon.ready_status if started is None else started.await_ready(daemon.pid, timeout)
    except DaemonError as error:
        fail(daemon.error.strip() or str(error), error.code)
    if json:
        answer: shapes.Serving = {"pid": daemon.pid, "addresses": where.split(" and "), "log": log}
        print_json(answer)
    else:
        click.echo(f"papa is home, pid {daemon.pid}, at {where}; its log is {log}")
    if anchor is None and MISSING:
        click.echo(f"papa: {without_anchor()}", err=True)


class _Word:
    """What the kernel says when it serves, though it is another program by then that has started it."""

    def __init__(self) -> None:
        # With closed streams a plain one would take their places.
        self._reading, self.writing = pipe_above()

    def pass_on(self, options: dict[str, Any]) -> None:
        """In the daemon, which has nothing else open: have the kernel say it."""
        os.set_inheritable(self.writing, True)
        options["ready_fd"] = self.writing

    def await_ready(self, pid: int, timeout: float) -> str:
        """
        In the launcher: wait for it.

        @return: where the kernel serves.
        @raise DaemonError: if it does not, with the reason.
        """
        os.close(self.writing)
        deadline = time.monotonic() + timeout
        try:
            where = served_at(self._reading, timeout)
        except Unreachable as error:
            raise DaemonError(str(error), EXIT_FAILED) from error
        if where:
            return " and ".join(where)
        if time.monotonic() < deadline:
            raise DaemonError("The kernel ended as it started: see its log", EXIT_FAILED)
        # It must not come up when nobody counts on it any more.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        raise DaemonError(f"The kernel did not come up within {timeout:g} seconds", EXIT_FAILED)


def _serve_here(options: dict[str, Any], log: str | None) -> None:
    """
    Serve in this process.

    @param log: where standard output and error go, to be opened again on SIGHUP.
    """
    arguments = _read(_arguments(options))
    file = None if log is None else LogFile(log)
    if file is not None:
        signal.signal(signal.SIGHUP, lambda *_: file.reopen())
    try:
        _serve(arguments, log=file)
    except DaemonError as error:
        _tell_starter(str(error), arguments["ready-fd"])
        fail(str(error), error.code)


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


def _become_anchor(options: dict[str, Any], log: str | None) -> NoReturn:
    """
    Have another program take this process over, which starts the kernel.

    @param log: as L{_serve_here} has it.
    """
    _read(_arguments(options))
    ready = options.pop("ready_fd")
    first = [] if ready is None else [f"--ready-fd={ready}"]
    if log is not None:
        first.append(f"--log-file={log}")
    papa = [sys.executable, "-P", "-m"]
    os.execv(  # noqa: S606 - there is nothing that a shell would do
        sys.executable, [*papa, "papa.continuity.anchor", *first, "--", *papa, "papa", "serve", *_arguments(options)]
    )


def _read(arguments: list[str]) -> Any:
    """The options, as L{papa.tap.makeService} takes them."""
    from twisted.python.usage import UsageError

    from papa.tap import Options

    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        _tell_starter(str(error), options["ready-fd"])
        fail(str(error), EXIT_USAGE)
    return options


def _serve(options: Any, ready: Callable[[str], object] | None = None, *, log: LogFile | None = None) -> None:
    """
    Serve, to the end.

    @param ready: is told where, once the kernel serves.
    @param log: where standard output and error go.
    @raise DaemonError: if it cannot listen where it must.
    """
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from papa.tap import makeService

    if options["anchor-fd"] is not None:
        _await_turn(options)
        if log is not None:
            # It may have been renamed meanwhile, of which only the kernel is told.
            log.reopen()
    from twisted.internet import reactor

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    service: Any = makeService(options, reactor, *([] if ready is None else [ready]))
    try:
        service.privilegedStartService()
    except SystemExit as error:
        raise DaemonError(str(error.code).removeprefix("papa: "), EXIT_FAILED) from error
    system: Any = reactor
    system.callWhenRunning(service.startService)
    system.addSystemEventTrigger("before", "shutdown", service.stopService)
    system.run()


def _await_turn(options: Any) -> None:
    """Wait to be the next kernel; only the first one answers to whoever has started it."""
    from papa.continuity.turn import await_turn

    ready = options["ready-fd"]
    if await_turn(options["anchor-fd"], own=[] if ready is None else [ready]):
        options["ready-fd"] = None


def _tell_starter(reason: str, descriptor: int | None) -> None:
    """Whoever has started this kernel waits for a word."""
    if descriptor is not None:
        os.write(descriptor, f"{reason}\n".encode())
