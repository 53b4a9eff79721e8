"""
Cursors: readers with a name, whose places outlive whoever reads with them.

In each process that it reads a cursor has an I{anchor}, a place in the journal up to which everything is safe. Output
waits for the anchors of all cursors, as far as the bound of the journal allows; a reading begins anew at the anchor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from papa.errors import BadRequest, LimitReached, NotFound
from papa.interfaces import ILedger
from papa.kernel.few import without
from papa.kernel.journal import Place
from papa.kernel.watch import Reader, Watch
from papa.names import Named, matches, nearest, select
from papa.records import Cursor
from papa.steps import Steps

if TYPE_CHECKING:
    from papa.asked.cursors import MoveCursor
    from papa.asked.listings import ListCursors
    from papa.kernel.process import HeldProcess

__all__ = ["Cursors", "HeldCursor"]

#: How many there may be: each is work for each process that is made.
_MOST: Final = 1000

#: The kinds of entry in the ledger: by name; and by name and key of a process, with a space between, null where it is
#: over.
_CURSOR: Final = "cursor"
_PLACE: Final = "place"


class HeldCursor:
    """
    A cursor.

    @ivar patterns: the names of the processes that it reads; those that are made later join it.
    """

    def __init__(self, name: str, ledger: ILedger) -> None:
        self.name = name
        self._ledger = ledger
        self.patterns: tuple[str, ...] = ()
        # None where it is over, and only others still read.
        self._anchors: dict[HeldProcess, Place | None] = {}
        self._watch: Watch | None = None

    def record(self) -> Cursor:
        """How it is now."""
        return Cursor(
            name=self.name,
            patterns=self.patterns,
            marks={process.name: anchor.mark for process, anchor in self._held},
            behind=sum(process.journal.tail - anchor.mark for process, anchor in self._held),
            reading=self._watch is not None and not self._watch.done,
        )

    @property
    def _held(self) -> Iterator[tuple[HeldProcess, Place]]:
        """The processes that have to wait for it, and where it is in them."""
        return ((process, anchor) for process, anchor in self._anchors.items() if anchor is not None)

    @property
    def processes(self) -> Collection[HeldProcess]:
        """What it reads, or is done with while others are not."""
        return self._anchors.keys()

    def wants(self, process: HeldProcess) -> bool:
        """Whether a process is one of those that it reads."""
        return matches(process.name, self.patterns)

    def begin(self, watch: Watch, patterns: tuple[str, ...]) -> None:
        """Begin a reading; one that was under way ends."""
        self._remember(patterns)
        if self._watch is not None:
            self._watch.end()
        self._watch, self.patterns = watch, patterns

    def read(self, watch: Watch, processes: Iterable[HeldProcess]) -> Steps[None]:
        """Read these in the reading that has begun, unless another begins meanwhile."""
        for process in processes:
            if self._watch is not watch:
                return
            if not process.forgotten:
                if process not in self._anchors:
                    self._hold(process)
                self._add(watch, process)
            yield

    def join(self, process: HeldProcess) -> None:
        """A process was made that it reads, too."""
        self._hold(process)
        if self._watch is not None and not self._watch.done:
            self._add(self._watch, process)

    def join_all(self, processes: Iterable[HeldProcess]) -> None:
        """Read, too, what the papa before had no time or room to note the place in."""
        for process in processes:
            if not (process in self._anchors or process.removed) and self.wants(process):
                self._hold(process)

    def _hold(self, process: HeldProcess) -> None:
        self._anchors[process] = process.journal.join(holding=True)
        process.cursors += (self,)
        # Without, the next papa has it begin there as well.
        with suppress(LimitReached):
            self.remember(process)

    def _add(self, watch: Watch, process: HeldProcess) -> None:
        anchor = self._anchors[process]
        if anchor is not None:
            place = process.journal.join(holding=False, at=anchor)
            watch.add(Reader(process, place, partial(self._acknowledged, process)))

    def _acknowledged(self, process: HeldProcess, mark: int, *, end: bool) -> None:
        anchor = self._anchors.get(process)
        if anchor is None:
            return
        # The process first: nobody would repeat an acknowledgement of which only the cursor knows.
        process.acknowledged(mark, end=end)
        if end:
            self._ledger.put(_PLACE, self._entry(process), None)
            self._anchors[process] = None
            self._let_go(process, anchor)
            process.perhaps_forget()
        else:
            process.journal.advance(anchor, mark)
            process.settle()

    def move(self, process: HeldProcess, mark: int) -> None:
        """
        Have the next reading of a process begin at a mark, or with the oldest byte behind it that is held.

        @raise NotFound: if it does not read this process.
        @raise BadRequest: if that has not printed so much.
        @raise LimitReached: if there is no room to note that; nothing has changed then.
        """
        anchor = self._anchors.get(process)
        if anchor is None:
            raise NotFound(f"Cursor {self.name} does not read process {process.name}")
        if mark > process.journal.tail:
            raise BadRequest(f"Process {process.name} has not printed so much: its mark is {process.journal.tail}")
        self._note(process, process.journal.destination(anchor, mark))
        process.journal.move(anchor, mark)
        with suppress(LimitReached):  # What is given back is only to be noted for the space.
            process.settle()

    def drop(self, process: HeldProcess, successor: HeldCursor | None = None) -> None:
        """
        Have nothing to do with this process any more: it is forgotten, or was removed, or this cursor was.

        @param successor: another that has the name of this one by now, and perhaps a place there.
        """
        if process not in self._anchors:
            return
        anchor = self._anchors.pop(process)
        if successor is None or process not in successor.processes:
            with suppress(LimitReached):  # The next papa finds that it is over, or nowhere.
                self._ledger.remove(_PLACE, self._entry(process))
        if anchor is not None:
            self._let_go(process, anchor)

    def _let_go(self, process: HeldProcess, anchor: Place) -> None:
        process.cursors = without(process.cursors, self)
        process.left(anchor)

    def remember(self, process: HeldProcess) -> None:
        """Have the ledger know its place in one process, which waits for it."""
        anchor = self._anchors[process]
        if self._ledger.keeps and anchor is not None:
            self._note(process, anchor)

    def _note(self, process: HeldProcess, place: Place) -> None:
        self._ledger.put(_PLACE, self._entry(process), (place.mark, place.hole))

    def _entry(self, process: HeldProcess) -> str:
        return f"{self.name} {process.key}"

    def _remember(self, patterns: tuple[str, ...]) -> None:
        """Have the ledger know of it, with these patterns, and apart from its places."""
        self._ledger.put(_CURSOR, self.name, {"patterns": patterns})

    def restore(self, entry: Mapping[str, Any], places: Mapping[HeldProcess, Any]) -> None:
        """
        Be as the ledger knows it.

        @param places: mark and hole, in each process that it reads; L{None} where it is over.
        """
        self.patterns = tuple(entry["patterns"])
        for process, place in places.items():
            if place is None:
                self._anchors[process] = None
                continue
            mark, hole = place
            at = Place(mark, hole and (hole[0], hole[1]))
            self._anchors[process] = process.journal.join(holding=True, at=at)
            process.cursors += (self,)

    def end(self) -> None:
        """Begin no reading any more; one that was under way ends."""
        self._ledger.remove(_CURSOR, self.name)
        if self._watch is not None:
            self._watch.end()
            self._watch = None


class Cursors:
    """All cursors, by name."""

    def __init__(self, ledger: ILedger) -> None:
        self._ledger = ledger
        self._held: Named[HeldCursor] = Named()

    def read(self, name: str, watch: Watch, patterns: tuple[str, ...], processes: Iterable[HeldProcess]) -> Steps[None]:
        """
        Begin a reading with a cursor, which is made if there is none of that name.

        @raise LimitReached: if there are as many as there may be.
        """
        cursor = self._held.get(name)
        if cursor is None:
            if len(self._held) >= _MOST:
                raise LimitReached(f"There are {_MOST} cursors: remove some first")
            cursor = HeldCursor(name, self._ledger)
        cursor.begin(watch, patterns)
        self._held[name] = cursor
        yield from cursor.read(watch, processes)

    def made(self, process: HeldProcess) -> None:
        """A process was made: it joins the cursors that want it."""
        for cursor in self._held.values():
            if cursor.wants(process):
                cursor.join(process)

    def forgotten(self, process: HeldProcess) -> None:
        """A process is held no more."""
        for cursor in self._held.values():
            cursor.drop(process)

    def restore(self, entries: Mapping[str, Mapping[str, Any]], processes: Mapping[str, HeldProcess]) -> None:
        """
        Hold again what the ledger knows of.

        @param entries: by kind and name; C{processes}: by key.
        """
        places: dict[str, dict[HeldProcess, Any]] = {}
        cursors = entries.get(_CURSOR, {})
        for at, place in entries.get(_PLACE, {}).items():
            name, _, key = at.partition(" ")
            if name in cursors and key in processes:
                places.setdefault(name, {})[processes[key]] = place
            else:
                with suppress(LimitReached):
                    self._ledger.remove(_PLACE, at)
        for name, entry in cursors.items():
            cursor = self._held[name] = HeldCursor(name, self._ledger)
            cursor.restore(entry, places.get(name, {}))
            cursor.join_all(processes.values())

    def list(self, request: ListCursors) -> dict[str, Cursor]:
        """The cursors that a request selects."""
        selected = select(self._held, request.names, kind="Cursor", after=request.after, most=request.most)
        return {name: cursor.record() for name, cursor in selected.items()}

    def move(self, request: MoveCursor, process: HeldProcess) -> None:
        """Move a cursor in a process."""
        if request.name not in self._held:
            raise NotFound(f"Cursor {request.name!r} not found{nearest(request.name, self._held)}")
        self._held[request.name].move(process, request.mark)

    def removal(self, patterns: Sequence[str]) -> Steps[None]:
        """Forget cursors; nothing waits for them any more."""
        for name, cursor in select(self._held, patterns, kind="Cursor", required=True).items():
            if self._held.get(name) is cursor:
                cursor.end()
                del self._held[name]
                for process in list(cursor.processes):
                    cursor.drop(process, self._held.get(name))
                    process.perhaps_forget()
                    yield
