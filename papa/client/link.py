"""A Twisted connection to a kernel: asks over the program wire, and passes on what the kernel says by itself."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, ISystemHandle, ITCPTransport, IUNIXTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.commands import Command, TakeSocket
from papa.drivers.keepalive import keep_alive
from papa.errors import BadRequest, ConnectionLost, Error, GivesWay, LimitReached, NotAllowed, by_code
from papa.records import Lent
from papa.wire import program
from papa.wire.boxes import READ_SIZE, Box, BoxReader
from papa.wire.messages import Greeting, Received, Refused, Watching
from papa.wire.opening import Opening, check_greeting
from papa.wire.program import Push

__all__ = ["Link", "LinkFactory"]


@dataclass(slots=True)
class _Question:
    """
    What waits for its answer.

    @ivar duplicate: a descriptor that goes with it, to be closed once the answer shows that it has gone.
    """

    asked: program.Asked
    answer: Deferred[tuple[Any, Command | None]]
    duplicate: int | None = None

    def close(self) -> None:
        """Close the descriptor."""
        if self.duplicate is not None:
            os.close(self.duplicate)


@implementer(amp.IBoxReceiver)
class Link(amp.BinaryBoxProtocol):
    """
    One connection.

    @ivar alive: whether something can be said.
    @ivar greeted: fires with the kernel's greeting; fails if what answers is no kernel, or refuses.
    """

    transport: Any

    def __init__(self) -> None:
        super().__init__(self)
        self.alive = False
        self.greeted: Deferred[Greeting] = Deferred()
        self._opening = Opening()
        self._reader = BoxReader()
        self._listener: Callable[[Push | Watching], None] = lambda said: None
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._awaiting_end: list[Deferred[None]] = []
        self._error = ConnectionLost("Lost connection")

    def connectionMade(self) -> None:
        """Connected; the kernel greets."""
        self.alive = True
        self.transport.bufferSize = READ_SIZE
        if ITCPTransport.providedBy(self.transport) and not IUNIXTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            # Whoever only listens would not notice that the kernel's machine has gone. Under TLS there is TCP.
            carrier: Any = getattr(self.transport, "transport", self.transport)
            has_socket: bool = ISystemHandle.providedBy(carrier)
            if has_socket:
                keep_alive(carrier.getHandle())

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the kernel: boxes, but from a console its greeting first."""
        if self._opening.boxes is None:
            try:
                reply = self._opening.receive(data)
            except Error as error:
                self._give_up(error)
                return
            if reply:
                self.transport.write(reply)
            data = self._opening.boxes or b""
        self._reader.receive(data)
        try:
            while (box := self._reader.take()) is not None:
                self.ampBoxReceived(box)
        except LimitReached as error:
            self._give_up(BadRequest(str(error)))

    def startReceivingBoxes(self, boxSender: object) -> None:
        """Connected."""

    def stopReceivingBoxes(self, reason: Failure) -> None:
        """The connection has gone."""

    def ampBoxReceived(self, box: Box) -> None:
        """An answer, or something that the kernel says by itself."""
        try:
            number = program.answered(box)
            if number is not None:
                self._answer(number, box)
            else:
                self._pass_on(program.read_push(box)[0])
        except Error as error:
            self._give_up(error)

    def _give_up(self, error: Error) -> None:
        if not self.greeted.called:
            self.greeted.errback(Failure(error))
        self._error = error if isinstance(error, GivesWay) else ConnectionLost(f"Lost connection: {error}")
        self.hang_up()

    def _pass_on(self, push: Push) -> None:
        if not self.greeted.called:
            self.greeted.callback(check_greeting(push))
        elif isinstance(push, Refused):
            self._give_up(by_code(push.code, push.reason))
        else:
            self._listener(push)

    def listen(self, listener: Callable[[Push | Watching], None]) -> None:
        """Have what the kernel says of a watch told to a listener: that it has begun, and all that comes of it."""
        self._listener = listener

    async def ask(self, command: program.Asked) -> Any:
        """
        Ask for something; a list is asked for page by page.

        @return: what the kernel's method of that name gives. A descriptor of something lent is not inheritable, and the
            caller's to close; one that the kernel takes is duplicated.
        @raise Error: what the kernel refuses.
        @raise ConnectionLost: if it cannot be known whether it was done.
        """
        answer, rest = await self._ask(command)
        while rest is not None:
            page, rest = await self._ask(rest)
            answer |= page
        return answer

    def _ask(self, asked: program.Asked) -> Deferred[tuple[Any, Command | None]]:
        """The answer, or a page of it and what to ask for the rest."""
        if not self.alive:
            return fail(self._error)
        question = _Question(asked, Deferred())
        number = next(self._numbers)
        try:
            if isinstance(asked, TakeSocket):
                asked = self._with_descriptor(asked, question)
            data = program.request_bytes(asked, number)
        except (Error, OSError):
            question.close()
            return fail()
        self._questions[number] = question
        self.transport.write(data)
        return question.answer

    def _with_descriptor(self, asked: TakeSocket, question: _Question) -> TakeSocket:
        if not IUNIXTransport.providedBy(self.transport):
            raise NotAllowed("Descriptors only go over Unix sockets: connect to papa.sock in the runtime folder")
        # The transport sends it at some time before the answer comes.
        question.duplicate = os.dup(asked.descriptor)
        return replace(asked, descriptor=self._sendFileDescriptor(question.duplicate))

    def _answer(self, number: int, box: Box) -> None:
        question = self._questions.pop(number, None)
        if question is None:
            return
        question.close()
        try:
            answer = program.read_answer(question.asked, box)
            rest = program.next_page(question.asked, box)
            if isinstance(answer, Watching):
                self._listener(answer)
            elif isinstance(answer, Lent):
                if answer.descriptor not in self._descriptors:
                    self._miss(question)
                    return
                answer = self._received(answer, wanted=not question.answer.called)
        except Error:
            question.answer.errback()
        else:
            question.answer.callback((answer, rest))

    def _received(self, lent: Lent, *, wanted: bool) -> Lent:
        """Something lent has come; nobody wants it any more if the question was cancelled."""
        descriptor: int = self._getDescriptor(lent.descriptor)
        self.tell(Received())
        if not wanted:
            os.close(descriptor)
        return replace(lent, descriptor=descriptor)

    def _miss(self, question: _Question) -> None:
        """Something lent has not come."""
        failure = Failure(LimitReached("No descriptor came with what was lent: this process may have too many open"))
        # The kernel counts it all the same: all later ones would be taken for others.
        self.hang_up()
        self.when_lost().addCallback(lambda _: question.answer.errback(failure))

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor has come; it is not for children."""
        os.set_inheritable(descriptor, False)
        super().fileDescriptorReceived(descriptor)

    def tell(self, asked: program.Asked) -> None:
        """Say something that needs no answer; nothing is said on a connection that has gone."""
        if self.alive:
            self.transport.write(program.request_bytes(asked, None))

    def hang_up(self) -> None:
        """End the connection."""
        if self.alive:
            self.transport.loseConnection()

    def when_lost(self) -> Deferred[None]:
        """Fires once the connection has gone."""
        if not self.alive:
            return succeed(None)
        self._awaiting_end.append(Deferred())
        return self._awaiting_end[-1]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone."""
        self.alive = False
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.close()
            question.answer.errback(Failure(self._error))
        if not self.greeted.called:
            self.greeted.errback(Failure(ConnectionLost("The kernel hung up before it greeted")))
        awaiting_end, self._awaiting_end = self._awaiting_end, []
        for awaiting in awaiting_end:
            awaiting.callback(None)


class LinkFactory(Factory):
    """Makes links."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Link:
        """A link for a new connection."""
        return Link()
