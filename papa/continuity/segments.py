"""
The bytes of a tape: a memory file whose parts are written over and over.

To move bytes to a new page of a file takes twice the time of a read; to one that is there already, a fifth more. So
the file has I{slots} of one size, and the output, cut into I{segments} of that size, lies in them in any order: a slot
whose segment nobody needs any more takes the next one. How much there is is said by the position of the file, which the
system moves on in the same call as the bytes, and which is the same for all who hold the file. In which slot a segment
lies is said by the index of the tape.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Final

__all__ = ["SEGMENT", "Segments", "Spare", "punch"]

#: The size of a segment, and of a slot. What is moved in one call must be less.
SEGMENT: Final = 1 << 18
#: How many slots one tape keeps to write over, and all tapes together.
_SPARE: Final = 4
_ALL_SPARE: Final = 128
_PAGE: Final = mmap.PAGESIZE

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
# There is none where there is no anchor, and so no tape.
_fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


def punch(file: int, begin: int, end: int) -> int:
    """Give the whole pages in between back to the system, and say up to where these go."""
    end -= end % _PAGE
    begin -= begin % _PAGE
    if end > begin and _fallocate is not None:
        # What the system does not take back now, it does with the file.
        _fallocate(file, _PUNCH_HOLE | _KEEP_SIZE, begin, end - begin)
    return end


class Spare:
    """Who has memory to write over, in the order of its last use: all together keep so much and no more."""

    def __init__(self) -> None:
        self._kept: dict[Segments, int] = {}
        self._total = 0

    def keep(self, segments: Segments, slots: int) -> None:
        """So many slots are kept there; if that is too much for all together, others are given back."""
        self._total += slots - self._kept.pop(segments, 0)
        if slots:
            self._kept[segments] = slots
        while self._total > _ALL_SPARE:
            oldest = next(iter(self._kept))
            self._total -= self._kept.pop(oldest)
            oldest.give_back()


class Segments:
    """
    The bytes of one tape.

    @ivar end: the mark behind the last.
    """

    def __init__(self, file: int, spare: Spare) -> None:
        """
        @param file: a memory file, which is new or is L{restore}d next. It stays the caller's.
        """
        self._file = file
        self._spare = spare
        self.end = 0
        self._room = 0
        self._released = 0
        self._first = 0
        self._slots: dict[int, int] = {}
        self._count = 0
        self._warm: list[int] = []
        self._cold: list[int] = []

    def restore(self, mark: int, slots: dict[int, int]) -> None:
        """
        Be what another kernel has left.

        @param mark: up to where there is an index: what lies behind it was moved in one call.
        @param slots: of what is in the index: by number of the segment.
        """
        found = os.fstat(self._file)
        position = os.lseek(self._file, 0, os.SEEK_CUR)
        if not position:
            # A log that was only ever appended to, as the first format has it.
            position = os.lseek(self._file, found.st_size, os.SEEK_SET)
        # Slots begin where segments do, so the two differ by whole ones.
        self.end = mark + (position - mark) % SEGMENT
        self._room = -self.end % SEGMENT
        self._slots = slots
        if self._room or self.end > mark:
            slots[(self.end - 1) // SEGMENT] = (position - 1) // SEGMENT
        self._first = min(slots, default=self.end // SEGMENT)
        self._count = -(-found.st_size // SEGMENT)
        self._cold = sorted(set(range(1, self._count)).difference(slots.values()), reverse=True)
        if found.st_blocks * 512 > len(slots) * SEGMENT:
            for slot in self._cold:
                self._punch(slot)

    def slot(self, mark: int) -> int:
        """Which slot has the byte below a mark."""
        return self._slots[(mark - 1) // SEGMENT]

    def record(self, pipe: int, most: int) -> int:
        """
        Move what is in a pipe, in one call.

        @return: how many bytes that were; 0 at the end of the pipe.
        @raise OSError: if the pipe is empty, or there is no room.
        """
        if not self._room:
            self._begin()
        size = os.splice(pipe, self._file, min(most, self._room), flags=os.SPLICE_F_NONBLOCK)
        self._room -= size
        self.end += size
        return size

    def _begin(self) -> None:
        if self._warm:
            slot = self._warm.pop()
        elif self._cold:
            slot = self._cold.pop()
        else:
            slot = self._count
            self._count += 1
        os.lseek(self._file, slot * SEGMENT, os.SEEK_SET)
        self._slots[self.end // SEGMENT] = slot
        self._room = SEGMENT

    def read(self, mark: int, size: int) -> bytes:
        """What is there."""
        pieces = []
        while size:
            number, offset = divmod(mark, SEGMENT)
            length = min(size, SEGMENT - offset)
            pieces.append(os.pread(self._file, length, self._slots[number] * SEGMENT + offset))
            mark += length
            size -= length
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self, mark: int) -> None:
        """Nobody needs what is below a mark."""
        self._released = mark
        for number in range(self._first, mark // SEGMENT):
            slot = self._slots.pop(number)
            # A position of 0 says that nothing was ever moved.
            if slot:
                self._warm.append(slot)
            else:
                self._punch(slot)
        self._first = mark // SEGMENT
        while len(self._warm) > _SPARE:
            slot = self._warm.pop(0)
            self._punch(slot)
            self._cold.append(slot)
        self._spare.keep(self, len(self._warm) + (mark == self.end and mark % SEGMENT >= _PAGE))

    def _punch(self, slot: int) -> None:
        punch(self._file, slot * SEGMENT, (slot + 1) * SEGMENT)

    def give_back(self) -> None:
        """Give back to the system what nobody needs."""
        for slot in self._warm:
            self._punch(slot)
        self._cold += self._warm
        self._warm = []
        if self._released == self.end and self._room:
            begin = self._slots[self.end // SEGMENT] * SEGMENT
            punch(self._file, begin, begin + self.end % SEGMENT)

    def close(self) -> None:
        """Nothing of it will be asked for; if it were, what has its number by then is another's."""
        self._spare.keep(self, 0)
        self._file = -1
