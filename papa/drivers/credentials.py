"""Who has made the other end of a Unix socket, as the system says it."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

__all__ = ["Credentials", "credentials_of_peer"]

_UCRED: Final = struct.Struct("iII")


class Credentials(NamedTuple):
    """
    As they were when the socket was connected.

    @ivar pid: may be another's by now.
    """

    pid: int
    uid: int
    gid: int


def credentials_of_peer(sock: socket.socket) -> Credentials:
    """
    Of who is at the other end.

    @param sock: a connected Unix socket, or one of a pair.
    @raise OSError: if the system does not tell.
    """
    return Credentials(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
