"""The program wire as a protocol: admission, commands, watches, and clients that do not read."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport, IUNIXTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols import amp
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides, implementer

from papa import steps
from papa.commands import (
    CloseStdin,
    Command,
    ExitIfIdle,
    Get,
    LendProcess,
    LendSocket,
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    TakeSocket,
    Upgrade,
    WatchEvents,
    WatchProcesses,
    WriteProcess,
)
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySockets
from papa.errors import (
    AlreadyDiffers,
    BadRequest,
    Error,
    GivesWay,
    LimitReached,
    NotAllowed,
    NotFound,
    SocketFailed,
    SpawnFailed,
    UnknownCommand,
)
from papa.kernel.core import Kernel
from papa.records import Closed, Event, Hole, Lent, Output, Process, Socket
from papa.server.attendance import Attendance
from papa.server.console import Console, ConsoleFactory
from papa.server.program import Program, ProgramFactory
from papa.server.streaming import CHUNK
from papa.steps import Steps, all_at_once
from papa.testing import Impatient
from papa.wire import boxes, program
from papa.wire.boxes import MAX_VALUE, Box, BoxReader, serialize
from papa.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    Greeting,
    Received,
    Refused,
    StopWatching,
    WatchEnded,
    Watching,
)
from papa.wire.program import Asked, Push
from tests.kernel.building import Bell, Diary, MortalLedger
from tests.server.doors import Door
from tests.support import is_open
from tests.wire.reading import read_all

GREETING = Greeting(version=PROTOCOL_VERSION, kernel="the very one", pid=4711)
ADDRESS = IPv4Address("TCP", "127.0.0.1", 4711)


@implementer(ITCPTransport)
class TcpTransport(StringTransport):
    """A connection that papa can tune."""

    no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled


@implementer(IUNIXTransport)
class UnixTransport(StringTransport):
    """
    A connection that descriptors go over.

    @ivar sent: those that went.
    """

    def __init__(self) -> None:
        super().__init__(peerAddress=ADDRESS)
        self.sent: list[int] = []

    def sendFileDescriptor(self, descriptor: int) -> None:
        self.sent.append(descriptor)


class House:
    """A kernel in memory, and those who are connected to it."""

    def __init__(self, *, most: int = 10, turns: bool = False) -> None:
        """
        @param turns: whether what takes long is to have as many turns as it takes.
        """
        self.clock = Clock()
        self.later: Any = self.clock if turns else Impatient(self.clock)
        self.children = MemoryChildren()
        self.sockets = MemorySockets()
        self.ledger = MortalLedger()
        self.kernel = Kernel(
            sockets=self.sockets, children=self.children, wall=lambda: 0.5, events=Diary(), ledger=self.ledger
        )
        self.ended: list[str] = []
        self.attendance = Attendance(self.kernel, self.ended.append, most=most)

    def protocol(self, door: Door | None = None) -> Program:
        """The kernel's end of a connection."""
        return ProgramFactory(self.kernel, self.attendance, door or Door(), GREETING, self.later).buildProtocol(ADDRESS)

    def caller(self, door: Door | None = None, transport: StringTransport | None = None) -> Caller:
        """A client of the program wire."""
        return Caller(self.protocol(door), transport)

    def console(self) -> Caller:
        """A client of the console, that has been greeted."""
        programs = ProgramFactory(self.kernel, self.attendance, Door("nobody"), GREETING, self.later)
        caller = Caller(
            ConsoleFactory(self.kernel, self.attendance, Door(), self.later, programs.successor).buildProtocol(ADDRESS)
        )
        caller.transport.clear()
        return caller

    def child(self, name: str = "job") -> MemoryChild:
        """The program that runs in a process."""
        process = self.process(name)
        assert process is not None
        return self.children.children[process.pid]

    def process(self, name: str = "job") -> Process | None:
        """How a process is now."""
        listed: Any = self.kernel.perform(ListProcesses(names=(name,)))
        found: Process | None = listed.get(name)
        return found


class Caller:
    """
    A client that reads when the test says so.

    @ivar pushed: what the kernel has said by itself, as far as it was read.
    """

    def __init__(self, protocol: Program | Console, transport: StringTransport | None = None) -> None:
        self.protocol = protocol
        self.transport = transport or StringTransport(peerAddress=ADDRESS)
        self.pushed: list[Push] = []
        self._answers: dict[int | None, Box] = {}
        self._reader = BoxReader()
        self._number = 0
        protocol.makeConnection(self.transport)

    def read_once(self) -> int:
        """Take what the transport holds, which tells the kernel that there is room again; how many bytes it was."""
        data = self.transport.value()
        self.transport.clear()
        self._reader.receive(data)
        while (box := self._reader.take()) is not None:
            number = program.answered(box)
            if number is None:
                self.pushed.append(program.read_push(box)[0])
            else:
                self._answers[number] = box
        if self.transport.producer is not None and not self.transport.streaming:
            self.transport.producer.resumeProducing()
        return len(data)

    def drain(self) -> None:
        """Take what comes without a look at it."""
        while self.transport.value():
            self.transport.clear()
            if self.transport.producer is not None:
                self.transport.producer.resumeProducing()

    def read(self) -> list[Push]:
        """Read until nothing more comes: what the kernel says by itself."""
        while self.read_once():
            pass
        pushed, self.pushed = self.pushed, []
        return pushed

    def say(self, *asked: Asked) -> None:
        """Say something that needs no answer."""
        for each in asked:
            self.protocol.dataReceived(program.request_bytes(each, None))

    def send(self, asked: Asked) -> int:
        """Ask for something, and do not read the answer yet."""
        self._number += 1
        self.protocol.dataReceived(program.request_bytes(asked, self._number))
        return self._number

    def answer(self, asked: Asked, number: int) -> Any:
        """What was answered, once it has been read; a page of a list."""
        return program.read_answer(asked, self._answers.pop(number))

    def ask(self, asked: Asked) -> Any:
        """Ask for something and read the answer; of a list the first page."""
        number = self.send(asked)
        while self.read_once():
            pass
        return self.answer(asked, number)

    def list(self, command: Command) -> tuple[dict[str, Any], int]:
        """A whole list, and in how many pages it came."""
        found: dict[str, Any] = {}
        pages = 0
        asked: Command | None = command
        while asked is not None:
            number = self.send(asked)
            self.read_once()
            box = self._answers.pop(number)
            found |= program.read_answer(asked, box)
            pages += 1
            asked = program.next_page(asked, box)
        return found, pages

    def watch(self, *names: str, **options: Any) -> Watching:
        """Watch processes, reading no more than the answer."""
        asked = WatchProcesses(names=names, **options)
        number = self.send(asked)
        watching: Watching = program.read_answer(asked, read_all(self.transport.value())[-1])
        self._answers.pop(number, None)
        return watching

    def lose(self) -> None:
        """Lose the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


def data(pushed: list[Push]) -> bytes:
    """The output in what was pushed."""
    return b"".join(push.data for push in pushed if isinstance(push, Output))


class AdmissionTests(SynchronousTestCase):
    """Who gets in, and what others get."""

    def test_greets(self) -> None:
        """The first box is the greeting."""
        caller = House().caller()
        self.assertEqual(caller.read(), [GREETING])

    def test_refused_before_a_byte_is_read(self) -> None:
        """Whoever is not let in is told why and hung up on; what was sent is not executed, and it is no guest."""
        house = House()
        with capturedLogs() as logs:
            caller = house.caller(Door("this papa serves uid 5"))
            caller.say(Set(name="x", value="y"))
        self.assertEqual(caller.read(), [Refused(reason="this papa serves uid 5", code="not-allowed")])
        self.assertTrue(caller.transport.disconnecting)
        self.assertEqual([formatEvent(each) for each in logs], ["refused 127.0.0.1:4711: this papa serves uid 5"])
        self.assertIsNone(house.kernel.perform(Get(name="x")))
        caller.lose()
        self.assertEqual((house.attendance.guests, house.ended), (set(), []))

    def test_full(self) -> None:
        """One connection too many is refused, and there is room again when one has gone."""
        house = House(most=1)
        first = house.caller()
        self.assertEqual(
            house.caller().read(),
            [Refused(reason="papa has as many connections as it can serve", code="limit-reached")],
        )
        first.lose()
        self.assertEqual(house.caller().read(), [GREETING])

    def test_small_boxes_go_at_once(self) -> None:
        """Over TCP nothing waits for more to be sent with it."""
        transport = TcpTransport()
        House().caller(transport=transport)
        self.assertTrue(transport.no_delay)

    def test_dismissed(self) -> None:
        """When papa ends the connection is closed, and nothing is executed any more."""
        house = House()
        caller = house.caller()
        caller.protocol.dismiss()
        self.assertTrue(caller.transport.disconnecting)
        self.assertIsNone(caller.transport.producer)
        caller.say(Set(name="x", value="y"))
        self.assertTrue(house.kernel.idle)


class CommandTests(SynchronousTestCase):
    """Every command, and how it is refused."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.caller.read()

    def assert_refused(self, kind: type[Error], sentence: str, command: Command) -> None:
        """A command is refused with this very class, and the connection goes on."""
        with self.assertRaisesRegex(kind, sentence) as caught:
            self.caller.ask(command)
        self.assertIs(type(caught.exception), kind)
        self.assertFalse(self.caller.transport.disconnecting)

    def test_sockets(self) -> None:
        """Sockets are made, listed and removed."""
        made = self.caller.ask(MakeSocket(name="web", port=80))
        expected = Socket(
            name="web", family="inet", type="stream", backlog=5, host="127.0.0.1", port=80, reuseport=False, fileno=64
        )
        self.assertEqual(made, expected)
        self.assertEqual(self.caller.ask(ListSockets()), {"web": expected})
        self.assertIsNone(self.caller.ask(RemoveSockets(names=("web",))))
        self.assertEqual(self.caller.ask(ListSockets()), {})

    def test_values(self) -> None:
        """Values are set, read, listed and removed, with whatever is in them."""
        odd = '\n"\\ \0 \udcff ]> ä'
        self.assertIsNone(self.caller.ask(Set(name="x", value=odd)))
        self.assertEqual(self.caller.ask(Get(name="x")), odd)
        self.assertEqual(self.caller.ask(ListValues()), {"x": odd})
        self.assertIsNone(self.caller.ask(RemoveValues(names=("x*",))))
        self.assertIsNone(self.caller.ask(Get(name="x")))

    def test_large_values(self) -> None:
        """A value of 10 MB goes and comes whole."""
        value = "v" * 10_000_000
        self.caller.ask(Set(name="x", value=value))
        self.assertEqual(self.caller.ask(Get(name="x")), value)

    def test_processes(self) -> None:
        """Processes are made, listed, written to and removed."""
        process = self.caller.ask(MakeProcess(name="job", args=("/bin/job", "", " a\n\udcff"), stdin="pipe"))
        self.assertEqual((process.args, process.running, process.pid), (("/bin/job", "", " a\n\udcff"), True, 1001))
        child = self.house.child()
        self.caller.ask(WriteProcess(name="job", data=b"\0\n\xff" * 30000))
        self.caller.ask(CloseStdin(name="job"))
        self.assertEqual((b"".join(child.stdin), child.stdin_open), (b"\0\n\xff" * 30000, False))
        self.assertEqual(self.caller.ask(ListProcesses(names=("1001",))), {"job": process})
        child.exit(3)
        self.assertEqual(self.caller.ask(ListProcesses())["job"].exit_code, 3)
        self.caller.ask(RemoveProcesses(names=("job",)))
        self.assertEqual(self.caller.ask(ListProcesses()), {})

    def test_refusals(self) -> None:
        """Every refusal comes with the code of its leaf."""
        self.house.children.missing.add("/bin/missing")
        self.caller.ask(MakeSocket(name="web", port=80))
        for kind, sentence, command in (
            (NotFound, "'job' not found", WatchProcesses(names=("job",))),
            (NotFound, "not found", RemoveSockets(names=("nothing",))),
            (AlreadyDiffers, "already", MakeSocket(name="web", port=81)),
            (SocketFailed, "in use", MakeSocket(name="other", port=80)),
            (SpawnFailed, "not found", MakeProcess(name="job", args=("/bin/missing",))),
            (BadRequest, "no user", MakeProcess(name="job", args=("/bin/job",), uid="nobody-at-all")),
            (BadRequest, "two commands", MakeProcess(name="job", args=("/bin/job",), watch=True)),
            (NotAllowed, "only go over Unix sockets", LendSocket(name="web")),
            (NotAllowed, "only go over Unix sockets", LendProcess(name="web")),
        ):
            self.assert_refused(kind, sentence, command)

    def test_too_much(self) -> None:
        """What is more than papa holds is refused as a limit."""
        for number in range(4):
            self.caller.ask(Set(name=f"x{number}", value="v" * (60 << 20)))
        self.assert_refused(LimitReached, "MiB", Set(name="y", value="v" * (60 << 20)))

    def test_invalid_in_itself(self) -> None:
        """A box that no client of papa would send is refused in words too."""
        for box, kind in (
            ({b"_command": b"make process", b"name": b"job"}, BadRequest),
            ({b"_command": b"make process", b"name": b"job", b"args": b"\0\0\0\3a\0b"}, BadRequest),
            ({b"_command": b"set", b"name": b"a b"}, BadRequest),
            ({b"_command": b"set", b"name": b"\xff" * 60000}, BadRequest),
            ({b"_command": b"get", b"name": b"x", b"colour": b"red"}, BadRequest),
            ({b"_command": b"help"}, UnknownCommand),
            ({b"_command": b"x" * MAX_VALUE}, UnknownCommand),
        ):
            self.caller.protocol.dataReceived(serialize(box | {b"_ask": b"77"}))
            self.caller.read_once()
            with self.assertRaises(kind) as caught:
                self.caller.answer(Get(name="x"), 77)
            self.assertIs(type(caught.exception), kind)
        self.assertTrue(self.house.kernel.idle)

    def test_in_order(self) -> None:
        """Requests that come in one piece are done and answered in order."""
        requests = (Set(name="x", value="1"), Get(name="x"), Set(name="x"), Get(name="x"))
        pieces = [program.request_bytes(each, number) for number, each in enumerate(requests)]
        self.caller.protocol.dataReceived(b"".join(pieces))
        answers = read_all(self.caller.transport.value())
        self.assertEqual([int(box[b"_answer"]) for box in answers], [0, 1, 2, 3])
        self.assertEqual([box.get(b"value") for box in answers], [None, b"1", None, None])

    def test_byte_by_byte(self) -> None:
        """A request that comes one byte at a time is the same."""
        for byte in program.request_bytes(Set(name="x", value="y"), 1):
            self.caller.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.house.kernel.perform(Get(name="x")), "y")

    def test_without_an_answer(self) -> None:
        """A request that wants no answer is done and not answered."""
        self.caller.say(Set(name="x", value="y"))
        self.assertEqual(self.caller.transport.value(), b"")
        self.assertEqual(self.house.kernel.perform(Get(name="x")), "y")

    def test_answers_with_whatever_it_was_asked_with(self) -> None:
        """A client may number its questions as it likes."""
        self.caller.protocol.dataReceived(serialize({b"_command": b"get", b"name": b"x", b"_ask": b"\xff"}))
        self.assertEqual(read_all(self.caller.transport.value()), [{b"_answer": b"\xff"}])

    def test_a_client_of_twisted(self) -> None:
        """Twisted's own AMP, with commands written for it, works as a client."""

        class SetValue(amp.Command):
            commandName = b"set"
            arguments = ((b"name", amp.Unicode()), (b"value", amp.Unicode()))
            errors = ((BadRequest, b"bad-request"),)

        class GetValue(amp.Command):
            commandName = b"get"
            arguments = ((b"name", amp.Unicode()),)
            response = ((b"value", amp.Unicode(optional=True)),)

        greetings: list[bytes] = []

        class Client(amp.AMP):
            def locateResponder(self, name: bytes) -> Any:
                return self.greet if name == b"greeting" else None

            def greet(self, box: Box) -> Box:
                greetings.append(box[b"kernel"])
                return {}

        client, protocol = Client(), self.house.protocol()
        pump = connect(protocol, FakeTransport(protocol, True), client, FakeTransport(client, False))
        self.assertEqual(greetings, [b"the very one"])
        done = client.callRemote(SetValue, name="x", value="y")
        got = client.callRemote(GetValue, name="x")
        refused = client.callRemote(SetValue, name="a b", value="y").addErrback(
            lambda failure: failure.trap(BadRequest)
        )
        pump.flush()
        self.assertEqual(self.successResultOf(done), {})
        self.assertEqual(self.successResultOf(got), {"value": "y"})
        self.assertIs(self.successResultOf(refused), BadRequest)

    def test_papa_fails(self) -> None:
        """Should papa itself fail at a request, it is said and logged, and the connection goes on."""

        class Broken:
            idle = True

            def noticed(self, event: Event) -> None:
                """Nobody asks."""

            def steps(self, command: Command) -> Steps[object]:
                raise ZeroDivisionError

        attendance = Attendance(Broken(), self.house.ended.append, most=1)  # type: ignore[arg-type]
        factory = ProgramFactory(Broken(), attendance, Door(), GREETING, self.house.later)  # type: ignore[arg-type]
        caller = Caller(factory.buildProtocol(None))
        with self.assertRaisesRegex(Error, "^papa itself failed at this: see its log$"):
            caller.ask(Get(name="x"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(caller.ask(ExitIfIdle()))
        attendance.give_way = lambda python: fail(ZeroDivisionError())
        with self.assertRaisesRegex(Error, "^papa itself failed at this: see its log$"):
            caller.ask(Upgrade())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TurnTests(SynchronousTestCase):
    """What is done to many things; here each step takes as long as others may wait."""

    def setUp(self) -> None:
        self.patch(steps, "_WHILE", 0.0)
        self.house = House(turns=True)
        self.caller = self.house.caller()
        self.caller.read()
        for name in ("a", "b", "c"):
            self.house.kernel.perform(MakeProcess(name=name, args=("/bin/x",)))
            self.house.kernel.perform(Set(name=f"v{name}", value="x"))

    def test_others_have_turns(self) -> None:
        """In between others are served; the client's own next request is done behind it, and not before."""
        removal = self.caller.send(RemoveValues(names=("v*",)))
        after = self.caller.send(Set(name="d", value="x"))
        other = self.house.caller()
        self.assertEqual(list(other.list(ListValues())[0]), ["vb", "vc"])
        self.assertEqual(self.caller.transport.producerState, "paused")
        self.caller.read()
        self.house.clock.advance(0)
        self.caller.read()
        self.assertIsNone(self.caller.answer(RemoveValues(names=("v*",)), removal))
        self.assertIsNone(self.caller.answer(Set(name="d", value="x"), after))
        self.assertEqual(self.caller.transport.producerState, "producing")
        self.assertEqual(list(other.list(ListValues())[0]), ["d"])

    def test_many_requests(self) -> None:
        """However many requests come at once, others have turns between them, and each is answered in its order."""
        asked = [Set(name="d", value="1"), Get(name="d"), Set(name="d", value="2"), Get(name="d")]
        self.caller.protocol.dataReceived(
            b"".join(program.request_bytes(each, number) for number, each in enumerate(asked))
        )
        other = self.house.caller()
        other.protocol.dataReceived(program.request_bytes(Set(name="d", value="between"), 0))
        self.house.clock.advance(0)
        self.caller.read()
        answers = [self.caller.answer(each, number) for number, each in enumerate(asked)]
        self.assertEqual(answers, [None, "between", None, "2"])

    def test_gone_with_requests_in_hand(self) -> None:
        """What a client that goes has asked for, and nobody has begun, is not done."""
        requests = [program.request_bytes(Set(name="d", value=str(number)), number) for number in range(5)]
        self.caller.protocol.dataReceived(b"".join(requests))
        self.caller.lose()
        self.house.clock.advance(0)
        self.assertEqual(self.house.kernel.perform(Get(name="d")), "0")

    def test_forgotten_meanwhile(self) -> None:
        """A process that is forgotten before its turn comes is passed over."""
        removal = self.caller.send(RemoveProcesses(names=("*",)))
        self.house.kernel.perform(RemoveProcesses(names=("b",)))
        self.house.child("b").exit()
        self.house.clock.advance(0)
        self.caller.read()
        self.assertIsNone(self.caller.answer(RemoveProcesses(names=("*",)), removal))
        for name in ("a", "c"):
            self.house.child(name).exit()
        self.assertEqual([self.house.process(name) for name in ("a", "b", "c")], [None] * 3)
        self.assertEqual(self.house.ledger.entries["process"], {})

    def test_refused_at_once(self) -> None:
        """If one of the names is not held, none is removed."""
        self.assertRaises(NotFound, self.caller.ask, RemoveProcesses(names=("a", "x", "b")))
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.house.child("a").exit()
        self.assertIsNotNone(self.house.process("a"))

    def test_watch(self) -> None:
        """A watch of many begins with turns for others in between, and misses nothing."""
        begun = self.caller.send(WatchProcesses())
        self.house.child("a").print(b"x")
        self.house.child("c").print(b"y")
        self.house.kernel.perform(Set(name="d", value="x"))
        self.assertEqual(self.caller.transport.producerState, "paused")
        self.house.clock.advance(0)
        pushed = self.caller.read()
        watching: Watching = self.caller.answer(WatchProcesses(), begun)
        self.assertEqual((watching.count, list(watching.processes)), (3, ["a", "b", "c"]))
        self.assertEqual([push.data for push in pushed if isinstance(push, Output)], [b"x", b"y"])

    def test_watcher_that_goes(self) -> None:
        """For a client that goes before its watch has begun no output is kept."""
        self.caller.send(WatchProcesses())
        self.caller.protocol.connectionLost()
        self.house.clock.advance(0)
        for name in ("a", "b", "c"):
            self.house.child(name).print(b"x")
        watch = all_at_once(self.house.kernel.watch(WatchProcesses(), Bell()))
        self.assertEqual(len(watch.take(1000)), 3)
        watch.acknowledge()
        listed: Any = self.house.kernel.perform(ListProcesses())
        self.assertEqual([process.buffered for process in listed.values()], [0, 0, 0])

    def test_papa_gives_way(self) -> None:
        """What was begun is done and answered before the connection is ended: nobody is to ask for it again."""
        removal = self.caller.send(RemoveValues(names=("v*",)))
        self.house.attendance.dismiss_all(GivesWay("another goes on"))
        self.assertEqual([push.code for push in self.caller.read() if isinstance(push, Refused)], [GivesWay.code])
        self.assertIsNone(self.caller.answer(RemoveValues(names=("v*",)), removal))
        self.assertEqual(self.house.kernel.perform(ListValues()), {})
        self.house.clock.advance(0)

    def test_client_that_goes(self) -> None:
        """What a client has asked for is done, though it goes."""
        self.caller.send(RemoveValues(names=("v*",)))
        self.caller.protocol.connectionLost()
        self.house.clock.advance(0)
        self.assertEqual(self.house.caller().list(ListValues())[0], {})


class GarbageTests(SynchronousTestCase):
    """What a connection leaves behind."""

    def setUp(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        self.house = House()

    @staticmethod
    def ended(caller: Caller) -> weakref.ref[Program | Console]:
        """The protocol of a client that has gone; the client has the last other reference to it."""
        caller.transport.producer = None  # As a transport that has lost its connection.
        caller.protocol.connectionLost(Failure(ConnectionDone()))
        return weakref.ref(caller.protocol)

    def test_asked(self) -> None:
        """Nothing, if it has asked for something, though nobody looks for garbage."""
        caller = self.house.caller()
        caller.ask(ListProcesses())
        protocol = self.ended(caller)
        del caller
        self.assertIsNone(protocol())

    def test_watched(self) -> None:
        """Nothing, if it has watched, and watches still."""
        self.house.kernel.perform(MakeProcess(name="job", args=("/bin/job",)))
        caller = self.house.caller()
        caller.watch("job")
        self.house.child().print(b"x")
        protocol = self.ended(caller)
        del caller
        self.assertIsNone(protocol())


class NoRoomTests(SynchronousTestCase):
    """There is no memory, for a while."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.caller.read()

    def test_acknowledgement(self) -> None:
        """One is tried again, without a word, until it can be noted; what the client says behind it waits for it."""
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",)))
        child = self.house.child()
        child.print(b"text")
        child.exit(3)
        self.caller.ask(WatchProcesses(names=("job",)))
        end = next(each for each in self.caller.read() if isinstance(each, Closed))
        self.house.ledger.refusals = 3
        self.caller.say(Acknowledge(watch=1, name="job", invocation=end.invocation, mark=4, end=True))
        asked = self.caller.send(Set(name="x", value="y"))
        for _ in range(3):
            self.caller.read()
            self.assertIsNotNone(self.house.process())
            self.assertIsNone(self.house.kernel.get(Get(name="x")))
            self.house.clock.advance(0.1)
        self.assertIsNone(self.house.process())
        self.assertEqual(self.house.kernel.get(Get(name="x")), "y")
        self.caller.read()
        self.assertIsNone(self.caller.answer(Set(name="x", value="y"), asked))

    def test_no_acknowledgement(self) -> None:
        """Anything else that wants no answer is not tried again: the connection ends, and so does all that it takes."""
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",)))
        self.house.ledger.refusals = 1
        self.caller.say(RemoveProcesses(names=("job",)))
        self.assertEqual(self.caller.read(), [Refused(reason="no memory", code=LimitReached.code)])
        self.assertTrue(self.caller.transport.disconnecting)
        self.house.clock.advance(1)
        self.assertIsNotNone(self.house.process())

    def test_many_watches(self) -> None:
        """There are so many watches on a connection and no more; one that ends makes room."""
        for _ in range(1000):
            self.caller.ask(WatchEvents())
        self.assertRaises(LimitReached, self.caller.ask, WatchEvents())
        self.caller.ask(StopWatching(watch=7))
        self.caller.ask(WatchEvents())

    def test_acknowledgement_on_the_console(self) -> None:
        """There it is refused in words, and the watch ends; it can be said again after another watch."""
        console = self.house.console()
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",)))
        self.house.child().exit(3)
        for last in (b"\n", b"q\n"):
            console.protocol.dataReceived(b"watch processes job\n")
            self.house.clock.advance(1)
            self.assertIn(b"closed:job:0.5:3\n", console.transport.value())
            console.transport.clear()
            self.house.ledger.refusals = 1
            console.protocol.dataReceived(last)
            self.assertIn(b"Error: no memory\n> ", console.transport.value())
            console.transport.clear()
        console.protocol.dataReceived(b"watch processes job\n")
        console.protocol.dataReceived(b"\n")
        self.assertIn(b"Nothing left to watch\n> ", console.transport.value())
        self.assertIsNone(self.house.process())

    def test_answer(self) -> None:
        """There is none to answer with: nobody is told that nothing was done, since it was."""

        def no_memory(box: Box) -> bytes:
            raise MemoryError

        said = program.request_bytes(Set(name="x", value="y"), 1)
        patch = self.patch(boxes, "pieces", no_memory)
        with self.assertRaises(MemoryError):
            self.caller.protocol.dataReceived(said)
        patch.restore()
        self.assertEqual(self.caller.read(), [])
        self.assertEqual(self.house.kernel.get(Get(name="x")), "y")

    def test_client_goes(self) -> None:
        """An acknowledgement of a client that has gone meanwhile is none."""
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",)))
        self.house.child().exit(3)
        self.caller.ask(WatchProcesses(names=("job",)))
        end = next(each for each in self.caller.read() if isinstance(each, Closed))
        self.house.ledger.refusals = 1
        self.caller.say(Acknowledge(watch=1, name="job", invocation=end.invocation, end=True))
        self.caller.protocol.connectionLost()
        self.house.clock.advance(0.1)
        self.assertIsNotNone(self.house.process())

    def test_request(self) -> None:
        """There is none to hear a request with: nothing of it was done, and the client is told so."""

        def no_memory(reader: BoxReader, data: bytes) -> None:
            raise MemoryError

        patch = self.patch(BoxReader, "receive", no_memory)
        self.caller.send(Set(name="x", value="y"))
        patch.restore()
        reason = "There is no memory for this request"
        self.assertEqual(self.caller.read(), [Refused(reason=reason, code=LimitReached.code)])
        self.assertTrue(self.caller.transport.disconnecting)


class PageTests(SynchronousTestCase):
    """Lists of any length."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.caller.read()

    def test_many(self) -> None:
        """3 000 values come in some pages, all of them and in order."""
        values = {f"v{number:05}": str(number) for number in range(3000)}
        for name, value in values.items():
            self.house.kernel.perform(Set(name=name, value=value))
        found, pages = self.caller.list(ListValues())
        self.assertEqual(list(found.items()), list(values.items()))
        self.assertEqual(pages, 12)
        self.assertEqual(self.caller.list(ListValues(names=("v0000*",))), (dict(list(values.items())[:10]), 1))

    def test_exactly_a_page(self) -> None:
        """A list that fills its pages exactly ends with an empty one, and is whole."""
        values = {f"v{number:05}": "x" for number in range(512)}
        for name, value in values.items():
            self.house.kernel.perform(Set(name=name, value=value))
        self.assertEqual(self.caller.list(ListValues()), (values, 3))

    def test_as_many_as_are_wanted(self) -> None:
        """A client that wants some gets no more than that."""
        for number in range(2000):
            self.house.kernel.perform(Set(name=f"v{number:05}", value="x"))
        for most in (1, 1024, 1500, 5000):
            self.assertEqual(len(self.caller.list(ListValues(most=most))[0]), min(most, 2000))

    def test_large(self) -> None:
        """Values that are large come few at a time."""
        values = {f"v{number}": str(number) * 400_000 for number in range(5)}
        for name, value in values.items():
            self.house.kernel.perform(Set(name=name, value=value))
        self.assertEqual(self.caller.list(ListValues()), (values, 5))

    def test_cursors(self) -> None:
        """Each cursor comes alone, as it may tell of thousands of processes."""
        self.house.kernel.perform(MakeProcess(name="job", args=("/bin/x",)))
        for name in "abc":
            all_at_once(self.house.kernel.watch(WatchProcesses(cursor=name), Bell())).stop()
        found, pages = self.caller.list(ListCursors())
        self.assertEqual(([found[name].marks for name in "abc"], pages), ([{"job": 0}] * 3, 4))

    def test_what_changes_between_pages(self) -> None:
        """What was there all the time is in the list, whatever goes and comes meanwhile."""
        for number in range(0, 4000, 2):
            self.house.kernel.perform(Set(name=f"v{number:05}", value="x"))
        asked = ListValues()
        number = self.caller.send(asked)
        self.caller.read_once()
        page = self.caller.answer(asked, number)
        last = max(page)
        self.house.kernel.perform(Set(name=last))
        self.house.kernel.perform(Set(name="v00001", value="new"))
        rest, _ = self.caller.list(ListValues(after=last))
        self.assertEqual((len(page), len(page | rest)), (256, 2000))

    def test_processes(self) -> None:
        """Processes with long arguments are paged as well."""
        for number in range(30):
            command = MakeProcess(name=f"job{number:02}", args=("/bin/job", "a" * 100_000))
            self.house.kernel.perform(command)
        found, pages = self.caller.list(ListProcesses())
        self.assertEqual(found, self.house.kernel.perform(ListProcesses()))
        self.assertEqual(pages, 10)


class MalformedTests(SynchronousTestCase):
    """What is no request ends a connection, and only that one."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.other = self.house.caller()
        self.caller.read()
        self.other.read()

    def assert_hung_up(self, sentence: str, said: bytes) -> None:
        """Something ends the connection with a reason, to the client and in the log; others go on."""
        with capturedLogs() as logs:
            self.caller.protocol.dataReceived(said + program.request_bytes(Set(name="x", value="y"), 1))
            self.caller.protocol.dataReceived(program.request_bytes(Set(name="x", value="y"), 2))
        (refused,) = self.caller.read()
        assert isinstance(refused, Refused)
        self.assertIn(sentence, refused.reason)
        self.assertEqual([formatEvent(each) for each in logs], [f"hung up on 127.0.0.1:4711: {refused.reason}"])
        self.assertTrue(self.caller.transport.disconnecting)
        self.assertIsNone(self.caller.transport.producer)
        self.assertIsNone(self.other.ask(Get(name="x")))
        self.caller.lose()
        self.assertEqual(self.house.attendance.guests, {self.other.protocol})

    def test_no_box(self) -> None:
        """Text is not taken for a box."""
        self.assert_hung_up("A key of 18245 bytes: this is no box", b"GET / HTTP/1.1\r\n\r\n")

    def test_empty_box(self) -> None:
        """A box without anything is no request."""
        self.assert_hung_up("b'' is no command", serialize({}))

    def test_answers(self) -> None:
        """The kernel has asked nothing: an answer is no request."""
        self.assert_hung_up("b'' is no command", serialize({b"_answer": b"1"}))
        self.setUp()
        self.assert_hung_up("b'' is no command", serialize({b"_error": b"1"}))

    def test_refused_without_a_question(self) -> None:
        """What is wrong and wants no answer cannot be refused but so."""
        self.assert_hung_up(
            "mark is not of its type",
            serialize(
                {b"_command": b"acknowledge", b"watch": b"1", b"name": b"x", b"invocation": b"1", b"mark": b"\x1b[2J"}
            ),
        )

    def test_escapes_in_the_log(self) -> None:
        """What a client has sent acts on nobody's terminal who reads the log."""
        with capturedLogs() as logs:
            for name in ("a", "b"):
                self.caller.say(MakeSocket(name=name, path="/run/\x1b[2J\nforged"))
        self.assertEqual(len(logs), 1)
        self.assertNotRegex(formatEvent(logs[0]), "[\x1b\n]")

    def test_too_large(self) -> None:
        """A box over the limit is not waited for."""
        value = b"\xff\xff" + bytes(MAX_VALUE)
        self.caller.protocol.dataReceived(b"\0\10_command\0\3set")
        for number in range(1020):
            self.caller.protocol.dataReceived(b"\0\4%04d" % number + value)
        self.assertFalse(self.caller.transport.disconnecting)
        self.assert_hung_up("A box of more than 64 MiB", b"".join(b"\0\4x%03d" % each + value for each in range(4)))

    def test_too_many_keys(self) -> None:
        """A box of very many small values is not collected either."""
        pairs = [b"\0\4" + number.to_bytes(4, "big") + b"\0\0" for number in range(1, 340_000)]
        self.assert_hung_up("A box of more than 64 MiB", b"".join(pairs))

    def test_long_reasons_are_cut(self) -> None:
        """What a client has sent is quoted to some length only."""
        with capturedLogs() as logs:
            self.caller.protocol.dataReceived(serialize({b"_command": b"get", b"name": b"x " * 20000}))
        (refused,) = self.caller.read()
        assert isinstance(refused, Refused)
        self.assertLess(len(refused.reason), 1000)
        self.assertLess(len(formatEvent(logs[0])), 1000)

    @settings(max_examples=150)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=20),
                st.dictionaries(
                    st.sampled_from([b"_command", b"_ask", b"name", b"watch", b"names", b"mark", b"end", b"_answer"]),
                    st.one_of(st.sampled_from([*program.commands_by_name(), b"1", b"x"]), st.binary(max_size=8)),
                    max_size=5,
                ).map(serialize),
            ),
            max_size=5,
        )
    )
    def test_any_bytes(self, said: list[bytes]) -> None:
        """Whatever a client sends, nothing is raised, and others are served."""
        house = House()
        caller = house.caller()
        for each in said:
            caller.protocol.dataReceived(each)
            caller.drain()
        self.assertEqual(house.caller().ask(Get(name="nothing")), None)
        caller.lose()


class WatchTests(SynchronousTestCase):
    """Watches: what is pushed, acknowledged and kept."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",)))
        self.caller.read()
        self.child = self.house.child()

    def acknowledge(self, watching: Watching, mark: int, *, end: bool = False, name: str = "job") -> None:
        """Acknowledge to a mark."""
        self.caller.say(Acknowledge(watch=watching.watch, name=name, invocation="1001@0.5", mark=mark, end=end))

    def test_from_the_beginning_to_the_end(self) -> None:
        """Kept output comes behind the answer, new output at once, then the end; then the watch is over."""
        self.child.print(b"before")
        watching = self.caller.watch("job")
        self.assertEqual((watching.count, watching.processes), (1, {"job": "1001@0.5"}))
        before = Output(name="job", channel=1, timestamp=0.5, data=b"before", mark=6, invocation="1001@0.5")
        self.assertEqual(self.caller.read(), [before])
        self.child.print(b"later", 2)
        later = Output(name="job", channel=2, timestamp=0.5, data=b"later", mark=11, invocation="1001@0.5")
        self.assertEqual(self.caller.read(), [later])
        self.child.exit(-9)
        self.assertEqual(self.caller.read(), [Closed(name="job", timestamp=0.5, exit_code=-9, invocation="1001@0.5")])
        self.acknowledge(watching, 11, end=True)
        self.assertEqual(self.caller.read(), [WatchEnded(watch=watching.watch)])
        self.assertTrue(self.house.kernel.idle)

    def test_pushed_at_once(self) -> None:
        """Output is sent when it comes, without anything being asked."""
        self.caller.watch("job")
        self.caller.read()
        self.child.print(b"x")
        self.assertIn(b"output", self.caller.transport.value())

    def test_acknowledged_by_mark(self) -> None:
        """What was acknowledged is gone; what was not comes again to the next watcher."""
        self.child.print(b"0123456789")
        watching = self.caller.watch("job")
        self.caller.read()
        self.acknowledge(watching, 4)
        self.caller.lose()
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(data(other.read()), b"456789")

    def test_acknowledged_beyond_what_was_sent(self) -> None:
        """Nothing that was not sent can be acknowledged, nor an end."""
        watching = self.caller.watch("job")
        self.caller.read()
        self.child.print(b"0123456789")
        self.acknowledge(watching, 5, end=True)
        self.acknowledge(watching, 1 << 70)
        self.acknowledge(watching, -5)
        self.child.print(b"more")
        self.acknowledge(watching, 1 << 70)
        self.assertEqual(data(self.caller.read()), b"0123456789more")
        self.assertIsNotNone(self.house.process())
        self.caller.lose()
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(data(other.read()), b"more")

    def test_acknowledged_to_nobody(self) -> None:
        """An acknowledgement of another watch or process is passed over."""
        watching = self.caller.watch("job")
        self.child.print(b"x")
        self.caller.read()
        self.acknowledge(watching, 1, name="other")
        self.caller.say(
            Acknowledge(watch=99, name="job", invocation="1001@0.5", mark=1), StopWatching(watch=99), Received()
        )
        self.assertFalse(self.caller.transport.disconnecting)
        self.caller.lose()
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(data(other.read()), b"x")

    def test_stopped(self) -> None:
        """After a watch was stopped nothing is sent for it; what was not acknowledged is kept."""
        watching = self.caller.watch("job")
        self.child.print(b"a")
        self.assertEqual(data(self.caller.read()), b"a")
        self.caller.ask(StopWatching(watch=watching.watch))
        self.child.print(b"b")
        self.assertEqual(self.caller.read(), [])
        self.caller.watch("job")
        self.assertEqual(data(self.caller.read()), b"ab")

    def test_several_at_once(self) -> None:
        """One connection can have several watches; each has a number of its own and gets all."""
        self.caller.ask(MakeProcess(name="other", args=("/bin/job",)))
        watches = [self.caller.watch("job"), self.caller.watch("*"), self.caller.watch("other", observe=True)]
        self.assertEqual(len({watching.watch for watching in watches}), 3)
        self.caller.read()
        self.child.print(b"x")
        self.house.child("other").print(b"y")
        self.assertEqual(sorted(data([push]) for push in self.caller.read()), [b"x", b"x", b"y", b"y"])

    def test_without_following(self) -> None:
        """A watch that does not follow ends when what is there was sent, and can be acknowledged all the same."""
        self.child.print(b"there")
        watching = self.caller.watch("job", follow=False)
        output, end = self.caller.read()
        self.assertEqual((data([output]), end), (b"there", WatchEnded(watch=watching.watch)))
        self.child.print(b"later")
        self.assertEqual(self.caller.read(), [])
        self.acknowledge(watching, 5)
        self.caller.ask(StopWatching(watch=watching.watch))
        self.caller.watch("job")
        self.assertEqual(data(self.caller.read()), b"later")

    def test_all_without_following(self) -> None:
        """However much there is, it is all sent before the watch ends."""
        printed = bytes(3 * CHUNK)
        self.child.print(printed)
        watching = self.caller.watch("job", follow=False)
        *pushed, ended = self.caller.read()
        self.assertEqual((data(pushed), ended), (printed, WatchEnded(watch=watching.watch)))

    def test_without_following_where_nothing_is(self) -> None:
        """It ends at once if there is nothing; and once if its end is acknowledged too."""
        watching = self.caller.watch("job", follow=False)
        self.assertEqual(self.caller.read(), [WatchEnded(watch=watching.watch)])
        self.child.exit(0)
        watching = self.caller.watch("job", follow=False)
        closed = Closed(name="job", timestamp=0.5, exit_code=0, invocation="1001@0.5")
        self.assertEqual(self.caller.read(), [closed, WatchEnded(watch=watching.watch)])
        self.acknowledge(watching, 0, end=True)
        self.assertEqual(self.caller.read(), [])
        self.assertTrue(self.house.kernel.idle)

    def test_observing(self) -> None:
        """An observer acknowledges for itself alone: all is kept for others."""
        self.child.print(b"x")
        self.child.exit(2)
        watching = self.caller.watch("job", observe=True)
        self.caller.read()
        self.acknowledge(watching, 1, end=True)
        self.assertEqual(self.caller.read(), [WatchEnded(watch=watching.watch)])
        self.caller.watch("job")
        self.assertEqual(data(self.caller.read()), b"x")

    def test_removed_while_watched(self) -> None:
        """The watcher of a removed process gets its end, and nothing that was thrown away."""
        self.caller.watch("job")
        self.caller.read()
        self.caller.ask(RemoveProcesses(names=("job",)))
        self.child.print(b"lost")
        self.child.exit(1)
        self.assertEqual(self.caller.read(), [Closed(name="job", timestamp=0.5, exit_code=1, invocation="1001@0.5")])

    def test_nothing_is_left_behind(self) -> None:
        """When a connection goes its watches go with it, and new output is kept for the next."""
        for _ in range(3):
            self.caller.watch("job")
        self.caller.lose()
        self.child.print(b"x")
        self.assertEqual(self.house.attendance.guests, set())
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(data(other.read()), b"x")


class SlowClientTests(SynchronousTestCase):
    """Clients that do not read."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.caller.read()

    def start(self, **options: Any) -> MemoryChild:
        """A process."""
        self.caller.ask(MakeProcess(name="job", args=("/bin/job",), **options))
        return self.house.child()

    def test_output_stays_with_its_process(self) -> None:
        """Whatever is printed while a client does not read, no more than a chunk waits in the connection."""
        child = self.start(bufsize=1_000_000)
        watching = self.caller.watch("job")
        self.caller.read()
        for _ in range(500):
            child.print(b"x" * 10_000)
        waiting = len(self.caller.transport.value())
        self.assertTrue(0 < waiting < 70_000, waiting)
        process = self.house.process()
        assert process is not None
        self.assertEqual(process.captured, 5_000_000)
        pushed = self.caller.read()
        (hole,) = [push for push in pushed if isinstance(push, Hole)]
        self.assertEqual(hole.size + len(data(pushed)), 5_000_000)
        last = pushed[-1]
        assert isinstance(last, Output)
        self.assertEqual(last.mark, 5_000_000)
        self.caller.say(Acknowledge(watch=watching.watch, name="job", invocation="1001@0.5", mark=5_000_000))

    def test_a_process_that_may_not_lose_output_waits(self) -> None:
        """With overflow=block the process is made to wait, goes on when there is room again, and nothing is lost."""
        child = self.start(bufsize=100_000, overflow="block")
        watching = self.caller.watch("job")
        self.caller.read()
        for _ in range(50):
            child.print(b"x" * 10_000)
        self.assertTrue(child.paused)
        total = 0
        while total < 500_000:
            self.caller.read_once()
            pushed, self.caller.pushed = self.caller.pushed, []
            self.assertTrue(pushed)
            total += len(data(pushed))
            self.assertFalse([push for push in pushed if isinstance(push, Hole)])
            self.caller.say(Acknowledge(watch=watching.watch, name="job", invocation="1001@0.5", mark=total))
        self.assertFalse(child.paused)

    def test_acknowledgements_are_read_while_output_waits(self) -> None:
        """A client that is behind with reading can acknowledge, and stop."""
        child = self.start(bufsize=1_000_000)
        child.print(b"x" * 500_000)
        watching = self.caller.watch("job")
        self.caller.read_once()
        self.caller.read_once()
        marks = [push.mark for push in self.caller.pushed if isinstance(push, Output)]
        self.assertTrue(self.caller.transport.value())
        self.caller.say(
            Acknowledge(watch=watching.watch, name="job", invocation="1001@0.5", mark=marks[-1]),
            StopWatching(watch=watching.watch),
        )
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(len(data(other.read())), 500_000 - marks[-1])

    def test_many_watches(self) -> None:
        """However many watches there are on a connection, no more waits in it than one sends; all have their turns."""
        self.caller.ask(Set(name="x", value="y"))
        for number in range(20):
            name = f"job.{number:02}"
            self.caller.ask(MakeProcess(name=name, args=("/bin/job",)))
            self.caller.watch(name)
            self.caller.read()
        for number in range(20):
            self.house.child(f"job.{number:02}").print(b"x" * 300_000)
        first = set()
        while self.caller.transport.value():
            self.assertLess(len(self.caller.transport.value()), 2 * CHUNK)
            self.caller.read_once()
            if len(first) < 20:
                first |= {push.name for push in self.caller.pushed if isinstance(push, Output)}
                self.assertLess(len(data(self.caller.pushed)), 20 * CHUNK + CHUNK)
        self.assertEqual(len(data(self.caller.pushed)), 20 * 300_000)

    def test_watch_beside_large_answers(self) -> None:
        """However much is asked for, and however large the answers, a watch on the connection has its turns, too."""
        self.caller.ask(Set(name="x", value="y" * 300_000))
        child = self.start()
        self.caller.watch("job")
        self.caller.read()
        asked = program.request_bytes(Get(name="x"), 1)
        self.caller.protocol.dataReceived(asked * 10)
        child.print(b"printed")
        self.caller.read_once()
        self.caller.read_once()
        self.assertEqual(data(self.caller.pushed), b"printed")

    def test_very_small_pieces(self) -> None:
        """Output that comes in single bytes of two channels comes whole and in order."""
        child = self.start()
        for number in range(5000):
            child.print(b"%d" % (number % 10), 1 + number % 2)
        self.caller.watch("job")
        pushed = self.caller.read()
        self.assertEqual(data(pushed), b"0123456789" * 500)
        self.assertEqual({push.channel for push in pushed if isinstance(push, Output)}, {1, 2})

    def test_very_small_pieces_do_not_pile_up(self) -> None:
        """However short the pieces are, no more waits in the connection than some hundred kilobytes."""
        children = [self.start(bufsize=10_000_000)]
        for name in ("second", "third"):
            self.caller.ask(MakeProcess(name=name, args=("/bin/job",), bufsize=10_000_000))
            children.append(self.house.child(name))
        for number in range(20_000):
            for child in children:
                child.print(b"x", 1 + number % 2)
        self.caller.watch("*")
        most = 0
        while size := self.caller.read_once():
            most = max(most, size)
        self.assertLess(most, 600_000)
        self.assertEqual(len(data(self.caller.pushed)), 60_000)

    def test_a_loud_process_does_not_silence_another(self) -> None:
        """Each chunk is shared: what a quiet process says does not wait for a loud one to be through."""
        loud = self.start(bufsize=10_000_000)
        self.caller.ask(MakeProcess(name="quiet", args=("/bin/job",)))
        self.caller.watch("*")
        self.caller.read()
        loud.print(b"x" * 8_000_000)
        self.house.child("quiet").print(b"help")
        for _ in range(4):
            self.caller.read_once()
        self.assertIn(b"help", [push.data for push in self.caller.pushed if isinstance(push, Output)])

    def test_answers_to_what_came_in_one_piece(self) -> None:
        """What was read already is not done either before the client has read what was answered to the rest."""
        self.house.kernel.perform(Set(name="x", value="v" * 10_000))
        asked = [program.request_bytes(Get(name="x"), number) for number in range(200)]
        self.caller.protocol.dataReceived(b"".join(asked))
        total = 0
        while size := self.caller.read_once():
            self.assertLess(size, 100_000)
            total += size
        self.assertGreater(total, 2_000_000)

    def test_answers_do_not_pile_up(self) -> None:
        """A client that asks and does not read is read no more, and served again when it reads."""
        self.house.kernel.perform(Set(name="x", value="v" * 10_000))
        numbers = [self.caller.send(Get(name="x")) for _ in range(200)]
        self.assertLess(len(self.caller.transport.value()), 100_000)
        self.assertEqual(self.caller.transport.producerState, "paused")
        self.caller.read()
        self.assertEqual(self.caller.transport.producerState, "producing")
        for number in numbers:
            self.assertEqual(self.caller.answer(Get(name="x"), number), "v" * 10_000)

    def test_hung_up_while_it_does_not_read(self) -> None:
        """A connection that is ended while output waits can be closed: nothing feeds it any more."""
        child = self.start()
        self.caller.watch("job")
        child.print(b"x" * 100_000)
        self.caller.protocol.dismiss()
        before = len(self.caller.transport.value())
        child.print(b"y" * 100_000)
        self.assertEqual(len(self.caller.transport.value()), before)
        self.assertIsNone(self.caller.transport.producer)


class EndingTests(SynchronousTestCase):
    """exit-if-idle."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()

    def test_idle(self) -> None:
        """A kernel that holds nothing says so, and ends with its last connection."""
        other = self.house.caller()
        self.assertIs(self.caller.ask(ExitIfIdle()), True)
        self.caller.lose()
        self.assertEqual(self.house.ended, [])
        other.lose()
        self.assertEqual(self.house.ended, ["it was asked to exit if idle"])

    def test_not_idle(self) -> None:
        """A kernel that holds something stays."""
        self.caller.ask(Set(name="x", value="y"))
        self.assertIs(self.caller.ask(ExitIfIdle()), False)
        self.caller.lose()
        self.assertEqual(self.house.ended, [])


class ConsoleTests(SynchronousTestCase):
    """A console that becomes a program wire."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.console()

    def test_amp(self) -> None:
        """After the line amp the connection is greeted and answers boxes; it is one guest all the time."""
        self.caller.protocol.dataReceived(b"amp\r\n")
        self.assertEqual(self.caller.read(), [GREETING])
        self.caller.ask(Set(name="x", value="\udcff"))
        self.assertEqual(self.caller.ask(Get(name="x")), "\udcff")
        self.assertEqual(len(self.house.attendance.guests), 1)
        self.caller.lose()
        self.assertEqual(self.house.attendance.guests, set())

    def test_commands_before_it(self) -> None:
        """Lines before it are answered as lines."""
        self.caller.protocol.dataReceived(b"set x y\nget x\n")
        self.assertEqual(self.caller.transport.value(), b"\n> y\n> ")
        self.caller.transport.clear()
        self.caller.protocol.dataReceived(b"amp\n")
        self.assertEqual(self.caller.ask(Get(name="x")), "y")

    def test_bytes_right_behind(self) -> None:
        """Boxes may come in the same piece as the line, with any bytes that telnet or a line would take for its own."""
        value = "\udcff\udcf4\udcff\udcff\r\n\udcff\udcfb\1\r\0\n\udcff\n\x03"
        whole = b"set a b\namp\n" + program.request_bytes(Set(name="x", value=value), 1)
        whole += program.request_bytes(Get(name="x"), 2)
        for cut in range(0, len(whole), 3):
            house = House()
            caller = house.console()
            for piece in (whole[:cut], whole[cut:]):
                caller.protocol.dataReceived(piece)
            self.assertEqual(house.kernel.perform(Get(name="x")), value)
            self.assertEqual(house.kernel.perform(Get(name="a")), "b")

    def test_telnet_before_it(self) -> None:
        """A telnet client's negotiation before the line is answered as ever."""
        self.caller.protocol.dataReceived(
            b"\xff\xfd\x01amp\n" + program.request_bytes(Set(name="x", value="\udcff"), 1)
        )
        self.assertTrue(self.caller.transport.value().startswith(b"\xff\xfc\x01"))
        self.assertEqual(self.house.kernel.perform(Get(name="x")), "\udcff")

    def test_watches(self) -> None:
        """A watch on such a connection is as any other, and ends with it."""
        self.caller.protocol.dataReceived(b"make process job /bin/job\namp\n")
        self.caller.transport.clear()
        self.caller.watch("job")
        self.house.child().print(b"x")
        self.assertEqual(data(self.caller.read()), b"x")
        self.caller.lose()
        other = self.house.caller()
        other.watch("job")
        self.assertEqual(data(other.read()), b"x")

    def test_ended(self) -> None:
        """It is dismissed as any other, also when its client stops sending; the watches end at once."""
        for end in ("dismiss", "readConnectionLost", "writeConnectionLost"):
            house = House()
            caller = house.console()
            caller.protocol.dataReceived(b"make process job /bin/job\namp\n")
            caller.transport.clear()
            caller.watch("job")
            getattr(caller.protocol, end)()
            said = caller.transport.value()
            house.child().print(b"x")
            self.assertEqual(caller.transport.value(), said)
            self.assertTrue(caller.transport.disconnecting)
            caller.lose()
            self.assertEqual(house.attendance.guests, set())

    def test_where_there_is_none(self) -> None:
        """A console without such a wire says so and stays one."""
        factory = ConsoleFactory(self.house.kernel, self.house.attendance, Door(), self.house.later)
        console = factory.buildProtocol(ADDRESS)
        transport = StringTransport()
        console.makeConnection(transport)
        transport.clear()
        console.dataReceived(b"amp\nget x\n")
        self.assertEqual(transport.value(), b"Error: This console does not speak AMP\n> \n> ")

    def test_descriptors(self) -> None:
        """A descriptor that comes to a console is closed; after amp it is kept for the command that takes it."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        protocol: Any = self.caller.protocol
        protocol.fileDescriptorReceived(writing)
        self.assertEqual(os.read(reading, 1), b"")


class LendingTests(SynchronousTestCase):
    """Descriptors that go to a client."""

    def setUp(self) -> None:
        self.house = House()
        self.transport = UnixTransport()
        self.caller = self.house.caller(transport=self.transport)
        self.caller.read()
        self.caller.ask(MakeSocket(name="web", port=80))

    def lend(self) -> int:
        """Have the socket be lent: the number under which it goes."""
        lent: Lent = self.caller.ask(LendSocket(name="web"))
        return lent.descriptor

    def test_closed_when_it_was_received(self) -> None:
        """Each goes under a number of its own, and papa has it until the client has received it, or has gone."""
        self.assertEqual([self.lend() for _ in range(3)], [0, 1, 2])
        self.assertEqual([is_open(each) for each in self.transport.sent], [True, True, True])
        self.caller.ask(Received())
        self.assertEqual([is_open(each) for each in self.transport.sent], [False, True, True])
        self.caller.lose()
        self.assertEqual([is_open(each) for each in self.transport.sent], [False, False, False])

    def test_not_any_number(self) -> None:
        """A client that does not say what it has received has no more than so many on their way."""
        for _ in range(64):
            self.lend()
        self.assertIn("64 descriptors are on their way", str(self.assertRaises(LimitReached, self.lend)))
        self.assertEqual(len(self.transport.sent), 64)
        self.caller.ask(Received())
        self.assertEqual(self.lend(), 64)
        self.caller.lose()

    def test_received_without_one(self) -> None:
        """To say so without any is no harm."""
        self.caller.ask(Received())
        self.assertEqual(self.lend(), 0)
        self.caller.lose()


class DescriptorTests(SynchronousTestCase):
    """Descriptors that come without a command that takes them."""

    def setUp(self) -> None:
        self.house = House()
        self.caller = self.house.caller()
        self.reading, self.writing = os.pipe()
        self.addCleanup(os.close, self.reading)

    def take(self, number: int) -> Socket:
        """Have the descriptor of that number be held."""
        held: Socket = self.caller.ask(TakeSocket(name=f"s{number}", descriptor=number))
        return held

    def come(self, count: int) -> None:
        """So many descriptors come."""
        protocol: Any = self.caller.protocol
        for _ in range(count):
            protocol.fileDescriptorReceived(os.dup(self.writing))

    def test_each_has_its_number(self) -> None:
        """One that there was no room for is refused; those before and behind it are what the client takes them for."""
        alsoProvides(self.caller.transport, IUNIXTransport)
        self.caller.read()
        self.come(70)
        refusal = self.assertRaises(LimitReached, self.take, 65)
        self.assertIn("64 may be on their way", str(refusal))
        self.assertEqual(self.take(63).name, "s63")
        self.come(1)
        self.assertEqual(self.take(70).name, "s70")
        self.assertRaises(LimitReached, self.take, 69)
        self.caller.lose()

    def test_one_that_does_not_come(self) -> None:
        """Where one has not come, the numbers are no longer the same on both sides: the connection ends, in words."""
        alsoProvides(self.caller.transport, IUNIXTransport)
        self.caller.read()
        self.come(1)
        self.assertRaises(LimitReached, self.take, 1)
        (refused,) = self.caller.pushed
        assert isinstance(refused, Refused)
        self.assertEqual(refused.code, LimitReached.code)
        self.assertTrue(self.caller.transport.disconnecting)
        self.caller.lose()

    def test_closed_with_the_connection(self) -> None:
        """A descriptor that nobody took is not inheritable, and goes with its connection."""
        protocol: Any = self.caller.protocol
        os.set_inheritable(self.writing, True)
        protocol.fileDescriptorReceived(self.writing)
        self.assertFalse(os.get_inheritable(self.writing))
        self.caller.lose()
        self.assertFalse(is_open(self.writing))

    def test_not_from_those_who_were_refused(self) -> None:
        """A connection that was not let in leaves no descriptor behind."""
        protocol: Any = self.house.caller(Door("no")).protocol
        protocol.fileDescriptorReceived(self.writing)
        self.assertFalse(is_open(self.writing))

    def test_not_any_number(self) -> None:
        """A client cannot fill papa's descriptors."""
        protocol: Any = self.caller.protocol
        duplicates = [os.dup(self.writing) for _ in range(100)]
        os.close(self.writing)
        for duplicate in duplicates:
            protocol.fileDescriptorReceived(duplicate)
        self.assertEqual(sum(map(is_open, duplicates)), 64)
        self.caller.lose()
        self.assertEqual(sum(map(is_open, duplicates)), 0)
