"""
Twisted endpoints for sockets that papa holds: C{papa:NAME} to serve on one, or to connect to one.

C{papa:NAME:control=PATH} says which kernel, where it is not this user's own.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

from papa.client.deferred import connect
from papa.drivers.ports import adopt_path
from papa.errors import NotFound, SocketFailed
from papa.records import Socket

__all__ = ["HeldClientEndpoint", "HeldEndpointParser", "HeldServerEndpoint"]


def _check_stream(held: Socket) -> None:
    """
    Whether a socket takes connections.

    @raise SocketFailed: if not.
    """
    if held.type != "stream":
        raise SocketFailed(f"Socket {held.name} is of type {held.type}: only streams take connections")


@implementer(IStreamServerEndpoint)
class HeldServerEndpoint:
    """Listens on a socket that papa holds. Closing the port leaves the socket, and who waits on it, to papa."""

    def __init__(self, reactor: Any, name: str, control: str | None) -> None:
        self._reactor = reactor
        self._name = name
        self._control = control

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Borrow the socket and listen on it.

        @return: fails with a leaf of L{papa.errors} if there is no kernel, no such socket, or it takes no connections.
        """
        return Deferred.fromCoroutine(self._listen(protocolFactory))

    async def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        kernel = await connect(self._reactor, self._control)
        try:
            lent = await kernel.lend_socket(self._name)
        finally:
            await kernel.close()
        held = lent.record
        assert isinstance(held, Socket)
        try:
            _check_stream(held)
        except SocketFailed:
            os.close(lent.descriptor)
            raise
        if held.path is not None:
            try:
                os.set_blocking(lent.descriptor, False)
                return adopt_path(self._reactor, lent.descriptor, factory)
            finally:
                os.close(lent.descriptor)
        family = socket.AF_INET6 if held.family == "inet6" else socket.AF_INET
        adopted = AdoptedStreamServerEndpoint(self._reactor, lent.descriptor, family)
        port: IListeningPort = await adopted.listen(factory)
        return port


@implementer(IStreamClientEndpoint)
class HeldClientEndpoint:
    """Connects to whoever serves on a socket that papa holds."""

    def __init__(self, reactor: Any, name: str, control: str | None) -> None:
        self._reactor = reactor
        self._name = name
        self._control = control

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Look the address up and connect.

        @return: fails with a leaf of L{papa.errors} if there is no kernel or no such socket.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        kernel = await connect(self._reactor, self._control)
        try:
            held = (await kernel.list_sockets(self._name)).get(self._name)
        finally:
            await kernel.close()
        if held is None:
            raise NotFound(f"papa holds no socket {self._name}")
        _check_stream(held)
        endpoint: IStreamClientEndpoint
        if held.path is not None:
            endpoint = UNIXClientEndpoint(self._reactor, held.path)
        else:
            kind = TCP6ClientEndpoint if held.family == "inet6" else TCP4ClientEndpoint
            endpoint = kind(self._reactor, held.host or "", held.port or 0)
        return await endpoint.connect(factory)


@implementer(IPlugin, IStreamServerEndpointStringParser, IStreamClientEndpointStringParserWithReactor)
class HeldEndpointParser:
    """Makes both kinds of endpoint of a description."""

    prefix = "papa"

    def parseStreamServer(  # type: ignore[override]  # the interface cannot say which arguments a kind takes
        self, reactor: Any, name: str, control: str | None = None
    ) -> HeldServerEndpoint:
        """C{papa:NAME} as a server endpoint."""
        return HeldServerEndpoint(reactor, name, control)

    def parseStreamClient(  # type: ignore[override]  # as above
        self, reactor: Any, name: str, control: str | None = None
    ) -> HeldClientEndpoint:
        """C{papa:NAME} as a client endpoint."""
        return HeldClientEndpoint(reactor, name, control)
