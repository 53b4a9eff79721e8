"""
A crate: a socket in whose queue messages lie, with descriptors beside them, so that one descriptor stands for many.

Whoever has the socket has all that lies in it, also when nobody has the end any more through which it was put there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from papa.continuity.channel import Channel, DescriptorsLost
from papa.drivers.credentials import credentials_of_peer

__all__ = ["Crate", "contents"]

#: Linux's number, from asm-generic/socket.h: where a look begins.
_SO_PEEK_OFF: Final = 42


class Crate:
    """
    One that is being filled.

    @ivar name: of which there is no other, and which nobody can guess.
    @ivar keys: of what lies in it and counts; C{descriptors}: how many have been put in.
    """

    def __init__(self) -> None:
        self._inside, self._outside = Channel.pair()
        self.name = os.urandom(8).hex()
        self.keys: dict[str, None] = {}
        self.descriptors = 0

    def fileno(self) -> int:
        """What is to be kept."""
        return self._outside.fileno()

    def put(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """
        Put something in.

        @raise OSError: if there is no room.
        """
        self._inside.send(message, descriptors, wait=False)
        self.descriptors += len(descriptors)

    def close(self) -> None:
        """Leave it to whoever else has it."""
        self._inside.close()
        self._outside.close()


def contents(descriptor: int) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """
    What lies in a crate, and stays there; duplicates of the descriptors are the caller's.

    What no process of this very user has put there does not count, nor does what there are no descriptors left for.

    @param descriptor: is closed at the end.
    """
    try:
        sock = socket.socket(fileno=descriptor)
        own = _is_own(sock)
        if own:
            sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
        sock.detach()
    except OSError:
        own = False
    if not own:
        os.close(descriptor)
        return
    channel = Channel(descriptor)
    try:
        while True:
            try:
                told = channel.receive(wait=False, leave=True)
            except DescriptorsLost:
                continue
            except BlockingIOError:
                return
            if told is None:
                return
            yield told
    finally:
        channel.close()


def _is_own(sock: socket.socket) -> bool:
    """Whether this is an end of a pair that this user has made: of one that was connected, the peer has a name."""
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET) or sock.getpeername() or sock.getsockname():
        return False
    return credentials_of_peer(sock).uid == os.geteuid()
