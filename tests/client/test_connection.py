"""The blocking conversation, against a kernel that says just what a test tells it to say."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa import Papa
from papa.client.location import Location
from papa.client.program import Connection
from papa.commands import Command, Get, LendSocket, ListValues, Set, WatchProcesses
from papa.errors import BadRequest, ConnectionLost, Error, LimitReached, NotAllowed, NotFound, Unreachable, Unsayable
from papa.records import Closed, Hole, Item, Lent, Output, Socket
from papa.wire import boxes, program, schema, text
from papa.wire.boxes import Box, BoxReader
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
from tests.client.sharing import is_readable, wait_readable
from tests.support import PATIENCE, hold_descriptors


def push(said: program.Push, watch: int | None = None) -> bytes:
    """What a kernel says by itself."""
    return boxes.serialize(program.push_box(said, watch))


GREETING = push(Greeting(version=PROTOCOL_VERSION, kernel="k", pid=1))


class Partner:
    """The kernel's end of a conversation, as a test plays it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(PATIENCE)
        self._reader = BoxReader()

    def say(self, data: bytes) -> None:
        self._sock.sendall(data)

    def say_bytewise(self, data: bytes) -> None:
        """Say it so that the client gets it in the smallest pieces."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in data:
            self._sock.sendall(bytes([number]))

    def hear_bytes(self) -> bytes:
        """Whatever comes next; nothing at the end."""
        return self._sock.recv(65536)

    def hear(self) -> tuple[program.Asked | None, Box]:
        """The next request and its box; L{None} at the end."""
        while (box := self._reader.take()) is None:
            data = self.hear_bytes()
            if not data:
                return None, {}
            self._reader.receive(data)
        return program.read_request(box), box

    def answer(self, asked: Box, answer: Any, kind: type[Command] = Get) -> bytes:
        """The bytes that answer a request."""
        return self.answer_with(asked, program.write_answer(kind, answer))

    def answer_with(self, asked: Box, answer: Box) -> bytes:
        box = program.answer_box(asked, answer)
        assert box is not None
        return boxes.serialize(box)

    def refusal(self, asked: Box, error: Error) -> bytes:
        """The bytes that refuse it."""
        box = program.refusal_box(asked, error)
        assert box is not None
        return boxes.serialize(box)

    def lend(self, data: bytes, *descriptors: int) -> None:
        """Say something with descriptors beside it."""
        socket.send_fds(self._sock, [data], descriptors)

    def end_abruptly(self) -> None:
        """Have the system reset the connection when it is closed."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class PlayedKernel:
    """A listening socket behind which a test's function plays the kernel, in a thread of its own."""

    def __init__(self, *parts: Callable[[Partner], None], path: str | None = None) -> None:
        """
        @param parts: what is played to the first connection, the second, and so on.
        @param path: where it listens; by default at a port.
        """
        if path is None:
            self._server = socket.create_server(("127.0.0.1", 0))
            self.port = self._server.getsockname()[1]
        else:
            self._server = socket.create_server(path, family=socket.AF_UNIX)
        self._server.settimeout(PATIENCE)
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._play, args=(parts,))
        self._thread.start()

    def _play(self, parts: tuple[Callable[[Partner], None], ...]) -> None:
        try:
            for part in parts:
                sock = self._server.accept()[0]
                with sock:
                    part(Partner(sock))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.failures.append(error)

    def end(self) -> None:
        self._thread.join(PATIENCE)
        self._server.close()
        if self.failures:
            raise self.failures[0]


class PlayedTestCase(SynchronousTestCase):
    """Tests with a played kernel."""

    def play(self, *parts: Callable[[Partner], None]) -> Location:
        kernel = PlayedKernel(*parts)
        self.addCleanup(kernel.end)
        return Location(port=kernel.port)

    def connect(self, *parts: Callable[[Partner], None]) -> Connection:
        connection = Connection(self.play(*parts), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def refused(self, kind: type[Error], *said: bytes) -> str:
        """Connect to something that says this and hangs up; with what that fails."""
        location = self.play(lambda partner: partner.say(b"".join(said)))
        return str(self.assertRaises(kind, Connection, location, PATIENCE))


class GreetingTests(PlayedTestCase):
    """The beginning of a conversation."""

    def test_in_pieces(self) -> None:
        """A greeting may come byte by byte; the conversation begins when it is all there."""

        def part(partner: Partner) -> None:
            partner.say_bytewise(GREETING)
            asked, box = partner.hear()
            self.assertEqual(asked, Get(name="x"))
            partner.say(partner.answer(box, "1"))

        connection = self.connect(part)
        self.assertEqual(connection.greeting, Greeting(version=PROTOCOL_VERSION, kernel="k", pid=1))
        self.assertEqual(connection.ask(Get(name="x")), "1")

    def test_console(self) -> None:
        """A console is asked to become a program's wire, however its greeting is cut."""

        def part(partner: Partner) -> None:
            partner.say_bytewise(text.GREETING)
            self.assertEqual(partner.hear_bytes(), b"amp\n")
            partner.say_bytewise(GREETING)
            partner.say(partner.answer(partner.hear()[1], "1"))

        self.assertEqual(self.connect(part).ask(Get(name="x")), "1")

    def test_cut_anywhere(self) -> None:
        """A connection that ends within the greeting is lost, at whatever byte, on either wire."""

        def cut(data: bytes) -> Callable[[Partner], None]:
            return lambda partner: partner.say(data)

        for greeting in (GREETING, text.GREETING):
            parts = [cut(greeting[:size]) for size in range(len(greeting))]
            location = self.play(*parts)
            for _ in parts:
                error = self.assertRaises(ConnectionLost, Connection, location, PATIENCE)
                self.assertEqual(str(error), "Lost connection")

    def test_reset(self) -> None:
        """A connection that is reset before the greeting is lost; if quite at once, there never was one."""

        def part(partner: Partner) -> None:
            partner.say(GREETING[:5])
            partner.end_abruptly()

        with self.assertRaises((ConnectionLost, ConnectionResetError)) as caught:
            Connection(self.play(part), PATIENCE)
        self.assertRegex(str(caught.exception), "Lost connection|reset by peer")

    def test_refused(self) -> None:
        """A kernel that does not let in is believed, in its own words, on either wire."""
        for kind in (NotAllowed, LimitReached):
            refusal = push(Refused(reason="not you", code=kind.code))
            self.assertEqual(self.refused(kind, refusal), "Refused: not you")
        self.assertEqual(self.refused(NotAllowed, b"Error: Refused: not you\n> "), "Refused: not you")

    def test_version(self) -> None:
        """A kernel that speaks another version of the wire is told apart, with what to do."""
        for version in (0, PROTOCOL_VERSION + 1):
            said = self.refused(Unreachable, push(Greeting(version=version, kernel="k", pid=1)))
            self.assertIn(f"speaks version {version} of the program wire", said)
            self.assertIn("upgrade the older one", said)

    def test_something_else_is_there(self) -> None:
        """What is no kernel is told apart at once: another service, boxes of something else, what is no box."""
        self.assertIn("no papa; it said 'SSH-2.0-other\\r'", self.refused(Unreachable, b"SSH-2.0-other\r\n"))
        self.assertIn("no papa", self.refused(Unreachable, boxes.serialize({b"_command": b"hello"})))
        self.assertIn("no papa", self.refused(Unreachable, push(WatchEnded(watch=1))))
        self.assertIn("no papa", self.refused(Unreachable, b"\0\1a\0\0" + b"\xff" * 10))

    def test_former_kernel(self) -> None:
        """A kernel that has a console only says so itself."""

        def part(partner: Partner) -> None:
            partner.say(text.GREETING)
            partner.hear_bytes()
            partner.say(b"Error: Unknown command 'amp'\n> ")

        error = self.assertRaises(Unreachable, Connection, self.play(part), PATIENCE)
        self.assertIn("does not speak the program wire: Unknown command 'amp'", str(error))

    def test_nobody_greets(self) -> None:
        """Whoever takes connections but says nothing is not waited for any longer than was asked for."""
        heard = []
        kernel = PlayedKernel(lambda partner: heard.append(partner.hear_bytes()))
        location = Location(port=kernel.port)
        error = self.assertRaises(Unreachable, Connection, location, 0.2)
        self.assertEqual(str(error), f"Nobody greets at {location} within 0.2 seconds")
        kernel.end()
        self.assertEqual(heard, [b""])

    def test_hung_up_again_and_again(self) -> None:
        """Whoever hangs up before the greeting is asked again, but not as fast as can be."""

        def hang_up(partner: Partner) -> None:
            pass

        location = self.play(hang_up, hang_up, hang_up, lambda partner: partner.say(GREETING))
        begun = time.monotonic()
        Papa(location.port, connection_timeout=PATIENCE).close()
        self.assertGreater(time.monotonic() - begun, 0.1)

    def test_failure_leaves_no_descriptor(self) -> None:
        """A conversation that does not begin closes its socket: the other side sees it end."""
        ended = []

        def part(partner: Partner) -> None:
            partner.say(push(Refused(reason="no", code="not-allowed")))
            ended.append(partner.hear_bytes())

        kernel = PlayedKernel(part)
        self.assertRaises(Error, Connection, Location(port=kernel.port), PATIENCE)
        kernel.end()
        self.assertEqual(ended, [b""])


class AskTests(PlayedTestCase):
    """Questions and answers."""

    def asking(self, part: Callable[[Partner, Box], None]) -> Connection:
        """A connection whose first question is answered so."""

        def whole(partner: Partner) -> None:
            partner.say(GREETING)
            part(partner, partner.hear()[1])

        return self.connect(whole)

    def test_answer_in_pieces(self) -> None:
        """An answer is whole however it was cut."""
        connection = self.asking(lambda partner, asked: partner.say_bytewise(partner.answer(asked, "a > b\n> c")))
        self.assertEqual(connection.ask(Get(name="x")), "a > b\n> c")

    def test_refusal(self) -> None:
        """A refusal is raised as what it is, and the conversation goes on behind it."""

        def part(partner: Partner, asked: Box) -> None:
            partner.say_bytewise(partner.refusal(asked, NotFound("no such thing")))
            partner.say(partner.answer(partner.hear()[1], None))

        connection = self.asking(part)
        error = self.assertRaises(NotFound, connection.ask, Get(name="x"))
        self.assertEqual(str(error), "no such thing")
        self.assertIsNone(connection.ask(Get(name="x")))

    def test_page_by_page(self) -> None:
        """A list that comes in pages is one."""

        def part(partner: Partner, asked: Box) -> None:
            partner.say(partner.answer_with(asked, program.write_answer(ListValues, {"a": "1"}, 1)))
            question, asked = partner.hear()
            self.assertEqual(question, ListValues(after="a"))
            partner.say(partner.answer_with(asked, program.write_answer(ListValues, {"b": "2"}, 2)))

        self.assertEqual(self.asking(part).ask(ListValues()), {"a": "1", "b": "2"})

    def test_answer_to_something_else(self) -> None:
        """An answer to no question of this client is passed over."""

        def part(partner: Partner, asked: Box) -> None:
            partner.say(partner.answer({**asked, b"_ask": b"999"}, "wrong") + partner.answer(asked, "right"))

        self.assertEqual(self.asking(part).ask(Get(name="x")), "right")

    def test_cut_anywhere(self) -> None:
        """A connection that ends within an answer is lost, at whatever byte; half an answer is none."""
        size = len(boxes.serialize({b"_answer": b"1"} | program.write_answer(Get, "value")))

        def cut(end: int) -> Callable[[Partner], None]:
            def part(partner: Partner) -> None:
                partner.say(GREETING)
                partner.say(partner.answer(partner.hear()[1], "value")[:end])

            return part

        location = self.play(*map(cut, range(size + 1)))
        for _ in range(size):
            connection = Connection(location, PATIENCE)
            self.addCleanup(connection.close)
            error = self.assertRaises(ConnectionLost, connection.ask, Get(name="x"))
            self.assertTrue(str(error).startswith("Lost connection"))
        whole = Connection(location, PATIENCE)
        self.addCleanup(whole.close)
        self.assertEqual(whole.ask(Get(name="x")), "value")

    def test_reset(self) -> None:
        """A connection that is reset instead of an answer is lost."""
        connection = self.asking(lambda partner, asked: partner.end_abruptly())
        error = self.assertRaises(ConnectionLost, connection.ask, Get(name="x"))
        self.assertTrue(str(error).startswith("Lost connection"))

    def test_hung_up_before_the_question(self) -> None:
        """So is one that ended while nothing was asked, and it stays lost."""
        kernel = PlayedKernel(lambda partner: partner.say(GREETING))
        connection = Connection(Location(port=kernel.port), PATIENCE)
        self.addCleanup(connection.close)
        kernel.end()
        for _ in range(3):
            error = self.assertRaises(ConnectionLost, connection.ask, Get(name="x"))
            self.assertTrue(str(error).startswith("Lost connection"))

    def test_sent_away(self) -> None:
        """A kernel that ends the conversation says why."""
        connection = self.asking(
            lambda partner, asked: partner.say(push(Refused(reason="too much", code="not-allowed")))
        )
        error = self.assertRaises(ConnectionLost, connection.ask, Get(name="x"))
        self.assertEqual(str(error), "Lost connection: too much")

    def test_what_is_no_answer(self) -> None:
        """What a kernel never says is not taken for an answer: the connection counts as lost."""
        for said in (
            b"\xff" * 10,
            boxes.serialize({b"_command": b"hello"}),
            boxes.serialize({b"_answer": b"first"}),
            boxes.serialize({}),
        ):
            connection = self.asking(self.saying(said))
            error = self.assertRaises(ConnectionLost, connection.ask, Get(name="x"))
            self.assertTrue(str(error).startswith("Lost connection: "), error)

    @staticmethod
    def saying(said: bytes) -> Callable[[Partner, Box], None]:
        return lambda partner, asked: partner.say(said)

    def test_unsayable_is_not_sent(self) -> None:
        """What no bytes stand for, and what no kernel takes, is refused before a byte of it is sent."""
        heard = []

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            asked, box = partner.hear()
            heard.append(asked)
            partner.say(partner.answer(box, None))

        kernel = PlayedKernel(part)
        connection = Connection(Location(port=kernel.port), PATIENCE)
        self.addCleanup(connection.close)
        self.assertRaises(Unsayable, connection.ask, Set(name="x", value="\ud800"))
        self.assertRaises(LimitReached, connection.ask, Set(name="x", value="x" * (boxes.MAX_REQUEST + 1)))
        connection.ask(Get(name="x"))
        kernel.end()
        self.assertEqual(heard, [Get(name="x")])


class LendingTests(PlayedTestCase):
    """Descriptors that come beside the boxes."""

    RECORD = Socket(name="web", family="inet", type="stream", backlog=5, host="127.0.0.1", port=1)

    def serve(self, *parts: Callable[[Partner, bytes], None]) -> str:
        """A kernel that lends something on each connection; a part plays what the answer would be."""
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "s")

        def whole(part: Callable[[Partner, bytes], None]) -> Callable[[Partner], None]:
            def play(partner: Partner) -> None:
                partner.say(GREETING)
                box = partner.hear()[1]
                part(partner, partner.answer(box, Lent(descriptor=0, record=self.RECORD), LendSocket))

            return play

        self.addCleanup(PlayedKernel(*map(whole, parts), path=path).end)
        return path

    def lending(self, part: Callable[[Partner, bytes], None]) -> Connection:
        """A connection on which something is lent."""
        connection = Connection(Location(path=self.serve(part)), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def test_anywhere(self) -> None:
        """A descriptor is the answer's whether it comes with its first byte or its last; that it came is said."""
        for split in (0, -1):

            def part(partner: Partner, answer: bytes, split: int = split) -> None:
                with open(os.devnull, "rb") as lent:
                    partner.say(answer[:split])
                    partner.lend(answer[split:], lent.fileno())
                    self.assertEqual(partner.hear()[0], Received())

            lent = self.lending(part).lend(LendSocket(name="web"))
            self.addCleanup(os.close, lent.descriptor)
            self.assertFalse(os.get_inheritable(lent.descriptor))
            self.assertEqual(os.readlink(f"/proc/self/fd/{lent.descriptor}"), os.devnull)

    def test_lost_on_the_way(self) -> None:
        """A descriptor that came with half an answer is closed with the connection."""

        def part(partner: Partner, answer: bytes) -> None:
            partner.lend(answer[:10], *writing)

        reading, written = os.pipe()
        writing = [written]
        connection = self.lending(part)
        self.assertRaises(ConnectionLost, connection.lend, LendSocket(name="web"))
        os.close(written)
        connection.close()
        with open(reading, "rb") as pipe:
            self.assertEqual(pipe.read(), b"")  # Nobody has its other end any more.

    def test_nothing_came(self) -> None:
        """An answer with no descriptor beside it is refused."""

        def part(partner: Partner, answer: bytes) -> None:
            partner.say(answer)
            partner.hear()

        connection = self.lending(part)
        error = self.assertRaises(BadRequest, connection.lend, LendSocket(name="web"))
        self.assertIn("no descriptor came with it", str(error))

    def test_no_room(self) -> None:
        """One that there is no room for is refused; the next goes over another connection, on which numbers agree."""

        def part(partner: Partner, answer: bytes) -> None:
            partner.lend(answer, lent.fileno())
            partner.hear()

        lent = socket.socket()
        self.addCleanup(lent.close)
        papa = Papa(self.serve(part, part))
        self.addCleanup(papa.close)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            self.assertRaises(LimitReached, papa.lend_socket, "web")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        papa.lend_socket("web").close()


class BatchTests(PlayedTestCase):
    """What is read while watching."""

    ITEMS: tuple[Item, ...] = (
        Output(name="web", channel=1, timestamp=1.5, data=b"\0\0] \n> out:\n", mark=11, invocation="7@0.5"),
        Output(name="web", channel=2, timestamp=2.25, data=b"\x00\xff\n", mark=14, invocation="7@0.5"),
        Hole(name="job", first=1.0, last=2.0, size=70, mark=70, invocation="8@0.5"),
        Output(name="job", channel=1, timestamp=3.0, data=b"", mark=70, invocation="8@0.5"),
        Closed(name="job", timestamp=4.5, exit_code=-9, invocation="8@0.5"),
    )
    BATCH = b"".join(push(item, 7) for item in ITEMS)

    @staticmethod
    def headline(partner: Partner) -> bytes:
        """Hear a request to watch; what answers it."""
        return partner.answer_with(partner.hear()[1], schema.to_box(Watching(watch=7, count=2, processes={})))

    def watching(self, part: Callable[[Partner], None], behind: bytes = b"") -> Connection:
        """A connection on which a watch has begun; C{behind} comes in one piece with the answer."""

        def whole(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say(self.headline(partner) + behind)
            part(partner)

        connection = self.connect(whole)
        connection.begin_watch(WatchProcesses())
        return connection

    def read(self, connection: Connection, count: int) -> list[object]:
        """So many items, in one batch or more."""
        items: list[object] = []
        while len(items) < count:
            batch = connection.read_batch()
            assert batch is not None
            items += batch
        return items

    def test_batch(self) -> None:
        """Output of any bytes, holes and ends are told apart."""
        connection = self.watching(lambda partner: partner.say(self.BATCH))
        self.assertEqual(self.read(connection, len(self.ITEMS)), list(self.ITEMS))

    def test_in_pieces(self) -> None:
        """What is watched may be cut anywhere, and so may the answer before it."""

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say_bytewise(self.headline(partner) + self.BATCH)

        connection = self.connect(part)
        connection.begin_watch(WatchProcesses())
        self.assertEqual(self.read(connection, len(self.ITEMS)), list(self.ITEMS))

    def test_of_another_watch(self) -> None:
        """What is still on its way of a former watch is passed over."""
        former = push(replace(self.ITEMS[0], name="former"), 6) + push(WatchEnded(watch=6))
        connection = self.watching(lambda partner: partner.say(former + self.BATCH))
        self.assertEqual(self.read(connection, len(self.ITEMS)), list(self.ITEMS))

    def test_acknowledged(self) -> None:
        """What was read is acknowledged with the last mark of each process, and its end."""

        def part(partner: Partner) -> None:
            said = [partner.hear() for _ in range(2)]
            self.assertEqual(
                [asked for asked, _ in said],
                [
                    Acknowledge(watch=7, name="web", invocation="7@0.5", mark=14),
                    Acknowledge(watch=7, name="job", invocation="8@0.5", mark=70, end=True),
                ],
            )
            self.assertEqual([b"_ask" in box for _, box in said], [False, False])

        connection = self.watching(part, behind=self.BATCH)
        self.assertEqual(connection.read_batch(), list(self.ITEMS))
        connection.acknowledge()

    def test_acknowledged_of_two_processes_of_one_name(self) -> None:
        """A batch may end one process and begin another of the same name: each is acknowledged for itself."""
        items = (
            Output(name="web", channel=1, timestamp=1.5, data=b"former", mark=6, invocation="7@0.5"),
            Output(name="web", channel=1, timestamp=2.5, data=b"new", mark=3, invocation="8@1.5"),
        )

        def part(partner: Partner) -> None:
            self.assertEqual(
                [partner.hear()[0] for _ in range(2)],
                [
                    Acknowledge(watch=7, name="web", invocation="7@0.5", mark=6),
                    Acknowledge(watch=7, name="web", invocation="8@1.5", mark=3),
                ],
            )

        connection = self.watching(part, behind=b"".join(push(item, 7) for item in items))
        self.assertEqual(connection.read_batch(), list(items))
        connection.acknowledge()

    def test_end(self) -> None:
        """The end of the watch is no batch, is seen by select, and the next answer is whole again."""

        def part(partner: Partner) -> None:
            partner.say(push(self.ITEMS[-1], 7) + push(WatchEnded(watch=7)))
            self.assertEqual(partner.hear()[0], Acknowledge(watch=7, name="job", invocation="8@0.5", end=True))
            asked, box = partner.hear()
            self.assertEqual(asked, StopWatching(watch=7))
            partner.say(partner.answer_with(box, {}))
            asked, box = partner.hear()
            self.assertEqual(asked, Get(name="x"))
            partner.say(partner.answer(box, "1"))

        connection = self.watching(part)
        self.assertEqual(self.read(connection, 1), [self.ITEMS[-1]])
        connection.acknowledge()
        wait_readable(connection)
        self.assertTrue(connection.readable)
        self.assertIsNone(connection.read_batch())
        self.assertEqual(connection.ask(Get(name="x")), "1")

    def test_stopped(self) -> None:
        """After enough is enough what was still on its way is gone, and the next answer is whole."""

        def part(partner: Partner) -> None:
            partner.say(push(self.ITEMS[0], 7))
            self.assertEqual(partner.hear()[0], Acknowledge(watch=7, name="web", invocation="7@0.5", mark=11))
            asked, box = partner.hear()
            self.assertEqual(asked, StopWatching(watch=7))
            partner.say(push(self.ITEMS[1], 7) + partner.answer_with(box, {}))
            partner.say(partner.answer(partner.hear()[1], "1"))

        connection = self.watching(part)
        connection.read_batch()
        connection.acknowledge_and_stop()
        self.assertFalse(connection.readable)
        self.assertEqual(connection.ask(Get(name="x")), "1")

    def test_answer_takes_nothing_with_it(self) -> None:
        """Output that came in one piece with the answer is still seen by select."""
        connection = self.watching(lambda partner: None, behind=self.BATCH)
        wait_readable(connection)
        self.assertTrue(connection.readable)
        self.assertEqual(self.read(connection, len(self.ITEMS)), list(self.ITEMS))

    def test_nothing_behind_the_answer(self) -> None:
        """Right after a watch began nothing waits unless something came, and select says so too."""
        told = threading.Event()

        def part(partner: Partner) -> None:
            told.wait(PATIENCE)
            partner.say(self.BATCH)

        connection = self.watching(part)
        self.assertFalse(connection.readable)
        self.assertFalse(is_readable(connection))
        told.set()
        wait_readable(connection)
        self.assertTrue(connection.readable)

    def test_nothing_behind_a_batch(self) -> None:
        """After a batch nothing waits, and select says so too."""
        told = threading.Event()

        def part(partner: Partner) -> None:
            partner.say(push(self.ITEMS[0], 7))
            self.assertEqual(partner.hear()[0], Acknowledge(watch=7, name="web", invocation="7@0.5", mark=11))
            told.wait(PATIENCE)
            partner.say(push(self.ITEMS[1], 7))

        connection = self.watching(part)
        self.assertEqual(connection.read_batch(), [self.ITEMS[0]])
        self.assertFalse(connection.readable)
        self.assertFalse(is_readable(connection))
        connection.acknowledge()
        told.set()
        wait_readable(connection)
        self.assertTrue(connection.readable)
        self.assertEqual(connection.read_batch(), [self.ITEMS[1]])

    def test_half_a_batch_behind_a_batch(self) -> None:
        """What came with a batch and is not all there yet is seen by select when it is."""
        told = threading.Event()

        def part(partner: Partner) -> None:
            first, second = (push(item, 7) for item in self.ITEMS[:2])
            partner.say(first + second[:20])
            told.wait(PATIENCE)
            partner.say(second[20:])

        connection = self.watching(part)
        self.assertEqual(connection.read_batch(), [self.ITEMS[0]])
        told.set()
        wait_readable(connection)
        self.assertEqual(connection.read_batch(), [self.ITEMS[1]])

    def test_refused_watch(self) -> None:
        """A refusal instead of a watch is raised, and the conversation goes on."""

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say_bytewise(partner.refusal(partner.hear()[1], NotFound("Nothing to watch")))
            partner.say(partner.answer(partner.hear()[1], "1"))

        connection = self.connect(part)
        error = self.assertRaises(NotFound, connection.begin_watch, WatchProcesses())
        self.assertEqual(str(error), "Nothing to watch")
        self.assertEqual(connection.ask(Get(name="x")), "1")

    def test_sent_away_before_it_began(self) -> None:
        """A kernel that ends the conversation instead of starting the watch says why."""

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            partner.hear()
            partner.say(push(Refused(reason="too much", code="not-allowed")))

        error = self.assertRaises(ConnectionLost, self.connect(part).begin_watch, WatchProcesses())
        self.assertEqual(str(error), "Lost connection: too much")

    def test_cut_before_it_began(self) -> None:
        """A kernel that goes within its answer is a lost connection, at whatever byte, and nothing else."""
        size = len(boxes.serialize({b"_answer": b"1"} | schema.to_box(Watching(watch=7, count=2, processes={}))))

        def cut(end: int) -> Callable[[Partner], None]:
            def part(partner: Partner) -> None:
                partner.say(GREETING)
                partner.say(self.headline(partner)[:end])

            return part

        location = self.play(*map(cut, range(size)))
        for _ in range(size):
            connection = Connection(location, PATIENCE)
            self.addCleanup(connection.close)
            error = self.assertRaises(ConnectionLost, connection.begin_watch, WatchProcesses())
            self.assertTrue(str(error).startswith("Lost connection"))

    def test_cut_in_the_middle(self) -> None:
        """What has come whole before the end is read, then the connection is lost, at whatever byte; half is none."""
        ends = [len(b"".join(push(item, 7) for item in self.ITEMS[:count])) for count in range(len(self.ITEMS) + 1)]

        def cut(end: int) -> Callable[[Partner], None]:
            def part(partner: Partner) -> None:
                partner.say(GREETING)
                partner.say(self.headline(partner) + self.BATCH[:end])

            return part

        location = self.play(*map(cut, range(len(self.BATCH))))
        for end in range(len(self.BATCH)):
            connection = Connection(location, PATIENCE)
            self.addCleanup(connection.close)
            connection.begin_watch(WatchProcesses())
            whole = sum(each <= end for each in ends) - 1
            self.assertEqual(self.read(connection, whole), list(self.ITEMS[:whole]))
            error = self.assertRaises(ConnectionLost, connection.read_batch)
            self.assertTrue(str(error).startswith("Lost connection"))

    def test_reset(self) -> None:
        """A connection that is reset is lost, whatever the system calls it."""

        def part(partner: Partner) -> None:
            partner.say(self.BATCH[:10])
            partner.end_abruptly()

        connection = self.watching(part)
        error = self.assertRaises(ConnectionLost, connection.read_batch)
        self.assertTrue(str(error).startswith("Lost connection"))

    def test_what_is_no_box(self) -> None:
        """Bytes that are none of a kernel's are a lost connection, now and then."""
        connection = self.watching(lambda partner: partner.say(b"\xff" * 10))
        for _ in range(2):
            error = self.assertRaises(ConnectionLost, connection.read_batch)
            self.assertTrue(str(error).startswith("Lost connection"))

    def test_readable_with_many_descriptors(self) -> None:
        """A program with more than 1024 open files can ask whether something is there to be read, and read it."""
        hold_descriptors(self, 1400)
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        for each in held:
            self.addCleanup(os.close, each)

        def part(partner: Partner) -> None:
            partner.say(push(self.ITEMS[0], 7))
            partner.hear_bytes()

        connection = self.watching(part)
        self.assertGreater(connection.fileno(), 1023)
        self.assertEqual(connection.read_batch(), [self.ITEMS[0]])
        self.assertFalse(connection.readable)
        connection.acknowledge()


class _Interrupted(Exception):
    """What the signal handler of the tests below raises."""


class InterruptionTests(PlayedTestCase):
    """A signal handler that raises while an answer is being waited for."""

    ONE, TWO = (
        push(Output(name="job", channel=1, timestamp=1.0, data=data, mark=mark, invocation="7@0.5"), 7)
        for data, mark in ((b"one", 3), (b"two", 6))
    )

    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, self.handle))
        self.main = threading.get_ident()
        self.armed = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise _Interrupted

    def interrupt_until(self, interrupted: threading.Event) -> None:
        """Send signals until one has come while the main thread was waiting: it may be just before that."""
        while not interrupted.is_set():
            signal.pthread_kill(self.main, signal.SIGUSR1)
            interrupted.wait(0.02)

    def test_next_answer_is_not_the_last_one(self) -> None:
        """An answer that was not waited for is never given to the next question, wherever it was cut."""
        interrupted = threading.Event()
        size = len(boxes.serialize({b"_answer": b"1"} | program.write_answer(Get, "the first")))

        def first(end: int) -> Callable[[Partner], None]:
            def part(partner: Partner) -> None:
                partner.say(GREETING)
                partner.say(partner.answer(partner.hear()[1], "the first")[:end])
                self.interrupt_until(interrupted)
                interrupted.clear()

            return part

        def second(partner: Partner) -> None:
            partner.say(GREETING)
            asked, box = partner.hear()
            self.assertEqual(asked, Get(name="second"))
            partner.say(partner.answer(box, "the second"))

        ends = range(0, size, 5)
        location = self.play(*(part for end in ends for part in (first(end), second)))
        for _ in ends:
            papa = Papa(location.port)
            self.addCleanup(papa.close)
            self.armed = True
            self.assertRaises(_Interrupted, papa.get, "first")
            interrupted.set()
            self.assertEqual(papa.get("second"), "the second")

    def test_interrupted_wait_loses_nothing(self) -> None:
        """A read that was interrupted while nothing had come can be tried again, and gives everything."""
        begun, interrupted = threading.Event(), threading.Event()

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say(BatchTests.headline(partner))
            begun.wait(PATIENCE)
            self.interrupt_until(interrupted)
            partner.say(self.ONE + self.TWO)

        papa = Papa(self.play(part).port)
        watcher = papa.watch_processes()
        self.addCleanup(watcher._abandon)
        self.armed = True
        try:
            begun.set()
            watcher.read()
            self.fail("was not interrupted")
        except _Interrupted:
            interrupted.set()
        data = b""
        while len(data) < 6:
            read = watcher.read()
            assert read is not None
            data += b"".join(each.data for each in read[0])
        self.assertEqual(data, b"onetwo")

    def test_interrupted_read_gives_no_part(self) -> None:
        """A read that was interrupted in the middle is read whole by the next try, or the connection is lost."""
        for end in range(1, len(self.ONE), 7):
            self.check_interrupted_at(end)

    def check_interrupted_at(self, end: int) -> None:
        """Interrupt a read of which so many bytes have come."""
        begun, interrupted = threading.Event(), threading.Event()
        batch = self.ONE + self.TWO

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say(BatchTests.headline(partner) + batch[:end])
            begun.wait(PATIENCE)
            self.interrupt_until(interrupted)
            partner.say(batch[end:])

        def another(partner: Partner) -> None:
            partner.say(push(Greeting(version=PROTOCOL_VERSION, kernel="another", pid=2)))

        location = self.play(part, another)
        watcher = Papa(location.port).watch_processes()
        self.addCleanup(watcher._abandon)
        self.armed = True
        try:
            begun.set()
            watcher.read()
            self.fail("was not interrupted")
        except _Interrupted:
            interrupted.set()
        try:
            read = watcher.read()
        except ConnectionLost:
            return
        Connection(location, PATIENCE).close()
        assert read is not None
        self.assertEqual(b"".join(each.data for each in read[0])[:3], b"one")
