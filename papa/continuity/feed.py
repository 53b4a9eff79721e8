"""
The feed: the input of one process in a memory file that outlives the kernel.

What is to be sent is put at its end, and counts from the moment that the head of the file says so. The system moves it
to the pipe, and the offset of the file with it, in one call (L{os.splice}); whoever holds the file has the same offset.
So wherever the kernel is killed, the next one sends on behind the last byte that is in the pipe.

The pipe has no copy, but refers to the pages of the file. So nothing in them is ever changed, and they are given back
only when the process has taken what was in them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import termios
from collections.abc import Callable, Iterable
from typing import Final

from papa.continuity.segments import punch
from papa.errors import LimitReached

__all__ = ["Feed"]

#: Up to where there is something to send, and whether the input ends there.
_HEAD: Final = struct.Struct("<Q?")
_PAGE: Final = mmap.PAGESIZE
_COUNT: Final = struct.Struct("i")


class Feed:
    """
    One process's feed; its file is made when there is something to send.

    @ivar closes: whether the input ends behind what there is to send.
    """

    def __init__(self, made: Callable[[list[int]], object], files: Iterable[int] = ()) -> None:
        """
        @param made: is given the file as soon as it is there, before anything is to be sent; may raise L{LimitReached}.
        @param files: that of another kernel.
        """
        self._made = made
        self._file = -1
        self._sent = self._end = self._given_back = _PAGE
        self.closes = False
        for file in files:
            self._file = file
            self._sent = os.lseek(file, 0, os.SEEK_CUR)
            self._end, self.closes = _HEAD.unpack(os.pread(file, _HEAD.size, 0))

    @property
    def waiting(self) -> int:
        """How many bytes are to be sent."""
        return self._end - self._sent

    def unsent(self) -> bytes:
        """What is to be sent."""
        return os.pread(self._file, self.waiting, self._sent) if self.waiting else b""

    def add(self, data: bytes, pipe: int) -> None:
        """
        Have something sent: all of it, or nothing if the kernel is killed before this returns.

        @param pipe: where it will be sent to.
        @raise LimitReached: if there is no room for it.
        """
        try:
            if self._file < 0:
                self._make()
            self._give_back(pipe)
            if os.pwrite(self._file, data, self._end) != len(data):
                raise LimitReached("There is no memory for this input")
            self._note(self._end + len(data), closes=False)
        except OSError as error:
            raise LimitReached(f"There is no memory for this input: {error.strerror}") from error

    def end(self) -> None:
        """Have the input end behind what is to be sent; there must be something."""
        self._note(self._end, closes=True)

    def _make(self) -> None:
        file = os.memfd_create("papa-input")
        try:
            os.lseek(file, _PAGE, os.SEEK_SET)
            os.pwrite(file, _HEAD.pack(_PAGE, False), 0)
            self._made([file])
        except (OSError, LimitReached):
            os.close(file)
            raise
        self._file = file

    def _note(self, end: int, *, closes: bool) -> None:
        # Within a page, which is written as a whole or not at all.
        os.pwrite(self._file, _HEAD.pack(end, closes), 0)
        self._end, self.closes = end, closes

    def send(self, pipe: int) -> None:
        """
        Put into the pipe what it has room for.

        @raise BlockingIOError: if that is nothing.
        @raise BrokenPipeError: if nobody will read it.
        """
        self._sent += os.splice(self._file, pipe, self.waiting, flags=os.SPLICE_F_NONBLOCK)

    def _give_back(self, pipe: int) -> None:
        (untaken,) = _COUNT.unpack(fcntl.ioctl(pipe, termios.FIONREAD, bytes(_COUNT.size)))
        self._given_back = punch(self._file, self._given_back, max(_PAGE, self._sent - untaken))

    def close(self) -> None:
        """Send nothing any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._sent = self._end
