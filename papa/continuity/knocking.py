"""Hearing who knocks at a kernel's door, as a reactor has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.continuity.channel import Channel
from papa.continuity.door import Door

__all__ = ["AWAITED", "Knocking"]

#: How long a service manager may take to start another anchor before the kernel starts one itself, in seconds.
AWAITED: Final = 5.0


@implementer(IReadDescriptor)
class Knocking:
    """The door of a kernel behind which somebody listens."""

    def __init__(self, reactor: Any, door: Door, opened: Callable[[Channel], object]) -> None:
        """
        @param opened: is given the line to an anchor that has knocked.
        """
        self._door = door
        self._opened = opened
        self._until = 0.0
        reactor.addReader(self)

    def expect(self) -> None:
        """From now on somebody is expected, for L{AWAITED}."""
        self._until = time.monotonic() + AWAITED

    def wait(self) -> None:
        """Wait for whoever is expected, for as long as is left."""
        if self._door.knocked(self._until - time.monotonic()):
            self.doRead()

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self._door.fileno()

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa door"

    def doRead(self) -> None:
        """Somebody has knocked."""
        channel = self._door.opened()
        if channel is not None:
            self._opened(channel)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
