"""Twisted ports on listening Unix sockets whose paths are somebody else's business."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

__all__ = ["adopt_path"]


def adopt_path(reactor: Any, descriptor: int, factory: IProtocolFactory) -> IListeningPort:
    """
    Accept connections on a copy of a listening Unix socket; neither now nor in the end is its path touched.

    @raise OSError: if the socket cannot be copied.
    """
    port = _PathPort._fromListeningDescriptor(reactor, descriptor, factory)
    port.startListening()
    adopted: IListeningPort = port
    return adopted


class _PathPort(unix.Port):
    """
    A port on a socket that listens already, at a path that L{SocketPath} looks after.

    Twisted's own would open the path to all users, shorten the queue, and delete whatever is at the path in the end.
    """

    def startListening(self) -> None:
        """Accept connections."""
        sock, self._preexistingSocket = self._preexistingSocket, None
        assert sock is not None
        assert self.factory is not None
        tcp._reservedFD.reserve()
        self.factory.doStart()
        # Others hold this socket, too: shutting it down would take it from them.
        self._shouldShutdown = False
        self.socket = sock
        self.fileno = sock.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = 100
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket, and leave the path alone."""
        tcp.Port.connectionLost(self, reason)
