"""How much is sent at once."""

from __future__ import annotations

import socket

from twisted.internet.interfaces import ISystemHandle, IUNIXTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from papa.server.sending import send_at_once


@implementer(IUNIXTransport, ISystemHandle)
class _Carrier(StringTransport):
    """A transport with a socket."""

    SEND_LIMIT = 1000

    def __init__(self) -> None:
        super().__init__()
        self.sock, self.other = socket.socketpair()

    def getHandle(self) -> socket.socket:
        return self.sock

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Nobody asks."""


class SendingTests(SynchronousTestCase):
    """Unix sockets, and others."""

    def test_unix(self) -> None:
        """What was asked for goes in one piece, with something around it, though the other side does not read."""
        carrier = _Carrier()
        self.addCleanup(carrier.sock.close)
        self.addCleanup(carrier.other.close)
        send_at_once(carrier, 1 << 18)
        said = b"x" * ((1 << 18) + 4096)
        self.assertGreater(carrier.SEND_LIMIT, len(said))
        carrier.sock.setblocking(False)
        self.assertEqual(carrier.sock.send(said), len(said))

    def test_others(self) -> None:
        """Any other connection stays as it is."""
        transport = StringTransport()
        send_at_once(transport, 1 << 18)
        self.assertFalse(hasattr(transport, "SEND_LIMIT"))
