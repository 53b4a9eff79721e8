"""What a kernel sends by itself, for Twisted programs: an asynchronous iterator over a connection of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from papa.client.link import Link
from papa.client.reconnecting import PATIENCE, Reconnecting
from papa.errors import ConnectionLost, Error
from papa.wire.messages import Greeting, StopWatching, WatchEnded, Watching
from papa.wire.program import Push

__all__ = ["RemoteStream"]

#: How much waits for its consumer, in bytes, before the kernel is made to wait.
_MOST_WAITING: Final = 256 << 10
#: What an item costs beside its data, in bytes.
_ITEM_COST: Final = 500

_Item = TypeVar("_Item")


class RemoteStream(ABC, Generic[_Item]):
    """
    An asynchronous iterator over what a kernel has to tell.

    The kernel waits while the consumer is slow. When the connection is lost it goes on behind what has come, on the
    next one; but not with another kernel.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any) -> None:
        self._clock = clock
        self._reconnecting = Reconnecting(endpoint, clock, self._attach)
        self._link: Link | None = None
        self._number = 0
        self._started = False
        self._told = False
        self._kernel = ""
        self._awaited_answers = 0
        self._items: deque[tuple[_Item, int]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._waiter: Deferred[None] | None = None
        self._over = False
        self._failure: Error | None = None

    @abstractmethod
    async def _begin(self, link: Link, *, resumed: bool) -> None:
        """Ask for it on a new connection."""

    @abstractmethod
    def _begun(self, watching: Watching) -> None:
        """The kernel has begun to tell."""

    @abstractmethod
    def _receive(self, push: Push) -> None:
        """It has told something."""

    @abstractmethod
    def _give(self, item: _Item) -> None:
        """The consumer gets an item."""

    def _ending(self) -> Error | None:
        """Why the kernel has nothing left to tell, if that is no good reason."""
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stopped = self.stop()
        if kind is not GeneratorExit:  # What is thrown away may wait for nothing any more.
            await stopped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        """
        The next item.

        @raise Error: what the kernel refuses, as C{NotFound} for a name that it does not hold; C{Unreachable} if none
            answers; C{ConnectionLost} if it has been replaced by one that holds nothing of what was asked for.
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
        item, size = self._items.popleft()
        self._waiting_bytes -= size
        self._give(item)
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
        """Begin, or go on, on a new connection."""
        if self._over:
            return
        # What was asked for is known to be there once the kernel has begun to tell, and not before.
        if self._told and greeting.kernel != self._kernel:
            self._end(ConnectionLost("The kernel was replaced by another: what it held is not there any more"))
            return
        self._kernel, self._link, self._paused = greeting.kernel, link, False
        link.listen(self._take)
        link.when_lost().addCallback(lambda _: self._await_link())
        try:
            await self._begin(link, resumed=self._told)
        except ConnectionLost:
            raise
        except Error as error:
            self._end(error)

    def _take(self, push: Push | Watching) -> None:
        if isinstance(push, Watching):
            self._number = push.watch
            self._told = True
            self._begun(push)
        elif isinstance(push, WatchEnded):
            self._end(self._ending())
        elif not self._over:
            self._receive(push)

    def _put(self, item: _Item, size: int) -> None:
        """Have the consumer get an item of so many bytes."""
        size += _ITEM_COST
        self._items.append((item, size))
        self._waiting_bytes += size
        self._wake()
        self._perhaps_pause()

    def _perhaps_pause(self) -> None:
        too_much = self._waiting_bytes > _MOST_WAITING and not self._awaited_answers
        if too_much and not self._paused and self._link is not None and self._link.alive:
            self._paused = True
            self._link.transport.pauseProducing()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear what comes while an answer is waited for, though the consumer is slow: the answer is behind it."""
        self._awaited_answers += 1
        if self._paused:
            self._resume()
        try:
            yield
        finally:
            self._awaited_answers -= 1
            self._perhaps_pause()

    def _resume(self) -> None:
        self._paused = False
        if self._link is not None and self._link.alive:
            self._link.transport.resumeProducing()

    def stop(self) -> Deferred[None]:
        """
        Have no more of it; what was not acknowledged is kept.

        @return: fires once the kernel has taken note of all that was said to it, or cannot be told any more.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._end(None)
        self._items.clear()
        link, self._link = self._link, None
        try:
            if link is not None and link.alive:
                if self._paused:
                    link.transport.resumeProducing()
                with suppress(Error, defer.TimeoutError):
                    asked = Deferred.fromCoroutine(link.ask(StopWatching(watch=self._number)))
                    await asked.addTimeout(PATIENCE, self._clock)
        finally:
            # Also when this is cancelled; but what is thrown away may wait for nothing.
            closed = Deferred.fromCoroutine(self._reconnecting.close())
        await closed

    def _end(self, failure: Error | None) -> None:
        if not self._over:
            self._over = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.called:
            self._waiter.callback(None)
