"""Who gets in: those who could act as papa's user anyway, that is this user and root."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

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

        @param transport: a connected TCP or Unix transport, before anything was read from it.
        """
        uid = self._identify(transport.getHandle())
        if uid is None:
            return "this connection's user cannot be told"
        if uid not in (0, self.uid):
            return f"this papa serves uid {self.uid} and root, not uid {uid}"
        return None
