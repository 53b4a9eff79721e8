"""One reader of many processes: its place in each, what it was given, and what it has acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from papa.interfaces import IWatch, IWatchObserver
from papa.records import Item

if TYPE_CHECKING:
    from papa.kernel.processes import HeldProcess

__all__ = ["Reader", "Watch"]


class Reader:
    """
    A watch's place in the output of one process.

    @ivar acknowledging: whether what it takes and acknowledges is let go of; an observer's is not.
    @ivar told: whether it was given the process's end.
    """

    __slots__ = ("acknowledging", "place", "process", "told", "watch")

    def __init__(self, watch: Watch, process: HeldProcess, *, acknowledging: bool) -> None:
        self.watch = watch
        self.process = process
        self.acknowledging = acknowledging
        self.place = process.journal.join(holding=acknowledging)
        self.told = False

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return self.place.mark < self.process.journal.tail or (self.process.closed is not None and not self.told)

    def take(self, limit: int) -> list[Item]:
        """Up to about C{limit} bytes of output; then, when all is taken, the process's end."""
        journal = self.process.journal
        items: list[Item] = list(journal.take(self.place, self.process.name, limit))
        if self.place.mark == journal.tail and self.process.closed is not None and not self.told:
            self.told = True
            items.append(self.process.closed)
        return items


@implementer(IWatch)
class Watch:
    """
    A reader of processes.

    A process's readers are woken when it has something for them; so the cost of an operation follows what is there to
    be read, not how much is watched.
    """

    def __init__(self, processes: list[HeldProcess], observer: IWatchObserver, *, acknowledging: bool) -> None:
        self._observer = observer
        self._readers: dict[HeldProcess, Reader] = {}
        self._ready: dict[Reader, None] = {}
        self._taken: dict[Reader, None] = {}
        for process in processes:
            reader = self._readers[process] = Reader(self, process, acknowledging=acknowledging)
            process.readers.append(reader)
            if reader.pending:
                self._ready[reader] = None

    @property
    def count(self) -> int:
        """How many processes it still watches."""
        return len(self._readers)

    @property
    def pending(self) -> bool:
        """Whether there is something to take."""
        return bool(self._ready)

    def wake(self, reader: Reader) -> None:
        """A process has something for its reader."""
        if reader not in self._ready:
            first = not self._ready
            self._ready[reader] = None
            if first:
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
            items += reader.take(limit)
            limit -= reader.place.mark - before
            self._taken[reader] = None
            del self._ready[reader]
            if reader.pending:
                self._ready[reader] = None
        return items

    def acknowledge(self) -> None:
        """All that was taken is safe."""
        taken, self._taken = self._taken, {}
        for reader in taken:
            if reader.told:
                self._leave(reader)
            if reader.acknowledging:
                reader.process.acknowledged(reader.place.mark, end=reader.told)

    def stop(self) -> None:
        """Stop watching."""
        self._taken.clear()
        self._ready.clear()
        for reader in list(self._readers.values()):
            self._leave(reader)

    def _leave(self, reader: Reader) -> None:
        del self._readers[reader.process]
        self._ready.pop(reader, None)
        reader.process.readers.remove(reader)
        reader.process.left(reader.place)
