"""What is said on the program wire, as boxes and back; both ends without a connection."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa import errors
from papa.commands import (
    ALL,
    CloseStdin,
    Command,
    ExitIfIdle,
    Get,
    Help,
    LendProcess,
    LendSocket,
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    MoveCursor,
    Quit,
    RemoveCursors,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    TakeSocket,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, Error, LimitReached, NotAllowed, UnknownCommand, Unreachable, Unsayable
from papa.records import Closed, Hole, Lent, Output, Process, Socket
from papa.wire import boxes, program
from papa.wire.boxes import MAX_REQUEST, MAX_VALUE, Box, serialize
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
from papa.wire.opening import Opening, check_greeting
from tests.wire.reading import read_all

QUICK = settings(max_examples=60)

names = st.text(alphabet="abZ019._@%+-", min_size=1, max_size=8)
patterns = st.lists(st.one_of(names, st.just("*"), names.map(lambda name: f"{name}*")), max_size=3).map(tuple)
texts = st.one_of(
    st.just(70000).map(lambda size: "a" * size),
    st.binary(max_size=12).map(lambda data: data.decode(errors="surrogateescape")),
    st.sampled_from(["", " leading", "line\nline", '"', "\\", "$(socket.x.fileno)"]),
)
words = texts.map(lambda text: text.replace("\0", ""))
variables = words.map(lambda word: f"V{word}".replace("=", "_"))
identities = st.one_of(st.integers(0, 70000), names)
numbers = st.integers(0, 1 << 60)
stamps = st.floats(0, 1e10, allow_nan=False)
limits = st.tuples(st.integers(0, 99), st.one_of(st.integers(99, 10**9), st.just(-1)))

pages = {"names": patterns, "after": names, "most": st.integers(0, 5000)}

#: For each command, what its fields may be.
FIELDS: dict[type[Command], dict[str, st.SearchStrategy[Any]]] = {
    MakeSocket: {
        "name": names,
        "family": st.sampled_from(["", "inet", "inet6"]),
        "type": st.sampled_from(["stream", "dgram"]),
        "backlog": st.integers(0, 9999),
        "host": words,
        "port": st.integers(0, 65535),
        "interface": words,
        "reuseport": st.booleans(),
    },
    ListSockets: pages,
    RemoveSockets: {"names": patterns},
    ListCursors: pages,
    MoveCursor: {"name": names, "process": names, "mark": st.integers(0, 1 << 40)},
    RemoveCursors: {"names": patterns},
    LendSocket: {"name": names},
    TakeSocket: {"name": names, "descriptor": numbers},
    MakeProcess: {
        "name": names,
        "args": st.lists(words, min_size=1, max_size=4).map(tuple).filter(lambda args: args[0]),
        "env": st.dictionaries(variables, words, max_size=3),
        "inherit_env": st.booleans(),
        "working_dir": words.map(lambda word: f"/{word}"),
        "uid": identities,
        "gid": identities,
        "groups": st.lists(identities, max_size=3).map(tuple),
        "rlimits": st.dictionaries(st.sampled_from(["nofile", "core", "as"]), limits, max_size=2),
        "umask": st.integers(0, 0o777),
        "stdin": st.sampled_from(["null", "pipe"]),
        "stdout": st.sampled_from(["null", "pipe"]),
        "stderr": st.sampled_from(["null", "pipe", "stdout"]),
        "bufsize": st.integers(0, 1 << 40),
        "overflow": st.sampled_from(["drop-oldest", "block"]),
        "listen": st.lists(names, max_size=3).map(tuple),
        "exclusive": st.booleans(),
        "watch": st.booleans(),
    },
    ListProcesses: pages,
    WatchProcesses: {"names": patterns, "observe": st.booleans(), "follow": st.booleans(), "holes": st.booleans()},
    WriteProcess: {"name": names, "data": st.binary(max_size=70000)},
    CloseStdin: {"name": names},
    RemoveProcesses: {"names": patterns},
    LendProcess: {"name": names},
    Set: {"name": names, "value": texts},
    Get: {"name": names},
    ListValues: pages,
    RemoveValues: {"names": patterns.filter(lambda chosen: chosen and "*" not in chosen)},
}
#: What fields of a type may be, in the commands that need no care.
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: names,
    int: numbers,
    bool: st.booleans(),
    bytes: st.binary(max_size=9),
    tuple[str, ...]: patterns,
}
for kind in set(ALL) - {Help, Quit} - set(FIELDS):
    hints = typing.get_type_hints(kind)
    FIELDS[kind] = {field.name: SIMPLE[hints[field.name]] for field in dataclasses.fields(kind)}

MESSAGES: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    Acknowledge: {"watch": numbers, "name": names, "invocation": names, "mark": numbers, "end": st.booleans()},
    Received: {},
    StopWatching: {"watch": numbers},
}


def made(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A record, if these fields make a valid one."""
    try:
        return kind(**fields)
    except BadRequest:
        return None


def any_of(kinds: Mapping[type[Any], dict[str, st.SearchStrategy[Any]]]) -> st.SearchStrategy[Any]:
    """A record of any of these kinds, with some or all of its fields."""

    def of(kind: type[Any]) -> st.SearchStrategy[Any]:
        required = {field.name for field in dataclasses.fields(kind) if field.default is field.default_factory}
        given = {key: values for key, values in kinds[kind].items() if key in required}
        optional = {key: values for key, values in kinds[kind].items() if key not in required}
        return st.fixed_dictionaries(given, optional=optional).map(lambda chosen: made(kind, chosen)).filter(bool)

    return st.one_of(*map(of, kinds))


everything_asked = any_of(FIELDS | MESSAGES)
sockets = any_of(
    {
        Socket: dict.fromkeys(("name", "family", "type", "path", "host", "interface"), texts)
        | dict.fromkeys(("backlog", "umask", "port", "fileno"), numbers)
        | {"reuseport": st.booleans()}
    }
)
processes = any_of(
    {
        Process: {
            "name": names,
            "args": st.lists(texts, max_size=3).map(tuple),
            "pid": numbers,
            "running": st.booleans(),
            "started": stamps,
            "uid": numbers,
            "gid": numbers,
            "exit_code": st.integers(-64, 255),
            "captured": numbers,
            "dropped": numbers,
        }
    }
)
pushes = any_of(
    {
        Output: {
            "name": names,
            "channel": st.sampled_from([1, 2]),
            "timestamp": stamps,
            "data": st.binary(max_size=70000),
            "mark": numbers,
            "invocation": names,
        },
        Hole: {"name": names, "size": numbers, "first": stamps, "last": stamps, "mark": numbers, "invocation": names},
        Closed: {"name": names, "timestamp": stamps, "exit_code": st.integers(-64, 255), "invocation": names},
    }
)
#: Boxes of bytes that mean something here and there.
hostile_boxes = st.dictionaries(
    st.one_of(
        st.sampled_from(
            b"_command _ask _answer _error _error_code _error_description name names args value items more watch mark "
            b"count processes descriptor after most version kernel pid reason".split()
        ),
        st.binary(min_size=1, max_size=5),
    ),
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                *program.commands_by_name(),
                *program.PUSHES,
                b"",
                b"1",
                b"-1",
                b"9" * 5000,
                b"True",
                b"\xff",
                b"\0\0\0\1a",
            ]
        ),
    ),
    max_size=6,
)


def asked(command: Any) -> Any:
    """A request as the kernel reads it."""
    (box,) = read_all(program.request_bytes(command, 7))
    return program.read_request(box)


def answered(command: Command, answer: Any, most: int = 0) -> tuple[Any, Command | None]:
    """An answer as the client reads it, and what it asks for the rest."""
    (box,) = read_all(serialize(program.write_answer(type(command), answer, most)))
    return program.read_answer(command, box), program.next_page(command, box)


def all_pages(kind: type[Any], things: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """What a client reads of a list, and in how many pages."""
    found: dict[str, Any] = {}
    count = 0
    command: Any = kind()
    while command is not None:
        page, command = answered(command, {name: thing for name, thing in things.items() if name > command.after})
        found |= page
        count += 1
    return found, count


class RequestTests(SynchronousTestCase):
    """From the client to the kernel."""

    def test_every_command_can_be_asked_but_two(self) -> None:
        """Help is for people, and a connection is simply closed; everything else has a name here."""
        here = {kind for kind in program.commands_by_name().values() if issubclass(kind, Command)}
        self.assertEqual(here, set(ALL) - {Help, Quit})

    @QUICK
    @given(everything_asked)
    def test_every_request_comes_as_it_was_sent(self, command: Any) -> None:
        """Every command with any of its fields is read as what it was, whatever bytes are in them."""
        self.assertEqual(asked(command), command)

    def test_any_length(self) -> None:
        """Values far beyond the 65 535 bytes of AMP come whole."""
        for size in (MAX_VALUE - 1, MAX_VALUE, MAX_VALUE + 1, 2 * MAX_VALUE, 10_000_000):
            command = Set(name="x", value="v" * size)
            self.assertEqual(asked(command), command)

    def test_too_large(self) -> None:
        """A request that no kernel takes is refused before it is sent."""
        with self.assertRaisesRegex(LimitReached, "^'set' with more than 64 MiB in all its fields$"):
            program.request_bytes(Set(name="x", value="v" * MAX_REQUEST), 1)

    def test_just_not_too_large(self) -> None:
        """The largest request that a kernel takes is sent."""
        command = Set(name="x", value="y")
        (box,) = read_all(program.request_bytes(command, 1))
        self.patch(boxes, "MAX_REQUEST", boxes.size(box))
        self.assertEqual(asked(command), command)
        self.patch(boxes, "MAX_REQUEST", boxes.size(box) - 1)
        self.assertRaises(LimitReached, program.request_bytes, command, 1)

    def test_half_characters(self) -> None:
        """A text that no bytes stand for is refused before it is sent."""
        self.assertRaises(Unsayable, program.request_bytes, Set(name="x", value="\ud800"), 1)

    def test_number_of_the_question(self) -> None:
        """A request that wants an answer has a number; one that wants none has not."""
        self.assertEqual(read_all(program.request_bytes(Get(name="x"), 7))[0][b"_ask"], b"7")
        self.assertNotIn(b"_ask", read_all(program.request_bytes(Received(), None))[0])

    def test_unknown_command(self) -> None:
        """A command that does not exist, or not here, is refused as such."""
        for name in (b"make coffee", b"help", b"quit", b"", b"\xff", b"x" * 60000):
            with self.assertRaises(UnknownCommand) as caught:
                program.read_request({b"_command": name})
            self.assertLess(len(str(caught.exception)), 500)

    def test_unknown_field(self) -> None:
        """A field that the command does not have is refused: it asks for something that would not be done."""
        with self.assertRaisesRegex(BadRequest, "^'make process' has no field 'priority'$"):
            program.read_request({b"_command": b"make process", b"name": b"job", b"priority": b"5"})
        with self.assertRaisesRegex(BadRequest, "^'set' has no field 'other'$"):
            program.read_request({b"_command": b"set", b"name": b"x", b"other.1": b"5"})

    def test_boxes_may_have_marks_of_their_own(self) -> None:
        """Keys that begin with an underscore belong to AMP, or to a tool on the way."""
        self.assertEqual(program.read_request({b"_command": b"get", b"_trace": b"1", b"name": b"x"}), Get(name="x"))


class AnswerTests(SynchronousTestCase):
    """From the kernel to the client."""

    @QUICK
    @given(sockets, processes, st.one_of(st.none(), texts), st.booleans(), numbers)
    def test_every_answer_comes_as_it_was_given(
        self, socket: Socket, process: Process, value: str | None, leaving: bool, number: int
    ) -> None:
        """Records, values, truths and nothing are read as what they were."""
        self.assertEqual(answered(MakeSocket(name="x"), socket), (socket, None))
        self.assertEqual(answered(MakeProcess(name="x", args=("x",)), process), (process, None))
        self.assertEqual(answered(Get(name="x"), value), (value, None))
        self.assertEqual(answered(ExitIfIdle(), leaving), (leaving, None))
        self.assertEqual(answered(Set(name="x"), None), (None, None))
        for command, record in ((LendSocket(name="x"), socket), (LendProcess(name="x"), process)):
            lent = Lent(record=record, descriptor=number)
            self.assertEqual(answered(command, lent), (lent, None))

    @QUICK
    @given(
        st.dictionaries(names, sockets, max_size=4),
        st.dictionaries(names, processes, max_size=4),
        st.dictionaries(names, texts, max_size=2),
    )
    def test_lists(self, held: dict[str, Any], running: dict[str, Any], values: dict[str, Any]) -> None:
        """Lists of all kinds are read as what they were, page by page if they are large."""
        for kind, things in ((ListSockets, held), (ListProcesses, running), (ListValues, values)):
            self.assertEqual(all_pages(kind, dict(sorted(things.items())))[0], things)

    def test_pages(self) -> None:
        """A list that is too large for a page goes on behind its last name, and comes whole."""
        values = {f"value.{number:04}": "v" * (number * 100) for number in range(300)}
        found, count = all_pages(ListValues, values)
        self.assertEqual(found, values)
        self.assertGreater(count, 10)

    def test_a_thing_larger_than_a_page(self) -> None:
        """Something that is larger than a page has one of its own."""
        values = {"a": "x" * 1_000_000, "b": "y"}
        self.assertEqual(answered(ListValues(), values), ({"a": values["a"]}, ListValues(after="a")))

    def test_as_many_as_the_kernel_was_asked_for(self) -> None:
        """When as many things came as the kernel was asked for, there may be more."""
        values = {"a": "x", "b": "y"}
        self.assertEqual(answered(ListValues(), values, 2), (values, ListValues(after="b")))
        self.assertEqual(answered(ListValues(), values, 3), (values, None))
        self.assertEqual(answered(ListValues(), {}, 3), ({}, None))
        self.assertEqual(answered(ListValues(), {"a": "x"}, 1), ({"a": "x"}, ListValues(after="a")))
        self.assertNotIn(b"more", program.write_answer(ListValues, {"a": "x"}))

    def test_never_more_than_was_wanted(self) -> None:
        """The rest of a list that is to be of so many things is of as many less as have come."""
        values = {"a": "x", "b": "y"}
        self.assertEqual(answered(ListValues(most=5), values, 2), (values, ListValues(after="b", most=3)))
        self.assertEqual(answered(ListValues(most=3), values, 2), (values, ListValues(after="b", most=1)))
        self.assertEqual(answered(ListValues(most=2), values, 2), (values, None))

    def test_watching(self) -> None:
        """The answer to a watch says its number and what it watches."""
        watching = Watching(watch=3, count=1, processes={"job": "12@1.5"})
        (box,) = read_all(serialize({b"watch": b"3", b"count": b"1"} | {b"processes": _mapping("job", "12@1.5")}))
        self.assertEqual(program.read_answer(WatchProcesses(), box), watching)

    def test_lent_without_a_descriptor(self) -> None:
        """Something lent that says of no descriptor has none that could have come."""
        process = Process(name="x", args=("x",), pid=1, running=True, started=0.0, uid=0, gid=0)
        box = program.write_answer(LendProcess, Lent(record=process, descriptor=5))
        del box[b"descriptor"]
        self.assertEqual(program.read_answer(LendProcess(name="x"), box).descriptor, -1)

    def test_every_refusal_keeps_its_class(self) -> None:
        """A refusal comes as the same leaf of the tree, with its sentence."""
        for kind in errors.ALL:
            box = program.refusal_box({b"_ask": b"7"}, kind("No: \u00e4\udcff"))
            assert box is not None
            with self.assertRaises(kind) as caught:
                program.read_answer(Get(name="x"), box)
            self.assertIs(type(caught.exception), kind)
            self.assertEqual(str(caught.exception), "No: \u00e4\\udcff")

    def test_refusals_of_any_length_are_said(self) -> None:
        """A sentence that is too long for a box keeps its beginning and its end."""
        box = program.refusal_box({b"_ask": b"7"}, BadRequest("begin" + "x" * 200_000 + "end"))
        assert box is not None
        self.assertRegex(box[b"_error_description"].decode(), r"^beginx{2043} \.\.\. x{2045}end$")

    def test_refusals_that_just_fit_are_said_whole(self) -> None:
        """Of a sentence that is as long as one may be nothing is left out."""
        box = program.refusal_box({b"_ask": b"7"}, BadRequest("x" * 4096))
        assert box is not None
        self.assertEqual(box[b"_error_description"], b"x" * 4096)

    def test_a_refusal_of_a_later_kernel(self) -> None:
        """A code that is not known is a refusal all the same."""
        box: Box = {b"_error": b"1", b"_error_code": b"too-funny", b"_error_description": b"Ha"}
        with self.assertRaises(Error) as caught:
            program.read_answer(Get(name="x"), box)
        self.assertEqual((type(caught.exception), str(caught.exception)), (Error, "Ha"))

    def test_who_wants_no_answer_gets_none(self) -> None:
        """A request without a number has no answer and no refusal."""
        self.assertIsNone(program.answer_box({}, {b"a": b"b"}))
        self.assertIsNone(program.refusal_box({}, BadRequest("No")))
        self.assertEqual(program.answer_box({b"_ask": b"x"}, {b"a": b"b"}), {b"_answer": b"x", b"a": b"b"})

    def test_which_question_is_answered(self) -> None:
        """An answer and a refusal have the number of the question; what the kernel says by itself has none."""
        self.assertEqual(program.answered({b"_answer": b"12"}), 12)
        self.assertEqual(program.answered({b"_error": b"12"}), 12)
        self.assertIsNone(program.answered({b"_command": b"output"}))
        for number in (b"x", b"", b"\xff", b"9" * 5000):
            self.assertRaises(BadRequest, program.answered, {b"_answer": number})


class PushTests(SynchronousTestCase):
    """What the kernel says by itself."""

    @QUICK
    @given(pushes, numbers)
    def test_items_come_as_they_were_sent(self, push: Any, watch: int) -> None:
        """Output, holes and ends come with the number of their watch."""
        (box,) = read_all(serialize(program.push_box(push, watch)))
        self.assertEqual(program.read_push(box), (push, watch))

    def test_others(self) -> None:
        """So do greetings, refusals and the ends of watches."""
        for push in (Greeting(version=1, kernel="k", pid=2), Refused(reason="no", code="not-allowed")):
            self.assertEqual(program.read_push(program.push_box(push)), (push, None))
        self.assertEqual(program.read_push(program.push_box(WatchEnded(watch=3))), (WatchEnded(watch=3), 3))

    def test_what_no_kernel_says(self) -> None:
        """Anything else is refused."""
        for name in (b"set", b"", b"\xff" * 1000):
            self.assertRaises(BadRequest, program.read_push, {b"_command": name})


class HostileTests(SynchronousTestCase):
    """Boxes that are not what they should be."""

    @settings(QUICK, max_examples=600)
    @given(hostile_boxes, st.sampled_from([Get, ListValues, ListProcesses, MakeSocket, LendSocket, ExitIfIdle]))
    def test_raise_only_refusals(self, box: Box, kind: type[Any]) -> None:
        """Whatever a box holds, reading it raises a leaf of papa's errors if anything."""
        command = kind(**{field.name: "x" for field in dataclasses.fields(kind) if field.name == "name"})
        for read in (program.read_request, program.read_push, program.answered):
            with contextlib.suppress(Error):
                read(box)
        for question in (command, WatchProcesses(), Received()):
            for read_answer in (program.read_answer, program.next_page):
                with contextlib.suppress(Error):
                    read_answer(question, box)

    def test_lists_that_are_none(self) -> None:
        """A page that is cut off, has a name without a thing, or a thing that is none, is refused."""
        for items in (b"\0", b"\0\0\0\1a", b"\0\0\0\1\xff\0\0\0\1a", b"\0\0\0\1a\0\0\0\2\xff\xff"):
            self.assertRaises(BadRequest, program.read_answer, ListSockets(), {b"items": items})
        self.assertRaises(BadRequest, program.next_page, ListSockets(most=5), {b"items": b"\0", b"more": b"a"})


class OpeningTests(SynchronousTestCase):
    """How a client begins, on either wire."""

    GREETING = serialize(program.push_box(Greeting(version=PROTOCOL_VERSION, kernel="k", pid=2)))
    CONSOLE = b'Papa is home. Type "help" for commands.\n> '

    def opened(self, *parts: bytes) -> tuple[bytes, bytes | None]:
        """What is answered to these parts, and what is left of them."""
        opening = Opening()
        return b"".join(map(opening.receive, parts)), opening.boxes

    def test_boxes(self) -> None:
        """On a program wire nothing is answered, and every byte is kept."""
        self.assertEqual(self.opened(self.GREETING), (b"", self.GREETING))
        self.assertEqual(self.opened(self.GREETING[:1]), (b"", self.GREETING[:1]))

    def test_console(self) -> None:
        """A console is asked for AMP once it has greeted, however its greeting is cut."""
        for cut in range(len(self.CONSOLE)):
            parts = (self.CONSOLE[:cut], self.CONSOLE[cut:], self.GREETING)
            self.assertEqual(self.opened(*parts), (b"amp\n", self.GREETING))

    def test_console_that_refuses(self) -> None:
        """A console that does not let this client in says why."""
        with self.assertRaisesRegex(NotAllowed, "^Refused: this papa serves uid 5 and root, not uid 7$"):
            self.opened(b"Err", b"or: Refused: this papa serves uid 5 and root, not uid 7", b"\n> ")

    def test_console_of_former_times(self) -> None:
        """A papa that has no such wire is told apart from a refusal."""
        with self.assertRaisesRegex(Unreachable, "does not speak the program wire: Unknown command: amp$"):
            self.opened(self.CONSOLE, b"Error: Unknown command: amp\n> ")

    def test_something_else(self) -> None:
        """Something that is no papa is not waited for."""
        for said in (b"HTTP/1.1 400 Bad Request\r\n", b"220 mail ESMTP\r\n", b"\xff" * 5000):
            self.assertRaises(Unreachable, self.opened, said)

    def test_greeting(self) -> None:
        """The first box must be the greeting of a kernel of the same version."""
        greeting = Greeting(version=PROTOCOL_VERSION, kernel="k", pid=2)
        self.assertEqual(check_greeting(greeting), greeting)
        with self.assertRaisesRegex(Unreachable, "speaks version 99 of the program wire, this client version"):
            check_greeting(Greeting(version=99, kernel="k", pid=2))
        with self.assertRaisesRegex(NotAllowed, "^Refused: not you$"):
            check_greeting(Refused(reason="not you", code="not-allowed"))
        self.assertRaises(Unreachable, check_greeting, WatchEnded(watch=1))


def _mapping(name: str, value: str) -> bytes:
    return b"".join(len(each).to_bytes(4, "big") + each for each in (name.encode(), value.encode()))
