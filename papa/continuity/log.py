"""
A log in a memory file: of each key its last record counts, or that it was removed.

Each record has its length and checksum, and is read up to the first that is not complete.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Final, TypeAlias

from papa.errors import LimitReached

__all__ = ["Key", "Log", "encoded"]

Key: TypeAlias = tuple[str, str]
"""What a record is of: its kind and name."""

#: Length and checksum of the body.
_HEADER: Final = struct.Struct("<II")


def encoded(fields: list[object]) -> bytes:
    """A record."""
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


class Log:
    """
    A log, to be read and to be written on.

    @ivar where: offset and length, in bytes, of the record that counts, by its key.
    @ivar size: where the next will begin; C{waste}: how much of that does not count any more.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """
        @param descriptor: of a log that is to be gone on with; else a new one begins.
        @raise LimitReached: if there is no memory, or no descriptor, for a new one.
        """
        try:
            self.descriptor = os.memfd_create("papa-ledger") if descriptor is None else descriptor
        except OSError as error:
            raise LimitReached(f"There is no memory for another log: {error.strerror}") from error
        self.where: dict[Key, tuple[int, int]] = {}
        self.size = self.waste = 0

    def read(self) -> dict[str, dict[str, Any]]:
        """What it says, by kind and name."""
        entries: dict[str, dict[str, Any]] = {}
        for offset, length, fields in _records(self.descriptor):
            kind, name, *value = fields
            self.waste += self.where.pop((kind, name), (0, 0))[1]
            if value:
                self.where[kind, name] = (offset, length)
                entries.setdefault(kind, {})[name] = value[0]
            else:
                self.waste += length
                entries.get(kind, {}).pop(name, None)
            self.size = offset + length
        return entries

    def cut_off(self) -> None:
        """Have it end behind the last record that counts: the next overwrites what is there."""
        os.ftruncate(self.descriptor, self.size)

    def put(self, key: Key, record: bytes) -> None:
        """
        Append a record, which counts from now on.

        @raise LimitReached: if there is no memory for it.
        """
        offset = self.size
        length = self._append(record)
        self.waste += self.where.get(key, (0, 0))[1]
        self.where[key] = (offset, length)

    def remove(self, key: Key, record: bytes) -> None:
        """
        Append that the last record of a key does not count any more.

        @raise LimitReached: if there is no memory for that.
        """
        self.waste += self._append(record) + self.where.pop(key)[1]

    def _append(self, record: bytes) -> int:
        try:
            written = os.pwrite(self.descriptor, record, self.size)
        except OSError as error:
            raise LimitReached(f"There is no memory to remember this in: {error.strerror}") from error
        if written != len(record):
            raise LimitReached("There is no memory to remember this in")
        self.size += written
        return written

    def close(self) -> None:
        """Write to it no more."""
        os.close(self.descriptor)
