"""Who has made the other end of a Unix socket, as the system says it."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import Final, NamedTuple

__all__ = ["Credentials", "credentials_of_peer"]

_UCRED: Final = struct.Struct("iII")
#: From sys/un.h of macOS.
_SOL_LOCAL: Final = 0
_LOCAL_PEERPID: Final = 2


class Credentials(NamedTuple):
    """
    As they were when the socket was connected.

    @ivar pid: may be another's by now; 0 where the system does not tell it.
    """

    pid: int
    uid: int


def credentials_of_peer(sock: socket.socket) -> Credentials:
    """
    Of who is at the other end.

    @param sock: a connected Unix socket, or one of a pair.
    @raise OSError: if the system does not tell.
    """
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return Credentials(pid, uid)
    pid = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) if sys.platform == "darwin" else 0
    return Credentials(pid, _effective_uid(sock))


def _effective_uid(sock: socket.socket) -> int:
    """From getpeereid(3), which all BSDs have, and macOS."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = ctypes.c_uint32(), ctypes.c_uint32()
    if libc.getpeereid(sock.fileno(), ctypes.byref(uid), ctypes.byref(gid)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return uid.value
