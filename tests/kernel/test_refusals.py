"""What commands say they can be refused with: each is provoked."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import (
    ALL,
    CloseStdin,
    Command,
    Get,
    Help,
    LendProcess,
    LendSocket,
    ListValues,
    MakeProcess,
    MakeSocket,
    MoveCursor,
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
from papa.errors import (
    AlreadyDiffers,
    BadRequest,
    Error,
    LimitReached,
    NotAllowed,
    NotFound,
    SocketFailed,
    SpawnFailed,
    TooOld,
    UnknownCommand,
    Unsayable,
)
from papa.steps import all_at_once
from papa.wire import manual, text
from tests.kernel.building import Bell, House

Provocation = Callable[[House], object]


def asking(*commands: Command) -> Provocation:
    """Ask for these, one after the other."""
    return lambda house: [house.kernel.perform(command) for command in commands]


def starting_what_is_missing(house: House) -> object:
    house.children.missing.add("program")
    return house.make()


def lending_what_has_exited(house: House) -> object:
    house.child().exit()
    return house.kernel.perform(LendProcess(name="job"))


def making_cursors_without_end(house: House) -> object:
    return [all_at_once(house.kernel.watch(WatchProcesses(cursor=f"c{number}"), Bell())) for number in range(2000)]


def asking_for_old_events(house: House) -> object:
    for number in range(20_000):
        house.kernel.set(Set(name="count", value=str(number + 1)))
    return all_at_once(house.kernel.watch(WatchEvents(since=1), Bell()))


def without_memory(prepare: Callable[[House], object], command: Command) -> Provocation:
    """Ask for something in a house whose ledger has no room, after it was prepared."""

    def provoke(_: House) -> object:
        house = House(lasting=True)
        prepare(house)
        assert house.ledger is not None
        house.ledger.refusals = 1000
        return house.kernel.perform(command)

    return provoke


def reading_with_a_cursor(house: House) -> None:
    house.child().print(b"text")
    house.watch("job", cursor="shipper").stop()


UNSAYABLE = Set(name="letter", value="two\nlines")

PROVOCATIONS: dict[tuple[type[Command], type[Error]], Provocation] = {
    (MakeSocket, AlreadyDiffers): asking(MakeSocket(name="web", port=1), MakeSocket(name="web", port=2)),
    (MakeSocket, SocketFailed): asking(MakeSocket(name="web", port=1), MakeSocket(name="other", port=1)),
    (RemoveSockets, LimitReached): without_memory(asking(MakeSocket(name="web")), RemoveSockets()),
    (RemoveValues, LimitReached): without_memory(asking(Set(name="a", value="1")), RemoveValues(names=("a",))),
    (RemoveProcesses, LimitReached): without_memory(House.child, RemoveProcesses()),
    (MoveCursor, LimitReached): without_memory(
        reading_with_a_cursor, MoveCursor(name="shipper", process="job", mark=2)
    ),
    (RemoveCursors, LimitReached): without_memory(reading_with_a_cursor, RemoveCursors()),
    (RemoveSockets, NotFound): asking(RemoveSockets(names=("web",))),
    (LendSocket, NotFound): asking(LendSocket(name="web")),
    (TakeSocket, AlreadyDiffers): asking(MakeSocket(name="web"), TakeSocket(name="web", descriptor=0)),
    (MakeProcess, NotFound): asking(MakeProcess(name="job", args=("serve", "$(socket.web.fileno)"))),
    (MakeProcess, AlreadyDiffers): asking(MakeProcess(name="job", args=("a",)), MakeProcess(name="job", args=("b",))),
    (MakeProcess, SpawnFailed): starting_what_is_missing,
    (RemoveProcesses, NotFound): asking(RemoveProcesses(names=("job",))),
    (WriteProcess, NotFound): asking(WriteProcess(name="job", data=b"")),
    (CloseStdin, NotFound): asking(CloseStdin(name="job")),
    (LendProcess, NotFound): asking(LendProcess(name="job")),
    (LendProcess, SpawnFailed): lending_what_has_exited,
    (WatchProcesses, NotFound): lambda house: house.watch("job"),
    (WatchProcesses, LimitReached): making_cursors_without_end,
    (MoveCursor, NotFound): asking(MoveCursor(name="shipper", process="job")),
    (RemoveCursors, NotFound): asking(RemoveCursors(names=("shipper",))),
    (WatchEvents, TooOld): asking_for_old_events,
    (Set, Unsayable): lambda house: text.check_sayable(UNSAYABLE),
    (Get, Unsayable): lambda house: text.answer_line(UNSAYABLE.value, UNSAYABLE.name),
    (ListValues, Unsayable): lambda house: text.answer_line({UNSAYABLE.name: UNSAYABLE.value}),
    (Help, UnknownCommand): lambda house: manual.manual(["dance"]),
}

#: What needs the real system, or connections.
ELSEWHERE: set[tuple[type[Command], type[Error]]] = {
    (MakeSocket, LimitReached),
    (LendSocket, NotAllowed),
    (LendSocket, LimitReached),
    (LendSocket, SocketFailed),
    (TakeSocket, NotAllowed),
    (TakeSocket, SocketFailed),
    (TakeSocket, LimitReached),
    (MakeProcess, NotAllowed),
    (MakeProcess, SocketFailed),
    (MakeProcess, LimitReached),
    (WriteProcess, LimitReached),
    (LendProcess, NotAllowed),
    (LendProcess, LimitReached),
    (Set, LimitReached),
    (Upgrade, NotAllowed),
}


class RefusalTests(SynchronousTestCase):
    """C{Command.refusals}."""

    def test_each_happens(self) -> None:
        """What a command is said to be refused with, it is refused with."""
        for (command, error), provoke in PROVOCATIONS.items():
            with self.assertRaises(error, msg=(command, error)) as refused:
                provoke(House())
            self.assertIs(type(refused.exception), error)

    def test_none_is_made_up(self) -> None:
        """All that are said are here, or need more than a kernel in memory; and none that is here is left unsaid."""
        said = {(command, error) for command in ALL for error, _ in command.refusals}
        self.assertEqual(said, set(PROVOCATIONS) | ELSEWHERE)
        self.assertEqual(len(said), sum(len(command.refusals) for command in ALL))

    def test_what_any_can_be_refused_with(self) -> None:
        """A request that is wrong in itself is not said again at each."""
        self.assertNotIn(BadRequest, {error for command in ALL for error, _ in command.refusals})
