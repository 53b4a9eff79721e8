"""What happened, numbered without a gap, as far back as is kept; and those who follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from zope.interface import implementer

from papa.asked.events import WatchEvents
from papa.errors import BadRequest, LimitReached, TooOld
from papa.interfaces import IEventObserver, ILedger, IWatch, IWatchObserver
from papa.records import Event, Happened

__all__ = ["Following", "History"]

#: How many events are kept.
_KEPT: Final = 10_000
#: What an event is taken to cost, in bytes, where a reader bounds what it takes.
_COST: Final = 100
#: The kind of entry in the ledger, by number.
_EVENT: Final = "event"


@implementer(IEventObserver)
class History:
    """
    The events so far.

    @ivar last: the number of the latest; the first that ever happened has 1.
    """

    def __init__(self, then: IEventObserver, ledger: ILedger, *, wall: Callable[[], float], kept: int = _KEPT) -> None:
        """
        @param then: is told of each event as well.
        """
        self._then = then
        self._ledger = ledger
        self._wall = wall
        self._most = kept
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
        now = self._now(event)
        self._kept.append(now)
        # It has happened, whether there is memory to remember it in or not.
        with suppress(LimitReached):
            self._ledger.remove(_EVENT, str(self.last - self._most))
            self._ledger.put(_EVENT, str(self.last), (now.timestamp, now.kind, now.name, now.detail))
        self._then.happened(event)
        for follower in list(self._followers):
            follower.wake()

    def restore(self, entries: Mapping[str, Any]) -> None:
        """Go on behind what the ledger knows of; what lies before an event that it misses is not kept."""
        for number, (timestamp, kind, name, detail) in sorted((int(key), entry) for key, entry in entries.items()):
            if number != self.last + 1:
                self._kept.clear()
            self._kept.append(Happened(number=number, timestamp=timestamp, kind=kind, name=name, detail=detail))
            self.last = number

    def noticed(self, event: Event) -> None:
        """Tell those who asked for such things; they are not kept, so that they drive nothing else out."""
        told = self._now(event)
        for follower in [each for each in self._followers if each.clients]:
            follower.notice(told)

    def _now(self, event: Event) -> Happened:
        return Happened(number=self.last, timestamp=self._wall(), kind=event.kind, name=event.name, detail=event.detail)

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
        follower = Following(self, since, observer, clients=request.clients)
        self._followers.append(follower)
        return follower

    def leave(self, follower: Following) -> None:
        """Somebody follows no more."""
        if follower in self._followers:
            self._followers.remove(follower)


@implementer(IWatch)
class Following:
    """
    One reader of the history; it is ended if it stays so far behind that what it needs is no longer kept.

    @ivar clients: whether it is told of clients, too.
    """

    def __init__(self, history: History, number: int, observer: IWatchObserver, *, clients: bool) -> None:
        self.clients = clients
        self._noticed: deque[Happened] = deque()
        self._history = history
        self._number = self.since = number
        self._observer: IWatchObserver | None = observer
        self.count = 1
        self._asleep = not self.pending

    @property
    def done(self) -> bool:
        """Whether nothing will come any more."""
        return not self.count

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return self.count > 0 and (self._number < self._history.last or bool(self._noticed))

    @property
    def processes(self) -> dict[str, str]:
        """Events are of no process."""
        return {}

    def wake(self) -> None:
        """There is something to take, or nothing will ever be."""
        if self._asleep:
            self._asleep = False
            if self._observer is not None:
                self._observer.output_ready()

    def notice(self, event: Happened) -> None:
        """A client has come or gone."""
        self._noticed.append(event)
        if len(self._noticed) > _KEPT:
            self.stop()
        self.wake()

    def take(self, limit: int) -> list[Happened]:
        """The next events; about C{limit} bytes of them."""
        most = max(1, limit // _COST)
        taken: list[Happened] = []
        while len(taken) < most and self.pending:
            # What was noticed comes behind what had happened by then.
            if self._noticed and self._noticed[0].number <= self._number:
                taken.append(self._noticed.popleft())
                continue
            until = self._noticed[0].number if self._noticed else self._history.last
            try:
                taken += self._history.behind(self._number, min(most - len(taken), until - self._number))
            except TooOld:
                self.stop()
                return []
            self._number = taken[-1].number
        self._asleep = not self.pending
        return taken

    def acknowledge(self) -> None:
        """Events are kept for their time, whoever has them."""

    def acknowledge_to(self, name: str, invocation: str, mark: int, *, end: bool) -> None:
        """As L{acknowledge}."""

    def stop(self) -> None:
        """Stop following."""
        self._observer = None  # As in a watch of processes.
        self.count = 0
        self._noticed.clear()
        self._history.leave(self)
