"""A watch on what processes print, for Twisted programs."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from papa.client.link import Link
from papa.client.reconnecting import PATIENCE, Reconnecting
from papa.commands import ListProcesses, WatchProcesses
from papa.errors import ConnectionLost, Error, NotFound
from papa.records import Closed, Hole, Item, Output
from papa.wire.messages import Acknowledge, Greeting, StopWatching, WatchEnded, Watching
from papa.wire.program import Push

__all__ = ["RemoteWatch"]

#: How much waits for its consumer, in bytes, before the kernel is made to wait.
_MOST_WAITING: Final = 256 << 10
#: What an item costs beside its data, in bytes.
_ITEM_COST: Final = 500


@dataclass(slots=True)
class _Reading:
    """
    How far the output of one process was read.

    @ivar identity: tells the process from any other that has had its name.
    @ivar received: the mark up to which everything has come; C{end_received}: whether its end has, on this connection.
    @ivar given: the mark up to which the consumer has everything; C{end_given}: whether it knows the end.
    @ivar safe: the mark up to which the consumer has everything safe; C{ended}: whether the end is, too.
    """

    identity: str
    received: int = 0
    end_received: bool = False
    given: int = 0
    safe: int = 0
    end_given: bool = False
    ended: bool = False


class RemoteWatch:
    """
    An asynchronous iterator over what processes print; it ends when all of them have ended and that was acknowledged.

    The kernel waits while the consumer is slow. When the connection is lost the watch goes on behind what has come, on
    the next one, for the processes of the same names.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any, request: WatchProcesses) -> None:
        self._request = request
        self._clock = clock
        self._reconnecting = Reconnecting(endpoint, clock, self._attach)
        self._link: Link | None = None
        self._number = 0
        self._started = False
        self._kernel = ""
        self._readings: dict[str, _Reading] = {}
        self._items: deque[tuple[Item, _Reading]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._waiter: Deferred[None] | None = None
        self._over = False
        self._failure: Error | None = None

    async def __aenter__(self) -> RemoteWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __aiter__(self) -> RemoteWatch:
        return self

    async def __anext__(self) -> Item:
        """
        The next item.

        @raise Error: what the kernel refuses, as C{NotFound} for a name that it does not hold; C{Unreachable} if none
            answers; C{ConnectionLost} if it has been replaced by one that holds nothing of what was watched.
        """
        self._start()
        while not self._items:
            if self._over:
                await self.stop()
                raise self._failure or StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("The next item is being waited for already")
            self._waiter = Deferred()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item, reading = self._items.popleft()
        self._waiting_bytes -= _size(item)
        if isinstance(item, Closed):
            reading.end_given = True
        else:
            reading.given = item.mark
        if self._paused and self._waiting_bytes < _MOST_WAITING // 2:
            self._resume()
        return item

    def _start(self) -> None:
        if not self._started and not self._over:
            self._started = True
            self._await_link()
            self._reconnecting.start()

    def _await_link(self) -> None:
        """Find out if there is no kernel to be had any more."""
        self._reconnecting.get().addCallbacks(lambda link: None, lambda failure: self._end(failure.value))

    async def _attach(self, link: Link, greeting: Greeting) -> None:
        """Begin, or go on, watching on a new connection."""
        if self._over:
            return
        if self._kernel and greeting.kernel != self._kernel:
            self._end(ConnectionLost("The kernel was replaced by another: what it held is not there any more"))
            return
        resumed, self._kernel, self._link, self._paused = bool(self._kernel), greeting.kernel, link, False
        link.listen(self._take)
        link.when_lost().addCallback(lambda _: self._await_link())
        try:
            await self._begin(link, resumed)
        except ConnectionLost:
            raise
        except Error as error:
            self._end(error)

    async def _begin(self, link: Link, resumed: bool) -> None:
        if not resumed or self._request.cursor:
            # A cursor knows by itself what it reads, and where it stands.
            await link.ask(self._request)
            return
        # The same processes as before, but for those that are done with.
        names = tuple(name for name, each in self._readings.items() if not each.ended)
        if not names:
            self._end(None)
            return
        try:
            await link.ask(replace(self._request, names=names))
        except NotFound:
            # Somebody has removed some of them; the others are still there to be watched.
            held = await link.ask(ListProcesses(names=names))
            if not held:
                raise
            await link.ask(replace(self._request, names=tuple(held)))

    def _take(self, push: Push | Watching) -> None:
        if isinstance(push, Watching):
            self._number = push.watch
            for name, identity in push.processes.items():
                reading = self._readings.get(name)
                if reading is None or reading.identity != identity:
                    self._readings[name] = _Reading(identity)
                else:
                    reading.end_received = False
        elif isinstance(push, WatchEnded):
            self._end(None)
        elif isinstance(push, Output | Hole | Closed) and not self._over:
            reading = self._readings.get(push.name)
            if reading is None or reading.end_received:
                # It has joined the watch since.
                reading = self._readings[push.name] = _Reading("")
            item = self._new_part(push, reading)
            if item is not None:
                self._items.append((item, reading))
                self._waiting_bytes += _size(item)
                self._wake()
                if not self._paused and self._waiting_bytes > _MOST_WAITING and self._link is not None:
                    self._paused = True
                    self._link.transport.pauseProducing()

    def _new_part(self, item: Item, reading: _Reading) -> Item | None:
        """What of an item had not come before the connection was lost; what had is acknowledged again if it was."""
        if isinstance(item, Closed):
            reading.end_received = True
            if reading.ended:
                self._tell(item.name, reading.safe, end=True)
            return None if reading.ended or reading.end_given else item
        before = reading.received
        if item.mark <= before:
            self._tell(item.name, min(item.mark, reading.safe))
            return None
        reading.received = item.mark
        if isinstance(item, Hole):
            return replace(item, size=min(item.size, item.mark - before))
        return replace(item, data=item.data[-(item.mark - before) :])

    def acknowledge(self, item: Item) -> None:
        """This item, and all of its process before it, is safe."""
        reading = self._readings.get(item.name)
        # The item may be of another process that had the name before: nothing counts that this one was not read to.
        if reading is None or (isinstance(item, Closed) and not reading.end_given):
            return
        reading.ended = reading.ended or isinstance(item, Closed)
        mark = reading.given if isinstance(item, Closed) else min(item.mark, reading.given)
        reading.safe = max(reading.safe, mark)
        self._tell(item.name, reading.safe, end=reading.ended)

    def _tell(self, name: str, mark: int, *, end: bool = False) -> None:
        if self._link is not None:
            self._link.tell(Acknowledge(watch=self._number, name=name, mark=mark, end=end))

    def _resume(self) -> None:
        self._paused = False
        if self._link is not None and self._link.alive:
            self._link.transport.resumeProducing()

    def stop(self) -> Deferred[None]:
        """
        Stop watching; what was not acknowledged is kept.

        @return: fires once the kernel has taken note of all that was acknowledged, or cannot be told any more.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._end(None)
        self._items.clear()
        link, self._link = self._link, None
        if link is not None and link.alive:
            if self._paused:
                link.transport.resumeProducing()
            with suppress(Error, defer.TimeoutError):
                asked = Deferred.fromCoroutine(link.ask(StopWatching(watch=self._number)))
                await asked.addTimeout(PATIENCE, self._clock)
        await self._reconnecting.close()

    def _end(self, failure: Error | None) -> None:
        if not self._over:
            self._over = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.called:
            self._waiter.callback(None)


def _size(item: Item) -> int:
    return _ITEM_COST + (len(item.data) if isinstance(item, Output) else 0)
