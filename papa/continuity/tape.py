"""
The tape: the output of one process in a memory file that outlives the kernel.

The system moves what the process prints from its pipe to the file in one call (L{os.splice}). So a byte is either in
the pipe or on the tape whenever the kernel is killed; the length of the file says how much is there, and an offset in
it is a mark. Beside it, an index says when each entry was read, and of which channel. For the one piece that may be on
the tape and not yet in the index, the L{Scratch} says the same.

What nobody needs any more is given back to the system, page by page.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from zope.interface import implementer

from papa.interfaces import ITape

__all__ = ["Scratch", "Tape"]

#: As much as a pipe holds.
_MOST: Final = 65536
#: End, stamp and channel of an entry.
_ENTRY: Final = struct.Struct("<QdQ")
#: Inode of a tape, channel and stamp of what is being put there.
_NOTE: Final = struct.Struct("<QQd")
#: Space is given back in pieces of this size: each is a system call.
_GIVE_BACK: Final = 1 << 18
_PAGE: Final = mmap.PAGESIZE

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


class Scratch:
    """
    A page that outlives the kernel, for what it is about to do: one thing at a time, as it has one thread.

    @ivar descriptor: of its file.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """
        @param descriptor: of the scratch of another kernel.
        """
        if descriptor is None:
            descriptor = os.memfd_create("papa-scratch")
            os.ftruncate(descriptor, _PAGE)
        self.descriptor = descriptor
        self._page = mmap.mmap(descriptor, _PAGE)
        self._inode, self._channel, self._stamp = _NOTE.unpack_from(self._page)

    def note(self, inode: int, channel: int, stamp: float) -> None:
        """Something of a channel is going to be put on the tape of that inode."""
        _NOTE.pack_into(self._page, 0, inode, channel, stamp)

    def noted(self, inode: int) -> tuple[float, int] | None:
        """Stamp and channel of what the kernel before was putting on a tape when it was killed."""
        return (self._stamp, self._channel) if inode == self._inode else None


@implementer(ITape)
class Tape:
    """One process's tape; its files are made when they are first needed."""

    def __init__(self, scratch: Scratch, made: Callable[[list[int]], object], files: Iterable[int] = ()) -> None:
        """
        @param made: is given the files as soon as they are there, before anything is in them.
        @param files: of the tape of another kernel.
        """
        self._scratch = scratch
        self._made = made
        self._data = self._index = -1
        self._inode = self._size = 0
        self._given_back = self._index_given_back = 0
        # Of the last entry, if there was no room for it in the index.
        self._unnoted: tuple[int, bytes] | None = None
        files = list(files)
        if files:
            self._open(*files)

    def _open(self, data: int, index: int) -> None:
        self._data, self._index = data, index
        found = os.fstat(data)
        self._inode, self._size = found.st_ino, found.st_size

    def record(self, pipe: int, channel: int, now: float) -> int:
        """
        Put on the tape what is in a pipe.

        @return: how many bytes that were; 0 at the end of the pipe.
        @raise BlockingIOError: if the pipe is empty.
        @raise OSError: if there is no room.
        """
        if self._data < 0:
            self._make()
        if self._unnoted is not None:
            self._note(*self._unnoted)
        self._scratch.note(self._inode, channel, now)
        size = os.splice(pipe, self._data, _MOST, offset_dst=self._size, flags=os.SPLICE_F_NONBLOCK)
        self._size += size
        return size

    def _make(self) -> None:
        data = os.memfd_create("papa-output")
        try:
            index = os.memfd_create("papa-index")
        except OSError:
            os.close(data)
            raise
        self._open(data, index)
        self._made([data, index])

    def note(self, number: int, end: int, stamp: float, channel: int) -> None:
        """An entry ends there. If there is no room to say so, nothing more is recorded before it is said."""
        with suppress(OSError):
            self._note(number, _ENTRY.pack(end, stamp, channel))

    def _note(self, number: int, entry: bytes) -> None:
        self._unnoted = (number, entry)
        if os.pwrite(self._index, entry, number * _ENTRY.size) != _ENTRY.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unnoted = None

    def entries(self, number: int, mark: int) -> Iterable[tuple[int, float, int]]:
        """The entries from that number on, to the end of the tape."""
        if self._data < 0:
            return
        known = os.fstat(self._index).st_size
        log = os.pread(self._index, max(0, known - number * _ENTRY.size), number * _ENTRY.size)
        for end, stamp, channel in _ENTRY.iter_unpack(log[: len(log) - len(log) % _ENTRY.size]):
            yield end, stamp, channel
            mark = end
            number += 1
        if mark < self._size:
            stamp, channel = self._scratch.noted(self._inode) or (0.0, 1)
            self.note(number, self._size, stamp, channel)
            yield self._size, stamp, channel

    def read(self, mark: int, size: int) -> bytes:
        """What is there."""
        return os.pread(self._data, size, mark)

    def release(self, mark: int, number: int) -> None:
        """Give space back."""
        if self._data < 0:
            return
        if mark - self._given_back >= _GIVE_BACK or mark == self._size:
            self._given_back = _punch(self._data, self._given_back, mark)
        index = number * _ENTRY.size
        if index - self._index_given_back >= _GIVE_BACK:
            self._index_given_back = _punch(self._index, self._index_given_back, index)

    def close(self) -> None:
        """Give all of it back."""
        if self._data >= 0:
            os.close(self._data)
            os.close(self._index)
            self._data = self._index = -1


def _punch(file: int, begin: int, end: int) -> int:
    """Make a hole of the whole pages in between, and say up to where it goes."""
    end -= end % _PAGE
    begin -= begin % _PAGE
    if end > begin:
        # What the system does not take back now, it does with the file.
        _fallocate(file, _PUNCH_HOLE | _KEEP_SIZE, begin, end - begin)
    return end
