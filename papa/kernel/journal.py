"""
What one process printed and nobody has acknowledged yet: bounded, in order of arrival, addressed by integer marks.

A mark counts the bytes of the process, both channels together, from its start. An I{entry} is a run of bytes of one
channel with one timestamp; entries live in I{blocks}, which are chained so that a reader keeps its place at no cost and
memory goes back as soon as a block is behind everybody.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from papa.interfaces import ITape
from papa.kernel.few import without
from papa.records import Hole, Output

__all__ = ["UNTOUCHED", "Journal", "Place", "State"]

#: Head, number of the first entry, mark and hole of what is unread, bytes dropped, whether it discards.
State: TypeAlias = tuple[int, int, int, tuple[float, float] | None, int, bool]
#: That of a journal that nothing was let go of.
UNTOUCHED: Final[State] = (0, 0, 0, None, 0, False)

#: A read of this size or more becomes a block of its own, without a copy.
_LARGE: Final = 4096
#: Smaller reads are collected in blocks of this size.
_BLOCK: Final = 65536
#: A run shorter than this takes in what the same channel prints within L{_COALESCE} seconds: single bytes would
#: otherwise cost seventeen times their size.
_SHORT: Final = 64
_COALESCE: Final = 0.01
#: What was read within so many seconds comes as one, of no more bytes than fit into a value of a box: each piece costs
#: its readers as much as 30 KiB of data.
_AT_ONCE: Final = 0.001
_TOGETHER: Final = 65535
#: What an entry and a block cost beside their data; beyond the allowance it is counted against the bound.
_ENTRY_COST: Final = 17
_BLOCK_COST: Final = 512
_ALLOWANCE: Final = 1024


class _Block:
    """
    Consecutive entries: C{ends[i]} is the mark at the end of entry C{i}; C{start} the mark at C{data[0]}.

    @ivar first: the number of the first entry, counted from the beginning of the journal.
    @ivar data: the bytes; L{None} where they lie on a tape.
    """

    __slots__ = ("channels", "data", "ends", "first", "next", "stamps", "start")

    def __init__(self, start: int, first: int, data: bytes | bytearray | None) -> None:
        self.start = start
        self.first = first
        self.data = data
        self.ends = array("Q")
        self.stamps = array("d")
        self.channels = bytearray()
        self.next: _Block | None = None

    def add(self, end: int, stamp: float, channel: int) -> None:
        """Record an entry whose bytes are there already."""
        self.ends.append(end)
        self.stamps.append(stamp)
        self.channels.append(channel)

    def entry_at(self, mark: int) -> int:
        """The index of the entry that holds the byte at C{mark}; the number of entries if none does."""
        return bisect_right(self.ends, mark)

    def piece(self, begin: int, end: int) -> bytes:
        """The bytes between two marks."""
        assert self.data is not None
        if isinstance(self.data, bytes) and begin == self.start and end - begin == len(self.data):
            return self.data
        return bytes(memoryview(self.data)[begin - self.start : end - self.start])

    def trim(self, mark: int, *, always: bool) -> int:
        """
        Let go of the entries below a mark; of their bytes where that is worth the copy, or C{always}.

        @return: how many entries that were.
        """
        gone = self.entry_at(mark)
        del self.ends[:gone], self.stamps[:gone], self.channels[:gone]
        self.first += gone
        unused = mark - self.start
        if self.data is None:
            self.start = mark
        elif isinstance(self.data, bytearray):
            del self.data[:unused]
            self.start = mark
        elif unused * 2 >= len(self.data) or always:
            # Half of it is nothing but weight.
            self.data = self.data[unused:]
            self.start = mark
        return gone


class Place:
    """
    A reader's place in a journal.

    @ivar mark: up to where it has been given everything, or told of the hole.
    @ivar hole: first and last time of what was dropped before the reader came to it.
    """

    __slots__ = ("block", "hole", "mark")

    def __init__(self, mark: int, hole: tuple[float, float] | None = None) -> None:
        self.mark = mark
        self.hole = hole
        self.block: _Block | None = None


class Journal:
    """
    Output of one process.

    @ivar head: the mark of the oldest byte held.
    @ivar tail: the mark behind the newest byte: how many bytes were captured.
    @ivar dropped: how many bytes were let go before anybody acknowledged them.
    @ivar overhead: what the bookkeeping of the held bytes costs, in bytes.

    No more than C{limit} bytes are held, and no more than C{limit} and a kilobyte with the bookkeeping; unless the
    journal is C{lossless}: then whoever fills it has to look whether it is L{full}.

    With a tape, the bytes lie there, and the journal knows where.
    """

    __slots__ = (
        "_count",
        "_first",
        "_holding",
        "_last",
        "_looking",
        "_tape",
        "_unread",
        "discarding",
        "dropped",
        "head",
        "limit",
        "lossless",
        "overhead",
        "tail",
    )

    def __init__(self, limit: int, *, lossless: bool = False, tape: ITape | None = None) -> None:
        self.limit = limit
        self.lossless = lossless
        self.discarding = False
        self.head = self.tail = self.dropped = self.overhead = 0
        self._tape = tape
        self._count = 0
        self._first: _Block | None = None
        self._last: _Block | None = None
        self._unread = Place(0)
        self._holding: tuple[Place, ...] = ()
        self._looking: tuple[Place, ...] = ()

    @classmethod
    def restored(cls, limit: int, state: State, *, lossless: bool, tape: ITape | None) -> Journal:
        """The journal that a papa before has filled and noted the L{state} of."""
        journal = cls(limit, lossless=lossless, tape=tape)
        journal.head, journal._count, unread, hole, journal.dropped, journal.discarding = state
        journal.tail = journal.head
        journal._unread = Place(unread, hole and (hole[0], hole[1]))
        if tape is None:
            journal.discarding = True
        elif not journal.discarding:
            for end, stamp, channel in tape.entries(journal._count, journal.head):
                size, journal.tail = end - journal.tail, end
                block = journal._block_for(size)
                block.add(end, stamp, channel)
                journal._count += 1
                journal.overhead += _ENTRY_COST
        return journal

    def go_on(self) -> None:
        """All places of the papa before are there again: let go of what everybody has, and of what is too much."""
        self._give_back()
        # What was captured behind the noted state was within the bound then, but perhaps not acknowledged.
        self._bound()

    def state(self) -> State:
        """What must be known of it, beside its tape, to go on with it: for JSON."""
        hole = self._unread.hole
        return (self.head, self._first_number, self._unread.mark, hole, self.dropped, self.discarding)

    @property
    def _first_number(self) -> int:
        return self._count if self._first is None else self._first.first

    def release_tape(self) -> None:
        """Give back what is below the head; to be done once that has been noted, for it cannot be read again."""
        if self._tape is not None:
            self._tape.release(self.head, self._first_number)

    def straighten_tape(self) -> None:
        """Have the tape lie as a papa of the first format would have it; nothing is added any more."""
        if self._tape is not None and not self.discarding:
            self._tape.straighten(self.head, self._first_number)

    @property
    def full(self) -> bool:
        """Whether a lossless journal should be given no more for now."""
        return self._excess() >= 0

    def _excess(self) -> int:
        """By how many bytes too much is held; negative while there is room."""
        held = self.tail - self.head
        return max(held, held + self.overhead - _ALLOWANCE) - self.limit

    def append(self, channel: int, data: bytes, now: float) -> None:
        """Add what was read just now; the oldest entries go if it is too much."""
        if self.discarding or not data:
            return
        self.tail += len(data)
        if len(data) >= _LARGE:
            self._begin_entry(self._chain(len(data), data), channel, now)
        else:
            block = self._block_for(len(data))
            assert isinstance(block.data, bytearray)
            block.data += data
            self._extend(block, channel, len(data), now)
        self._bound()

    def stored(self, channel: int, size: int, now: float) -> None:
        """Add so many bytes that were put on the tape just now; the oldest entries go if it is too much."""
        if self.discarding:
            return
        self.tail += size
        self._extend(self._block_for(size), channel, size, now)
        self._bound()

    def _bound(self) -> None:
        if not self.lossless and self._excess() > 0:
            self._drop_oldest()

    def _block_for(self, size: int) -> _Block:
        """
        A block that takes in so many bytes more, which the tail stands behind already.

        No entry grows over a multiple of the size of blocks; so on a tape it lies in one piece.
        """
        last = self._last
        if last is None or isinstance(last.data, bytes) or self.tail > (last.start // _BLOCK + 1) * _BLOCK:
            return self._chain(size, None if self._tape is not None else bytearray())
        return last

    def _chain(self, size: int, data: bytes | bytearray | None) -> _Block:
        block = _Block(self.tail - size, self._count, data)
        if self._last is None:
            self._first = block
        else:
            self._last.next = block
        self._last = block
        self.overhead += _BLOCK_COST
        return block

    def _extend(self, block: _Block, channel: int, size: int, now: float) -> None:
        if size < _LARGE and block.ends and block.channels[-1] == channel and 0 <= now - block.stamps[-1] < _COALESCE:
            start = block.ends[-2] if len(block.ends) > 1 else block.start
            if block.ends[-1] - start < _SHORT:
                block.ends[-1] = self.tail
                self._note_last(block)
                return
        self._begin_entry(block, channel, now)

    def _begin_entry(self, block: _Block, channel: int, now: float) -> None:
        block.add(self.tail, now, channel)
        self._count += 1
        self.overhead += _ENTRY_COST
        self._note_last(block)

    def _note_last(self, block: _Block) -> None:
        if self._tape is not None:
            self._tape.note(self._count - 1, self.tail, block.stamps[-1], block.channels[-1])

    def _drop_oldest(self) -> None:
        """Let go of the oldest: whole blocks while that leaves half of the bound, else the bytes that must go."""
        while (excess := self._excess()) > 0 and self._first is not None:
            block = self._first
            end = block.ends[-1]
            if self.tail - end < self.limit // 2:
                end = min(end, self.head + max(excess, min(_SHORT, self.limit // 2)))
            self._drop(end)

    def _drop(self, end: int) -> None:
        """Let go of everything below a mark, whoever waits for it."""
        self._make_holes((self._unread, *self._holding, *self._looking), end)
        self.dropped += max(0, end - max(self.head, self._unread.mark))
        self._release(end)

    def let_go(self, size: int) -> None:
        """Let go of so many of the oldest bytes, or a few more, though the bound allows them."""
        if self._first is not None:
            self._drop(min(self.head + max(size, _SHORT), self.tail))

    def _make_holes(self, places: Iterable[Place], end: int) -> None:
        """Note for readers that have not come to C{end} when the bytes were read that they will miss."""
        behind = [place for place in places if place.mark < end]
        if behind:
            last = self._stamp_at(end - 1)
            for place in behind:
                first = place.hole[0] if place.hole else self._stamp_at(max(place.mark, self.head))
                place.hole = (first, last)

    def _release(self, mark: int) -> None:
        """Give back everything below C{mark}."""
        while self._first is not None and self._first.ends[-1] <= mark:
            block = self._first
            self.overhead -= len(block.ends) * _ENTRY_COST + _BLOCK_COST
            self.head = block.ends[-1]
            self._first = block.next
        if self._first is None:
            self._last = None
        elif mark > self.head:
            self._trim(self._first, mark)
        for place in (*self._holding, *self._looking):
            if place.block is not None and place.block.ends[-1] <= self.head:
                place.block = None

    def _trim(self, block: _Block, mark: int) -> None:
        self.head = mark
        # A copy is worth it, too, if the bound is as small as a read.
        self.overhead -= block.trim(mark, always=self.limit < _BLOCK) * _ENTRY_COST

    def join(self, *, holding: bool, at: Place | None = None) -> Place:
        """
        A new reader's place.

        @param at: the place to begin at.

        @param holding: whether output waits for it. A holding reader begins behind what was acknowledged; any other
            with the oldest byte there is, and is told of the hole before it that nobody was told of.
        """
        if at is None and (holding or self._unread.mark < self.head):
            at = self._unread
        place = Place(self.head) if at is None else Place(at.mark, at.hole)
        if holding:
            self._holding += (place,)
        else:
            self._looking += (place,)
        return place

    def leave(self, place: Place) -> None:
        """A reader goes; output no longer waits for it."""
        self._looking = without(self._looking, place)
        if self._holding:
            self._holding = without(self._holding, place)
            self._give_back()

    def take(self, place: Place, limit: int, name: str, invocation: str) -> Iterator[Output | Hole]:
        """
        Move a place on, by about C{limit} bytes at most, and give what lies in between.

        What one channel has printed within a millisecond comes as one, with the time of the first.

        @param name: put into the records, as C{invocation} is.
        """
        if place.mark < self.head:
            first, last = place.hole or (0.0, 0.0)
            size = self.head - place.mark
            place.mark, place.hole, place.block = self.head, None, None
            yield Hole(name=name, size=size, first=first, last=last, mark=self.head, invocation=invocation)
        while place.mark < self.tail and limit > 0:
            block, index = self._find(place)
            begin, channel, stamp = place.mark, block.channels[index], block.stamps[index]
            pieces = [self._move(place, block, min(block.ends[index], begin + limit))]
            while place.mark < min(self.tail, begin + limit):
                block, index = self._find(place)
                end, later = block.ends[index], block.stamps[index] - stamp
                if end - begin > min(limit, _TOGETHER) or block.channels[index] != channel or not 0 <= later < _AT_ONCE:
                    break
                pieces.append(self._move(place, block, end))
            limit -= place.mark - begin
            yield Output(
                name=name,
                channel=channel,
                timestamp=stamp,
                data=self._data(pieces, begin, place.mark),
                mark=place.mark,
                invocation=invocation,
            )

    def _find(self, place: Place) -> tuple[_Block, int]:
        """The block and the index of the entry at a place before the tail."""
        while True:
            block = place.block = place.block or self._first
            assert block is not None
            index = block.entry_at(place.mark)
            if index < len(block.ends):
                return block, index
            place.block = block.next

    def _move(self, place: Place, block: _Block, end: int) -> bytes:
        """Move a place on, and give the bytes in between, unless they are on the tape."""
        begin, place.mark = place.mark, end
        return b"" if self._tape is not None else block.piece(begin, end)

    def _data(self, pieces: list[bytes], begin: int, end: int) -> bytes:
        if self._tape is not None:
            return self._tape.read(begin, end - begin)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def acknowledge(self, mark: int) -> None:
        """Everything below C{mark} is safe; it goes as soon as every holding reader has been given it."""
        if mark > self._unread.mark:
            self._unread.mark = mark
            if mark >= self.head:
                self._unread.hole = None
            else:
                # Its reader knows when the first byte behind the mark was read, which is held no more.
                holes = (place.hole for place in self._holding if place.mark == mark)
                self._unread.hole = next(holes, self._unread.hole)
        self._give_back()

    def advance(self, place: Place, mark: int) -> None:
        """A holding reader needs nothing below C{mark} any more."""
        if mark > place.mark:
            self.move(place, mark)

    def destination(self, place: Place, mark: int) -> Place:
        """Where a reader's place comes to be if it is put at C{mark}, or at the oldest byte behind it that is held."""
        if mark >= self.head or mark < place.mark:
            return Place(max(mark, self.head))
        return Place(mark, place.hole)

    def move(self, place: Place, mark: int) -> None:
        """Put a reader's place at its L{destination}."""
        there = self.destination(place, mark)
        place.mark, place.hole, place.block = there.mark, there.hole, None
        self._give_back()

    def _give_back(self) -> None:
        wanted = min([self._unread.mark, *(place.mark for place in self._holding)])
        if wanted > self.head:
            self._make_holes(self._looking, wanted)
            self._release(wanted)

    def _stamp_at(self, mark: int) -> float:
        """When the byte at C{mark} was read; it must be held."""
        block = self._first
        while block is not None and block.ends[-1] <= mark:
            block = block.next
        assert block is not None
        return block.stamps[block.entry_at(mark)]

    def discard(self) -> None:
        """Let go of everything, now and from now on, for all readers and without a hole."""
        self.discarding = True
        self._first = self._last = None
        self.overhead = 0
        self.head = self.tail
        for place in (self._unread, *self._holding, *self._looking):
            place.mark, place.hole, place.block = self.tail, None, None
