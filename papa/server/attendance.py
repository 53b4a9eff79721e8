"""Who is connected, and what that decides: whether one more may come, and whether papa ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from papa.interfaces import IKernel

__all__ = ["Attendance", "Guest"]


class Guest(Protocol):
    """A connection."""

    def dismiss(self) -> None:
        """End it."""


class Attendance:
    """
    The connections of all wires together.

    @ivar guests: the connections that were let in.
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
        self.guests: set[Guest] = set()

    @property
    def full(self) -> bool:
        """Whether no more may come."""
        return len(self.guests) >= self._most

    def arrived(self, guest: Guest) -> None:
        """Somebody was let in; so papa does not end for now."""
        self._leaving = False
        self.guests.add(guest)

    def departed(self, guest: Guest) -> None:
        """A connection has gone."""
        self.guests.discard(guest)
        if self.guests:
            return
        if self._ends_with_last:
            self._end("its last connection has gone")
        elif self._leaving and self._kernel.idle:
            self._end("it was asked to exit if idle")

    def exit_if_idle(self) -> bool:
        """End papa with its last connection, if it then holds nothing; whether it holds nothing now."""
        self._leaving = self._kernel.idle
        return self._leaving
