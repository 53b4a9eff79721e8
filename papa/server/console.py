"""The console: a line protocol for people at telnet and for programs written for papa 1.0.6."""

from __future__ import annotations

from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.interfaces import IKernel
from papa.server.attendance import Attendance
from papa.wire.session import Session
from papa.wire.telnet import TelnetFilter
from papa.wire.text import ERROR, PROMPT

__all__ = ["MAX_LINE", "Console", "ConsoleFactory", "Doorkeeper"]

#: The longest line, in bytes.
MAX_LINE: Final = 1 << 20


class Doorkeeper(Protocol):
    """Decides who gets in."""

    def refusal(self, transport: Any) -> str | None:
        """Why not; L{None} lets in."""


@implementer(IHalfCloseableProtocol)
class Console(LineReceiver):
    """One connection: feeds lines to a session, and stops reading while the client does not take its answers."""

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    _log = Logger()

    def __init__(self, kernel: IKernel, attendance: Attendance, doorkeeper: Doorkeeper, peer: str) -> None:
        self._attendance = attendance
        self._doorkeeper = doorkeeper
        self._peer = peer
        self._session = Session(kernel, self, attendance)
        self._telnet = TelnetFilter()
        self._admitted = False
        self._hung_up = False
        self._after_overlong = b""

    def connectionMade(self) -> None:
        """Let in, or refuse before a single byte is read."""
        refusal = self._doorkeeper.refusal(self.transport)
        if refusal is None and self._attendance.full:
            refusal = "papa has as many connections as it can serve"
        if refusal is not None:
            self._log.warn("refused {peer}: {reason}", peer=self._peer, reason=refusal)
            self.send(f"{ERROR}Refused: {refusal}\n".encode() + PROMPT)
            self.hang_up()
            return
        self._admitted = True
        self._attendance.arrived(self)
        self.transport.registerProducer(self, True)
        self._session.begin()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self._admitted or self._hung_up:
            return
        text, reply = self._telnet.receive(data)
        if reply:
            self.send(reply)
        if self._telnet.interrupted:
            self._telnet.interrupted = False
            self._session.interrupt()
        LineReceiver.dataReceived(self, text)
        while self._after_overlong and not self.paused:
            rest, self._after_overlong = self._after_overlong, b""
            LineReceiver.dataReceived(self, rest)

    def lineReceived(self, line: bytes) -> None:
        """A whole line."""
        if not self._hung_up:
            self._session.receive_line(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that is too long is refused and skipped; the conversation goes on behind it."""
        self._session.refuse(f"The line is longer than {MAX_LINE} bytes; the program wire has no such limit")
        self.setRawMode()
        self.rawDataReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        """What is left of a line that was too long."""
        _, newline, rest = data.partition(b"\n")
        if newline:
            self.setLineMode()
            self._after_overlong = rest

    def send(self, data: bytes) -> None:
        """Say something."""
        self.transport.write(data)

    def hang_up(self, reason: str | None = None) -> None:
        """End the connection once everything was said."""
        if self._hung_up:
            return
        self._hung_up = True
        if reason is not None:
            self._log.warn("hung up on {peer}: {reason}", peer=self._peer, reason=reason)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def dismiss(self) -> None:
        """End the connection because papa ends."""
        self.hang_up()

    def readConnectionLost(self) -> None:
        """The client will say nothing more, but may still be listening: it gets its last answers."""
        self._session.lost()
        self.hang_up()

    def writeConnectionLost(self) -> None:
        """The client no longer listens."""
        self.hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone."""
        self._hung_up = True
        if self._admitted:
            self._session.lost()
            self._attendance.departed(self)


class ConsoleFactory(Factory):
    """Makes consoles."""

    noisy = False

    def __init__(self, kernel: IKernel, attendance: Attendance, doorkeeper: Doorkeeper) -> None:
        self._kernel = kernel
        self._attendance = attendance
        self._doorkeeper = doorkeeper

    def buildProtocol(self, addr: IAddress | None) -> Console:
        """A console for a new connection."""
        peer = f"{addr.host}:{addr.port}" if isinstance(addr, IPv4Address | IPv6Address) else "a Unix connection"
        return Console(self._kernel, self._attendance, self._doorkeeper, peer)
