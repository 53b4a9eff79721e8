"""
The ledger: what a kernel must know to go on from another, in a memory file that outlives it.

The file is a log of records (L{papa.continuity.log}). A record is complete with one write, so a kernel that
is killed leaves at most one at the end that does not count, of which nobody was told. When much of the log is out of
date, what still holds is copied to a new file, some of it whenever there is something to note; so is what was found in
an older format.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from itertools import islice
from typing import Final

from zope.interface import implementer

from papa.continuity.log import Key, Log, encoded
from papa.continuity.migrations import FORMAT, Entries, migrated, written_back
from papa.errors import LimitReached
from papa.interfaces import ILedger

__all__ = ["Ledger", "read_as_written", "read_ledger", "write_ledger"]

#: A log is not worth the copy before it has so many bytes that are out of date.
_LEAST_WASTE: Final = 1 << 20
#: How many records are copied whenever one is put or removed: all of 20 000 at once keep others waiting for 50 ms.
_AT_A_TIME: Final = 32


class _Copy:
    """
    What still holds of a log, on its way to a new one; whatever is noted meanwhile is noted in both.

    @ivar log: the new one.
    """

    def __init__(self, old: Log) -> None:
        """
        @raise LimitReached: if there is no memory, or no descriptor, for another file.
        """
        self.log = Log()
        try:
            self._bytes = mmap.mmap(old.descriptor, old.size, access=mmap.ACCESS_READ)
        except OSError as error:
            self.log.close()
            raise LimitReached(f"There is no memory for another log: {error.strerror}") from error
        self._old = old
        self._left = iter(list(old.where))

    def put(self, key: Key, record: bytes) -> None:
        """This was put."""
        self.log.put(key, record)

    def remove(self, key: Key, record: bytes) -> None:
        """This was removed."""
        if key in self.log.where:
            self.log.remove(key, record)

    def some(self) -> bool:
        """Copy some records, and say whether those were the last."""
        taken = 0
        for key in islice(self._left, _AT_A_TIME):
            taken += 1
            place = self._old.where.get(key)
            if place is not None and key not in self.log.where:
                offset, length = place
                self.log.put(key, self._bytes[offset : offset + length])
        return taken < _AT_A_TIME

    def end(self) -> None:
        """All was copied, or no more is to be."""
        self._bytes.close()


@implementer(ILedger)
class Ledger:
    """
    The ledger of this kernel.

    @ivar entries: what another kernel had put, by kind and name.
    """

    keeps = True

    def __init__(self, replaced: Callable[[int], object], descriptor: int | None = None) -> None:
        """
        @param replaced: is given the descriptor of each new file; whoever is to go on must have it. If it raises
            L{LimitReached} the file before stays in force.
        @param descriptor: the file of another kernel.
        @raise NotAllowed: if that kernel was of a version whose records this one does not know.
        """
        self._replaced = replaced
        self._copy: _Copy | None = None
        self._in_force = True
        self.entries: Entries = {}
        if descriptor is None:
            self._log = self._begun()
            self._replaced(self._log.descriptor)
        else:
            self._log = Log(descriptor)
            self._load()

    @staticmethod
    def _begun() -> Log:
        log = Log()
        log.put(("format", ""), encoded(["format", "", FORMAT]))
        return log

    def _load(self) -> None:
        self.entries = self._log.read()
        found = self.entries.pop("format", {}).get("")
        self.entries = migrated(self.entries, found)
        if found != FORMAT:
            self._begin_anew()
        else:
            self._log.cut_off()

    def _begin_anew(self) -> None:
        """Go on in a new file, which nobody is given yet: should this kernel fail, the one before may have to go on."""
        self._log.close()
        self._log = self._begun()
        for kind, entries in self.entries.items():
            for name, value in entries.items():
                self._log.put((kind, name), encoded([kind, name, value]))
        self._in_force = False

    def serve(self) -> None:
        """This kernel serves: whoever goes on has to know what it does from now on."""
        if not self._in_force:
            self._in_force = True
            self._replaced(self._log.descriptor)

    @property
    def descriptor(self) -> int:
        """Of the file as it is now."""
        return self._log.descriptor

    def put(self, kind: str, name: str, value: object) -> None:
        """Remember something."""
        key, record = (kind, name), encoded([kind, name, value])
        try:
            self._log.put(key, record)
        except LimitReached:
            if not self._log.waste or not self._write_anew():
                raise
            self._log.put(key, record)
        self._copy_on(_Copy.put, key, record)

    def remove(self, kind: str, name: str) -> None:
        """Remember it no more."""
        key, record = (kind, name), encoded([kind, name])
        if key not in self._log.where:
            return
        try:
            self._log.remove(key, record)
        except LimitReached:
            # A new file is without it; and shorter.
            place = self._log.where.pop(key)
            if not self._write_anew():
                self._log.where[key] = place
                raise
        self._copy_on(_Copy.remove, key, record)

    def _copy_on(self, note: Callable[[_Copy, Key, bytes], None], key: Key, record: bytes) -> None:
        """Something was noted: note it in the copy, too, and go on with that; or begin one, if it is worth it."""
        try:
            if self._copy is not None:
                note(self._copy, key, record)
                if self._copy.some():
                    self._replace(self._copy)
            elif self._log.waste > _LEAST_WASTE and self._log.waste * 2 > self._log.size:
                self._copy = _Copy(self._log)
        except LimitReached:
            self._copy_no_more()

    def _write_anew(self) -> bool:
        """
        Go on in a new file with what still holds, now: there is no room in this one.

        @return: whether there was memory for that.
        """
        self._copy_no_more()
        try:
            self._copy = _Copy(self._log)
            while not self._copy.some():
                pass
            self._replace(self._copy)
        except LimitReached:
            self._copy_no_more()
            return False
        return True

    def _replace(self, copy: _Copy) -> None:
        """The copy is complete; until now the file before was in force."""
        if self._in_force:
            self._replaced(copy.log.descriptor)
        old, self._log, self._copy = self._log, copy.log, None
        copy.end()
        old.close()

    def _copy_no_more(self) -> None:
        if self._copy is not None:
            copy, self._copy = self._copy, None
            copy.end()
            copy.log.close()


def read_ledger(descriptor: int) -> Entries:
    """
    What is remembered in a file, by kind and name; it may be written to meanwhile.

    @raise NotAllowed: if it was written by a version whose records this one does not know.
    """
    entries = read_as_written(descriptor)
    return migrated(entries, entries.pop("format", {}).get(""))


def read_as_written(descriptor: int) -> Entries:
    """What is remembered in a file, whatever its format: that is under the kind C{format}."""
    return Log(descriptor).read()


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
