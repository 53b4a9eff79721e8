"""The reader of output, with the interface of papa 1.0.6."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from papa.client.program import Connection
from papa.client.progress import Progress
from papa.commands import ListProcesses, WatchEvents, WatchProcesses
from papa.errors import ConnectionLost, Error, fell_behind
from papa.records import STDOUT, Closed, Happened, Hole, Item, Output

__all__ = ["EventReader", "ProcessOutput", "Watcher"]


Request: TypeAlias = WatchProcesses | WatchEvents


class ProcessOutput(NamedTuple):
    """
    What a watched process printed, or how it ended.

    @ivar timestamp: seconds since the epoch.
    @ivar data: bytes; for an end, the exit code.
    """

    name: str
    timestamp: float
    data: Any


class Owner(Protocol):
    """Whom a watcher has its connection from."""

    def take_back(self, connection: Connection) -> None:
        """The connection can be used for something else."""

    def discard(self, connection: Connection) -> None:
        """The connection is of no more use."""

    def resume(self, lost: Connection, rest: Callable[[Connection], Request | None]) -> Connection | None:
        """
        Watch on, on another connection to the same kernel, or to the one that goes on from it.

        @param rest: what is to be asked for; L{None} if nothing is left.
        @raise ConnectionLost: if the kernel is gone for good.
        """


class Watcher:
    """
    Reads what processes print.

    C{select} on it tells whether L{read} would return at once; also once the connection was lost, when L{read} makes
    another and may give nothing. What was read is kept by papa until it is acknowledged, by L{acknowledge}, the next
    L{read}, or L{close}.

    @ivar exit_code: the exit codes read so far, by name.
    @ivar holes: where a full buffer dropped output before it could be read.
    """

    def __init__(self, papa_object: Owner, connection: Connection, request: WatchProcesses) -> None:
        """
        @param request: what C{connection} watches.
        """
        self.papa_object = papa_object
        self._progress = Progress(request)
        self._progress.began(connection.watched)
        self.connection: Connection | None = connection
        self.exit_code: dict[str, int] = {}
        self.holes: list[Hole] = []
        self._need_ack = False
        self._end_told = False
        self._lock = threading.RLock()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()  # Nobody knows whether what was read is safe: it must not be acknowledged.

    def __bool__(self) -> bool:
        return self.connection is not None

    def __len__(self) -> int:
        return int(self.connection is not None)

    def fileno(self) -> int:
        """
        The descriptor to select on; another one once the connection was lost, and made anew.

        @raise Error: if the watch has ended.
        """
        return self._open().fileno()

    def _open(self) -> Connection:
        if self.connection is None:
            raise Error("This watcher is closed")
        return self.connection

    @property
    def ready(self) -> bool:
        """Whether L{read} would return at once."""
        return self.connection is not None and self.connection.readable

    def read(self) -> tuple[list[ProcessOutput], list[ProcessOutput], list[ProcessOutput]] | None:
        """
        Acknowledge what was read before, and wait for more.

        @return: standard output, standard error and ends, each in order; three empty lists if the connection was lost,
            and made anew; L{None} when nothing is left to watch; after that, as in 1.0.6, three empty lists.
        @raise Error: if the connection is lost, and no kernel goes on.
        """
        items = self.read_items()
        if items is None and not self._end_told:
            self._end_told = True
            return None
        out: list[ProcessOutput] = []
        err: list[ProcessOutput] = []
        closed: list[ProcessOutput] = []
        for item in items or ():
            if isinstance(item, Output):
                channel = out if item.channel == STDOUT else err
                channel.append(ProcessOutput(item.name, item.timestamp, item.data))
            elif isinstance(item, Closed):
                closed.append(ProcessOutput(item.name, item.timestamp, item.exit_code))
        return out, err, closed

    def read_items(self) -> list[Item] | None:
        """
        The same as L{read}, but all in the order in which it happened.

        @return: L{Output}, L{Hole} and L{Closed} records, none of them if the connection was lost, and made anew;
            L{None} once nothing is left to watch.
        @raise Error: if the connection is lost, and no kernel goes on.
        """
        with self._lock:
            try:
                self._tell_safe()
                if self.connection is None:
                    return None
                batch = cast("list[Item] | None", self.connection.read_batch())
            except ConnectionLost:
                self._resume()
                # It may be all that select has told of.
                return None if self.connection is None else []
            if batch is None:
                self._give_back()
                return None
            items = self._progress.fresh(batch)
            self._need_ack = True
            if not items:
                # All of it was read before this call, so it is safe.
                self.acknowledge()
        for item in items:
            if isinstance(item, Closed):
                self.exit_code[item.name] = item.exit_code
            elif isinstance(item, Hole):
                self.holes.append(item)
        return items

    def acknowledge(self) -> None:
        """Tell papa that what was read is safe, so that it may let go of it."""
        with self._lock:
            try:
                self._tell_safe()
            except ConnectionLost:
                # What was read comes again, is known, and is acknowledged then.
                self._resume()

    def _tell_safe(self) -> None:
        if self._need_ack:
            self._need_ack = False
            self._open().acknowledge()

    def _resume(self) -> None:
        """Go on where another kernel goes on from the one that was lost."""
        lost, self.connection = self._open(), None
        self.connection = self.papa_object.resume(lost, lambda found: self._progress.left(found.ask(ListProcesses())))
        if self.connection is not None:
            self._progress.began(self.connection.watched)

    def close(self) -> None:
        """Acknowledge what was read, and stop watching."""
        with self._lock:
            if self.connection is None or not self._need_ack:
                self._abandon()
                return
            try:
                self.connection.acknowledge_and_stop()
            except BaseException:
                self._abandon()
                raise
            self._need_ack = False
            self._give_back()

    def _abandon(self) -> None:
        """Stop watching without a word."""
        with self._lock:
            self._need_ack = False
            if self.connection is not None:
                connection, self.connection = self.connection, None
                self.papa_object.discard(connection)

    def _give_back(self) -> None:
        connection, self.connection = self._open(), None
        self.papa_object.take_back(connection)


class EventReader:
    """
    Iterates over what happens in the kernel.

    C{select} on it tells whether there is something to read; L{read} gives all of that. It tells also once the
    connection was lost, when L{read} makes another and gives nothing.
    """

    def __init__(self, owner: Owner, connection: Connection, request: WatchEvents) -> None:
        """
        @param request: what C{connection} watches.
        """
        self._owner = owner
        self._request = replace(request, since=connection.since)
        self._connection: Connection | None = connection

    def __enter__(self) -> EventReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Happened]:
        while (events := self.read()) or self._request.follow:
            yield from events

    def _open(self) -> Connection:
        if self._connection is None:
            raise Error("This reader of events is closed")
        return self._connection

    def fileno(self) -> int:
        """
        The descriptor to select on.

        @raise Error: if it is closed.
        """
        return self._open().fileno()

    def read(self) -> list[Happened]:
        """
        What has happened since the last call; waits for something.

        @return: nothing once all there was has been read, if no more was asked for; if it was, nothing only if the
            connection was lost, and made anew.
        @raise ConnectionLost: if the kernel has gone, and no other goes on from it.
        @raise TooOld: if more has happened since the last call than the kernel keeps.
        """
        while True:
            connection = self._open()
            try:
                events = cast("list[Happened] | None", connection.read_batch())
                break
            except ConnectionLost:
                self._connection = None
                self._connection = self._owner.resume(connection, lambda found: self._request)
                if self._request.follow:
                    return []
        if events is None and self._request.follow:
            raise fell_behind()
        if events:
            self._request = replace(self._request, since=events[-1].number)
        return events or []

    def close(self) -> None:
        """Follow no more."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._owner.discard(connection)
