"""Connections over TLS: nothing of papa is there for a client that has not shown a certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from papa.server.peer import RefusalLog, peer_name

__all__ = ["secured"]

#: How long a client may take to show its certificate, or to hang up when papa has, in seconds.
_PATIENCE: Final = 10.0
#: How many may not have shown one yet.
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
    _refusal = ""
    _drain: _Drain | None = None

    def makeConnection(self, transport: Any) -> None:
        """Wait for the handshake."""
        self.transport = transport
        waiting = self.factory.waiting
        if len(waiting) >= _MOST_WAITING:
            # Who has waited longest is the least likely to mean it; those who do get their turn.
            next(iter(waiting)).give_up("there are too many who have not shown a certificate")
        waiting[self] = None
        self._patience = self.factory.reactor.callLater(_PATIENCE, self.give_up, "it has not shown a certificate")

    def give_up(self, reason: str) -> None:
        """End a connection on which nothing was said."""
        self._refusal = reason
        self._stop_waiting()
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        self.factory.waiting.pop(self, None)
        if self._patience is not None:
            if self._patience.active():
                self._patience.cancel()
            self._patience = None

    def handshakeCompleted(self) -> None:
        """The client is known."""
        self._stop_waiting()
        subject = self.transport.getPeerCertificate().get_subject()
        self._log.info(
            "{peer} shows the certificate of {subject}",
            peer=peer_name(self.transport),
            subject=", ".join(f"{_text(key)}={_text(value)!r}" for key, value in subject.get_components()),
        )
        self._begun = True
        super().makeConnection(self.transport)

    def loseConnection(self) -> None:
        """End the connection, without waiting for long until the client agrees."""
        super().loseConnection()
        if self._patience is None:
            self._patience = self.factory.reactor.callLater(_PATIENCE, self.transport.abortConnection)

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

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same, in pieces."""
        self.write(b"".join(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone, perhaps before anything was said on it."""
        self._drain = None
        self._stop_waiting()
        if self._begun:
            super().connectionLost(reason)
        else:
            refusal = self._refusal or f"it has shown no certificate that is good: {reason.value}"
            self.factory.refusals.note(peer_name(self.transport), refusal)


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

    @ivar waiting: those that have not shown a certificate yet, who has waited longest first.
    """

    protocol = _Secured
    noisy = False

    def __init__(self, factory: Factory, reactor: Any) -> None:
        super().__init__(factory)
        self.reactor = reactor
        self.waiting: dict[_Secured, None] = {}
        self.refusals = RefusalLog()


def _text(value: bytes) -> str:
    """What a certificate says; in whatever letters."""
    return value.decode(errors="backslashreplace")
