"""
The tape: the output of one process in a memory file that outlives the kernel.

The system moves what the process prints from its pipe to the file in one call (L{os.splice}). So a byte is either in
the pipe or on the tape whenever the kernel is killed; L{papa.continuity.segments} says how much is there. Beside it, an
index says when each entry was read, and of which channel, and where it lies. For the one piece that may be on the tape
and not yet in the index, the L{Scratch} says the same.

What nobody needs any more is written over, or given back to the system.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from zope.interface import implementer

from papa.continuity.segments import SEGMENT, Segments, Spare, punch
from papa.interfaces import ITape

__all__ = ["Scratch", "Tape"]

#: As much as a pipe holds.
_MOST: Final = 65536
#: End and stamp of an entry, and of what channel it is and where it lies. It lies in one segment.
_ENTRY: Final = struct.Struct("<QdQ")
#: Inode of a tape, channel and stamp of what is being put there.
_NOTE: Final = struct.Struct("<QQd")
#: Space in the index is given back in pieces of this size: each is a system call.
_GIVE_BACK: Final = 1 << 18
_PAGE: Final = mmap.PAGESIZE


class Scratch:
    """
    What all tapes share: a page that outlives the kernel, for what it is about to do; one thing at a time, as it has
    one thread.

    Behind that stands what it has done and could not note elsewhere for want of room.

    @ivar descriptor: of its file.
    @ivar spare: the memory that all tapes have to write over.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """
        @param descriptor: of the scratch of another kernel.
        """
        if descriptor is None:
            descriptor = os.memfd_create("papa-scratch")
            os.ftruncate(descriptor, _PAGE)
        self.descriptor = descriptor
        self.spare = Spare()
        self._page = mmap.mmap(descriptor, _PAGE)
        self._inode, self._channel, self._stamp = _NOTE.unpack_from(self._page)
        self._kept: dict[int, tuple[int, float, int]] = {}
        self._free: list[int] = []
        for place in range(_NOTE.size, _PAGE - _NOTE.size, _NOTE.size):
            inode, channel, stamp = _NOTE.unpack_from(self._page, place)
            if inode:
                self._kept[inode] = (place, stamp, channel)
            else:
                self._free.append(place)

    def note(self, inode: int, channel: int, stamp: float) -> None:
        """Something of a channel is going to be put on the tape of that inode."""
        _NOTE.pack_into(self._page, 0, inode, channel, stamp)

    def noted(self, inode: int) -> tuple[float, int] | None:
        """Stamp and channel of what the kernel before was putting on a tape when it was killed, or had put there."""
        if inode == self._inode:
            return self._stamp, self._channel
        _, stamp, channel = self._kept.get(inode, (0, 0.0, 0))
        return (stamp, channel) if channel else None

    @property
    def full(self) -> bool:
        """Whether nothing more can be kept."""
        return not self._free

    def keep(self, inode: int, channel: int, stamp: float) -> None:
        """What was put on the tape of that inode is noted nowhere else."""
        if inode not in self._kept and self.full:
            return  # It stands here as what was done last: see Tape.record.
        place = self._kept[inode][0] if inode in self._kept else self._free.pop()
        self._kept[inode] = (place, stamp, channel)
        _NOTE.pack_into(self._page, place, inode, channel, stamp)

    def let_go(self, inode: int) -> None:
        """It is, by now."""
        kept = self._kept.pop(inode, None)
        if kept is not None:
            _NOTE.pack_into(self._page, kept[0], 0, 0, 0.0)
            self._free.append(kept[0])


@contextmanager
def _new_files() -> Iterator[list[int]]:
    """Two files, for output and its index; they are closed if the body fails."""
    files: list[int] = []
    try:
        files.extend(map(os.memfd_create, ("papa-output", "papa-index")))
        yield files
    except BaseException:
        for file in files:
            os.close(file)
        raise


@implementer(ITape)
class Tape:
    """One process's tape; its files are made when they are first needed."""

    def __init__(self, scratch: Scratch, made: Callable[[list[int]], object], files: Iterable[int] = ()) -> None:
        """
        @param made: is given the files as soon as they are there, before anything is in them; may raise
            L{LimitReached}.
        @param files: of the tape of another kernel.
        """
        self._scratch = scratch
        self._made = made
        self._data = self._index = -1
        self._inode = 0
        self._index_given_back = 0
        # Of the last entry, if there was no room for it in the index.
        self._unnoted: tuple[int, bytes] | None = None
        files = list(files)
        if files:
            self._open(*files)

    def _open(self, data: int, index: int) -> None:
        self._data, self._index = data, index
        self._inode = os.fstat(data).st_ino
        self._segments = Segments(data, self._scratch.spare)

    def record(self, pipe: int, channel: int, now: float) -> int:
        """
        Put on the tape what is in a pipe.

        @return: how many bytes that were; 0 at the end of the pipe.
        @raise BlockingIOError: if the pipe is empty.
        @raise OSError: if there is no room; or L{LimitReached}.
        """
        if self._data < 0:
            if _has_ended(pipe):
                return 0  # What has printed nothing needs no files.
            self._make()
        if self._unnoted is not None:
            self._note(*self._unnoted)
        if self._scratch.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._scratch.note(self._inode, channel, now)
        return self._segments.record(pipe, _MOST)

    def _make(self) -> None:
        with _new_files() as files:
            self._made(files)
        self._open(*files)

    def note(self, number: int, end: int, stamp: float, channel: int) -> None:
        """An entry ends there. If there is no room to say so, nothing more is recorded before it is said."""
        where = self._segments.slot(end) ^ (end - 1) // SEGMENT
        try:
            self._note(number, _ENTRY.pack(end, stamp, channel | where << 8))
        except OSError:
            # Another tape's turn must not wipe it out.
            self._scratch.keep(self._inode, channel, stamp)

    def _note(self, number: int, entry: bytes) -> None:
        again = self._unnoted is not None
        self._unnoted = (number, entry)
        if os.pwrite(self._index, entry, number * _ENTRY.size) != _ENTRY.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unnoted = None
        if again:
            self._scratch.let_go(self._inode)

    def entries(self, number: int, mark: int) -> Iterable[tuple[int, float, int]]:
        """The entries from that number on, to the end of the tape."""
        if self._data < 0:
            return
        length = os.fstat(self._index).st_size - number * _ENTRY.size
        log = os.pread(self._index, max(0, length - length % _ENTRY.size), number * _ENTRY.size)
        found = list(_ENTRY.iter_unpack(log))
        slots = {(end - 1) // SEGMENT: where >> 8 ^ (end - 1) // SEGMENT for end, _, where in found}
        self._segments.restore(found[-1][0] if found else mark, slots)
        for end, stamp, where in found:
            yield end, stamp, where & 0xFF
            mark = end
        if mark < self._segments.end:
            stamp, channel = self._scratch.noted(self._inode) or (0.0, 1)
            self.note(number + len(found), self._segments.end, stamp, channel)
            yield self._segments.end, stamp, channel
        if self._unnoted is None:
            self._scratch.let_go(self._inode)

    def read(self, mark: int, size: int) -> bytes:
        """What is there."""
        return self._segments.read(mark, size)

    def release(self, mark: int, number: int) -> None:
        """Have space for more."""
        if self._data < 0:
            return
        self._segments.release(mark)
        index = number * _ENTRY.size
        if index - self._index_given_back >= _GIVE_BACK:
            self._index_given_back = punch(self._index, self._index_given_back, index)

    def straighten(self, mark: int, number: int) -> None:
        """Lie in new files, each byte at its mark, and nothing about slots in the index."""
        if self._data < 0:
            return
        before, end = (self._data, self._index), self._segments.end
        log = os.pread(self._index, os.fstat(self._index).st_size, number * _ENTRY.size)
        entries = (_ENTRY.pack(end, stamp, where & 0xFF) for end, stamp, where in _ENTRY.iter_unpack(log))
        with _new_files() as (data, index):
            os.pwrite(index, b"".join(entries), number * _ENTRY.size)
            for begin in range(mark, end, SEGMENT):
                os.pwrite(data, self._segments.read(begin, min(SEGMENT, end - begin)), begin)
            os.ftruncate(data, end)
            self._made([data, index])
        self._segments.close()
        self._open(data, index)
        for file in before:
            os.close(file)

    def close(self) -> None:
        """Give all of it back."""
        if self._data >= 0:
            self._segments.close()
            self._scratch.let_go(self._inode)
            os.close(self._data)
            os.close(self._index)
            self._data = self._index = -1


def _has_ended(pipe: int) -> bool:
    """Whether nothing is in a pipe, and nobody is left to put anything there."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return poll.poll(0) == [(pipe, select.POLLHUP)]
