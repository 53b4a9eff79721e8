"""What processes print, and what happens in the kernel, for Twisted programs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint

from papa.client.link import Link
from papa.client.stream import RemoteStream
from papa.client.watcher import fell_behind
from papa.commands import ListProcesses, WatchEvents, WatchProcesses
from papa.errors import Error, NotFound
from papa.records import Closed, Happened, Hole, Item, Output
from papa.wire.messages import Acknowledge, Watching
from papa.wire.program import Push

__all__ = ["RemoteEvents", "RemoteWatch"]


@dataclass(slots=True)
class _Reading:
    """
    How far the output of one process was read.

    @ivar invocation: tells the process from any other that has had its name.
    @ivar received: the mark up to which everything has come.
    @ivar given: the mark up to which the consumer has everything; C{end_given}: whether it knows the end.
    @ivar safe: the mark up to which the consumer has everything safe; C{ended}: whether the end is, too.
    @ivar bringer: the connection that has brought the end: no other can be told of it.
    @ivar noted: fires once the kernel knows that the end is safe.
    """

    invocation: str
    received: int = 0
    given: int = 0
    safe: int = 0
    end_given: bool = False
    ended: bool = False
    bringer: Link | None = None
    noted: Deferred[None] = field(default_factory=Deferred)

    def note(self) -> None:
        """The kernel knows."""
        if not self.noted.called:
            self.noted.callback(None)


class RemoteWatch(RemoteStream[Item]):
    """
    An asynchronous iterator over what processes print; it ends when all of them have ended and that was acknowledged.

    The kernel waits while the consumer is slow. When the connection is lost the watch goes on behind what has come, on
    the next one, for the processes of the same names.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any, request: WatchProcesses) -> None:
        super().__init__(endpoint, clock)
        self._request = request
        self._readings: dict[str, _Reading] = {}

    async def _begin(self, link: Link, *, resumed: bool) -> None:
        if not resumed or self._request.cursor:
            # A cursor knows by itself what it reads, and where it stands.
            await link.ask(self._request)
            return
        # The same processes as before, but for those that are done with.
        unfinished = {name: each for name, each in self._readings.items() if not each.noted.called}
        try:
            await self._watch(link, unfinished)
        except NotFound:
            # Some are there no more, since their end was acknowledged or somebody has removed them.
            held = await link.ask(ListProcesses(names=tuple(unfinished)))
            if not held and not all(each.ended for each in unfinished.values()):
                raise
            await self._watch(link, held)

    async def _watch(self, link: Link, names: Iterable[str]) -> None:
        request = replace(self._request, names=tuple(names))
        if request.names:
            await link.ask(request)
        else:
            self._end(None)

    def _begun(self, watching: Watching) -> None:
        for name, reading in self._readings.items():
            if reading.ended and watching.processes.get(name) != reading.invocation:
                reading.note()
        for name, invocation in watching.processes.items():
            self._reading(name, invocation)

    def _end(self, failure: Error | None) -> None:
        super()._end(failure)
        for reading in self._readings.values():
            reading.note()

    def _reading(self, name: str, invocation: str) -> _Reading:
        """How far a process was read; from its beginning if it has another's name, or has joined."""
        reading = self._readings.get(name)
        if reading is None or reading.invocation != invocation:
            reading = self._readings[name] = _Reading(invocation)
        return reading

    def _receive(self, push: Push) -> None:
        if isinstance(push, Output | Hole | Closed):
            item = self._new_part(push, self._reading(push.name, push.invocation))
            if item is not None:
                self._put(item, len(item.data) if isinstance(item, Output) else 0)

    def _new_part(self, item: Item, reading: _Reading) -> Item | None:
        """What of an item had not come before the connection was lost; what had is acknowledged again if it was."""
        if isinstance(item, Closed):
            reading.bringer = self._link
            if reading.ended:
                self._tell(item.name, reading)
            return None if reading.ended or reading.end_given else item
        before = reading.received
        if item.mark <= before:
            self._tell(item.name, reading)
            return None
        reading.received = item.mark
        if isinstance(item, Hole):
            return replace(item, size=min(item.size, item.mark - before))
        return replace(item, data=item.data[-(item.mark - before) :])

    def _give(self, item: Item) -> None:
        reading = self._readings[item.name]
        if reading.invocation != item.invocation:
            return
        if isinstance(item, Closed):
            reading.end_given = True
        else:
            reading.given = item.mark

    def acknowledge(self, item: Item) -> Deferred[None]:
        """
        This item, and all of its process before it, is safe.

        @return: of the end of a process, fires once the kernel has taken note: then the name is free, unless others
            read the process with a cursor. Of anything else, fires at once: it is sent again if that was lost.
        """
        reading = self._readings.get(item.name)
        if reading is None or reading.invocation != item.invocation:
            return succeed(None)  # Another process has the name by now.
        if isinstance(item, Closed):
            reading.ended, reading.safe = True, reading.given
        else:
            reading.safe = max(reading.safe, min(item.mark, reading.given))
        self._tell(item.name, reading)
        return _follow(reading.noted) if isinstance(item, Closed) else succeed(None)

    def _tell(self, name: str, reading: _Reading) -> None:
        """Say what is safe; of what this connection has not brought yet, the kernel takes no note."""
        if self._link is not None:
            safe = Acknowledge(
                watch=self._number, name=name, invocation=reading.invocation, mark=reading.safe, end=reading.ended
            )
            if reading.ended:
                Deferred.fromCoroutine(self._tell_end(self._link, safe, reading))
            else:
                self._link.tell(safe)

    async def _tell_end(self, link: Link, safe: Acknowledge, reading: _Reading) -> None:
        with suppress(Error):
            await link.ask(safe)
            if link is reading.bringer:
                reading.note()


class RemoteEvents(RemoteStream[Happened]):
    """
    An asynchronous iterator over what happens in the kernel: each event has the next number, and none is left out.

    When the connection is lost it goes on with the next event, on the next connection; it fails with C{TooOld} when
    that is no longer kept.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any, request: WatchEvents) -> None:
        super().__init__(endpoint, clock)
        self._request = request
        self._last: int | None = None

    async def _begin(self, link: Link, *, resumed: bool) -> None:
        since = self._request.since if self._last is None else self._last
        await link.ask(replace(self._request, since=since))

    def _begun(self, watching: Watching) -> None:
        if self._last not in (None, watching.since):
            # It was 0, which asks for the oldest that is kept.
            self._end(fell_behind())
        self._last = watching.since

    def _receive(self, push: Push) -> None:
        if isinstance(push, Happened):
            self._last = push.number
            self._put(push, 0)

    def _ending(self) -> Error | None:
        return fell_behind() if self._request.follow else None

    def _give(self, item: Happened) -> None:
        """Nothing is to be acknowledged."""


def _follow(fired: Deferred[None]) -> Deferred[None]:
    """A Deferred of the caller's own that fires with another, and may be cancelled without it."""
    following: Deferred[None] = Deferred(lambda cancelled: None)
    fired.addCallback(lambda _: None if following.called else following.callback(None))
    return following
