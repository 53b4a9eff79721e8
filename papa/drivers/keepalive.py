"""Noticing that the machine at the other end of a TCP connection has gone without a word."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

__all__ = ["keep_alive"]

#: After how long a silence the other end is asked whether it is there, how often again, and how many times, in seconds.
_IDLE: Final = 60
_INTERVAL: Final = 15
_TIMES: Final = 4


def keep_alive(sock: socket.socket) -> None:
    """Have the system end a connection within two minutes of its peer's vanishing; of a listener, all it accepts."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _IDLE), ("TCP_KEEPINTVL", _INTERVAL), ("TCP_KEEPCNT", _TIMES)):
        with suppress(AttributeError, OSError):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
