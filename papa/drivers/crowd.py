"""
Many descriptors that have their turns together: what comes from children, so that clients need not wait for all of it.

A reactor does all that is ready before it looks again; if 5 000 children exit at once, that takes a second. So their
descriptors are watched by a set of their own, of which the reactor knows as one, and a turn is a few of them.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.drivers.widening import Widening

__all__ = ["Crowd", "Singly", "telling", "watching"]

#: How often something is read in a turn; and how often in a row before it is seen how long that took: a read takes 8
#: microseconds, but 150 if something has ended.
_TURN: Final = 64
_IN_A_ROW: Final = 16
#: How long others wait, in seconds.
_WHILE: Final = 0.002

telling: Final = Logger().failureHandler("papa failed at what has become of a child")
"""Around what an observer is told: if it is papa that fails, the child must not end for it, as with its pipe closed."""


@implementer(IReadDescriptor)
class Crowd:
    """
    Watches descriptors for reading; a reader of it is told what a reactor would tell it.

    @ivar widening: for the pipes among them.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: an C{IReactorFDSet}.
        """
        self._reactor = reactor
        self._epoll = select.epoll()
        self._readers: dict[int, Any] = {}
        self.widening = Widening()

    def addReader(self, reader: Any) -> None:
        """Watch its descriptor."""
        descriptor = reader.fileno()
        if descriptor in self._readers:
            return
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader
        if len(self._readers) == 1:
            self._reactor.addReader(self)

    def removeReader(self, reader: Any) -> None:
        """Watch it no more; it must still be open."""
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is not reader:
            return
        del self._readers[descriptor]
        self._epoll.unregister(descriptor)
        if not self._readers:
            self._reactor.removeReader(self)

    def removeWriter(self, writer: Any) -> None:
        """Nothing is written to what is here; but Twisted makes sure of that."""

    def fileno(self) -> int:
        """The descriptor that the reactor watches: readable as long as one of the others is."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa children"

    def doRead(self) -> None:
        """Give some their turn, or a few several; those that have had it are behind all others next time."""
        left, until = _TURN, time.perf_counter() + _WHILE
        # To come back here by way of the reactor would take as long as to read 64 KiB.
        while left and (ready := self._epoll.poll(0, min(left, _IN_A_ROW))):
            left -= len(ready)
            for descriptor, _ in ready:
                reader = self._readers.get(descriptor)
                if reader is not None:  # One before it in this turn may have had it removed.
                    self._read(reader)
            if len(ready) == _IN_A_ROW and time.perf_counter() > until:
                return

    def _read(self, reader: Any) -> None:
        why: BaseException | None
        try:
            why = reader.doRead()
        except BaseException as error:  # noqa: BLE001 - as a reactor does: the others go on
            self._log.failure("papa failed at what a child has printed")
            why = error
        if why is not None:
            self.removeReader(reader)
            with telling:
                reader.connectionLost(Failure(why))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""


class Singly:
    """Has the reactor watch each descriptor for itself, where the system has no set that can be watched as one."""

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: an C{IReactorFDSet}.
        """
        self.addReader = reactor.addReader
        self.removeReader = reactor.removeReader
        self.removeWriter = reactor.removeWriter
        self.widening = Widening()


def watching(reactor: Any) -> Crowd | Singly:
    """What watches the descriptors of children, as far as this system can."""
    return Crowd(reactor) if hasattr(select, "epoll") else Singly(reactor)
