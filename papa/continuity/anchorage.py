"""The anchor that a kernel is at: the one that there is, and another one when that has gone."""

from __future__ import annotations

import errno
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.continuity.channel import Channel
from papa.continuity.door import Door
from papa.continuity.knocking import AWAITED, Knocking

__all__ = ["Anchorage", "Message"]

Message: TypeAlias = Mapping[str, Any]
"""What goes over the line, beside descriptors."""

#: The pause before another anchor is started doubles with each that does not hold for so long, in seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_HOLDS: Final = 60.0
#: How much is heard before clients have their turn: each may be an end, which takes 0.2 ms.
_TURN: Final = 16
#: How long descriptors that are on their way take at most to arrive, about, in seconds.
_SHORTLY: Final = 0.001
#: How long all others wait for that when something is to be held, in seconds.
_PATIENCE: Final = 0.1


@implementer(IReadDescriptor)
class Anchorage:
    """Speaks with the anchor that there is. One that has gone is replaced by one that is told all that is held."""

    _log = Logger()

    def __init__(
        self,
        channel: Channel,
        reactor: Any,
        *,
        start: Callable[[], Channel],
        held: Callable[[], Iterable[tuple[str, Message, Sequence[int]]]],
        told: Callable[[Message], object],
        moved: Callable[[int], object],
    ) -> None:
        """
        @param channel: the line to the first one.
        @param start: starts another one; raises L{OSError} if there is none to be had.
        @param held: what that one is to hold, in order: the key, what is to be told with it, and descriptors.
        @param told: called with what an anchor tells by itself.
        @param moved: called with the pid of another one that holds everything.
        """
        self._channel: Channel | None = channel
        self._reactor = reactor
        self._start = start
        self._held = held
        self._told = told
        self._moved = moved
        self._hears = True
        self._pause = 0.0
        self._again: Any = None
        self._later: deque[Message] = deque()
        # Where a service manager would start an anchor in place of this one.
        self._knocking: Knocking | None = None
        self._is_managed = False

    def serve(self, door: Door | None) -> None:
        """
        Hear from the anchor from now on.

        @param door: where a service manager's next one would knock; L{None} if it would start none.
        """
        if door is not None:
            self._knocking = Knocking(self._reactor, door, self._turn_to)
            self._is_managed = True
        self._reactor.addReader(self)

    def receive(self) -> tuple[Message, list[int]]:
        """
        Wait for what the anchor tells next.

        @raise ConnectionResetError: if it has gone without having heard all; C{ConnectionError}: if it has gone.
        """
        told = None if self._channel is None else self._channel.receive()
        if told is None:
            unheard = self._channel is not None and self._channel.unheard
            raise (ConnectionResetError if unheard else ConnectionError)("the anchor has gone")
        return told

    def put_off(self, message: Message) -> None:
        """What has nothing to do with what is waited for is told in a turn of its own."""
        if not self._later:
            self._reactor.callLater(0, self._tell_later)
        self._later.append(message)

    def tell(self, message: Message) -> None:
        """Tell it something; one that does not hear is replaced by one that is told everything."""
        if self._channel is not None and self._hears:
            try:
                self._channel.send(message)
            except OSError as error:
                self._log.error("the anchor does not hear: {error}", error=error)

    def give(self, message: Message, descriptors: Sequence[int]) -> None:
        """
        Give it something to hold; one that does not hear is given it later.

        @raise OSError: if it cannot be given these now.
        """
        if self._channel is not None and self._hears:
            with suppress(ConnectionError):  # Its end will tell.
                _send_when_possible(self._channel, message, descriptors, _PATIENCE)

    def ask(self, message: Message, descriptors: Sequence[int]) -> None:
        """
        Ask an anchor that is there for something, be it another.

        @raise OSError: if there is none to be had.
        """
        self.secure()
        assert self._channel is not None
        try:
            self._channel.send(message, descriptors)
        except ConnectionError:
            self.secure()
            self._channel.send(message, descriptors)

    def secure(self) -> None:
        """
        Have an anchor that holds everything, now.

        @raise OSError: if there is none to be had.
        """
        if self._channel is not None and self._channel.gone:
            self._lose(self._channel)
        if self._channel is None and self._knocking is not None:
            self._knocking.wait()
        if self._channel is None:
            self._begin()
        while not self._hears:
            message, _ = self.receive()
            if "hear" in message:
                self._hand_over(message["hear"])
            else:
                self.put_off(message)

    def _lose(self, channel: Channel) -> None:
        """The anchor has gone: have another started, at once if this one has held for long."""
        if channel is not self._channel:
            return
        self._reactor.removeReader(self)
        with suppress(OSError):
            while (told := channel.receive(wait=False)) is not None:
                self.put_off(told[0])
        channel.close()
        self._channel, self._hears = None, False
        self._log.error("the anchor has gone: this kernel goes on, and another anchor is started")
        self._told({"refused": "the anchor has gone"})
        if self._is_managed and self._knocking is not None:
            self._is_managed = False
            self._knocking.expect()
            self._later_on(AWAITED, self._try_again)
        elif self._pause:
            self._later_on(self._pause, self._try_again)
        else:
            self._try_again()

    def _try_again(self) -> None:
        if self._channel is not None:
            return
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        try:
            self._begin()
        except OSError as error:
            self._log.error("cannot start an anchor: {error}", error=error)
            self._later_on(self._pause, self._try_again)

    def _later_on(self, pause: float, then: Callable[[], object]) -> None:
        """Do that after a pause, and what was to be done before not any more."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = self._reactor.callLater(pause, then)

    def _turn_to(self, channel: Channel) -> None:
        """Have an anchor that the service manager has started, and no other."""
        if self._channel is not None:
            self._reactor.removeReader(self)
            with suppress(OSError):
                self._channel.send({"do": "drop", "keys": [key for key, _, _ in self._held()]})
                self._channel.send({"do": "goodbye"})
            self._channel.close()
        self._channel, self._hears, self._is_managed = channel, False, True
        self._reactor.addReader(self)

    def _begin(self) -> None:
        self._channel = self._start()
        self._reactor.addReader(self)

    def _hand_over(self, anchor: int) -> None:
        """Tell another anchor, of that pid, all that the one before has held."""
        assert self._channel is not None
        try:
            for key, about, descriptors in self._held():
                _send_when_possible(self._channel, {"do": "adopt", "key": key, **about}, descriptors)
            self._channel.send({"do": "ready"})
        except ConnectionError:
            return  # Its end will tell.
        self._hears = True
        self._moved(anchor)
        self._later_on(_HOLDS, self._forgive)
        self._log.warn("another anchor holds everything now")

    def _forgive(self) -> None:
        self._pause = 0.0

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return -1 if self._channel is None else self._channel.fileno()

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa anchor"

    def doRead(self) -> None:
        """Hear what the anchor tells."""
        channel = self._channel
        try:
            for _ in range(_TURN):
                if channel is None or channel is not self._channel:
                    return
                told = channel.receive(wait=False)
                if told is None:
                    # In a turn of its own: the reactor takes whatever is registered now for what has ended.
                    self._reactor.removeReader(self)
                    self._reactor.callLater(0, self._lose, channel)
                    return
                self._hear(told[0])
        except BlockingIOError:
            pass

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""

    def _tell_later(self) -> None:
        while self._later:
            self._hear(self._later.popleft())

    def _hear(self, message: Message) -> None:
        """Do what it asks; should papa fail at that, it goes on hearing."""
        try:
            if "hear" in message:
                self._hand_over(message["hear"])
            else:
                self._told(message)
        except Exception:  # noqa: BLE001 - the edge: nothing may pass it
            self._log.failure("papa failed at what the anchor told")


def _send_when_possible(
    channel: Channel, message: Message, descriptors: Sequence[int], patience: float = math.inf
) -> None:
    """
    Send what takes its turn among too many descriptors of this user that are on their way.

    @param patience: for how many seconds it is tried.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            channel.send(message, descriptors)
            return
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                raise
            time.sleep(_SHORTLY)
