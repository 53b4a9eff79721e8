"""The console: a line protocol for people at telnet and for programs written for papa 1.0.6."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.errors import BadRequest, Error
from papa.interfaces import IKernel
from papa.server.attendance import Attendance, Doorkeeper
from papa.server.exchange import close_passed
from papa.server.peer import peer_name
from papa.server.program import Program
from papa.server.sending import Outlet
from papa.server.turns import Turns
from papa.steps import Steps, until
from papa.wire.session import BATCH_SIZE, Session
from papa.wire.telnet import IAC, TelnetFilter
from papa.wire.text import ERROR, PROMPT

__all__ = ["MAX_LINE", "Console", "ConsoleFactory"]

#: The longest line, in bytes.
MAX_LINE: Final = 1 << 20
#: How long what must be read apart is held back, in seconds.
_GAP: Final = 0.02


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver)
class Console(LineReceiver):
    """One connection: feeds lines to a session, and stops reading while the client does not take its answers."""

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    _log = Logger()
    _outlet: Outlet

    def __init__(
        self,
        kernel: IKernel,
        attendance: Attendance,
        doorkeeper: Doorkeeper,
        clock: IReactorTime,
        become_program: Callable[[Outlet], Program] | None = None,
    ) -> None:
        """
        @param become_program: makes what takes the connection over when the client wants to speak AMP.
        """
        self._clock = clock
        self._gap: IDelayedCall | None = None
        self._held: list[bytes] = []
        self._attendance = attendance
        self._doorkeeper = doorkeeper
        self.peer = ""
        self._session = Session(kernel, self, attendance)
        self._telnet = TelnetFilter()
        self._admitted = False
        self._hung_up = False
        self._after_overlong = b""
        self._become_program = become_program
        self._program: Program | None = None
        self._turns = Turns(clock)
        self._until = 0.0

    def connectionMade(self) -> None:
        """Let in, or refuse before a single byte is read."""
        self.peer = peer_name(self.transport)
        self._outlet = Outlet(self.transport)
        refusal = self._attendance.refusal(self._doorkeeper, self.transport, self.peer)
        if refusal is not None:
            self.send(f"{ERROR}Refused: {refusal}\n".encode() + PROMPT)
            self.hang_up()
            return
        self._admitted = True
        self._attendance.arrived(self)
        self.transport.registerProducer(self, False)
        self._session.begin()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client, or nothing, to go on with those that came before."""
        self._until = until()
        self._outlet.hold()
        # Line by line where telnet's commands are to be taken out: behind the line that asks for AMP there are none.
        end = data.find(b"\n") + 1 if IAC in data else 0
        while end and self._program is None:
            self._receive_text(data[:end])
            data = data[end:]
            end = data.find(b"\n") + 1
        if self._program is not None:
            self._program.dataReceived(data)
        else:
            self._receive_text(data)
        self._outlet.release()

    def _receive_text(self, data: bytes) -> None:
        if not self._admitted or self._hung_up:
            return
        text, reply = self._telnet.receive(data)
        if reply:
            self.send(reply)
        if self._telnet.interrupted:
            self._telnet.interrupted = False
            self._session.interrupt()
        if self._after_overlong:
            self._after_overlong += text
        else:
            LineReceiver.dataReceived(self, text)
        while self._after_overlong and not self.paused:
            rest, self._after_overlong = self._after_overlong, b""
            LineReceiver.dataReceived(self, rest)

    def lineReceived(self, line: bytes) -> None:
        """A whole line. Should papa itself fail at it, that is logged and said, and nobody else notices."""
        if self._hung_up:
            return
        # Who says something has read what was said before, or does not wait for it.
        self._close_gap()
        try:
            self._session.receive_line(line)
        except Exception:  # noqa: BLE001 - the edge: nothing may pass it
            self._failed()
        if time.perf_counter() >= self._until and not (self.paused or self._hung_up or self._program):
            # There may be thousands of lines behind it.
            self.pauseProducing()
            self._turns.rest(self._perhaps_go_on)

    def _failed(self) -> None:
        self._log.failure("papa failed at a line of {peer}", peer=self.peer)
        self._session.refuse("papa itself failed at this: see its log")

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that is too long is refused and skipped; the conversation goes on behind it."""
        self._session.refuse(f"The line is longer than {MAX_LINE} bytes; the program wire has no such limit")
        self.setRawMode()
        self.rawDataReceived(line)

    def speak_amp(self) -> None:
        """The client wants to speak the program wire from here on."""
        if self._become_program is None:
            raise BadRequest("This console does not speak AMP")
        self._program = self._become_program(self._outlet)
        self.transport.unregisterProducer()
        self._program.makeConnection(self.transport)
        self._attendance.replaced(self, self._program)
        self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """What is left of a line that was too long, or follows the wish to speak AMP."""
        if self._program is not None:
            self._program.dataReceived(data)
            return
        _, newline, rest = data.partition(b"\n")
        if newline:
            self.setLineMode()
            self._after_overlong = rest

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor has come: on a line it means nothing."""
        if self._program is not None:
            self._program.fileDescriptorReceived(descriptor)
        else:
            close_passed(descriptor)

    def send(self, data: bytes) -> None:
        """Say something."""
        if self._gap is not None:
            self._held.append(data)
            return
        self._outlet.say(data, at_once=True)
        if self._outlet.full:
            self.pauseProducing()  # The client does not take its answers.

    def take_steps(self, steps: Steps[None]) -> None:
        """Do what takes many steps in several turns; the client's next line waits."""
        self._turns.take(self._guarded(steps), self._perhaps_go_on)
        if self._turns.left:
            self.pauseProducing()

    def _guarded(self, steps: Steps[None]) -> Steps[None]:
        try:
            yield from steps
        except Exception:  # noqa: BLE001 - the edge here, too: there is no line to come back to
            self._failed()

    def resumeProducing(self) -> None:
        """All that was said has been sent."""
        self._outlet.sent()
        if self.paused:
            self._perhaps_go_on()

    def _perhaps_go_on(self) -> None:
        """Hear the client again, unless there is something to be done first."""
        if not (self._outlet.full or self._turns.left or self._hung_up):
            super().resumeProducing()

    def set_apart(self) -> None:
        """Give the client time to read what was said last, before the next is said, which is much perhaps."""
        if self._hung_up:
            return
        self._outlet.widen(BATCH_SIZE)
        if self._gap is None:
            self._gap = self._clock.callLater(_GAP, self._go_on)

    def _go_on(self) -> None:
        held, self._held, self._gap = self._held, [], None
        self._outlet.say(*held, at_once=True)

    def _close_gap(self) -> None:
        if self._gap is not None:
            self._gap.cancel()
            self._go_on()

    def hang_up(self, reason: str | None = None) -> None:
        """End the connection once everything was said."""
        if self._program is not None:
            self._program.hang_up(reason)
            return
        if self._hung_up:
            return
        self._hung_up = True
        if reason is not None:
            self._log.warn("hung up on {peer}: {reason}", peer=self.peer, reason=reason)
        self._close_gap()
        self._outlet.release()
        if self._admitted:
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def dismiss(self, reason: Error | None = None) -> None:
        """End the connection because papa ends; this wire has no words for why. What was begun is done first."""
        self._turns.finish()
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
        if self._gap is not None:
            self._gap.cancel()
        if self._program is not None:
            self._program.connectionLost(reason)
        elif self._admitted:
            self._session.lost()
            self._attendance.departed(self)


class ConsoleFactory(Factory):
    """Makes consoles."""

    noisy = False

    def __init__(
        self,
        kernel: IKernel,
        attendance: Attendance,
        doorkeeper: Doorkeeper,
        clock: IReactorTime,
        become_program: Callable[[Outlet], Program] | None = None,
    ) -> None:
        self._clock = clock
        self._kernel = kernel
        self._attendance = attendance
        self._doorkeeper = doorkeeper
        self._become_program = become_program

    def buildProtocol(self, addr: IAddress | None) -> Console:
        """A console for a new connection."""
        return Console(self._kernel, self._attendance, self._doorkeeper, self._clock, self._become_program)
