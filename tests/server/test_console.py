"""The console as a protocol: admission, lines however they come, and clients that do not listen."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from papa import steps
from papa.commands import Get, ListProcesses, MakeProcess, Set, WatchProcesses
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySockets
from papa.kernel.core import Kernel
from papa.server import sending
from papa.server.attendance import Attendance
from papa.server.console import MAX_LINE, Console, ConsoleFactory
from papa.server.eventlog import EventLog
from papa.server.program import ProgramFactory
from papa.steps import all_at_once
from papa.testing import Impatient
from papa.wire import program
from papa.wire.messages import PROTOCOL_VERSION, Greeting
from tests.kernel.building import Bell
from tests.server.doors import Door

GREETING = b'Papa is home. Type "help" for commands.\n> '
TOO_LONG = b"Error: The line is longer than 1048576 bytes; the program wire has no such limit\n> "
ADDRESS = IPv4Address("TCP", "127.0.0.1", 4711)


class Writes(StringTransport):
    """A client to whom each write arrives by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        if data:
            self.writes.append(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def taken(self) -> list[bytes]:
        """The writes since this was last asked."""
        writes, self.writes = self.writes, []
        return writes


class Client(Protocol):
    """The other end, when both ends are simulated."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True


class House:
    """A kernel in memory, and those who are connected to it."""

    def __init__(
        self, *, door: Door | None = None, most: int = 10, clock: Clock | None = None, turns: bool = False
    ) -> None:
        """
        @param turns: whether what takes long is to have as many turns as it takes.
        """
        self.clock = clock or Clock()
        later: Any = self.clock if turns else Impatient(self.clock)
        self.children = MemoryChildren()
        self.kernel = Kernel(sockets=MemorySockets(), children=self.children, wall=lambda: 0.5, events=EventLog())
        self.ended: list[str] = []
        self.attendance = Attendance(self.kernel, self.ended.append, most=most)
        greeting = Greeting(version=PROTOCOL_VERSION, kernel="k", pid=1)
        programs = ProgramFactory(self.kernel, self.attendance, door or Door(), greeting, later)
        become_program = None if clock is None else programs.successor
        self.factory = ConsoleFactory(self.kernel, self.attendance, door or Door(), later, become_program)

    def value(self, name: str) -> object:
        """A value that is held."""
        return self.kernel.perform(Get(name=name))

    def start(self) -> MemoryChild:
        """A process."""
        self.kernel.perform(MakeProcess(name="job", args=("/bin/job",)))
        return self.children.latest()

    def console(
        self, transport: StringTransport | None = None, address: IAddress = ADDRESS
    ) -> tuple[Console, StringTransport]:
        """A console with a connection, and what it writes to."""
        transport = transport or StringTransport(peerAddress=address)
        console = self.factory.buildProtocol(address)
        console.makeConnection(transport)
        return console, transport

    def greeted(self, transport: StringTransport | None = None) -> tuple[Console, StringTransport]:
        """A console that was let in."""
        console, transport = self.console(transport)
        assert heard(transport) == GREETING
        return console, transport


def heard(transport: StringTransport) -> bytes:
    """What was written since this was last asked."""
    value = transport.value()
    transport.clear()
    return value


def logged(action: Callable[[], object]) -> list[str | None]:
    """What is logged meanwhile."""
    with capturedLogs() as captured:
        action()
    return [formatEvent(entry) for entry in captured]


class AdmissionTests(SynchronousTestCase):
    """Who is let in."""

    def test_let_in(self) -> None:
        """Who is let in is greeted, counted and served."""
        house = House()
        console, transport = house.greeted()
        self.assertEqual(house.attendance.guests, {console})
        console.dataReceived(b"set x 1\n")
        self.assertEqual((heard(transport), house.value("x")), (b"\n> ", "1"))

    def test_refused(self) -> None:
        """Who is not is told why in one answer, and nothing that was sent is executed."""
        house = House(door=Door("not you"))
        console, transport = house.console()
        console.dataReceived(b"set x 1\nset y 2\n")
        console.dataReceived(b"\xff\xfd\x06" + b"z" * (MAX_LINE + 1))
        self.assertEqual(heard(transport), b"Error: Refused: not you\n> ")
        self.assertTrue(transport.disconnecting)
        self.assertEqual((house.value("x"), house.attendance.guests), (None, set()))

    def test_refused_connection_goes(self) -> None:
        """That a refused client goes, by halves or at once, is not taken for the departure of a guest."""
        house = House(door=Door("not you"))
        console, transport = house.console()
        house.attendance.exit_if_idle()
        console.readConnectionLost()
        console.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(house.ended, [])
        self.assertEqual(heard(transport), b"Error: Refused: not you\n> ")

    def test_refusals_are_logged(self) -> None:
        """The log has one line for a refusal, with the peer and the reason."""
        house = House(door=Door("not you"))
        for address, peer in (
            (ADDRESS, "127.0.0.1:4711"),
            (IPv6Address("TCP", "::1", 5), "::1:5"),
            (UNIXAddress(None), "somebody"),
        ):
            self.assertEqual(
                logged(lambda address=address: house.console(address=address)), [f"refused {peer}: not you"]
            )

    def test_full(self) -> None:
        """When there are as many as can be served, one more is refused; when one has gone it is let in."""
        house = House(most=1)
        first, _ = house.greeted()
        _, transport = house.console()
        self.assertEqual(heard(transport), b"Error: Refused: papa has as many connections as it can serve\n> ")
        self.assertTrue(transport.disconnecting)
        first.connectionLost(Failure(ConnectionDone()))
        house.greeted()


class LineTests(SynchronousTestCase):
    """Lines, however they come."""

    def setUp(self) -> None:
        self.house = House()
        self.console, self.transport = self.house.greeted()

    def test_byte_by_byte(self) -> None:
        """A line may come in single bytes."""
        for byte in b"set x one two\nget x\r\n":
            self.console.dataReceived(bytes([byte]))
        self.assertEqual(heard(self.transport), b"\n> one two\n> ")

    def test_pipelined(self) -> None:
        """Many lines may come at once, and are answered in their order."""
        self.console.dataReceived(b"".join(b"set x %d\nget x\n" % number for number in range(500)))
        self.assertEqual(heard(self.transport), b"".join(b"\n> %d\n> " % number for number in range(500)))

    def test_longest_line(self) -> None:
        """A line of just 1 MiB is served."""
        value = b"y" * (MAX_LINE - len(b"set x "))
        self.console.dataReceived(b"set x " + value + b"\nget y\n")
        self.assertEqual(heard(self.transport), b"\n> \n> ")
        self.assertEqual(self.house.value("x"), value.decode())

    def test_too_long_line(self) -> None:
        """A longer line is answered with one error, is not executed, and the next line is served."""
        line = b"set x " + b"y" * MAX_LINE
        for chunk in (len(line) * 2, 65536, 1 << 19):
            sent = line + b"\nset z 1\nget z\n"
            for start in range(0, len(sent), chunk):
                self.console.dataReceived(sent[start : start + chunk])
            self.assertEqual(heard(self.transport), TOO_LONG + b"\n> 1\n> ", chunk)
            self.assertIsNone(self.house.value("x"))

    def test_too_long_lines_in_a_row(self) -> None:
        """Each too long line has its error, in its place."""
        line = b"y" * (MAX_LINE + 1) + b"\n"
        self.console.dataReceived(b"set x 1\n" + line + line + b"get x\n" + line + b"get x\n")
        self.assertEqual(heard(self.transport), b"\n> " + TOO_LONG * 2 + b"1\n> " + TOO_LONG + b"1\n> ")

    def test_endless_line(self) -> None:
        """A line without an end is refused as soon as it is too long, once, and kept nowhere."""
        for _ in range(64):
            self.console.dataReceived(b"y" * 65536)
        self.assertEqual(heard(self.transport), TOO_LONG)
        self.assertLessEqual(len(self.console.clearLineBuffer()), MAX_LINE)
        self.console.dataReceived(b"y\nget x\n")
        self.assertEqual(heard(self.transport), b"\n> ")

    def test_too_long_line_while_watching(self) -> None:
        """A too long line ends a watch with its error; what was offered is kept."""
        child = self.house.start()
        child.print(b"a")
        self.console.dataReceived(b"watch processes\n")
        self.house.clock.advance(1)
        heard(self.transport)
        self.console.dataReceived(b"y" * (MAX_LINE + 1) + b"\nget x\nwatch processes\n")
        self.house.clock.advance(1)
        self.assertEqual(heard(self.transport), TOO_LONG + b"\n> Watching 1\nout:job:0.5:1\na\n] ")

    def test_not_text(self) -> None:
        """A line with bytes that are no text is refused, the next one is served."""
        self.console.dataReceived(b"get x\nset x \xff\xf4\xff\nget x\n")
        self.assertRegex(heard(self.transport), rb"^\n> Error: The line is not UTF-8[^\n]*\n> \n> $")

    def test_telnet(self) -> None:
        """Telnet's offers are answered, and leave no trace in the lines."""
        self.console.dataReceived(b"\xff\xfb\x18\xff\xfd\x06set x 1\r\n\xff\xfd\x01get x\r\n")
        self.assertEqual(heard(self.transport), b"\xff\xfe\x18\xff\xfb\x06\n> \xff\xfc\x011\n> ")

    def test_amp_where_there_is_none(self) -> None:
        """A console that was given no program wire refuses to speak it, and goes on."""
        self.console.dataReceived(b"amp\nget x\n")
        self.assertEqual(heard(self.transport), b"Error: This console does not speak AMP\n> \n> ")

    def test_interrupt(self) -> None:
        """The interrupt key of telnet stops a watch without acknowledging."""
        child = self.house.start()
        child.print(b"a")
        self.console.dataReceived(b"watch processes\r\n")
        self.house.clock.advance(1)
        heard(self.transport)
        self.console.dataReceived(b"\xff\xf4\xff\xfd\x06")
        self.assertEqual(heard(self.transport), b"\xff\xfb\x06Stopped watching\n> ")
        self.console.dataReceived(b"watch processes follow=0\r\n")
        self.house.clock.advance(1)
        self.assertEqual(heard(self.transport), b"Watching 1\nout:job:0.5:1\na\n] ")

    @settings(max_examples=60)
    @given(st.lists(st.integers(1, 40), max_size=12))
    def test_any_chunks(self, sizes: list[int]) -> None:
        """However a conversation is cut, it is answered the same."""
        sent = b"get x\nset x a\\ b\r\nget x\n\r\nnonsense\nlist values\n\xff\xfd\x06get y\r\nset y \xff\nget x\n"
        whole, answer = House().greeted()
        whole.dataReceived(sent)
        pieces, answers = House().greeted()
        rest = sent
        for size in sizes:
            pieces.dataReceived(rest[:size])
            rest = rest[size:]
        pieces.dataReceived(rest)
        strip = b"\xff\xfb\x06"  # A negotiation may be answered before the lines in front of it.
        self.assertEqual(heard(answers).replace(strip, b""), heard(answer).replace(strip, b""))

    @settings(max_examples=100)
    @given(st.lists(st.binary(max_size=40), max_size=8))
    def test_any_bytes(self, chunks: list[bytes]) -> None:
        """No bytes raise anything; the others are served as before."""
        console, _ = self.house.console()
        for chunk in chunks:
            console.dataReceived(chunk)
        console.connectionLost(Failure(ConnectionDone()))
        heard(self.transport)
        self.console.dataReceived(b"set fuzz 1\nget fuzz\n")
        self.assertEqual(heard(self.transport), b"\n> 1\n> ")
        self.assertEqual(self.house.attendance.guests, {self.console})


class EndTests(SynchronousTestCase):
    """How a connection ends."""

    def setUp(self) -> None:
        self.house = House()
        self.console, self.transport = self.house.greeted()

    def test_quit(self) -> None:
        """C{quit} is answered and ends the connection; nothing behind it is executed."""
        self.console.dataReceived(b"quit\nset x 1\n")
        self.console.dataReceived(b"set x 1\n" + b"y" * (MAX_LINE + 1))
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"ok\n", True))
        self.assertIsNone(self.house.value("x"))

    def test_exit_if_idle(self) -> None:
        """C{exit-if-idle} ends papa once its connection has gone."""
        self.console.dataReceived(b"exit-if-idle\n")
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"Exiting papa!\n> ", True))
        self.assertEqual(self.house.ended, [])
        self.console.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.house.ended, ["it was asked to exit if idle"])

    def test_http(self) -> None:
        """A web page is hung up on without a word, and nothing in its request is executed; the log says why."""
        request = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nset x pwned\nmake process x /bin/sh\n"
        said = logged(lambda: self.console.dataReceived(request))
        self.assertEqual(said, ["hung up on 127.0.0.1:4711: its first line was 'POST / HTTP/1.1\\\\x0d'"])
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"", True))
        self.assertIsNone(self.house.value("x"))
        self.assertEqual(self.house.children.children, {})

    def test_three_unknown_commands(self) -> None:
        """Whoever begins with three unknown commands is hung up on; nothing behind them is executed."""
        self.console.dataReceived(b"EHLO x\nMAIL FROM\nRCPT TO\nset x pwned\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(heard(self.transport).count(b"Error: Unknown command"), 3)
        self.assertIsNone(self.house.value("x"))

    def test_half_close(self) -> None:
        """Who sends its last commands and closes that half gets all answers, and then the end."""
        self.console.dataReceived(b"set x 1\nget x\nget y")
        self.console.readConnectionLost()
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"\n> 1\n> ", True))

    def test_half_close_while_watching(self) -> None:
        """Who closes its half while watching is sent no more, and what it did not acknowledge is kept."""
        child = self.house.start()
        child.print(b"a")
        self.console.dataReceived(b"watch processes\n")
        self.house.clock.advance(1)
        heard(self.transport)
        self.console.readConnectionLost()
        child.print(b"b")
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"", True))
        other, transport = self.house.greeted()
        other.dataReceived(b"watch processes\n")
        self.house.clock.advance(1)
        self.assertIn(b"a", heard(transport))

    def test_other_half_close(self) -> None:
        """Who listens no longer is hung up on."""
        self.console.writeConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_loss(self) -> None:
        """A connection that is lost is no guest any more, and its watch holds nothing back."""
        child = self.house.start()
        self.console.dataReceived(b"watch processes\n")
        self.console.connectionLost(Failure(ConnectionDone()))
        heard(self.transport)
        child.print(b"a")
        self.assertEqual((heard(self.transport), self.house.attendance.guests), (b"", set()))

    def test_dismissed(self) -> None:
        """When papa ends, a connection ends without a word."""
        self.console.dismiss()
        self.console.dataReceived(b"set x 1\n")
        self.console.dismiss()
        self.assertEqual((heard(self.transport), self.transport.disconnecting), (b"", True))
        self.assertIsNone(self.house.value("x"))

    def test_whole_conversation(self) -> None:
        """Over a simulated connection: a greeting, an answer, a good-bye, and the end at both ends."""
        console, client = self.house.factory.buildProtocol(ADDRESS), Client()
        pump = connect(console, FakeTransport(console, True), client, FakeTransport(client, False), greet=True)
        pump.flush()
        self.assertIn(console, self.house.attendance.guests)
        client.transport.write(b"set x 1\r\nget x\r\nquit\r\n")  # type: ignore[union-attr]
        pump.flush()
        self.assertEqual(client.heard, GREETING + b"\n> 1\n> ok\n")
        self.assertTrue(client.lost)
        self.assertNotIn(console, self.house.attendance.guests)


class GapTests(SynchronousTestCase):
    """What follows a watch's headline: the client of version 1 reads both at once, and then waits for more."""

    HEADLINE = b"Watching 1\n"

    def setUp(self) -> None:
        self.clock = Clock()
        self.house = House(clock=self.clock)
        self.transport = Writes()
        self.console, _ = self.house.greeted(self.transport)
        self.child = self.house.start()
        self.transport.taken()

    @staticmethod
    def batch(*texts: bytes) -> bytes:
        """A batch of what was printed."""
        return b"".join(b"out:job:0.5:%d\n%b\n" % (len(text), text) for text in texts) + b"] "

    def test_kept_output_is_held_back(self) -> None:
        """The headline is sent at once and by itself; the first batch follows, by itself, a moment later."""
        self.child.print(b"a")
        self.console.dataReceived(b"watch processes\n")
        self.assertEqual(self.transport.taken(), [self.HEADLINE])
        self.clock.advance(0.01)
        self.assertEqual(self.transport.taken(), [])
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [self.batch(b"a")])

    def test_watch_at_once(self) -> None:
        """So it is with C{watch=1}, where the headline is the process."""
        self.child.print(b"a")
        self.console.dataReceived(b"make process job watch=1 /bin/job\n")
        (headline,) = self.transport.taken()
        self.assertRegex(headline, rb"^job args=/bin/job [^\n]*\n$")
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [self.batch(b"a")])

    def test_output_that_comes_meanwhile(self) -> None:
        """What is printed just after the headline is held back too; what comes later is sent at once."""
        self.console.dataReceived(b"watch processes\n")
        self.child.print(b"a")
        self.child.print(b"b")
        self.assertEqual(self.transport.taken(), [self.HEADLINE])
        self.clock.advance(1)
        self.assertEqual(b"".join(self.transport.taken()), self.batch(b"a"))
        self.console.dataReceived(b"\n")
        self.assertEqual(self.transport.taken(), [self.batch(b"b")])
        self.console.dataReceived(b"\n")
        self.child.print(b"c")
        self.assertEqual(self.transport.taken(), [self.batch(b"c")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_comes(self) -> None:
        """When nothing was held back nothing is sent, and later output is sent at once."""
        self.console.dataReceived(b"watch processes\n")
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [self.HEADLINE])
        self.child.print(b"a")
        self.assertEqual(self.transport.taken(), [self.batch(b"a")])

    def test_end_of_a_watch_is_held_back(self) -> None:
        """The end of a watch that has nothing to wait for is set apart from its headline, in its order."""
        self.child.print(b"a")
        self.console.dataReceived(b"watch processes follow=0\n")
        self.clock.advance(1)
        self.console.dataReceived(b"\n")
        self.transport.taken()
        self.console.dataReceived(b"watch processes follow=0\n")
        self.assertEqual(self.transport.taken(), [self.HEADLINE])
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [b"Nothing left to watch\n> "])

    def test_other_answers_are_not_held_back(self) -> None:
        """Whoever does not watch waits for nothing."""
        self.console.dataReceived(b"get x\nlist values\nwatch processes nobody\n")
        self.assertEqual(b"".join(self.transport.taken()).count(b"> "), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_line_ends_it(self) -> None:
        """Who says something has read the headline or does not care: all answers are sent, in their order."""
        self.child.print(b"a")
        self.console.dataReceived(b"watch processes\n\nq\nget x\n")
        said = self.HEADLINE + self.batch(b"a") + b"Stopped watching\n> \n> "
        self.assertEqual((heard(self.transport), self.clock.getDelayedCalls()), (said, []))

    def test_no_answers_pile_up(self) -> None:
        """A client that goes on asking is not answered into memory: nothing is held back but what the watch sends."""
        self.console.dataReceived(b"watch processes\nq\n" * 100 + b"help\n")
        self.assertIn(b"make process", heard(self.transport))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_interrupt(self) -> None:
        """The interrupt key is answered behind what was held back."""
        self.child.print(b"a")
        self.console.dataReceived(b"watch processes\r\n")
        self.console.dataReceived(b"\xff\xf4\xff\xfd\x06")
        self.assertEqual(self.transport.taken(), [self.HEADLINE])
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [self.batch(b"a") + b"\xff\xfb\x06Stopped watching\n> "])

    def test_amp_right_behind(self) -> None:
        """What a line left is said before the connection speaks AMP, and nothing of it afterwards."""
        self.console.dataReceived(b"watch processes\nq\namp\n")
        said = b"".join(self.transport.taken())
        before = self.HEADLINE + b"Stopped watching\n> "
        self.assertTrue(said.startswith(before), said)
        self.assertNotIn(b"> ", said.removeprefix(before))
        self.clock.advance(1)
        self.assertEqual((self.transport.taken(), self.clock.getDelayedCalls()), ([], []))

    def test_hang_up(self) -> None:
        """Whoever is hung up on is first told what was held back."""
        self.child.print(b"a")
        for end in (Console.dismiss, Console.readConnectionLost, Console.writeConnectionLost):
            transport = Writes()
            console, _ = self.house.greeted(transport)
            transport.taken()
            console.dataReceived(b"watch processes\n")
            end(console)
            self.assertEqual(transport.taken(), [self.HEADLINE, self.batch(b"a")], end.__name__)
            self.assertEqual((transport.disconnecting, self.clock.getDelayedCalls()), (True, []))
            console.connectionLost(Failure(ConnectionDone()))

    def test_loss(self) -> None:
        """When the connection is lost nothing is sent any more, nothing is left to happen, and the output is kept."""
        self.child.print(b"a")
        self.console.dataReceived(b"watch processes\n")
        self.transport.taken()
        self.console.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.assertEqual(self.transport.taken(), [])
        other, transport = self.house.greeted(Writes())
        other.dataReceived(b"watch processes\n")
        self.clock.advance(1)
        self.assertIn(self.batch(b"a"), heard(transport))


class TurnTests(SynchronousTestCase):
    """What is done to many things; here each step takes as long as others may wait."""

    def setUp(self) -> None:
        self.patch(steps, "_WHILE", 0.0)
        self.clock = Clock()
        self.house = House(clock=self.clock, turns=True)
        self.names = [f"v{number:03}" for number in range(300)]
        for name in self.names:
            self.house.kernel.perform(Set(name=name, value="x"))
        self.console, self.transport = self.house.greeted()

    def listed(self) -> bytes:
        """All values, as they are listed."""
        return "".join(f"{name} x\n" for name in self.names).encode() + b"> "

    def test_list(self) -> None:
        """A long list is put together in several turns and said at once; the next line waits until then."""
        self.console.dataReceived(b"list values\nset v000\n")
        self.assertEqual((heard(self.transport), self.transport.producerState), (b"", "paused"))
        self.assertEqual(self.house.value("v000"), "x")
        self.clock.advance(0)
        self.assertEqual(heard(self.transport), self.listed() + b"\n> ")
        self.assertEqual((self.transport.producerState, self.house.value("v000")), ("producing", None))

    def watched(self) -> list[MemoryChild]:
        """Some processes, of which a watch is about to begin."""
        for name in "abc":
            self.house.kernel.perform(MakeProcess(name=name, args=("/bin/job",)))
        self.console.dataReceived(b"watch processes\n")
        return list(self.house.children.children.values())

    def test_watch(self) -> None:
        """A watch of many begins with turns for others in between, and misses nothing."""
        children = self.watched()
        self.assertEqual((heard(self.transport), self.transport.producerState), (b"", "paused"))
        children[0].print(b"x")
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertEqual(heard(self.transport), b"Watching 3\nout:a:0.5:1\nx\n] ")
        self.assertEqual(self.transport.producerState, "producing")

    def test_watcher_that_goes(self) -> None:
        """For a client that goes before its watch has begun no output is kept."""
        children = self.watched()
        self.console.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        for child in children:
            child.print(b"x")
        watch = all_at_once(self.house.kernel.watch(WatchProcesses(), Bell()))
        watch.take(1000)
        watch.acknowledge()
        listed: Any = self.house.kernel.perform(ListProcesses())
        self.assertEqual([process.buffered for process in listed.values()], [0, 0, 0])

    def test_gone_while_its_headline_is_to_be_said(self) -> None:
        """Nothing is left to be done for a client that goes before its watch has begun."""
        self.watched()
        self.console.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_lines(self) -> None:
        """However many lines come at once, others have turns between them."""
        self.console.dataReceived(b"set v000 1\nget v000\nset v000 2\nget v000\n")
        self.assertEqual((heard(self.transport), self.house.value("v000")), (b"\n> ", "1"))
        other, transport = self.house.greeted()
        other.dataReceived(b"set v000 between\n")
        self.assertEqual(heard(transport), b"\n> ")
        self.clock.advance(0)
        self.assertEqual(heard(self.transport), b"between\n> \n> 2\n> ")

    def test_many_lines_to_the_end(self) -> None:
        """What ends the conversation ends it, and what becomes AMP becomes it, also in the midst of many lines."""
        self.console.dataReceived(b"set v000 1\nquit\nset v000 2\n")
        self.clock.advance(0)
        self.assertEqual((heard(self.transport), self.house.value("v000")), (b"\n> ok\n", "1"))
        self.assertTrue(self.transport.disconnecting)
        console, transport = self.house.greeted()
        console.dataReceived(b"get v000\namp\n" + program.request_bytes(Set(name="v000", value="3"), 1))
        self.clock.advance(0)
        self.assertTrue(heard(transport).startswith(b"1\n> "))
        self.assertEqual(self.house.value("v000"), "3")

    def test_removal(self) -> None:
        """Others have turns while many are removed."""
        self.console.dataReceived(b"remove values v0*\n")
        other, transport = self.house.greeted()
        other.dataReceived(b"get v001\n")
        self.assertEqual(heard(transport), b"x\n> ")
        self.clock.advance(0)
        self.assertEqual((heard(self.transport), self.house.value("v001")), (b"\n> ", None))

    def test_full(self) -> None:
        """A client that does not take its answers is not heard behind such a list either."""
        self.patch(sending, "_MOST_UNSENT", 1000)
        self.console.dataReceived(b"list values\nset v000\n")
        self.clock.advance(0)
        self.assertEqual((heard(self.transport), self.house.value("v000")), (self.listed(), "x"))
        self.console.resumeProducing()
        self.assertIsNone(self.house.value("v000"))

    def test_taken_meanwhile(self) -> None:
        """A client that has taken what was said before is heard no sooner for that."""
        self.console.dataReceived(b"list values\nset v000\n")
        self.console.resumeProducing()
        self.assertEqual((heard(self.transport), self.house.value("v000")), (b"", "x"))
        self.clock.advance(0)
        self.assertEqual(heard(self.transport), self.listed() + b"\n> ")

    def test_papa_fails(self) -> None:
        """Should papa itself fail in a later turn, it is said and logged, and the conversation goes on."""
        self.console.dataReceived(b"list values\nget v000\n")
        self.patch(self.house.kernel, "perform", lambda command: 1 // 0)
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        failed = b"Error: papa itself failed at this: see its log\n> "
        self.assertEqual(heard(self.transport), failed * 2)

    def test_papa_ends(self) -> None:
        """What was begun is done and answered before the connection is ended."""
        self.console.dataReceived(b"remove values v0*\n")
        self.console.dismiss()
        self.assertEqual((heard(self.transport), self.house.value("v099")), (b"\n> ", None))
        self.assertTrue(self.transport.disconnecting)
        self.clock.advance(0)

    def test_client_that_goes(self) -> None:
        """What a client has asked for is done, though it goes."""
        self.console.dataReceived(b"remove values v0*\n")
        self.console.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertIsNone(self.house.value("v099"))


class GarbageTests(SynchronousTestCase):
    """What a connection leaves behind."""

    def test_nothing(self) -> None:
        """With its connection a console goes at once, though nobody looks for garbage, and though it watches still."""
        gc.disable()
        self.addCleanup(gc.enable)
        house = House()
        child = house.start()
        console, transport = house.greeted()
        console.dataReceived(b"list values\nwatch processes job\n")
        child.print(b"x")
        console.connectionLost(Failure(ConnectionDone()))
        gone = weakref.ref(console)
        transport.producer = None
        del console
        self.assertIsNone(gone())


class PressureTests(SynchronousTestCase):
    """Clients that ask, and do not take the answers."""

    def setUp(self) -> None:
        self.house = House()

    def test_is_a_producer(self) -> None:
        """A console has its connection tell when all was sent, from the beginning until it ends."""
        console, transport = self.house.greeted()
        self.assertIs(transport.producer, console)
        self.assertFalse(transport.streaming)
        console.hang_up()
        self.assertIsNone(transport.producer)

    def test_pause(self) -> None:
        """While it is paused it neither reads nor executes; afterwards it goes on where it was."""
        console, transport = self.house.greeted()
        console.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        console.dataReceived(b"set x 1\nget")
        self.assertEqual((heard(transport), self.house.value("x")), (b"", None))
        console.resumeProducing()
        self.assertEqual(transport.producerState, "producing")
        console.dataReceived(b" x\n")
        self.assertEqual(heard(transport), b"\n> 1\n> ")

    def test_pause_between_commands(self) -> None:
        """A client that takes one answer at a time has one command executed at a time."""
        self.patch(sending, "_MOST_UNSENT", 0)
        console, transport = self.house.console()
        console.resumeProducing()
        self.assertEqual(heard(transport), GREETING)
        console.dataReceived(b"".join(b"set x %d\n" % number for number in range(1, 6)))
        for number in range(1, 6):
            self.assertEqual((heard(transport), self.house.value("x")), (b"\n> ", str(number)))
            console.resumeProducing()
        self.assertEqual(heard(transport), b"")

    def test_pause_behind_a_too_long_line(self) -> None:
        """What stands behind a too long line waits too, and keeps its place before what comes later."""
        self.patch(sending, "_MOST_UNSENT", 0)
        console, transport = self.house.console()
        console.resumeProducing()
        heard(transport)
        console.dataReceived(b"y" * (MAX_LINE + 1) + b"\nset x 1\nset x 2\n")
        self.assertEqual((heard(transport), self.house.value("x")), (TOO_LONG, None))
        console.dataReceived(b"set x 3\nget x\n")
        answers = []
        while transport.producerState == "paused":
            console.resumeProducing()
            answers.append((heard(transport), self.house.value("x")))
        self.assertEqual(answers, [(b"\n> ", "1"), (b"\n> ", "2"), (b"\n> ", "3"), (b"3\n> ", "3"), (b"", "3")])

    def test_one_batch_to_a_client_that_is_deaf(self) -> None:
        """A watcher that takes nothing is sent one batch, however much there is."""
        child = self.house.start()
        console, transport = self.house.greeted()
        console.dataReceived(b"watch processes\n")
        self.house.clock.advance(1)
        console.pauseProducing()
        heard(transport)
        for _ in range(50):
            child.print(b"z" * 1000)
        self.assertEqual(heard(transport), b"out:job:0.5:1000\n" + b"z" * 1000 + b"\n] ")

    def test_loss_while_paused(self) -> None:
        """A connection that is lost while paused executes nothing of what had come."""
        console, _ = self.house.greeted()
        console.pauseProducing()
        console.dataReceived(b"set x 1\n")
        console.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.house.value("x"), self.house.attendance.guests), (None, set()))
