"""
One process sends bytes to another over a pair of Unix sockets with Twisted's amp, in boxes of 65 535 bytes that want no
answer: C{amp_copy.py SIZE}.

Says when it is there; begins at a line, and prints how many bytes have come.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorSocket
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

_MOST = 65535
#: As many as papa sends at a time.
_AT_ONCE = 4


class Piece(amp.Command):
    """Some bytes."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"data", amp.String())]
    requiresAnswer = False


class Sender(amp.AMP):
    """Sends them whenever those before have gone."""

    transport: Any

    def connectionMade(self) -> None:
        self._left = int(sys.argv[1])
        self._piece = bytes(_MOST)
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send some more."""
        for _ in range(_AT_ONCE):
            if not self._left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()
                return
            data = self._piece[: self._left]
            self._left -= len(data)
            self.callRemote(Piece, data=data)

    def stopProducing(self) -> None:
        """Nobody wants more."""


class Receiver(amp.AMP):
    """Counts them."""

    _came = 0

    @Piece.responder
    def piece(self, data: bytes) -> dict[str, Any]:
        """Some have come."""
        self._came += len(data)
        return {}

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        print(self._came, flush=True)
        super().connectionLost(reason)
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Send, or receive."""
    here, there = socket.socketpair()
    print("there", flush=True)
    sys.stdin.readline()
    child = os.fork()
    mine, other = (here, there) if child else (there, here)
    other.close()
    factory: Any = Factory.forProtocol(Receiver if child else Sender)
    mine.setblocking(False)
    IReactorSocket(reactor).adoptStreamConnection(mine.fileno(), socket.AF_UNIX, factory)
    if not child:
        Sender.connectionLost = lambda self, reason: os._exit(0)  # type: ignore[method-assign]
    reactor.run()
    os.wait()


main()
