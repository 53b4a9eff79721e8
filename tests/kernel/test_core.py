"""The kernel as one thing: its commands, its values, its events, and whether it is idle."""

from __future__ import annotations

import os
import typing

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

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
    Upgrade,
    WatchEvents,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, LimitReached
from papa.interfaces import IKernel
from papa.kernel.core import MAX_VALUES_SIZE, Kernel
from papa.records import EventKind, Lent, Process, Socket
from papa.steps import all_at_once
from tests.kernel.building import House, everything

#: What belongs to a conversation and not to the kernel.
OF_A_CONVERSATION: set[type[Command]] = {Help, Quit, ExitIfIdle, Upgrade, WatchProcesses, WatchEvents}
OF_THE_KERNEL = [command for command in ALL if command not in OF_A_CONVERSATION]

#: One valid request of each kind, in an order in which each of them can be granted.
#: Cursors come to be by watching; L{tests.kernel.test_cursors} tells their story.
ABOUT_CURSORS: set[type[Command]] = {ListCursors, MoveCursor, RemoveCursors}
STORY: list[Command] = [
    MakeSocket(name="web"),
    TakeSocket(name="taken", descriptor=0),
    ListSockets(),
    LendSocket(name="web"),
    Set(name="deploy", value="2041"),
    Get(name="deploy"),
    ListValues(),
    MakeProcess(name="job", args=("program", "$(socket.web.port)"), stdin="pipe"),
    ListProcesses(),
    LendProcess(name="job"),
    WriteProcess(name="job", data=b"hello\n"),
    CloseStdin(name="job"),
    RemoveProcesses(names=("job",)),
    RemoveValues(names=("deploy",)),
    RemoveSockets(names=("web", "taken")),
]


def received(answer: object) -> object:
    """An answer as its receiver keeps it; a descriptor that was lent is given back."""
    if isinstance(answer, Lent):
        os.close(answer.descriptor)
        return answer.record
    return answer


def method_name(command: type[Command]) -> str:
    return "_".join(command.words)


class CommandTests(SynchronousTestCase):
    """Commands and the kernel's methods."""

    def test_provides_the_interface(self) -> None:
        """The kernel is what the wires are promised."""
        verifyObject(IKernel, House().kernel)

    def test_a_typed_method_for_each(self) -> None:
        """Each command that is the kernel's has a method of its words, which takes it and says what it answers."""
        for command in OF_THE_KERNEL:
            hints = typing.get_type_hints(getattr(Kernel, method_name(command)))
            answer = hints.pop("return")
            self.assertEqual(hints, {"request": command}, command.__name__)
            if command.lends:
                self.assertIs(answer, Lent)
            elif command.listed:
                self.assertEqual((typing.get_origin(answer), *typing.get_args(answer)), (dict, str, command.answer))
            elif command.answer is None:
                self.assertIs(answer, type(None))
            else:
                self.assertIn(answer, (command.answer, command.answer | None))

    def test_perform_is_the_method(self) -> None:
        """Performing a command does and answers what its method does, for every command there is."""
        self.assertEqual({type(command) for command in STORY} | ABOUT_CURSORS, set(OF_THE_KERNEL))
        performing, calling = House(), House()
        for command in STORY:
            called = getattr(calling.kernel, method_name(type(command)))(command)
            self.assertEqual(received(performing.kernel.perform(command)), received(called), command)
            self.assertEqual(performing.state(), calling.state(), command)
            self.assertEqual(performing.diary.read(), calling.diary.read(), command)

    def test_answers_are_what_the_command_says(self) -> None:
        """An answer is of the kind that the command promises: a record, records by name, a text, or nothing."""
        house = House()
        for command in STORY:
            answer = received(house.kernel.perform(command))
            if command.listed:
                assert isinstance(answer, dict)
                self.assertTrue(answer)
                for each in answer.values():
                    self.assertIsInstance(each, command.answer)
            else:
                self.assertIsInstance(answer, command.answer or type(None))

    def test_what_belongs_to_a_conversation(self) -> None:
        """Help, quit, exit-if-idle and watching are nothing that can be performed."""
        for command in OF_A_CONVERSATION:
            error = self.assertRaises(BadRequest, House().kernel.perform, command())
            self.assertIn(" ".join(command.words), str(error))


class ValueTests(SynchronousTestCase):
    """Values."""

    def test_set_get_remove(self) -> None:
        """A value is kept as it is until it is set again or removed, which an empty one does too."""
        kernel = House().kernel
        self.assertIsNone(kernel.get(Get(name="a")))
        for value in ("Error: boom", "  a\\", "a\nb\0", "x"):
            kernel.set(Set(name="a", value=value))
            self.assertEqual(kernel.get(Get(name="a")), value)
        kernel.set(Set(name="a", value=""))
        self.assertEqual((kernel.get(Get(name="a")), kernel.list_values(ListValues())), (None, {}))
        kernel.set(Set(name="a", value="x"))
        kernel.set(Set(name="a"))
        self.assertIsNone(kernel.get(Get(name="a")))

    def test_list_and_remove(self) -> None:
        """Values are listed and removed by name and pattern; a name that is not held is no error."""
        kernel = House().kernel
        for name in ("web.b", "web.a", "db"):
            kernel.set(Set(name=name, value=name.upper()))
        self.assertEqual(list(kernel.list_values(ListValues())), ["db", "web.a", "web.b"])
        self.assertEqual(kernel.list_values(ListValues(names=("web.*",), most=1)), {"web.a": "WEB.A"})
        kernel.remove_values(RemoveValues(names=("web.*", "nothing")))
        self.assertEqual(kernel.list_values(ListValues()), {"db": "DB"})

    def test_set_while_being_removed(self) -> None:
        """What is set between two steps of a removal stays, also if it is what was there before."""
        kernel = House().kernel
        for number in range(3):
            kernel.set(Set(name=f"web.{number}", value="1"))
        removal = kernel.steps(RemoveValues(names=("web.*",)))
        next(removal)
        for number in range(2):
            kernel.set(Set(name=f"web.{number}", value="1"))
        all_at_once(removal)
        self.assertEqual(kernel.list_values(ListValues()), {"web.0": "1", "web.1": "1"})

    def test_limit(self) -> None:
        """All values together have a limit; one too many changes nothing; what is removed makes room again."""
        house = House()
        kernel = house.kernel
        big = "x" * ((1 << 20) - 203)
        for number in range(MAX_VALUES_SIZE >> 20):
            kernel.set(Set(name=f"{number:03}", value=big))
        house.diary.read()
        for refused in (Set(name="y", value="x"), Set(name="000", value=big + "x")):
            error = self.assertRaises(LimitReached, kernel.set, refused)
            self.assertIn("may not exceed 256 MiB: remove some first", str(error))
        self.assertEqual((kernel.get(Get(name="y")), kernel.get(Get(name="000"))), (None, big))
        self.assertEqual(house.diary.read(), [])
        kernel.set(Set(name="000", value=big[202:]))
        kernel.set(Set(name="y", value="x"))
        self.assertRaises(LimitReached, kernel.set, Set(name="z", value="x"))
        kernel.remove_values(RemoveValues(names=("001",)))
        kernel.set(Set(name="001", value=big))
        self.assertRaises(LimitReached, kernel.set, Set(name="z", value="x"))
        kernel.remove_values(RemoveValues(names=("001",)))
        self.assertRaises(LimitReached, kernel.set, Set(name="001", value=big[1:] + "é"))

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=4)), max_size=20))
    def test_is_a_dictionary(self, story: list[tuple[str, str]]) -> None:
        """Whatever is set in whatever order, what is there is what a dictionary would hold."""
        kernel, expected = House().kernel, dict[str, str]()
        for name, value in story:
            kernel.set(Set(name=name, value=value))
            expected[name] = value
            if not value:
                del expected[name]
        self.assertEqual(kernel.list_values(ListValues()), dict(sorted(expected.items())))
        self.assertEqual(kernel.idle, not expected)


class EventTests(SynchronousTestCase):
    """What is told of what happened."""

    def test_sockets(self) -> None:
        """A socket that is made and one that is removed is told, once; the same again is not."""
        house = House()
        fileno = house.socket("web").fileno
        house.socket("web")
        house.kernel.remove_sockets(RemoveSockets(names=("web",)))
        self.assertEqual(house.diary.read(), [("socket-made", "web", fileno), ("socket-removed", "web", None)])

    def test_values(self) -> None:
        """Of a value its name is told, never its text; removing what is not there is no event."""
        house = House()
        house.kernel.set(Set(name="a", value="secret"))
        house.kernel.set(Set(name="a"))
        house.kernel.set(Set(name="a"))
        house.kernel.set(Set(name="b", value="secret"))
        house.kernel.remove_values(RemoveValues(names=("b", "c")))
        self.assertEqual(
            house.diary.read(),
            [
                ("value-set", "a", None),
                ("value-removed", "a", None),
                ("value-set", "b", None),
                ("value-removed", "b", None),
            ],
        )

    def test_life_of_a_process(self) -> None:
        """A process is made, exits, is closed and is forgotten; each is told when it happens."""
        house = House()
        child = house.child()
        house.make()
        self.assertEqual(house.diary.read(), [("process-made", "job", child.pid)])
        child.exit(-15, output_stays_open=True)
        self.assertEqual(house.diary.read(), [("process-exited", "job", -15)])
        child.close_output()
        self.assertEqual(house.diary.read(), [("process-closed", "job", None)])
        watches = [house.watch("job") for _ in range(2)]
        for watch in watches:
            everything(watch)
            watch.acknowledge()
        self.assertEqual(house.diary.read(), [("process-removed", "job", child.pid)])

    def test_removed_process(self) -> None:
        """A process that was removed is told to be when its name is free: at its exit."""
        house = House()
        child = house.child()
        house.diary.read()
        house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.assertEqual(house.diary.read(), [])
        child.exit(0)
        self.assertEqual(
            house.diary.read(),
            [("process-exited", "job", 0), ("process-removed", "job", child.pid), ("process-closed", "job", None)],
        )

    def test_every_kind_happens(self) -> None:
        """There is no kind of event that never comes; of clients, only the wires can tell."""
        house = House()
        for command in STORY[:-3]:
            received(house.kernel.perform(command))
        house.children.latest().exit(0)
        for command in STORY[-3:]:
            house.kernel.perform(command)
        self.assertEqual(
            {event.kind for event in house.diary.events},
            set(typing.get_args(EventKind)) - {"client-came", "client-gone"},
        )


class IdleTests(SynchronousTestCase):
    """Whether papa holds nothing."""

    def test_idle(self) -> None:
        """It is idle exactly while it holds no socket, no value and no process."""
        house = House()
        self.assertTrue(house.kernel.idle)
        for make, remove in (
            (MakeSocket(name="a"), RemoveSockets(names=("a",))),
            (Set(name="a", value="x"), RemoveValues(names=("a",))),
        ):
            house.kernel.perform(make)
            self.assertFalse(house.kernel.idle)
            house.kernel.perform(remove)
            self.assertTrue(house.kernel.idle)

    def test_ended_process_is_held(self) -> None:
        """A process whose end nobody has acknowledged is held; watchers do not matter."""
        house = House()
        house.child().exit(0)
        watch = house.watch("job")
        self.assertFalse(house.kernel.idle)
        everything(watch)
        self.assertFalse(house.kernel.idle)
        watch.acknowledge()
        self.assertTrue(house.kernel.idle)


class AnswerTests(SynchronousTestCase):
    """Records are of the moment in which they were asked for."""

    def test_answers_do_not_change(self) -> None:
        """What was answered stays as it was when papa goes on."""
        house = House()
        made = house.kernel.perform(MakeProcess(name="job", args=("program",)))
        socket = house.kernel.perform(MakeSocket(name="web"))
        listed = house.kernel.list_processes(ListProcesses())
        house.children.latest().exit(1)
        house.kernel.remove_sockets(RemoveSockets())
        assert isinstance(made, Process)
        assert isinstance(socket, Socket)
        self.assertEqual((made.running, listed), (True, {"job": made}))
        self.assertEqual(socket.name, "web")
