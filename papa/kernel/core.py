"""The kernel as one thing: a method for each command, and the values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from papa.commands import (
    CloseStdin,
    Command,
    Get,
    LendProcess,
    LendSocket,
    ListCursors,
    ListProcesses,
    ListSockets,
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
    WatchEvents,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, LimitReached
from papa.interfaces import IChildDriver, IEventObserver, IKernel, ILedger, ISocketDriver, IWatch, IWatchObserver
from papa.kernel.budget import Budget
from papa.kernel.history import History
from papa.kernel.processes import Processes
from papa.kernel.remembered import Forgetful
from papa.kernel.sockets import Sockets
from papa.names import Named, select
from papa.records import Cursor, Event, Lent, Process, Socket
from papa.steps import Steps, all_at_once

__all__ = ["MAX_VALUES_SIZE", "Kernel"]

#: How many bytes all values, with their names and what each costs beside them, may have together.
MAX_VALUES_SIZE = 256 << 20
_VALUE_COST: Final = 200

#: The kind of entry in the ledger, by name.
_VALUE: Final = "value"


class _Value(str):
    """A value as it was set once: an object of its own, where texts that are the same may be one."""

    __slots__ = ()


def _size(item: tuple[str, str]) -> int:
    name, value = item
    return len(name) + len(value.encode(errors="surrogatepass")) + _VALUE_COST


@implementer(IKernel)
class Kernel:
    """What papa holds, and all that can be asked of it: plain calls that answer at once."""

    def __init__(
        self,
        *,
        sockets: ISocketDriver,
        children: IChildDriver,
        wall: Callable[[], float],
        events: IEventObserver,
        ledger: ILedger | None = None,
        most_output: int = sys.maxsize,
    ) -> None:
        """
        @param wall: the time to stamp things with, in seconds since the epoch. Nothing is ever decided by it.
        @param ledger: remembers what is held, for the next kernel; nothing does by default.
        @param most_output: how many bytes of output all processes together may have kept.
        """
        self._ledger = ledger = Forgetful() if ledger is None else ledger
        self._events = self._history = History(events, ledger, wall=wall)
        self._sockets = Sockets(sockets, events=self._events, ledger=ledger)
        self._processes = Processes(
            children, self._sockets, wall=wall, events=self._events, ledger=ledger, budget=Budget(most_output)
        )
        self._values: Named[str] = Named()
        self._values_size = 0
        self._methods: Mapping[type[Command], Callable[[Any], object]] = {
            MakeSocket: self.make_socket,
            ListSockets: self.list_sockets,
            RemoveSockets: self.remove_sockets,
            LendSocket: self.lend_socket,
            TakeSocket: self.take_socket,
            Set: self.set,
            Get: self.get,
            ListValues: self.list_values,
            RemoveValues: self.remove_values,
            MakeProcess: self.make_process,
            ListProcesses: self.list_processes,
            RemoveProcesses: self.remove_processes,
            WriteProcess: self.write_process,
            CloseStdin: self.close_stdin,
            LendProcess: self.lend_process,
            ListCursors: self.list_cursors,
            MoveCursor: self.move_cursor,
            RemoveCursors: self.remove_cursors,
        }
        self._removals: Mapping[type[Command], Callable[[Sequence[str]], Steps[None]]] = {
            RemoveValues: self._removal_of_values,
            RemoveProcesses: self._processes.removal,
            RemoveCursors: self._processes.cursors.removal,
        }

    @property
    def idle(self) -> bool:
        """Whether it holds nothing."""
        return not (len(self._sockets) or len(self._processes) or self._values)

    def perform(self, command: Command) -> object:
        """Do what a command asks."""
        try:
            method = self._methods[type(command)]
        except KeyError:
            raise BadRequest(f"{' '.join(command.words)!r} is nothing that a kernel does") from None
        return method(command)

    def steps(self, command: Command) -> Steps[object]:
        """Do what a command asks a little at a time."""
        removal = self._removals.get(type(command))
        if removal is None:
            return self.perform(command)
        assert isinstance(command, RemoveValues | RemoveProcesses | RemoveCursors)
        yield from removal(command.names)
        return None

    def watch(self, request: WatchProcesses | WatchEvents, observer: IWatchObserver) -> Steps[IWatch]:
        """Start watching, a little at a time."""
        if isinstance(request, WatchEvents):
            return self._history.follow(request, observer)
        return (yield from self._processes.watch(request, observer))

    def noticed(self, event: Event) -> None:
        """Something has happened beside what is held."""
        self._history.noticed(event)

    def restore(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Hold what a kernel before has held.

        @param entries: what its ledger knows, by kind and name.
        """
        self._values = Named(entries.get(_VALUE, {}))
        self._values_size = sum(map(_size, self._values.items()))
        self._history.restore(entries.get("event", {}))
        self._sockets.restore(entries.get("socket", {}))
        self._processes.restore(entries)

    def make_socket(self, request: MakeSocket) -> Socket:
        """Bind and hold a socket."""
        return self._sockets.make(request)

    def list_sockets(self, request: ListSockets) -> dict[str, Socket]:
        """The held sockets."""
        return self._sockets.list(request)

    def remove_sockets(self, request: RemoveSockets) -> None:
        """Close and forget sockets."""
        self._sockets.remove(request.names)

    def lend_socket(self, request: LendSocket) -> Lent:
        """A descriptor of a held socket."""
        return self._sockets.lend(request.name)

    def take_socket(self, request: TakeSocket) -> Socket:
        """Hold a socket that was bound elsewhere."""
        return self._sockets.take(request)

    def set(self, request: Set) -> None:
        """Keep or remove a value."""
        before = self._values.get(request.name)
        size = self._values_size - (0 if before is None else _size((request.name, before)))
        if not request.value:
            self._ledger.remove(_VALUE, request.name)
            self._values.pop(request.name, None)
            self._values_size = size
            if before is not None:
                self._events.happened(Event(kind="value-removed", name=request.name))
            return
        size += _size((request.name, request.value))
        if size > MAX_VALUES_SIZE:
            raise LimitReached(f"All values together may not exceed {MAX_VALUES_SIZE >> 20} MiB: remove some first")
        self._ledger.put(_VALUE, request.name, request.value)
        self._values[request.name] = _Value(request.value)
        self._values_size = size
        self._events.happened(Event(kind="value-set", name=request.name))

    def get(self, request: Get) -> str | None:
        """A value, or nothing."""
        return self._values.get(request.name)

    def list_values(self, request: ListValues) -> dict[str, str]:
        """The values."""
        return select(self._values, request.names, kind="Value", after=request.after, most=request.most)

    def remove_values(self, request: RemoveValues) -> None:
        """Forget values."""
        all_at_once(self.steps(request))

    def _removal_of_values(self, patterns: Sequence[str]) -> Steps[None]:
        for name, value in select(self._values, patterns, kind="Value").items():
            if self._values.get(name) is value:  # It may have been set again meanwhile.
                self.set(Set(name=name))
            yield

    def make_process(self, request: MakeProcess) -> Process:
        """Start a process."""
        return self._processes.make(request)

    def list_processes(self, request: ListProcesses) -> dict[str, Process]:
        """The held processes."""
        selected = self._processes.select(request.names, after=request.after, most=request.most)
        return {name: process.record() for name, process in selected.items()}

    def remove_processes(self, request: RemoveProcesses) -> None:
        """Throw processes' output away and forget them when they exit."""
        all_at_once(self.steps(request))

    def write_process(self, request: WriteProcess) -> None:
        """Send bytes to a process's standard input."""
        self._processes.write(request.name, request.data)

    def close_stdin(self, request: CloseStdin) -> None:
        """End a process's standard input."""
        self._processes.close_stdin(request.name)

    def lend_process(self, request: LendProcess) -> Lent:
        """A pidfd of a process."""
        return self._processes.lend(request.name)

    def list_cursors(self, request: ListCursors) -> dict[str, Cursor]:
        """The cursors."""
        return self._processes.cursors.list(request)

    def move_cursor(self, request: MoveCursor) -> None:
        """Have a cursor read on from another mark."""
        self._processes.cursors.move(request, self._processes.get(request.process))

    def remove_cursors(self, request: RemoveCursors) -> None:
        """Forget cursors."""
        all_at_once(self.steps(request))

    def release_sockets(self) -> None:
        """Close all held sockets and delete their files, when papa ends."""
        self._sockets.remove(())

    def leave(self) -> None:
        """Have the ledger know what lies elsewhere, for one that would not find it there; nothing is asked any more."""
        self._processes.leave()

    def remaining(self) -> list[Process]:
        """The processes that still run."""
        return self._processes.remaining()
