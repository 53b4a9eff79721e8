"""What is said on a connection, and when it is sent."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISystemHandle, IUNIXTransport

__all__ = ["Outlet"]

#: How many bytes may wait for the client before it is heard no more.
_MOST_UNSENT: Final = 1 << 16


class Outlet:
    """
    What is said on one connection, by a protocol that is the transport's pull producer.

    Twisted sends what is written when its reactor comes round again, with three more system calls than it takes: a
    tenth to a fifth of what it costs to answer a short request. So what can leaves at once.

    @ivar unsent: how many bytes were said since all that had been said before was sent.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None
        self.unsent = 0

    @property
    def full(self) -> bool:
        """Whether more waits for the client than is good."""
        return self.unsent > _MOST_UNSENT

    def say(self, *pieces: bytes, at_once: bool = False) -> None:
        """
        Say something.

        @param at_once: that it is worth a system call of its own, and nobody waits to be told that it was sent.
        """
        self.unsent += sum(map(len, pieces))
        if self._held is None:
            self._send(pieces, at_once=at_once)
        else:
            self._held += pieces

    def hold(self) -> None:
        """Something has come: what is said until L{release} are answers to it, and is sent together."""
        if self._held is None:
            self._held = []

    def release(self, *, at_once: bool = True) -> None:
        """
        Send what was held.

        @param at_once: as L{say} has it.
        """
        held, self._held = self._held, None
        if held:
            self._send(held, at_once=at_once)

    def _send(self, pieces: Sequence[bytes], *, at_once: bool) -> None:
        size = sum(map(len, pieces))
        if at_once and size == self.unsent <= _MOST_UNSENT:
            left = self._left_of(b"".join(pieces))
            self.unsent = len(left)
            if left:
                self._transport.write(left)
        else:
            self._transport.writeSequence(pieces)

    def _left_of(self, data: bytes) -> bytes:
        """What the system does not take now."""
        transport = self._transport
        if not (isinstance(transport, FileDescriptor) and transport.connected):
            return data
        sent = transport.writeSomeData(data)
        # What has gone wrong the transport finds when it tries itself.
        return data[sent:] if isinstance(sent, int) else data

    def sent(self) -> None:
        """The transport has sent all that it was given; what is held was not."""
        self.unsent = sum(map(len, self._held or ()))

    def widen(self, size: int) -> None:
        """
        Have so many bytes, and what goes around them, leave with one system call, which is up to half as quick again.

        With TCP the system sees to that.
        """
        transport = self._transport
        if IUNIXTransport.providedBy(transport) and ISystemHandle.providedBy(transport):
            carrier: Any = transport
            if not carrier.connected:
                return
            carrier.SEND_LIMIT = 2 * size
            # The system takes it twice, and counts what it costs itself to keep the bytes.
            carrier.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size)
