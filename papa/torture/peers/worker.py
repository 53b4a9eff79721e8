"""
A program for any manager: it prints numbered lines with checksums, exits with a known code, and notes in a file of its
own what it has done, so that it can be compared with what its manager knows. Standard library only.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
import zlib
from dataclasses import dataclass

__all__ = ["CUT_OFF", "CUT_OFF_CODE", "LINES", "RUNNING", "STOP", "Run", "line", "main", "read_line", "runs"]

#: How many lines each run prints.
LINES = 1500
#: In place of an exit code: that it runs, or has been killed; and that nobody reads what it prints.
RUNNING, CUT_OFF = -1, -2
#: What it exits with then.
CUT_OFF_CODE = 222
#: Where there is a file of this name, whoever begins waits.
STOP = "stop"

#: How many lines were printed, and the exit code.
_NOTE = struct.Struct("<qq")
#: After so many lines it rests for so many seconds.
_AT_ONCE, _REST = 10, 0.005


@dataclass(frozen=True)
class Run:
    """
    One run, as it has noted it.

    @ivar slot: which of the programs that run at a time it is.
    @ivar printed: how many lines were written.
    @ivar code: what it exits with, C{RUNNING} or C{CUT_OFF}.
    """

    slot: str
    pid: int
    printed: int
    code: int


def line(pid: int, number: int) -> bytes:
    """A line that says whose it is, and can be checked."""
    body = b"%d %d %s" % (pid, number, b"x" * (number % 100))
    return b"%08x %s\n" % (zlib.crc32(body), body)


def read_line(text: bytes) -> tuple[int, int] | None:
    """Process id and number of a line; L{None} if it is not as it was printed."""
    checksum, _, body = text.rstrip(b"\n").partition(b" ")
    if b"%08x" % zlib.crc32(body) != checksum:
        return None
    pid, number, _ = body.split(b" ", 2)
    return int(pid), int(number)


def runs(folder: str) -> list[Run]:
    """All runs that have noted something in a folder."""
    found = []
    for name in os.listdir(folder):
        slot, dot, pid = name.partition(".")
        if dot:
            with open(os.path.join(folder, name), "rb") as note:
                noted = note.read(_NOTE.size)
            if noted:  # Else it has only just begun.
                found.append(Run(slot, int(pid), *_NOTE.unpack(noted)))
    return found


def main(folder: str, slot: str) -> int:
    """Print, and note each line once it is written."""
    if os.path.exists(os.path.join(folder, STOP)):
        signal.pause()
    pid = os.getpid()
    note = os.open(os.path.join(folder, f"{slot}.{pid}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    code = RUNNING
    for number in range(LINES):
        os.pwrite(note, _NOTE.pack(number, code), 0)
        text = line(pid, number)
        try:
            while text:
                text = text[os.write(1, text) :]
        except OSError:
            os.pwrite(note, _NOTE.pack(number, CUT_OFF), 0)
            return CUT_OFF_CODE
        if number % _AT_ONCE == 0:
            time.sleep(_REST)
    code = pid % 200 + 1
    os.pwrite(note, _NOTE.pack(LINES, code), 0)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
