"""Who is at the other end of a connection, and how much is said of those who are not let in."""

from __future__ import annotations

import select
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IUNIXTransport
from twisted.logger import Logger

from papa.drivers.credentials import credentials_of_peer

__all__ = ["RefusalLog", "has_hung_up", "peer_name"]

#: So many refusals are logged one by one, and from then on only that they are twice as many.
_LOGGED: Final = 100


def peer_name(transport: Any) -> str:
    """Who it is, for people: an address, or the pid of who has connected."""
    address = transport.getPeer()
    if isinstance(address, IPv4Address | IPv6Address):
        return f"{address.host}:{address.port}"
    on_unix: bool = IUNIXTransport.providedBy(transport)
    pid = credentials_of_peer(transport.getHandle()).pid if on_unix else 0
    return f"pid {pid}" if pid else "somebody"


def has_hung_up(transport: Any) -> bool:
    """Whether the other end has, of a connection that is not read for now."""
    fileno = getattr(transport, "fileno", None)
    if fileno is None:
        return False  # It is in memory, and tells by itself.
    poll = select.poll()
    poll.register(fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))
    return bool(poll.poll(0))


class RefusalLog:
    """Tells who was refused, but not without end: anybody may knock as often as they like, and not fill the disk."""

    _log = Logger()

    def __init__(self) -> None:
        self._refused = 0
        self._next = 2 * _LOGGED

    def note(self, peer: str, reason: object) -> None:
        """Somebody was refused."""
        self._refused += 1
        if self._refused <= _LOGGED:
            self._log.warn("refused {peer}: {reason}", peer=peer, reason=reason)
        elif self._refused >= self._next:
            self._next *= 2
            self._log.warn("refused {count} connections so far, now {peer}", count=self._refused, peer=peer)
