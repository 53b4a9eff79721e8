"""Connections over TLS: nothing of papa is there for a client that has not shown a certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.drivers.certificates import Certificates
from papa.endpoints import TlsEndpoint
from papa.server.attendance import peer_name

__all__ = ["secured"]

#: How long a client may take to show its certificate, in seconds, and how many may be about to.
_PATIENCE: Final = 10.0
_MOST_WAITING: Final = 256


def secured(factory: Factory, endpoint: TlsEndpoint, reactor: Any) -> TLSMemoryBIOFactory:
    """
    Serve what a factory makes to clients with a certificate.

    @raise SocketFailed: if the certificates cannot be used.
    @raise NotAllowed: if others may read the private key.
    """
    return TLSMemoryBIOFactory(Certificates(endpoint), False, _SecuredFactory(factory, reactor), clock=reactor)


@implementer(IHandshakeListener)
class _Secured(ProtocolWrapper):
    """Begins the conversation when the client's certificate was found good."""

    _log = Logger()
    factory: _SecuredFactory
    transport: Any
    _patience: IDelayedCall | None = None
    _begun = False
    _drain: _Drain | None = None

    def makeConnection(self, transport: Any) -> None:
        """Wait for the handshake."""
        self.transport = transport
        if self.factory.waiting >= _MOST_WAITING:
            transport.abortConnection()
            return
        self.factory.waiting += 1
        self._patience = self.factory.reactor.callLater(_PATIENCE, transport.abortConnection)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self.factory.waiting -= 1
            if self._patience.active():
                self._patience.cancel()
            self._patience = None

    def handshakeCompleted(self) -> None:
        """The client is known."""
        self._stop_waiting()
        self._begun = True
        subject = self.transport.getPeerCertificate().get_subject()
        self._log.info(
            "{peer} shows the certificate of {subject}",
            peer=peer_name(self.transport),
            subject=", ".join(f"{key.decode()}={value.decode()!r}" for key, value in subject.get_components()),
        )
        super().makeConnection(self.transport)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have somebody asked for more whenever what was said has been taken."""
        if not streaming:
            self._drain = producer = _Drain(producer, self.factory.reactor.callLater)
        super().registerProducer(producer, True)

    def unregisterProducer(self) -> None:
        """Nobody has more to say."""
        self._drain = None
        super().unregisterProducer()

    def write(self, data: bytes) -> None:
        """Say something."""
        super().write(data)
        if self._drain is not None:
            self._drain.written()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone, perhaps before anything was said on it."""
        self._drain = None
        if self._begun:
            super().connectionLost(reason)
        else:
            self._stop_waiting()
            self._log.info(
                "{peer} shows no certificate that is good: {reason}",
                peer=peer_name(self.transport),
                reason=reason.value,
            )


@implementer(IPushProducer)
class _Drain:
    """
    Asks a producer for more when what it said before has been taken.

    TLS would ask it without end, where TCP asks whenever all has been sent.
    """

    def __init__(self, producer: Any, later: Callable[..., object]) -> None:
        self._producer = producer
        self._later = later
        self._paused = self._asked = self._stopped = False

    def written(self) -> None:
        """Something was said."""
        if not self._asked:
            self._asked = True
            self._later(0, self._ask)

    def _ask(self) -> None:
        self._asked = False
        if not (self._paused or self._stopped):
            self._producer.resumeProducing()

    def pauseProducing(self) -> None:
        """The client does not take it for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has taken everything."""
        self._paused = False
        self._ask()

    def stopProducing(self) -> None:
        """It has gone."""
        self._stopped = True


class _SecuredFactory(WrappingFactory[_Secured]):
    """
    Makes them.

    @ivar waiting: how many have not shown a certificate yet.
    """

    protocol = _Secured
    noisy = False

    def __init__(self, factory: Factory, reactor: Any) -> None:
        super().__init__(factory)
        self.reactor = reactor
        self.waiting = 0
