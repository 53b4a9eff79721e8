"""
The ledger: what a kernel must know to go on from another, in a memory file that outlives it.

The file is a log of records (L{papa.continuity.log}). A record is complete with one write, so a kernel that
is killed leaves at most one at the end that does not count, of which nobody was told. When much of the log is out of
date, what still holds is written to a new file; so is what was found in an older format.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from papa.continuity.log import encoded, records
from papa.continuity.migrations import FORMAT, Entries, migrated, written_back
from papa.errors import LimitReached
from papa.interfaces import ILedger

__all__ = ["Ledger", "read_as_written", "read_ledger", "write_ledger"]

#: A log is not worth the copy before it has so many bytes that are out of date.
_LEAST_WASTE: Final = 1 << 20
#: A write for each record would keep others waiting for 0.1 s if there are 20 000.
_BATCH: Final = 1 << 18

#: The key of a record, and its offset and length.
_Placed: TypeAlias = tuple[tuple[str, str], tuple[int, int]]


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
        self._in_force = True
        self.entries: Entries = {}
        if descriptor is None:
            self._begin()
            self._replaced(self._file)
        else:
            self._file = descriptor
            self._load()

    def _begin(self) -> None:
        self._file = os.memfd_create("papa-ledger")
        self._size = self._waste = 0
        self._where = {}
        self._write("format", "", FORMAT)

    def _load(self) -> None:
        for offset, length, (kind, name, *value) in records(self._file):
            before = self._where.pop((kind, name), None)
            if before is not None:
                self._waste += before[1]
            if value:
                self._where[kind, name] = (offset, length)
            else:
                self._waste += length
            _apply(self.entries, kind, name, value)
            self._size = offset + length
        found = self.entries.pop("format", {}).get("")
        self.entries = migrated(self.entries, found)
        if found != FORMAT:
            self._begin_anew()
            return
        # What does not count is overwritten by the next record.
        os.ftruncate(self._file, self._size)

    def _begin_anew(self) -> None:
        """Go on in a new file, which nobody is given yet: should this kernel fail, the one before may have to go on."""
        os.close(self._file)
        self._begin()
        for kind, entries in self.entries.items():
            for name, value in entries.items():
                self._write(kind, name, value)
        self._in_force = False

    def serve(self) -> None:
        """This kernel serves: whoever goes on has to know what it does from now on."""
        if not self._in_force:
            self._in_force = True
            self._replaced(self._file)

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
            self._waste += before[1] + self._append(encoded([kind, name]))
        except LimitReached:
            # A new file is without it; and shorter.
            if not self._rewrite():
                self._where[kind, name] = before
                raise

    def _write(self, kind: str, name: str, value: object) -> None:
        offset = self._size
        length = self._append(encoded([kind, name, value]))
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
            with mmap.mmap(old, size, access=mmap.ACCESS_READ) as log:
                for batch in _batches(where.items()):
                    at = self._size
                    self._append(b"".join(log[offset : offset + length] for _, (offset, length) in batch))
                    for key, (_, length) in batch:
                        self._where[key] = (at, length)
                        at += length
        except (LimitReached, OSError):
            self._file, self._where, self._size, self._waste = old, where, size, waste
            os.close(new)
            return False
        if self._in_force:
            self._replaced(new)
        os.close(old)
        return True


def _batches(records: Iterable[_Placed]) -> Iterator[list[_Placed]]:
    """Records of about so many bytes together as are worth a write."""
    batch: list[_Placed] = []
    length = 0
    for record in records:
        batch.append(record)
        length += record[1][1]
        if length >= _BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def read_ledger(descriptor: int) -> Entries:
    """
    What is remembered in a file, by kind and name; it may be written to meanwhile.

    @raise NotAllowed: if it was written by a version whose records this one does not know.
    """
    entries = read_as_written(descriptor)
    return migrated(entries, entries.pop("format", {}).get(""))


def read_as_written(descriptor: int) -> Entries:
    """What is remembered in a file, whatever its format: that is under the kind C{format}."""
    entries: Entries = {}
    for _, _, (kind, name, *value) in records(descriptor):
        _apply(entries, kind, name, value)
    return entries


def write_ledger(entries: Entries, wanted: int) -> int:
    """
    Write a ledger in an older format.

    @param entries: in the newest; may be changed.
    @return: the descriptor of a new file.
    @raise LimitReached: if there is no memory for it.
    """
    whole = [encoded(["format", "", wanted])]
    for kind, each in written_back(entries, wanted).items():
        whole += [encoded([kind, name, value]) for name, value in each.items()]
    file = -1
    try:
        file = os.memfd_create("papa-ledger")
        with open(file, "wb", closefd=False) as target:
            target.writelines(whole)
    except OSError as error:
        if file >= 0:
            os.close(file)
        raise LimitReached(f"There is no memory for the state in format {wanted}: {error.strerror}") from error
    return file


def _apply(entries: Entries, kind: str, name: str, value: list[Any]) -> None:
    if value:
        entries.setdefault(kind, {})[name] = value[0]
    else:
        entries.get(kind, {}).pop(name, None)
