"""
The client for Twisted programs: the kernel's methods, each giving a Deferred::

    from papa.client.deferred import connect

    async def main(reactor):
        kernel = await connect(reactor)
        await kernel.make_process("job", ["/bin/sh", "-c", "echo hi"])
        async with kernel.watch_processes("job") as watch:
            async for item in watch:
                print(item)
                watch.acknowledge(item)

It reconnects by itself. What was asked and not answered when a connection went is asked again only where that does no
harm; a watch goes on behind what it has delivered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakSet

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from papa.asked.processes import DEFAULT_BUFSIZE
from papa.client.autostart import ensure_running
from papa.client.interfaces import IRemoteKernel
from papa.client.location import location_of
from papa.client.reconnecting import Reconnecting
from papa.client.watching import RemoteEvents, RemoteWatch
from papa.commands import (
    CloseStdin,
    Command,
    ExitIfIdle,
    Get,
    LendProcess,
    LendSocket,
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    MoveCursor,
    RemoveCursors,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    TakeSocket,
    Upgrade,
    WatchEvents,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, ConnectionLost, GivesWay, Unreachable
from papa.records import Cursor, Lent, Process, Socket

__all__ = ["RemoteEvents", "RemoteKernel", "RemoteWatch", "connect"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

#: How long a kernel may take to start, in seconds.
_START_TIMEOUT: Final = 10.0
#: How often something that does no harm is asked before it is given up, each time on a new connection.
_REPETITIONS: Final = 3


def _deferred(
    method: Callable[_Parameters, Coroutine[Deferred[Any], Any, _Result]],
) -> Callable[_Parameters, Deferred[_Result]]:
    """A method that starts at once, gives a Deferred, and never raises but through it."""

    async def called(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return await method(*args, **kwargs)

    @functools.wraps(method)
    def started(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Deferred[_Result]:
        return Deferred.fromCoroutine(called(*args, **kwargs))

    return started


def _endpoint(reactor: Any, where: int | str | IStreamClientEndpoint | None) -> tuple[IStreamClientEndpoint, str]:
    """What to connect to, and how it is called in messages."""
    if not isinstance(where, int | str | None):
        return where, str(where)
    location = location_of(where)
    if location.path is None:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", location.port or 0), str(location)
    return UNIXClientEndpoint(reactor, location.path), str(location)


@_deferred
async def connect(
    reactor: Any, where: int | str | IStreamClientEndpoint | None = None, *, start: bool = False
) -> RemoteKernel:
    """
    Connect to a kernel.

    @param where: a port of 127.0.0.1, a Unix path or any Twisted endpoint, as C{clientFromString} gives one for
        C{tls:…}, of a program wire or a console; this user's own kernel by default.
    @param start: start a kernel there if none answers; at a port or path only.
    @raise BadRequest: if C{where} is nowhere.
    @raise Unreachable: if no kernel answers there, or none can be started, with the reason.
    @raise Error: if it refuses.
    """
    if start:
        if not isinstance(where, int | str | None):
            raise BadRequest("A kernel is started at a port or path, not at an endpoint")
        await deferToThreadPool(reactor, reactor.getThreadPool(), ensure_running, location_of(where), _START_TIMEOUT)
    endpoint, name = _endpoint(reactor, where)
    kernel = RemoteKernel(endpoint, reactor)
    try:
        await kernel.start()
    except BaseException as error:
        await kernel.close()
        if isinstance(error, Unreachable):
            raise Unreachable(f"{error} (looked for at {name})") from error
        raise
    return kernel


@implementer(IRemoteKernel)
class RemoteKernel:
    """A kernel that is elsewhere."""

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any) -> None:
        """
        @param endpoint: where the kernel serves a program wire or a console.
        @param clock: waits between attempts to connect.
        """
        self._endpoint = endpoint
        self._clock = clock
        self._reconnecting = Reconnecting(endpoint, clock)
        self._watches: WeakSet[RemoteWatch | RemoteEvents] = WeakSet()

    @_deferred
    async def start(self) -> None:
        """
        Connect for the first time.

        @return: fails with what the kernel refuses, or if there is none.
        """
        connected = self._reconnecting.get(attempts=1)
        self._reconnecting.start()
        await connected

    async def _ask(self, command: Command) -> Any:
        attempts = _REPETITIONS if command.repeatable else 1
        while True:
            link = await self._reconnecting.get()
            attempts -= 1
            try:
                return await link.ask(command)
            except GivesWay:
                attempts += 1  # It was not done, and another kernel goes on.
            except ConnectionLost:
                if not attempts:
                    raise

    @_deferred
    async def close(self) -> None:
        """Stop all watches, and disconnect for good; so it is done, too, if whoever waits for it does so no longer."""
        ends = [watch.stop() for watch in list(self._watches)]
        ends.append(Deferred.fromCoroutine(self._reconnecting.close()))
        ended: Deferred[object] = Deferred()
        DeferredList(ends, consumeErrors=True).addCallback(ended.callback)
        await ended

    @_deferred
    async def make_socket(
        self,
        name: str,
        *,
        host: str | None = None,
        port: int = 0,
        family: str = "",
        type: str = "stream",
        backlog: int = 5,
        path: str | None = None,
        umask: int | None = None,
        interface: str | None = None,
        reuseport: bool = False,
    ) -> Socket:
        """Bind and hold a socket, or get the one that was made so before."""
        request = MakeSocket(
            name=name,
            host=host,
            port=port,
            family=family,
            type=type,
            backlog=backlog,
            path=path,
            umask=umask,
            interface=interface,
            reuseport=reuseport,
        )
        socket: Socket = await self._ask(request)
        return socket

    @_deferred
    async def list_sockets(self, *names: str) -> dict[str, Socket]:
        """The sockets of these names or patterns, or all."""
        sockets: dict[str, Socket] = await self._ask(ListSockets(names=names))
        return sockets

    @_deferred
    async def remove_sockets(self, *names: str) -> None:
        """Close and forget sockets."""
        await self._ask(RemoveSockets(names=names))

    @_deferred
    async def lend_socket(self, name: str) -> Lent:
        """A duplicate of a held socket: its descriptor is the caller's to close."""
        lent: Lent = await self._ask(LendSocket(name=name))
        return lent

    @_deferred
    async def take_socket(self, name: str, descriptor: int) -> Socket:
        """Have papa hold a duplicate of a bound socket."""
        socket: Socket = await self._ask(TakeSocket(name=name, descriptor=descriptor))
        return socket

    @_deferred
    async def lend_process(self, name: str) -> Lent:
        """A pidfd of a process, the caller's to close."""
        lent: Lent = await self._ask(LendProcess(name=name))
        return lent

    @_deferred
    async def set(self, name: str, value: str | None = None) -> None:
        """Keep a value under a name; without one, forget it."""
        await self._ask(Set(name=name, value=value))

    @_deferred
    async def get(self, name: str) -> str | None:
        """The value of a name."""
        value: str | None = await self._ask(Get(name=name))
        return value

    @_deferred
    async def list_values(self, *names: str) -> dict[str, str]:
        """The values of these names or patterns, or all."""
        values: dict[str, str] = await self._ask(ListValues(names=names))
        return values

    @_deferred
    async def remove_values(self, *names: str) -> None:
        """Forget values."""
        await self._ask(RemoveValues(names=names))

    @_deferred
    async def make_process(
        self,
        name: str,
        args: Iterable[str],
        *,
        env: Mapping[str, str] | None = None,
        inherit_env: bool = False,
        working_dir: str | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
        groups: Iterable[int | str] | None = None,
        rlimits: Mapping[str, tuple[int, int]] | None = None,
        umask: int | None = None,
        stdin: str = "null",
        stdout: str = "pipe",
        stderr: str = "pipe",
        bufsize: int = DEFAULT_BUFSIZE,
        overflow: str = "drop-oldest",
        listen: Iterable[str] = (),
        exclusive: bool = False,
        forget: bool = False,
    ) -> Process:
        """Start a program and capture its output, or, if not C{exclusive}, get the one that was made so before."""
        request = MakeProcess(
            name=name,
            args=tuple(args),
            env=dict(env or {}),
            inherit_env=inherit_env,
            working_dir=working_dir,
            uid=uid,
            gid=gid,
            groups=None if groups is None else tuple(groups),
            rlimits=dict(rlimits or {}),
            umask=umask,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=bufsize,
            overflow=overflow,
            listen=tuple(listen),
            exclusive=exclusive,
            forget=forget,
        )
        process: Process = await self._ask(request)
        return process

    @_deferred
    async def list_processes(self, *names: str) -> dict[str, Process]:
        """The processes of these names or patterns, or all."""
        processes: dict[str, Process] = await self._ask(ListProcesses(names=names))
        return processes

    @_deferred
    async def remove_processes(self, *names: str) -> None:
        """Throw processes' output away, and forget them when they end."""
        await self._ask(RemoveProcesses(names=names))

    @_deferred
    async def write_process(self, name: str, data: bytes) -> None:
        """Send bytes to the standard input of a process."""
        await self._ask(WriteProcess(name=name, data=data))

    @_deferred
    async def close_stdin(self, name: str) -> None:
        """End the standard input of a process."""
        await self._ask(CloseStdin(name=name))

    @_deferred
    async def exit_if_idle(self) -> bool:
        """Ask the kernel to end with its last connection, if it holds nothing; whether it will."""
        leaving: bool = await self._ask(ExitIfIdle())
        return leaving

    @_deferred
    async def upgrade(self, *, python: str = "") -> None:
        """Have another kernel go on with all that is held."""
        await self._ask(Upgrade(python=python))

    @_deferred
    async def list_cursors(self, *names: str) -> dict[str, Cursor]:
        """The cursors of these names or patterns, or all."""
        cursors: dict[str, Cursor] = await self._ask(ListCursors(names=names))
        return cursors

    @_deferred
    async def move_cursor(self, name: str, process: str, mark: int) -> None:
        """Have the next reading with a cursor begin behind so many bytes of a process's output."""
        await self._ask(MoveCursor(name=name, process=process, mark=mark))

    @_deferred
    async def remove_cursors(self, *names: str) -> None:
        """Forget cursors."""
        await self._ask(RemoveCursors(names=names))

    def watch_processes(self, *names: str, observe: bool = False, follow: bool = True, cursor: str = "") -> RemoteWatch:
        """
        Read what processes print, over a connection of its own.

        @param observe: only look: what is read is kept for others, whatever is acknowledged.
        @param follow: wait for more; otherwise end with what is there.
        @param cursor: read with a place of this name, which outlives the reader; processes that are made later join.
        """
        request = WatchProcesses(names=names, observe=observe, follow=follow, cursor=cursor)
        watch = RemoteWatch(self._endpoint, self._clock, request)
        self._watches.add(watch)
        return watch

    def watch_events(self, since: int = -1, *, follow: bool = True, clients: bool = False) -> RemoteEvents:
        """
        Follow what happens in the kernel, over a connection of its own.

        @param since: begin behind this number; -1 begins now, 0 with the oldest event that is kept.
        @param follow: wait for more; otherwise end with what is there.
        @param clients: tell of clients that come and go, too; that is not kept, and has no numbers of its own.
        """
        request = WatchEvents(since=since, follow=follow, clients=clients)
        events = RemoteEvents(self._endpoint, self._clock, request)
        self._watches.add(events)
        return events
