"""What happened, numbered without a gap, as far back as is kept; and those who follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from zope.interface import implementer

from papa.asked.events import WatchEvents
from papa.errors import BadRequest, TooOld
from papa.interfaces import IEventObserver, IWatch, IWatchObserver
from papa.records import Event, Happened

__all__ = ["Following", "History"]

#: How many events are kept.
_KEPT: Final = 10_000
#: What an event is taken to cost, in bytes, where a reader bounds what it takes.
_COST: Final = 100


@implementer(IEventObserver)
class History:
    """
    The events so far.

    @ivar last: the number of the latest; the first that ever happened has 1.
    """

    def __init__(self, then: IEventObserver, *, wall: Callable[[], float], kept: int = _KEPT) -> None:
        """
        @param then: is told of each event as well.
        """
        self._then = then
        self._wall = wall
        self._kept: deque[Happened] = deque(maxlen=kept)
        self._followers: list[Following] = []
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest that is kept, or of the next if there is none."""
        return self.last - len(self._kept) + 1

    def happened(self, event: Event) -> None:
        """Number it, keep it, and wake those who follow."""
        self.last += 1
        self._kept.append(
            Happened(number=self.last, timestamp=self._wall(), kind=event.kind, name=event.name, detail=event.detail)
        )
        self._then.happened(event)
        for follower in list(self._followers):
            follower.wake()

    def behind(self, number: int, most: int) -> list[Happened]:
        """
        The events behind a number, so many at most.

        @raise TooOld: if some of them are no longer kept.
        """
        if number + 1 < self.first:
            raise TooOld(
                f"Event {number + 1} is no longer kept: the oldest is {self.first}. "
                "List what is held, and follow from now on"
            )
        start = number + 1 - self.first
        return list(islice(self._kept, start, start + most))

    def follow(self, request: WatchEvents, observer: IWatchObserver) -> Following:
        """
        Start following.

        @raise TooOld: if what the request begins with is no longer kept.
        @raise BadRequest: if it has not happened yet.
        """
        if request.since > self.last:
            raise BadRequest(f"Event {request.since} has not happened yet: the latest is {self.last}")
        since = {-1: self.last, 0: self.first - 1}.get(request.since, request.since)
        self.behind(since, 0)
        follower = Following(self, since, observer)
        self._followers.append(follower)
        return follower

    def leave(self, follower: Following) -> None:
        """Somebody follows no more."""
        if follower in self._followers:
            self._followers.remove(follower)


@implementer(IWatch)
class Following:
    """One reader of the history; it is ended if it stays so far behind that what it needs is no longer kept."""

    def __init__(self, history: History, number: int, observer: IWatchObserver) -> None:
        self._history = history
        self._number = self.since = number
        self._observer = observer
        self.count = 1

    @property
    def done(self) -> bool:
        """Whether nothing will come any more."""
        return not self.count

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return self.count > 0 and self._number < self._history.last

    @property
    def processes(self) -> dict[str, str]:
        """Events are of no process."""
        return {}

    def wake(self) -> None:
        """Something has happened."""
        if self._history.last == self._number + 1:
            self._observer.output_ready()

    def take(self, limit: int) -> list[Happened]:
        """The next events; about C{limit} bytes of them."""
        try:
            taken = self._history.behind(self._number, max(1, limit // _COST))
        except TooOld:
            self.stop()
            return []
        self._number += len(taken)
        return taken

    def acknowledge(self) -> None:
        """Events are kept for their time, whoever has them."""

    def acknowledge_to(self, name: str, invocation: str, mark: int, *, end: bool) -> None:
        """As L{acknowledge}."""

    def stop(self) -> None:
        """Stop following."""
        self.count = 0
        self._history.leave(self)
