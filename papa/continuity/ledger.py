"""
The ledger: what a kernel must know to go on from another, in a memory file that outlives it.

The file is a log of records, each with its length and checksum. A record is complete with one write, so a kernel that
is killed leaves at most one at the end that does not count, of which nobody was told. When much of the log is out of
date, what still holds is written to a new file.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Final

from zope.interface import implementer

from papa.errors import LimitReached, NotAllowed
from papa.interfaces import ILedger

__all__ = ["FORMAT", "Ledger", "read_ledger"]

#: The version of what is in the records.
FORMAT: Final = 1

#: Length and checksum of the body.
_HEADER: Final = struct.Struct("<II")
#: A log is not worth the copy before it has so many bytes that are out of date.
_LEAST_WASTE: Final = 1 << 20


@implementer(ILedger)
class Ledger:
    """
    The ledger of this kernel.

    @ivar entries: what another kernel had put, by kind and name.
    """

    keeps = True

    def __init__(self, replaced: Callable[[int], object], descriptor: int | None = None) -> None:
        """
        @param replaced: is given the descriptor of each new file; whoever is to go on must have it.
        @param descriptor: the file of another kernel.
        @raise NotAllowed: if that kernel was of a version whose records this one does not know.
        """
        self._replaced = replaced
        self._where: dict[tuple[str, str], tuple[int, int]] = {}
        self._file = -1
        self._size = self._waste = 0
        self.entries: dict[str, dict[str, Any]] = {}
        if descriptor is None:
            self._begin()
        else:
            self._file = descriptor
            self._load()

    def _begin(self) -> None:
        self._file = os.memfd_create("papa-ledger")
        self._size = self._waste = 0
        self._where = {}
        self._write("format", "", FORMAT)
        self._replaced(self._file)

    def _load(self) -> None:
        for offset, length, (kind, name, *value) in _records(self._file):
            before = self._where.pop((kind, name), None)
            if before is not None:
                self._waste += before[1]
            if value:
                self._where[kind, name] = (offset, length)
            else:
                self._waste += length
            _apply(self.entries, kind, name, value)
            self._size = offset + length
        _check_format(self.entries)
        # What does not count is overwritten by the next record.
        os.ftruncate(self._file, self._size)

    @property
    def descriptor(self) -> int:
        """Of the file as it is now."""
        return self._file

    def put(self, kind: str, name: str, value: object) -> None:
        """Remember something."""
        try:
            self._write(kind, name, value)
        except LimitReached:
            if not self._waste or not self._rewrite():
                raise
            self._write(kind, name, value)
        if self._waste > _LEAST_WASTE and self._waste * 2 > self._size:
            self._rewrite()

    def remove(self, kind: str, name: str) -> None:
        """Remember it no more."""
        before = self._where.pop((kind, name), None)
        if before is None:
            return
        try:
            self._waste += before[1] + self._append(_record([kind, name]))
        except LimitReached:
            # A new file is without it; and shorter.
            if not self._rewrite():
                self._where[kind, name] = before
                raise

    def _write(self, kind: str, name: str, value: object) -> None:
        offset = self._size
        length = self._append(_record([kind, name, value]))
        before = self._where.get((kind, name))
        self._where[kind, name] = (offset, length)
        if before is not None:
            self._waste += before[1]

    def _append(self, record: bytes) -> int:
        try:
            written = os.pwrite(self._file, record, self._size)
        except OSError as error:
            raise LimitReached(f"There is no memory to remember this in: {error.strerror}") from error
        if written != len(record):
            raise LimitReached("There is no memory to remember this in")
        self._size += written
        return written

    def _rewrite(self) -> bool:
        """
        Begin a new file with what still holds; the old one stays in force until that is complete.

        @return: whether there was memory for that.
        """
        old, where, size, waste = self._file, self._where, self._size, self._waste
        try:
            new = os.memfd_create("papa-ledger")
        except OSError:
            return False
        self._file, self._where, self._size, self._waste = new, {}, 0, 0
        try:
            for key, (offset, length) in where.items():
                self._where[key] = (self._size, length)
                self._append(os.pread(old, length, offset))
        except LimitReached:
            self._file, self._where, self._size, self._waste = old, where, size, waste
            os.close(new)
            return False
        self._replaced(new)
        os.close(old)
        return True


def read_ledger(descriptor: int) -> dict[str, dict[str, Any]]:
    """
    What is remembered in a file, by kind and name; it may be written to meanwhile.

    @raise NotAllowed: if it was written by a version whose records this one does not know.
    """
    entries: dict[str, dict[str, Any]] = {}
    for _, _, (kind, name, *value) in _records(descriptor):
        _apply(entries, kind, name, value)
    _check_format(entries)
    return entries


def _apply(entries: dict[str, dict[str, Any]], kind: str, name: str, value: list[Any]) -> None:
    if value:
        entries.setdefault(kind, {})[name] = value[0]
    else:
        entries.get(kind, {}).pop(name, None)


def _check_format(entries: dict[str, dict[str, Any]]) -> None:
    found = entries.pop("format", {}).get("")
    if found != FORMAT:
        raise NotAllowed(
            f"The state was written in format {found}, and this papa knows format {FORMAT}: "
            "go on with the version that has written it, or a newer one"
        )


def _record(fields: list[object]) -> bytes:
    body = json.dumps(fields, separators=(",", ":")).encode()
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _records(descriptor: int) -> Iterator[tuple[int, int, list[Any]]]:
    """Each record up to the first that is not complete: its place, its length, and what is in it."""
    size = os.fstat(descriptor).st_size
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else nullcontext(b"") as log:
        offset = 0
        while offset + _HEADER.size <= size:
            length, checksum = _HEADER.unpack_from(log, offset)
            body = log[offset + _HEADER.size : offset + _HEADER.size + length]
            if not length or len(body) < length or zlib.crc32(body) != checksum:
                return
            yield offset, _HEADER.size + length, json.loads(body)
            offset += _HEADER.size + length
