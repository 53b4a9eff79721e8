"""Whether this papa could go on from the state of another: tried with nothing real behind it."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import implementer

from papa.childspec import ChildSpec
from papa.commands import ListCursors, ListProcesses, ListSockets, ListValues, MakeSocket
from papa.continuity.ledger import read_ledger
from papa.drivers.memory import MemoryChild, MemoryChildren, MemoryLedger, MemorySocket, MemorySockets, MemoryTape
from papa.interfaces import IChildObserver, IEventObserver
from papa.kernel.core import Kernel
from papa.records import Event

__all__ = ["rehearse"]


def rehearse(descriptor: int) -> None:
    """
    Read a state, and be a kernel that holds all of it.

    @param descriptor: of the ledger's file, which is only read.
    @raise Exception: if anything of that does not work.
    """
    entries = read_ledger(descriptor)
    kernel = Kernel(sockets=_Sockets(), children=_Children(), wall=float, events=_Deaf(), ledger=MemoryLedger())
    kernel.restore(entries)
    processes = {entry["request"]["name"]: entry for entry in entries.get("process", {}).values()}
    # Of these the kernel may have been about to let go as the state was read.
    leaving = {name for name, entry in processes.items() if entry["collected"] or entry["removed"]}
    for kind, expected, held in (
        ("socket", entries.get("socket", {}), kernel.list_sockets(ListSockets())),
        ("value", entries.get("value", {}), kernel.list_values(ListValues())),
        ("process", processes, kernel.list_processes(ListProcesses())),
        ("cursor", entries.get("cursor", {}), kernel.list_cursors(ListCursors())),
    ):
        differing = set(held) ^ set(expected)
        if differing - (leaving if kind == "process" else set()):
            raise ValueError(f"not every {kind} that is held would be held then: {differing}")


@implementer(IEventObserver)
class _Deaf:
    def happened(self, event: Event) -> None:
        """Nothing happens at a rehearsal."""


class _Sockets(MemorySockets):
    def adopt(self, spec: MakeSocket, fileno: int | None) -> MemorySocket:
        """Any socket is there."""
        return MemorySocket(self, spec, spec.port, fileno)


class _Children(MemoryChildren):
    def adopt(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """Any child is there, and so is all that it has printed."""
        return MemoryChild(spec, next(self._pids), observer, _Blank())


class _Blank(MemoryTape):
    def entries(self, number: int, mark: int) -> Iterable[tuple[int, float, int]]:
        """Nothing was printed lately."""
        return ()
