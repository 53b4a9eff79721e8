"""Who is connected, and what that decides: whether one more may come, and whether papa ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed

from papa.errors import Error, LimitReached, NotAllowed
from papa.interfaces import IKernel
from papa.records import Event
from papa.server.peer import RefusalLog
from papa.wire.text import FULL

__all__ = ["Attendance", "Doorkeeper", "Guest"]


class Doorkeeper(Protocol):
    """Decides who gets in."""

    def refusal(self, transport: Any) -> str | None:
        """Why not; L{None} lets in."""


class Guest(Protocol):
    """
    A connection.

    @ivar peer: who is at its other end, as L{peer_name} has it.
    """

    peer: str

    def dismiss(self, reason: Error | None = None) -> None:
        """
        End it, once everything was said.

        @param reason: to be told last.
        """


class Attendance:
    """
    The connections of all wires together.

    @ivar guests: the connections that were let in.
    @ivar give_way: how papa gives way to another kernel, as L{upgrade} has it; L{None} where it cannot.
    """

    def __init__(self, kernel: IKernel, end: Callable[[str], None], *, most: int, ends_with_last: bool = False) -> None:
        """
        @param end: ends papa, for the given reason.
        @param most: how many connections there may be.
        @param ends_with_last: end whenever the last connection has gone.
        """
        self._kernel = kernel
        self._end = end
        self._most = most
        self._ends_with_last = ends_with_last
        self._leaving = False
        self._refusals = RefusalLog()
        self.give_way: Callable[[str], Deferred[None]] | None = None
        self._emptied: Deferred[None] | None = None
        self.guests: set[Guest] = set()

    @property
    def full(self) -> bool:
        """Whether no more may come."""
        return len(self.guests) >= self._most

    def refusal(self, doorkeeper: Doorkeeper, transport: Any, peer: str) -> Error | None:
        """Why a new connection is not let in; L{None} if it is. The log tells who was refused."""
        reason = doorkeeper.refusal(transport)
        refusal: Error | None = None if reason is None else NotAllowed(reason)
        if refusal is None and self.full:
            refusal = LimitReached(FULL)
        if refusal is not None:
            self._refusals.note(peer, refusal)
        return refusal

    def arrived(self, guest: Guest) -> None:
        """Somebody was let in; so papa does not end for now."""
        self._leaving = False
        self.guests.add(guest)
        self._kernel.noticed(Event(kind="client-came", name=guest.peer))

    def departed(self, guest: Guest) -> None:
        """A connection has gone."""
        self.guests.discard(guest)
        self._kernel.noticed(Event(kind="client-gone", name=guest.peer))
        if self.guests:
            return
        if self._emptied is not None:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)
            return
        if self._ends_with_last:
            self._end("its last connection has gone")
        elif self._leaving and self._kernel.idle:
            self._end("it was asked to exit if idle")

    def dismiss_all(self, reason: Error | None = None) -> Deferred[None]:
        """
        End all connections.

        @return: fires once they have gone.
        """
        if not self.guests:
            return succeed(None)
        emptied = self._emptied = Deferred()
        for guest in list(self.guests):
            guest.dismiss(reason)
        return emptied

    def replaced(self, guest: Guest, successor: Guest) -> None:
        """Somebody goes on in another way."""
        self.guests.discard(guest)
        self.guests.add(successor)

    def upgrade(self, python: str) -> Deferred[None]:
        """
        Give way to another kernel.

        @param python: the path of the Python to run it with; the same by default.
        @return: fires when papa is about to give way; fails with an L{Error} that says why it does not.
        """
        if self.give_way is None:
            return fail(
                NotAllowed(
                    "This kernel has no anchor, so no other can go on from it: start it with papa serve --anchor"
                )
            )
        return self.give_way(python)

    def exit_if_idle(self) -> bool:
        """End papa with its last connection, if it then holds nothing; whether it holds nothing now."""
        self._leaving = self._kernel.idle
        return self._leaving
