"""Who gets in: those who could act as papa's user anyway, this user and root; over TLS, who shows a certificate."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import ISSLTransport

from papa.drivers.peers import peer_uid

__all__ = ["Access"]


class Access:
    """
    Decides about connections.

    @ivar uid: papa's own user.
    """

    def __init__(self, uid: int, identify: Callable[[socket.socket], int | None] = peer_uid) -> None:
        self.uid = uid
        self._identify = identify

    def refusal(self, transport: Any) -> str | None:
        """
        Why a new connection is not let in; L{None} if it is.

        @param transport: a connected transport, before anything was read from it.
        """
        if ISSLTransport.providedBy(transport):
            return None  # It has shown a certificate, or would not have come so far.
        uid = self._identify(transport.getHandle())
        if uid is None:
            return "this connection's user cannot be told"
        if uid not in (0, self.uid):
            return f"this papa serves uid {self.uid} and root, not uid {uid}"
        return None
