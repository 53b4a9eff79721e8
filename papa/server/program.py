"""The program wire's server: AMP, with the commands of papa and what belongs to a watch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IFileDescriptorReceiver,
    IPullProducer,
    IReactorTime,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.commands import (
    Command,
    ExitIfIdle,
    Listing,
    MakeProcess,
    TakeSocket,
    Upgrade,
    WatchEvents,
    WatchProcesses,
)
from papa.errors import BadRequest, Error, LimitReached, NotAllowed
from papa.interfaces import IKernel
from papa.records import Lent
from papa.server.attendance import Attendance, Doorkeeper
from papa.server.exchange import Exchange, close_passed
from papa.server.peer import has_hung_up, peer_name
from papa.server.sending import Outlet
from papa.server.streaming import CHUNK, Stream
from papa.server.turns import Turns
from papa.steps import Steps
from papa.visible import escaped
from papa.wire import boxes, program, schema
from papa.wire.boxes import Box
from papa.wire.messages import Acknowledge, Greeting, Received, Refused, StopWatching

__all__ = ["Program", "ProgramFactory"]

_Found = TypeVar("_Found")

#: How much is said of why a connection ends, in characters: it may quote what a client has sent.
_LONGEST_REASON: Final = 500
#: After how many seconds what there was no room for is tried again.
_PAUSE: Final = 0.1
#: How many watches a connection may have.
_MOST_WATCHES: Final = 1000


@implementer(IFileDescriptorReceiver, IPullProducer)
class Program(Protocol):
    """
    One connection: answers commands in order, and pushes the output of its watches.

    Nothing piles up for a client that does not read: its commands are read no more when some answers wait for it, and
    the output that it watches stays with its process.

    @ivar outlet: what it says.
    @ivar paused: whether the client is not heard for now.
    """

    _log = Logger()
    transport: Any
    outlet: Outlet

    def __init__(
        self,
        kernel: IKernel,
        attendance: Attendance,
        greeting: Greeting,
        clock: IReactorTime,
        doorkeeper: Doorkeeper | None = None,
        outlet: Outlet | None = None,
    ) -> None:
        """
        @param doorkeeper: who decides whether the client is let in; L{None} if it has been.
        @param outlet: of a connection on which something was said already.
        """
        self.paused = False
        self._kernel = kernel
        self._attendance = attendance
        self._greeting = greeting
        self._clock = clock
        self._put_off: Box | None = None
        self.peer = ""
        self._doorkeeper = doorkeeper
        self._admitted = self._open = self._answers_wait = False
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)
        self._reader = boxes.BoxReader(boxes.MAX_REQUEST)
        self._exchange = Exchange()
        self._before = outlet
        self._turns = Turns(clock)

    def connectionMade(self) -> None:
        """Let in and greet, or refuse before a single byte is read."""
        self.peer = peer_name(self.transport)
        self.outlet = self._before or Outlet(self.transport)
        if self._doorkeeper is not None:
            refusal = self._attendance.refusal(self._doorkeeper, self.transport, self.peer)
            if refusal is not None:
                self.send(program.push_box(Refused(reason=str(refusal), code=refusal.code)))
                self.transport.loseConnection()
                return
            self._attendance.arrived(self)
        self._admitted = True
        if ITCPTransport.providedBy(self.transport) and not IUNIXTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        # It is asked for more as it is registered, though something may still be on its way.
        self.transport.registerProducer(self, False)
        self._open = True
        self.send(program.push_box(self._greeting))

    def dismiss(self, reason: Error | None = None) -> None:
        """End the connection because papa ends, or gives way to another; what was begun is done first."""
        self._turns.finish()
        if reason is not None and self._open:
            self.send(program.push_box(Refused(reason=str(reason), code=reason.code)))
        self.hang_up()

    def hang_up(self, reason: str | None = None, kind: type[Error] = BadRequest) -> None:
        """End the connection once everything was said; a reason, of a kind, is for the client and for the log."""
        if not self._open:
            return
        self._open = False
        self.paused = True
        self._stop_streams()
        if reason is not None:
            reason = reason[:_LONGEST_REASON]
            self._log.warn("hung up on {peer}: {reason}", peer=self.peer, reason=escaped(reason))
            self.send(program.push_box(Refused(reason=reason, code=kind.code)))
        self.outlet.release()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client, or nothing, to go on with those that came before."""
        if self._open:
            self._read(lambda: self._reader.receive(data))
            if not self.paused:
                self._do(self._serve())

    def _do(self, steps: Steps[None]) -> None:
        """Do something, if it takes long in several turns; the client is heard no more until it is done."""
        self.outlet.hold()
        self._turns.take(steps, self._perhaps_go_on)
        if self._turns.left:
            self.pauseProducing()
        # A watch goes on when the transport tells that all was sent.
        self.outlet.release(at_once=not self._streams)

    def _serve(self) -> Steps[None]:
        """Do what was asked, one after the other."""
        box = self._next_box()
        while box is not None and self._open:
            yield from self._perform(box)
            box = self._next_box()
            if box is not None:
                yield

    def _next_box(self) -> Box | None:
        return None if self._held_up else self._read(self._reader.take)

    @property
    def _held_up(self) -> bool:
        """Whether there is something to be done before anything else is; output that waits is not in the way."""
        return not self._open or self._answers_wait or self._put_off is not None

    def _read(self, read: Callable[[], _Found]) -> _Found | None:
        """Do something of the reader's; what it can do no more is said, and ends the connection."""
        try:
            return read()
        except LimitReached as error:
            self.hang_up(str(error))
        except MemoryError:
            # Of a box that is not whole yet nothing was done; of one whose answer there is no memory for, it may be.
            self.hang_up("There is no memory for this request", LimitReached)
        return None

    def send(self, *said: Box) -> None:
        """Say something."""
        self.outlet.say(*(piece for box in said for piece in boxes.pieces(box)))

    def pauseProducing(self) -> None:
        """Hear the client no more for now."""
        self.paused = True
        self.transport.pauseProducing()

    def stopProducing(self) -> None:
        """The transport has gone: it says so."""

    def resumeProducing(self) -> None:
        """All that was said has been sent: go on with commands, then with watches."""
        if not self._open:
            return
        self.outlet.sent()
        self._answers_wait = False
        if self.paused:
            self._perhaps_go_on()
        # As much as one of them has at a time; who has had its turn is behind all others next time.
        for number in list(self._streams):
            stream = self._streams[number] = self._streams.pop(number)
            stream.push()
            if self.outlet.unsent >= CHUNK:
                break

    def _perform(self, box: Box) -> Steps[None]:
        """Do what was asked. Should papa itself fail at it, that is logged and said, and nobody else notices."""
        asked: program.Asked | None = None
        try:
            asked = program.read_request(box)
            if isinstance(asked, Upgrade):
                Deferred.fromCoroutine(self._upgrade(asked, box))
                return
            answer = program.answer_box(box, (yield from self._answer(asked)))
        except Error as error:
            answer = program.refusal_box(box, error)
            if answer is None and isinstance(error, LimitReached) and isinstance(asked, Acknowledge):
                self._do_later(box)
            elif answer is None:
                self.hang_up(str(error), type(error))
        except Exception:  # noqa: BLE001 - the edge: nothing may pass it
            answer = self._failed(box)
        if answer is not None:
            self.outlet.say(boxes.serialize(answer))
            if self.outlet.full and self._open:
                self._answers_wait = True
                self.pauseProducing()

    def _do_later(self, box: Box) -> None:
        """An acknowledgement cannot be refused: the client is heard no more until it could be done, or has gone."""
        self._put_off = box
        self.pauseProducing()
        self._clock.callLater(_PAUSE, self._do_now)

    def _do_now(self) -> None:
        box, self._put_off = self._put_off, None
        if box is None or not self._open:
            return
        if has_hung_up(self.transport):
            # Whoever goes on for the client is given it again, and acknowledges it.
            self._perhaps_go_on()
            return
        self._do(self._perform(box))
        self._perhaps_go_on()

    def _perhaps_go_on(self) -> None:
        """Hear the client again, unless there is something to be done first."""
        if not (self._held_up or self._turns.left):
            self.paused = False
            self.transport.resumeProducing()
            self.dataReceived(b"")

    async def _upgrade(self, asked: Upgrade, box: Box) -> None:
        """Answer when it is known whether papa gives way; then, it does."""
        answer: Box | None
        try:
            await self._attendance.upgrade(asked.python)
            answer = program.answer_box(box, program.write_answer(Upgrade, None))
        except Error as error:
            answer = program.refusal_box(box, error)
        except Exception:  # noqa: BLE001 - the edge: nothing may pass it
            answer = self._failed(box)
        if answer is not None and self._open:
            self.send(answer)

    def _failed(self, box: Box) -> Box | None:
        """The answer to a request at which papa itself has failed."""
        self._log.failure("papa failed at a request of {peer}", peer=self.peer)
        return program.refusal_box(box, Error("papa itself failed at this: see its log"))

    def _answer(self, asked: program.Asked) -> Steps[Box]:
        own = _OWN.get(type(asked))
        if own is not None:
            return own(self, asked)
        assert isinstance(asked, Command)
        if isinstance(asked, WatchProcesses | WatchEvents):
            return (yield from self._watch(asked))
        if isinstance(asked, Listing):
            return self._list(asked)
        if isinstance(asked, MakeProcess) and asked.watch:
            raise BadRequest("On this wire, make the process and watch it with two commands")
        if asked.lends or asked.takes:
            return self._pass(asked)
        return program.write_answer(type(asked), (yield from self._kernel.steps(asked)))

    def _received(self, asked: Received) -> Box:
        self._exchange.received()
        return {}

    def _stop_watching(self, asked: StopWatching) -> Box:
        self._stop(asked.watch)
        return {}

    def _exit_if_idle(self, asked: ExitIfIdle) -> Box:
        return program.write_answer(ExitIfIdle, self._attendance.exit_if_idle())

    def _pass(self, asked: Command) -> Box:
        """What is lent goes, and what is taken comes, beside the boxes."""
        if not IUNIXTransport.providedBy(self.transport):
            raise NotAllowed("Descriptors only go over Unix sockets: connect to papa.sock in the runtime folder")
        if isinstance(asked, TakeSocket):
            return self._take(asked)
        self._exchange.check_room()
        lent = self._kernel.perform(asked)
        assert isinstance(lent, Lent)
        number = self._exchange.lend(self.transport, lent.descriptor)
        return program.write_answer(type(asked), replace(lent, descriptor=number))

    def _take(self, asked: TakeSocket) -> Box:
        if not self._exchange.came(asked.descriptor):
            reason = f"Descriptor {asked.descriptor} has not come: there was no room for it, or it was never sent"
            self.hang_up(reason, LimitReached)
            raise LimitReached(reason)
        descriptor = self._exchange.take(asked.descriptor)
        try:
            return program.write_answer(TakeSocket, self._kernel.perform(replace(asked, descriptor=descriptor)))
        finally:
            close_passed(descriptor)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor has come."""
        self._exchange.receive(descriptor, keep=self._admitted)

    def _list(self, asked: Listing) -> Box:
        most = min(asked.most or asked.page, asked.page)
        return program.write_answer(type(asked), self._kernel.perform(replace(asked, most=most)), most)

    def _watch(self, request: WatchProcesses | WatchEvents) -> Steps[Box]:
        if len(self._streams) >= _MOST_WATCHES:
            raise LimitReached(f"There are {_MOST_WATCHES} watches on this connection: stop some first")
        number = next(self._numbers)
        stream = Stream(self.send, self.outlet, number, request)
        watching = yield from stream.begin(self._kernel)
        if self._open:
            self.outlet.widen(CHUNK)
            self._streams[number] = stream
        else:
            stream.watch.stop()  # Of a client that has gone meanwhile.
        return schema.to_box(watching)

    def _acknowledge(self, asked: Acknowledge) -> Box:
        stream = self._streams.get(asked.watch)
        if stream is not None:
            stream.watch.acknowledge_to(asked.name, asked.invocation, asked.mark, end=asked.end)
            stream.end_if_done()
            if stream.watch.done:
                self._stop(asked.watch)
        return {}

    def _stop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.watch.stop()

    def _stop_streams(self) -> None:
        for number in list(self._streams):
            self._stop(number)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone."""
        self._open = False
        self._stop_streams()
        self._exchange.close()
        if self._admitted:
            self._attendance.departed(self)


#: What is no business of the kernel.
_OWN: Final[Mapping[type[Any], Callable[[Program, Any], Box]]] = {
    Acknowledge: Program._acknowledge,
    ExitIfIdle: Program._exit_if_idle,
    Received: Program._received,
    StopWatching: Program._stop_watching,
}


class ProgramFactory(Factory):
    """
    Makes them.

    @ivar greeting: what each that is made from now on begins with.
    """

    noisy = False

    def __init__(
        self,
        kernel: IKernel,
        attendance: Attendance,
        doorkeeper: Doorkeeper,
        greeting: Greeting,
        clock: IReactorTime,
    ) -> None:
        self._clock = clock
        self._kernel = kernel
        self._attendance = attendance
        self._doorkeeper = doorkeeper
        self.greeting = greeting

    def doStart(self) -> None:
        """It is listened for now: by a process that may have been forked since this was made."""
        self.greeting = replace(self.greeting, pid=os.getpid())
        super().doStart()

    def buildProtocol(self, addr: IAddress | None) -> Program:
        """A protocol for a new connection."""
        return Program(self._kernel, self._attendance, self.greeting, self._clock, self._doorkeeper)

    def successor(self, outlet: Outlet) -> Program:
        """A protocol for a connection that was a console's until now."""
        return Program(self._kernel, self._attendance, self.greeting, self._clock, outlet=outlet)
