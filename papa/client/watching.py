"""What processes print, and what happens in the kernel, for Twisted programs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from papa.client.link import Link
from papa.client.progress import behind
from papa.client.stream import RemoteStream
from papa.commands import ListProcesses, WatchEvents, WatchProcesses
from papa.errors import Error, LimitReached, NotFound, fell_behind
from papa.records import Closed, Happened, Hole, Item, Output
from papa.wire.messages import Acknowledge, Watching
from papa.wire.program import Push

__all__ = ["RemoteEvents", "RemoteWatch"]

#: After how many seconds a kernel that has no room is asked again.
_SHORTLY: Final = 0.05


@dataclass(slots=True)
class _Reading:
    """
    How far the output of one process was read.

    @ivar invocation: tells the process from any other that has had its name.
    @ivar received: the mark up to which everything has come; C{end_received}: whether the end has, too.
    @ivar given: the mark up to which the consumer has everything.
    @ivar safe: the mark up to which the consumer has everything safe; C{ended}: whether the end is, too.
    @ivar bringer: the connection that has brought the end: no other can be told of it.
    @ivar noted: fires once the kernel knows that the end is safe, or nothing more will be known.
    """

    invocation: str
    received: int = 0
    given: int = 0
    safe: int = 0
    end_received: bool = False
    ended: bool = False
    bringer: Link | None = None
    noted: Deferred[bool] = field(default_factory=Deferred)


class RemoteWatch(RemoteStream[Item]):
    """
    An asynchronous iterator over what processes print; it ends when all of them have ended and that was acknowledged,
    or when somebody else goes on with its cursor.

    The kernel waits while the consumer is slow. When the connection is lost the watch goes on behind what has come, on
    the next one, for the processes of the same names.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Any, request: WatchProcesses) -> None:
        super().__init__(endpoint, clock)
        self._request = request
        self._readings: dict[str, _Reading] = {}
        self._done: set[str] = set()

    async def _begin(self, link: Link, *, resumed: bool) -> None:
        names = self._names_left() if resumed else self._request.names
        while names is not None:
            try:
                await link.ask(replace(self._request, names=names))
                return
            except LimitReached:
                if not resumed:
                    raise
                # The kernel has no room for a moment.
                await deferLater(self._clock, _SHORTLY)
            except NotFound:
                # Some are there no more, since their end was acknowledged or somebody has removed them.
                if not resumed:
                    raise
                left = await self._held(link, names)
                if left == names or (not left and not all(map(self._is_done, names))):
                    raise
                names = left or None
        self._end(None)

    def _names_left(self) -> tuple[str, ...] | None:
        """What to ask for on the next connection; L{None} if nothing is left."""
        if not self._request.cursor:
            # The same processes as before; of the same patterns others may have come to be.
            return tuple(self._readings) or None
        if not self._request.names:
            return ()
        return tuple(name for name in self._request.names if not self._is_done(name)) or None

    def _is_done(self, name: str) -> bool:
        """Whether the end of a process was acknowledged."""
        reading = self._readings.get(name)
        return not name.endswith("*") and (name in self._done if reading is None else reading.ended)

    async def _held(self, link: Link, names: tuple[str, ...]) -> tuple[str, ...]:
        """The patterns among names, and the names of processes that are held."""
        plain = tuple(name for name in names if not name.endswith("*"))
        held = await link.ask(ListProcesses(names=plain)) if plain else {}
        return tuple(name for name in names if name in held or name.endswith("*"))

    def _begun(self, watching: Watching) -> None:
        for name, reading in list(self._readings.items()):
            # Of an end that is not to come again nobody can tell the kernel, nor need anybody.
            if reading.end_received and watching.processes.get(name) != reading.invocation:
                self._note(name, reading, known=True)
        for name, invocation in watching.processes.items():
            self._reading(name, invocation)

    def _reading(self, name: str, invocation: str) -> _Reading:
        """How far a process was read; from its beginning if it has another's name, or has joined."""
        reading = self._readings.get(name)
        if reading is not None and reading.invocation != invocation:
            # The kernel has forgotten the other one, or its name would not be free.
            self._note(name, reading, known=True)
            reading = None
        if reading is None:
            reading = self._readings[name] = _Reading(invocation)
        return reading

    def _note(self, name: str, reading: _Reading, *, known: bool) -> None:
        """All is said about the end of a process, whether or not the kernel knows."""
        if self._readings.get(name) is reading:
            del self._readings[name]
            if name in self._request.names:
                self._done.add(name)
        if not reading.noted.called:
            reading.noted.callback(known)

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
            came_before, reading.end_received = reading.end_received, True
            return None if came_before else item
        rest = behind(item, reading.received)
        if rest is None:
            self._tell(item.name, reading)
        else:
            reading.received = item.mark
        return rest

    def _give(self, item: Item) -> None:
        reading = self._reading_of(item)
        if reading is not None and not isinstance(item, Closed):
            reading.given = item.mark

    def _reading_of(self, item: Item) -> _Reading | None:
        """Of the process that an item is of; L{None} if that is over, or another has its name by now."""
        reading = self._readings.get(item.name)
        return reading if reading is not None and reading.invocation == item.invocation else None

    def acknowledge(self, item: Item) -> Deferred[bool]:
        """
        This item, and all of its process before it, is safe.

        @return: of the end of a process, fires once the kernel has taken note: with C{True}, and then the name is free
            unless others read the process with a cursor; or with C{False} if the watch is over before that is known.
            Of anything else, fires at once: it is said again if that was lost.
        """
        reading = self._reading_of(item)
        if reading is None:
            return succeed(not self._over)
        if isinstance(item, Closed):
            reading.ended, reading.safe = True, reading.given
        else:
            reading.safe = max(reading.safe, min(item.mark, reading.given))
        self._tell(item.name, reading)
        return _follow(reading.noted) if isinstance(item, Closed) else succeed(True)

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
        with suppress(Error), self._listening():
            await link.ask(safe)
            if link is reading.bringer:
                self._note(safe.name, reading, known=True)

    async def _stop(self) -> None:
        try:
            await super()._stop()
        finally:
            for name, reading in list(self._readings.items()):
                self._note(name, reading, known=False)


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


def _follow(fired: Deferred[bool]) -> Deferred[bool]:
    """A Deferred of the caller's own that fires with another, and may be cancelled without it."""
    following: Deferred[bool] = Deferred(lambda cancelled: None)

    def fire(known: bool) -> bool:
        if not following.called:
            following.callback(known)
        return known

    fired.addCallback(fire)
    return following
