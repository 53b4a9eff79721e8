"""Sending as much at once as is taken from a watch at a time."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import ISystemHandle, IUNIXTransport

__all__ = ["send_at_once"]


def send_at_once(transport: Any, size: int) -> None:
    """
    Have so many bytes, and what goes around them, leave with one system call, which is up to half as quick again.

    With TCP the system sees to that.
    """
    if IUNIXTransport.providedBy(transport) and ISystemHandle.providedBy(transport):
        carrier: Any = transport
        carrier.SEND_LIMIT = 2 * size
        # The system takes it twice, and counts what it costs itself to keep the bytes.
        carrier.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size)
