"""Listening at the endpoints that were asked for, and at those that are only tried."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from papa.drivers.holding import NobodyElse
from papa.drivers.paths import SocketPath
from papa.drivers.peers import listener_uid
from papa.drivers.ports import adopt_path
from papa.drivers.sockets import listen_tcp, listen_unix
from papa.endpoints import Endpoint, TcpEndpoint, TlsEndpoint, UnixEndpoint
from papa.errors import SocketFailed
from papa.interfaces import IHolder

__all__ = ["Listening"]

#: How many connections may wait to be accepted: a burst of clients must not find the door shut.
_BACKLOG: Final = 4096


class Listening(Service):
    """
    One endpoint.

    @ivar where: what it listens at, with the port that the system chose for 0; L{None} while it does not.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, endpoint: Endpoint, factory: Factory, *, optional: bool, holder: IHolder | None = None
    ) -> None:
        """
        @param optional: go on without it if it is taken.
        @param holder: holds the socket beyond the life of papa, so that no client finds the door shut.
        """
        self._holder = NobodyElse() if holder is None else holder
        self._reactor = reactor
        self._endpoint = endpoint
        self._factory = factory
        self._optional = optional
        self._port: IListeningPort | None = None
        self._path: SocketPath | None = None
        self.where: Endpoint | None = None

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise Error: if the endpoint is not to be had and not optional.
        """
        try:
            factory = self._secured()
            with self._bind() as sock:
                self._adopt(sock, factory)
        except SocketFailed as error:
            if not self._optional:
                raise
            self._log.warn("going on without {endpoint}: {reason}", endpoint=self._endpoint, reason=error)
            return
        self._log.info("serving at {where}", where=self.where)

    def _secured(self) -> Any:
        if not isinstance(self._endpoint, TlsEndpoint):
            return self._factory
        try:
            from papa.server.secured import secured
        except ImportError as error:
            raise SocketFailed(
                f"ssl: endpoints need more than papa itself: pip install 'papa[tls]' ({error})"
            ) from error
        return secured(self._factory, self._endpoint, self._reactor)

    def _bind(self) -> Any:
        """The socket that papa held before, or a new one."""
        held = self._holder.take(self._key)
        if held:
            number, *lock = held
            if lock and isinstance(self._endpoint, UnixEndpoint):
                self._path = SocketPath.adopted(self._endpoint.path, lock[0])
            return socket.socket(fileno=number)
        sock = self._bind_anew()
        self._holder.hold(self._key, [sock.fileno(), *([] if self._path is None else [self._path.lock])])
        return sock

    @property
    def _key(self) -> str:
        return f"listening {self._endpoint}"

    def _bind_anew(self) -> socket.socket:
        endpoint = self._endpoint
        if isinstance(endpoint, UnixEndpoint):
            sock, self._path = listen_unix(endpoint.path, _BACKLOG)
            return sock
        try:
            return listen_tcp(endpoint.host, endpoint.port, _BACKLOG)
        except OSError as error:
            raise _taken(endpoint, error) from error

    def _adopt(self, sock: Any, factory: Any) -> None:
        """Have the reactor accept from a copy of the socket."""
        try:
            if isinstance(self._endpoint, UnixEndpoint):
                self._port = adopt_path(self._reactor, sock.fileno(), factory)
                self.where = self._endpoint
            else:
                self._port = self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory)
                self.where = replace(self._endpoint, port=sock.getsockname()[1])
        except OSError as error:
            if self._path is not None:
                self._path.release()
                self._path = None
            raise SocketFailed(f"Cannot listen on {self._endpoint}: {error.strerror}") from error

    async def _stop(self) -> None:
        if self._port is not None:
            port, self._port = self._port, None
            await port.stopListening()  # type: ignore[misc]
        if self._path is not None:
            path, self._path = self._path, None
            path.release()

    def leave_held(self) -> None:
        """Have whatever holds the socket go on with it, and its file stay, when this ends."""
        self._holder, self._path = NobodyElse(), None

    def stopService(self) -> Any:
        """Listen no more, and delete the socket's file."""
        Service.stopService(self)
        self._holder.drop(self._key)
        return Deferred.fromCoroutine(self._stop())


def _taken(endpoint: TcpEndpoint | TlsEndpoint, error: OSError) -> SocketFailed:
    message = f"Cannot listen on {endpoint}: {error.strerror}"
    if error.errno != errno.EADDRINUSE:
        return SocketFailed(message)
    owner = listener_uid(endpoint.port) if endpoint.host == "127.0.0.1" else None
    by = "" if owner is None else f" by a program of {'this user' if owner == os.geteuid() else f'uid {owner}'}"
    return SocketFailed(f"{message}{by}: choose another port")
