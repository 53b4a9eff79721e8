"""A connection to a kernel: how it begins, what is asked on it, and how it ends."""

from __future__ import annotations

import os
import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISystemHandle, ITCPTransport, IUNIXTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from papa.client.link import Link, LinkFactory
from papa.commands import Get, LendSocket, ListValues, Set, TakeSocket, WatchProcesses
from papa.errors import BadRequest, ConnectionLost, GivesWay, LimitReached, NotAllowed, NotFound, Unreachable, Unsayable
from papa.records import Lent, Output, Socket
from papa.wire import program
from papa.wire.boxes import Box, serialize
from papa.wire.messages import PROTOCOL_VERSION, Acknowledge, Greeting, Refused, Watching
from papa.wire.program import Asked
from tests.support import is_open
from tests.wire.reading import read_all

GREETING = Greeting(version=PROTOCOL_VERSION, kernel="k", pid=2)
CONSOLE = b'Papa is home. Type "help" for commands.\n> '
WEB = Socket(name="web", family="inet", type="stream", backlog=5)


@implementer(IUNIXTransport)
class UnixTransport(StringTransport):
    """A connection that takes descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []

    def sendFileDescriptor(self, descriptor: int) -> None:
        self.sent.append(descriptor)


@implementer(ITCPTransport, ISystemHandle)
class TCPTransport(StringTransport):
    """A connection that goes over a network."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket()
        self.no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getHandle(self) -> socket.socket:
        return self.socket


class LinkTestCase(SynchronousTestCase):
    """A link, and a kernel that says what the test says."""

    transport_class: type[StringTransport] = StringTransport

    def setUp(self) -> None:
        self.link = LinkFactory().buildProtocol(None)
        self.transport = self.transport_class()
        self.link.makeConnection(self.transport)

    def say(self, *said: Box) -> None:
        """Have the kernel say something."""
        for box in said:
            self.link.dataReceived(serialize(box))

    def greet(self) -> None:
        """Have the kernel greet."""
        self.say(program.push_box(GREETING))
        self.assertEqual(self.successResultOf(self.link.greeted), GREETING)

    def asked(self) -> list[Box]:
        """What the kernel was asked since this was last asked."""
        boxes = read_all(self.transport.value())
        self.transport.clear()
        return boxes

    def ask(self, asked: Asked) -> Deferred[Any]:
        """Ask for something."""
        return Deferred.fromCoroutine(self.link.ask(asked))

    def lose(self) -> None:
        """Lose the connection."""
        self.link.connectionLost(Failure(ConnectionDone()))


class OpeningTests(LinkTestCase):
    """How it begins."""

    def test_greeted(self) -> None:
        """On a program wire the greeting is the first box; nothing is said before it."""
        self.greet()
        self.assertEqual(self.transport.value(), b"")

    def test_greeted_by_a_console(self) -> None:
        """A console is asked for AMP, and then greets so."""
        self.link.dataReceived(CONSOLE[:7])
        self.link.dataReceived(CONSOLE[7:])
        self.assertEqual(self.transport.value(), b"amp\n")
        self.greet()

    def test_byte_by_byte(self) -> None:
        """However the bytes are cut."""
        for byte in serialize(program.push_box(GREETING)):
            self.link.dataReceived(bytes([byte]))
        self.assertEqual(self.successResultOf(self.link.greeted), GREETING)

    def test_refused(self) -> None:
        """Who is not let in is told why, on either wire."""
        refusals = (
            b"Error: Refused: not you\n> ",
            serialize(program.push_box(Refused(reason="not you", code="not-allowed"))),
        )
        for refusal in refusals:
            self.setUp()
            self.link.dataReceived(refusal)
            self.assertEqual(str(self.failureResultOf(self.link.greeted, NotAllowed).value), "Refused: not you")
            self.assertTrue(self.transport.disconnecting)
            self.lose()

    def test_no_kernel(self) -> None:
        """Something that is no kernel is left alone."""
        other = serialize({b"_command": b"hello", b"_ask": b"1"})
        for said in (b"HTTP/1.1 400 Bad Request\r\n", b"\0\1a\xff\xff\xff", b"\0\0", other, b"\0\1a\0\0\1\1"):
            self.setUp()
            self.link.dataReceived(said)
            self.lose()
            self.failureResultOf(self.link.greeted, Unreachable, BadRequest, ConnectionLost)

    def test_another_version(self) -> None:
        """A kernel of another time is not talked to."""
        self.say(program.push_box(Greeting(version=99, kernel="k", pid=2)))
        self.failureResultOf(self.link.greeted, Unreachable)
        self.assertTrue(self.transport.disconnecting)

    def test_hung_up(self) -> None:
        """A kernel that hangs up without a word is said to have done that."""
        self.lose()
        self.failureResultOf(self.link.greeted, ConnectionLost)

    @settings(max_examples=100)
    @given(st.lists(st.one_of(st.binary(max_size=10), st.just(serialize(program.push_box(GREETING)))), max_size=4))
    def test_any_bytes(self, said: list[bytes]) -> None:
        """Whatever comes, nothing is raised, and there is a greeting or a reason."""
        self.setUp()
        for each in said:
            if not self.transport.disconnecting:
                self.link.dataReceived(each)
        self.lose()
        self.link.greeted.addErrback(lambda failure: None)
        self.successResultOf(self.link.greeted)


class AskingTests(LinkTestCase):
    """Questions and answers."""

    def setUp(self) -> None:
        super().setUp()
        self.greet()

    def test_answered(self) -> None:
        """A question is fulfilled by its answer, in whatever order they come."""
        first, second = self.ask(Get(name="x")), self.ask(Get(name="y"))
        one, two = self.asked()
        self.assertEqual((one[b"name"], two[b"name"]), (b"x", b"y"))
        self.assertNoResult(first)
        self.say({b"_answer": two[b"_ask"], b"value": b"Y"})
        self.assertEqual(self.successResultOf(second), "Y")
        self.say({b"_answer": one[b"_ask"]})
        self.assertIsNone(self.successResultOf(first))

    def test_refused(self) -> None:
        """A refusal has its class and its sentence."""
        asked = self.ask(WatchProcesses(names=("x",)))
        (box,) = self.asked()
        refusal = program.refusal_box(box, NotFound("no such process"))
        assert refusal is not None
        self.say(refusal)
        self.assertEqual(str(self.failureResultOf(asked, NotFound).value), "no such process")

    def test_lists_are_asked_for_page_by_page(self) -> None:
        """A list comes whole, each page asked for behind the last."""
        asked = self.ask(ListValues())
        for after, page, more in ((None, {"a": "1"}, 1), (b"a", {"b": "2"}, 1), (b"b", {}, 5)):
            (box,) = self.asked()
            self.assertEqual(box.get(b"after"), after)
            self.say({b"_answer": box[b"_ask"]} | program.write_answer(ListValues, page, more))
        self.assertEqual(self.successResultOf(asked), {"a": "1", "b": "2"})

    def test_nonsense(self) -> None:
        """An answer that is none fails its question, and nothing else."""
        asked = self.ask(ListValues())
        (box,) = self.asked()
        self.say({b"_answer": box[b"_ask"], b"items": b"\xff"})
        self.failureResultOf(asked, BadRequest)
        self.assertFalse(self.transport.disconnecting)

    def test_answers_to_nothing(self) -> None:
        """An answer that was not asked for is passed over."""
        self.say({b"_answer": b"99"}, {b"_error": b"98"})
        self.assertFalse(self.transport.disconnecting)

    def test_cancelled(self) -> None:
        """A question can be cancelled; its answer is passed over when it comes."""
        asked = self.ask(Get(name="x"))
        (box,) = self.asked()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.say({b"_answer": box[b"_ask"], b"value": b"late"})
        again = self.ask(Get(name="x"))
        (box,) = self.asked()
        self.say({b"_answer": box[b"_ask"], b"value": b"new"})
        self.assertEqual(self.successResultOf(again), "new")

    def test_unsayable(self) -> None:
        """What cannot be said fails, and nothing was sent."""
        self.failureResultOf(self.ask(Set(name="x", value="\ud800")), Unsayable)
        self.assertEqual(self.transport.value(), b"")

    def test_descriptors_need_a_unix_connection(self) -> None:
        """Over anything else a descriptor cannot be given."""
        self.failureResultOf(self.ask(TakeSocket(name="web", descriptor=0)), NotAllowed)
        self.assertEqual(self.transport.value(), b"")

    def test_told(self) -> None:
        """What needs no answer is said without a number."""
        self.link.tell(Acknowledge(watch=1, name="x", invocation="7@0.5", mark=2))
        (box,) = self.asked()
        self.assertNotIn(b"_ask", box)

    def test_what_the_kernel_says_by_itself(self) -> None:
        """It goes to the listener, behind the answer that began the watch, in the order in which it came."""
        heard: list[object] = []
        self.link.listen(heard.append)
        asked = self.ask(WatchProcesses())
        (box,) = self.asked()
        output = Output(name="x", channel=1, timestamp=0.5, data=b"d", mark=1, invocation="7@0.5")
        watching = Watching(watch=1, count=1, processes={"x": "1"})
        answer = {b"_answer": box[b"_ask"]} | program.schema.to_box(watching)
        self.link.dataReceived(serialize(answer) + serialize(program.push_box(output, 1)))
        self.assertEqual(heard, [watching, output])
        self.assertEqual(self.successResultOf(asked), watching)


class EndTests(LinkTestCase):
    """How it ends."""

    def setUp(self) -> None:
        super().setUp()
        self.greet()

    def test_lost(self) -> None:
        """What was asked and not answered fails; whoever waits for the end is told; nothing can be said any more."""
        asked, lost = self.ask(Get(name="x")), self.link.when_lost()
        self.assertNoResult(lost)
        self.lose()
        self.failureResultOf(asked, ConnectionLost)
        self.successResultOf(lost)
        self.successResultOf(self.link.when_lost())
        self.transport.clear()
        self.failureResultOf(self.ask(Get(name="x")), ConnectionLost)
        self.link.tell(Acknowledge(watch=1, name="x", invocation="7@0.5", mark=2))
        self.link.hang_up()
        self.assertEqual(self.transport.value(), b"")

    def test_between_pages(self) -> None:
        """A list of which not all pages came has not come."""
        asked = self.ask(ListValues())
        (box,) = self.asked()
        self.say({b"_answer": box[b"_ask"]} | program.write_answer(ListValues, {"a": "1"}, 1))
        self.lose()
        self.failureResultOf(asked, ConnectionLost)

    def test_hung_up_with_a_reason(self) -> None:
        """A kernel that hangs up says why, and so does what was asked."""
        asked = self.ask(Get(name="x"))
        self.say(program.push_box(Refused(reason="a box of a kind", code="not-allowed")))
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertIn("a box of a kind", str(self.failureResultOf(asked, ConnectionLost).value))

    def test_hung_up_to_give_way(self) -> None:
        """Of a kernel that gives way to another it is known that what it has not answered was not done."""
        asked = self.ask(Get(name="x"))
        self.say(program.push_box(Refused(reason="another goes on", code="gives-way")))
        self.lose()
        self.failureResultOf(asked, GivesWay)

    def test_what_no_kernel_says(self) -> None:
        """Nonsense ends the connection."""
        for said in (serialize({b"_command": b"make coffee"}), serialize({b"_answer": b"x"}), b"\xff\xff"):
            self.setUp()
            asked = self.ask(Get(name="x"))
            self.link.dataReceived(said)
            self.assertTrue(self.transport.disconnecting)
            self.lose()
            self.failureResultOf(asked, ConnectionLost)


class DescriptorTests(LinkTestCase):
    """Descriptors beside the boxes."""

    transport_class = UnixTransport

    def setUp(self) -> None:
        super().setUp()
        self.greet()
        self.reading, self.writing = os.pipe()
        self.addCleanup(os.close, self.reading)

    def lent(self, box: Box) -> Box:
        """An answer that lends the first descriptor."""
        return {b"_answer": box[b"_ask"]} | program.write_answer(LendSocket, Lent(record=WEB, descriptor=0))

    def test_lent(self) -> None:
        """What is lent is the caller's, not inheritable, and the kernel is told that it has come."""
        asked = self.ask(LendSocket(name="web"))
        (box,) = self.asked()
        os.set_inheritable(self.writing, True)
        self.link.fileDescriptorReceived(self.writing)
        self.say(self.lent(box))
        self.assertEqual(self.successResultOf(asked), Lent(record=WEB, descriptor=self.writing))
        self.assertFalse(os.get_inheritable(self.writing))
        self.assertEqual([each[b"_command"] for each in self.asked()], [b"received"])
        self.lose()
        os.close(self.writing)

    def test_lent_without_a_descriptor(self) -> None:
        """Where nothing came that is said, and the next goes over another connection, on which numbers agree."""
        asked = self.ask(LendSocket(name="web"))
        self.say(self.lent(self.asked()[0]))
        self.assertNoResult(asked)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, LimitReached)
        os.close(self.writing)

    def test_cancelled(self) -> None:
        """What comes for somebody who does not want it any more is closed, and the kernel told."""
        asked = self.ask(LendSocket(name="web"))
        (box,) = self.asked()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.link.fileDescriptorReceived(self.writing)
        self.say(self.lent(box))
        self.assertFalse(is_open(self.writing))
        self.assertEqual([each[b"_command"] for each in self.asked()], [b"received"])

    def test_lost(self) -> None:
        """A descriptor whose answer never comes goes with the connection."""
        asked = self.ask(LendSocket(name="web"))
        self.link.fileDescriptorReceived(self.writing)
        self.lose()
        self.failureResultOf(asked, ConnectionLost)
        self.assertFalse(is_open(self.writing))

    def test_taken(self) -> None:
        """What the kernel takes is a duplicate, which is closed once the answer shows that it has gone."""
        transport: Any = self.transport
        asked = self.ask(TakeSocket(name="web", descriptor=self.writing))
        (sent,) = transport.sent
        self.assertNotEqual(sent, self.writing)
        (box,) = self.asked()
        self.assertEqual(box[b"descriptor"], b"0")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertTrue(is_open(sent))
        self.say({b"_answer": box[b"_ask"]} | program.write_answer(TakeSocket, WEB))
        self.assertFalse(is_open(sent))
        self.assertTrue(is_open(self.writing))
        os.close(self.writing)

    def test_taken_from_a_lost_connection(self) -> None:
        """It is closed when the connection goes, too; a descriptor that is none fails."""
        transport: Any = self.transport
        asked = self.ask(TakeSocket(name="web", descriptor=self.writing))
        self.lose()
        self.failureResultOf(asked, ConnectionLost)
        self.assertFalse(is_open(transport.sent[0]))
        os.close(self.writing)

    def test_no_descriptor(self) -> None:
        """A descriptor that is none fails, and nothing was sent."""
        os.close(self.writing)
        self.failureResultOf(self.ask(TakeSocket(name="web", descriptor=self.writing)), OSError)
        self.assertEqual(self.transport.value(), b"")


class NetworkTests(LinkTestCase):
    """Over a network."""

    transport_class = TCPTransport

    def test_quick_and_lasting(self) -> None:
        """Nothing that is said waits for more, and a machine that has gone without a word is noticed."""
        transport: Any = self.transport
        self.addCleanup(transport.socket.close)
        self.assertTrue(transport.no_delay)
        self.assertTrue(transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


class FactoryTests(SynchronousTestCase):
    """Where they come from."""

    def test_makes_links(self) -> None:
        """The factory makes links, and is silent about it."""
        factory = LinkFactory()
        self.assertIsInstance(factory.buildProtocol(None), Link)
        self.assertFalse(factory.noisy)
