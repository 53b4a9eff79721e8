"""A kernel with everything around it in memory, as the tests of the kernel need it."""

from __future__ import annotations

import json
from typing import Any

from zope.interface import implementer

from papa.commands import ListProcesses, ListSockets, ListValues, MakeProcess, MakeSocket, WatchProcesses
from papa.drivers.memory import MemoryChild, MemoryChildren, MemoryLedger, MemorySocket, MemorySockets
from papa.errors import LimitReached
from papa.interfaces import IEventObserver, IWatchObserver
from papa.kernel.core import Kernel
from papa.kernel.watch import Watch
from papa.records import Closed, Event, Hole, Item, Output, Process, Socket
from papa.steps import all_at_once

#: More than any test has to take.
PLENTY = 1 << 30


class Wall:
    """A clock on a wall: anybody may set it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@implementer(IEventObserver)
class Diary:
    """Writes down what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def happened(self, event: Event) -> None:
        self.events.append(event)

    def read(self) -> list[tuple[str, str, int | None]]:
        """What has happened since it was read last."""
        events, self.events = self.events, []
        return [(event.kind, event.name, event.detail) for event in events]


@implementer(IWatchObserver)
class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def output_ready(self) -> None:
        self.rung += 1


class Killed(BaseException):
    """The kernel was killed in the middle of something."""


class MortalLedger(MemoryLedger):
    """
    A ledger in which a kernel is killed, and which has no room at times.

    @ivar left: how often it will yet note something before that; without a bound if it is L{None}.
    @ivar refusals: how often it will have no room before it has some again; C{spared}: how often it has, before that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.refusals = self.spared = 0

    def put(self, kind: str, name: str, value: object) -> None:
        self._live()
        super().put(kind, name, value)

    def remove(self, kind: str, name: str) -> None:
        self._live()
        super().remove(kind, name)

    def _live(self) -> None:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        if self.refusals and self.spared:
            self.spared -= 1
        elif self.refusals:
            self.refusals -= 1
            raise LimitReached("no memory")


class House:
    """A kernel, its drivers, its clock and its diary; and, if it shall not be the last, its ledger."""

    def __init__(self, *, lasting: bool = False, most_output: int = PLENTY) -> None:
        self.sockets = MemorySockets()
        self.children = MemoryChildren(tapes=lasting)
        self.wall = Wall()
        self.diary = Diary()
        self.ledger = MortalLedger() if lasting else None
        self._most_output = most_output
        self.kernel = self._kernel()

    def _kernel(self) -> Kernel:
        return Kernel(
            sockets=self.sockets,
            children=self.children,
            wall=self.wall,
            events=self.diary,
            ledger=self.ledger,
            most_output=self._most_output,
        )

    def succeed(self) -> None:
        """Have the kernel be killed, and another go on; it is told what has become of the children meanwhile."""
        assert self.ledger is not None
        self.ledger.left = None
        self.kernel = self._kernel()
        self.kernel.restore(json.loads(json.dumps(self.ledger.entries)))
        for child in self.children.children.values():
            if not child.forgotten:
                child.tell()

    def make(self, name: str = "job", *args: str, **fields: Any) -> Process:
        """Make a process, of a program C{program} unless told otherwise."""
        return self.kernel.make_process(MakeProcess(name=name, args=args or ("program",), **fields))

    def child(self, name: str = "job", *args: str, **fields: Any) -> MemoryChild:
        """Make a process, and give the child that runs in it."""
        return self.children.children[self.make(name, *args, **fields).pid]

    def socket(self, name: str = "web", **fields: Any) -> Socket:
        """Make a socket."""
        return self.kernel.make_socket(MakeSocket(name=name, **fields))

    def bound(self) -> list[MemorySocket]:
        """The sockets that the driver has made and that are not closed; duplicates included."""
        bound = [held for sharing in self.sockets.bound.values() for held in sharing]
        made = [each for held in bound for each in (held, *held.duplicates)]
        return [each for each in made if not each.closed]

    def watch(self, *names: str, observe: bool = False, bell: Bell | None = None, cursor: str = "") -> Watch:
        """Watch processes."""
        return all_at_once(
            self.kernel.watch(WatchProcesses(names=names, observe=observe, cursor=cursor), bell or Bell())
        )

    def process(self, name: str = "job") -> Process:
        """How a process is now."""
        return self.kernel.list_processes(ListProcesses(names=(name,)))[name]

    def names(self) -> list[str]:
        """The names of the processes that are held."""
        return list(self.kernel.list_processes(ListProcesses()))

    def state(self) -> tuple[object, ...]:
        """All that a client could see of what it holds."""
        return (
            self.kernel.list_sockets(ListSockets()),
            self.kernel.list_values(ListValues()),
            self.kernel.list_processes(ListProcesses()),
            self.kernel.idle,
        )


def everything(watch: Watch) -> list[Item]:
    """Take all that there is, acknowledging nothing."""
    items: list[Item] = []
    while watch.pending:
        items += watch.take(PLENTY)
    return items


def data(items: list[Item]) -> bytes:
    """The output among items, in one piece."""
    return b"".join(item.data for item in items if isinstance(item, Output))


def holes(items: list[Item]) -> list[Hole]:
    """The holes among items."""
    return [item for item in items if isinstance(item, Hole)]


def ends(items: list[Item]) -> list[tuple[str, int]]:
    """The name and exit code of each end among items."""
    return [(item.name, item.exit_code) for item in items if isinstance(item, Closed)]
