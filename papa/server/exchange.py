"""The descriptors that are on their way on one connection."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any, Final

from papa.errors import LimitReached

__all__ = ["Exchange", "close_passed"]

#: How many may be, in either direction.
_MOST: Final = 64
#: C{struct linger}: whether closing waits, and for how many seconds.
_NOT_AT_ALL: Final = struct.pack("ii", 0, 0)


def close_passed(descriptor: int) -> None:
    """Close a descriptor that somebody has passed: should it be a socket, without waiting for what it has to send."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return
    with sock, suppress(OSError):
        # A listening one has nothing to send, and what it is set to counts for those who still have it.
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOT_AT_ALL)


class Exchange:
    """
    Descriptors that were lent, and those that have come to be taken.

    They go beside the boxes; these name them by numbers, which both sides count for each direction.
    """

    def __init__(self) -> None:
        self._lent: deque[int] = deque()
        self._sent = 0
        self._kept: dict[int, int] = {}
        self._came = 0

    def check_room(self) -> None:
        """
        See whether one more can be lent.

        @raise LimitReached: if the client first has to say which it has received.
        """
        if len(self._lent) >= _MOST:
            raise LimitReached(f"{_MOST} descriptors are on their way: say that they were received")

    def lend(self, transport: Any, descriptor: int) -> int:
        """
        Send a descriptor, which is closed when the client has received it.

        @return: its number.
        """
        transport.sendFileDescriptor(descriptor)
        self._lent.append(descriptor)
        number, self._sent = self._sent, self._sent + 1
        return number

    def received(self) -> None:
        """The client has received the next of those that were lent."""
        if self._lent:
            os.close(self._lent.popleft())

    def receive(self, descriptor: int, *, keep: bool) -> None:
        """
        One has come; it is not for children.

        @param keep: otherwise it is counted only.
        """
        os.set_inheritable(descriptor, False)
        if keep and len(self._kept) < _MOST:
            self._kept[self._came] = descriptor
        else:
            close_passed(descriptor)
        self._came += 1

    def came(self, number: int) -> bool:
        """Whether it has; if not, it never will, and what comes after it has other numbers here than at the client."""
        return number < self._came

    def take(self, number: int) -> int:
        """
        What has come under a number; the caller closes it.

        @raise LimitReached: if there was no room for it.
        """
        try:
            return self._kept.pop(number)
        except KeyError:
            raise LimitReached(
                f"Descriptor {number} was not kept: {_MOST} may be on their way, and each can be taken once"
            ) from None

    def close(self) -> None:
        """Close all of them."""
        for descriptor in self._lent:
            os.close(descriptor)
        for descriptor in self._kept.values():
            close_passed(descriptor)
        self._lent.clear()
        self._kept.clear()
