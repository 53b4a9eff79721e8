"""One reader of many processes: its place in each, what it was given, and what it has acknowledged."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from zope.interface import implementer

from papa.interfaces import IWatch, IWatchObserver
from papa.kernel.few import without
from papa.kernel.journal import Place
from papa.records import Item

if TYPE_CHECKING:
    from papa.kernel.process import HeldProcess

__all__ = ["Reader", "Watch"]

#: How many pieces are taken of one process at a time, and what each counts for at least, in bytes: it may be a single
#: byte, and a wire needs a hundred to say it.
_MOST_PIECES: Final = 1000
_PIECE: Final = 64
#: What an end counts for, in bytes: it takes 20 microseconds to acknowledge, and a batch is acknowledged at once.
_END: Final = 2048


class Acknowledged(Protocol):
    """What becomes of an acknowledgement."""

    def __call__(self, mark: int, *, end: bool) -> None:
        """Everything up to the mark is safe, and the process's end if C{end}."""


class Reader:
    """
    A watch's place in the output of one process.

    @ivar told: whether it was given the process's end.
    """

    __slots__ = ("acknowledged", "place", "process", "told", "watch")

    watch: Watch

    def __init__(self, process: HeldProcess, place: Place, acknowledged: Acknowledged | None) -> None:
        """
        @param acknowledged: what becomes of an acknowledgement; of an observer's, nothing.
        """
        self.process = process
        self.place = place
        self.acknowledged = acknowledged
        self.told = False

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return self.place.mark < self.process.journal.tail or (self.process.closed is not None and not self.told)

    def take(self, limit: int) -> list[Item]:
        """Up to about C{limit} bytes of output; then, when all is taken, the process's end."""
        journal = self.process.journal
        pieces = journal.take(self.place, limit, self.process.name, self.process.invocation)
        items: list[Item] = list(islice(pieces, _MOST_PIECES))
        if self.place.mark == journal.tail and self.process.closed is not None and not self.told:
            self.told = True
            items.append(self.process.closed)
        return items

    def leave(self) -> None:
        """Read it no more."""
        self.process.readers = without(self.process.readers, self)
        self.process.left(self.place)


@implementer(IWatch)
class Watch:
    """
    A reader of processes.

    A process's readers are woken when it has something for them; so the cost of an operation follows what is there to
    be read, not how much is watched.
    """

    since = 0

    def __init__(self, observer: IWatchObserver, *, endless: bool = False) -> None:
        """
        @param endless: whether processes may join at any time, so that it is not over without any.
        """
        self._observer: IWatchObserver | None = observer
        self._endless = endless
        self._readers: dict[str, Reader] = {}
        self._ready: dict[Reader, None] = {}
        self._taken: dict[Reader, None] = {}

    def add(self, reader: Reader) -> None:
        """
        Read one more process; one that had its name before is passed over from now on.

        The observer is not told of what is there already: it will look.
        """
        before = self._readers.get(reader.process.name)
        if before is not None:
            self._leave(before)
        reader.watch = self
        self._readers[reader.process.name] = reader
        reader.process.readers += (reader,)
        if reader.pending:
            self._ready[reader] = None

    @property
    def done(self) -> bool:
        """Whether nothing will come any more."""
        return not (self._readers or self._endless)

    @property
    def count(self) -> int:
        """How many processes it still watches."""
        return len(self._readers)

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return bool(self._ready)

    @property
    def processes(self) -> dict[str, str]:
        """What it watches now: by name, the invocation."""
        return {name: reader.process.invocation for name, reader in self._readers.items()}

    def wake(self, reader: Reader) -> None:
        """A process has something for its reader."""
        if reader not in self._ready:
            first = not self._ready
            self._ready[reader] = None
            if first and self._observer is not None:
                self._observer.output_ready()

    def take(self, limit: int) -> list[Item]:
        """
        Up to about C{limit} bytes, from one process after the other.

        A process that had more than its turn goes to the end of the row, so that a loud one does not silence others.
        """
        items: list[Item] = []
        for reader in list(self._ready):
            if limit <= 0:
                break
            before = reader.place.mark
            taken = reader.take(limit)
            items += taken
            limit -= max(reader.place.mark - before, len(taken) * _PIECE) + reader.told * _END
            self._taken[reader] = None
            del self._ready[reader]
            if reader.pending:
                self._ready[reader] = None
        return items

    def acknowledge(self) -> None:
        """All that was taken is safe."""
        for reader in list(self._taken):
            self._acknowledge(reader, reader.place.mark, end=reader.told)
            self._taken.pop(reader, None)

    def _acknowledge(self, reader: Reader, mark: int, *, end: bool) -> None:
        # Before anything else, since it may be refused, and must be possible again then.
        if reader.acknowledged is not None:
            reader.acknowledged(mark, end=end)
        if end:
            self._leave(reader)

    def acknowledge_to(self, name: str, invocation: str, mark: int, *, end: bool) -> None:
        """One process's output is safe up to a mark; an end that was not taken cannot be."""
        reader = self._readers.get(name)
        if reader is not None and reader.process.invocation == invocation:
            self._acknowledge(reader, min(mark, reader.place.mark), end=end and reader.told)

    def stop(self) -> None:
        """Stop watching."""
        self._observer = None  # It has this watch, and each would live by the other.
        self._endless = False
        self._taken.clear()
        self._ready.clear()
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.leave()

    def end(self) -> None:
        """Stop, because somebody else goes on; the observer finds that there is nothing left."""
        observer = self._observer
        if not self.done:
            self.stop()
            if observer is not None:
                observer.output_ready()

    def _leave(self, reader: Reader) -> None:
        del self._readers[reader.process.name]
        self._ready.pop(reader, None)
        self._taken.pop(reader, None)
        reader.leave()
