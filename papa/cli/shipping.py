"""
Output of processes in files, each byte once, whenever the writer is killed.

Beside each file lies a note of where the output of the latest invocation begins: at which length of which file, and at
which mark. The length of the file itself then says what was written, so there is no moment at which the two could
disagree. The note is replaced before anything is written that it does not cover.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from papa.daemon import LockError, PidLockFile
from papa.errors import BadRequest, NotAllowed
from papa.records import Closed, Hole, Item, Output

__all__ = ["Shipper"]

_NOTE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class _Note:
    """
    Where the output of a process begins.

    @ivar invocation: the process; empty if that is to be seen from what comes.
    @ivar mark: what the file with this C{inode} holds from C{offset} on begins with the byte behind this mark.
    """

    invocation: str = ""
    inode: int = 0
    offset: int = 0
    mark: int = 0
    version: int = _NOTE_VERSION


class _Target:
    """The file of one process."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, f"{name}.log")
        self._note_path = os.path.join(folder, f".{name}.note")
        self._holes_path = os.path.join(folder, f"{name}.holes")
        self._ends_path = os.path.join(folder, f"{name}.ends")
        self._note = self._read_note()
        self._open()

    def _read_note(self) -> _Note:
        try:
            with open(self._note_path, encoding="utf-8", opener=_opened) as file:
                return _Note(**json.load(file))
        except FileNotFoundError:
            return _Note()
        except (OSError, ValueError, TypeError) as error:
            raise BadRequest(f"{self._note_path} is no note of papa's: {error}") from error

    def _open(self) -> None:
        """Open the file, at its end; one that took the place of the noted one is noted."""
        self._file = _opened(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        _sync_folder(self._folder)
        note, found = self._note, os.fstat(self._file)
        if note.invocation and (found.st_ino != note.inode or found.st_size < note.offset):
            size = self._size_of(note.inode) if found.st_ino != note.inode else None
            if size is None or size < note.offset:
                # What it held is out of sight: what papa was told is safe has to do.
                self._take_note(_Note())
            else:
                self._take_note(_Note(note.invocation, found.st_ino, found.st_size, note.mark + size - note.offset))

    def _size_of(self, inode: int) -> int | None:
        """How long the file is that was given another name, one that begins with the old one."""
        own = os.path.basename(self._path)
        with os.scandir(self._folder) as entries:
            # Of other names it may be another file by now: a deleted one's number is given to the next.
            sizes = (each.stat().st_size for each in entries if each.inode() == inode and each.name.startswith(own))
            return next(sizes, None)

    def reopen(self) -> None:
        """Go on in the file that is at the path now."""
        self.close()
        self._open()

    @property
    def _size(self) -> int:
        return os.fstat(self._file).st_size

    @property
    def _written(self) -> int:
        """Up to which mark of the noted invocation everything is in the file."""
        return self._note.mark + self._size - self._note.offset

    def write(self, item: Output) -> None:
        """Append what is not there yet."""
        begin = item.mark - len(item.data)
        self._follow(item.invocation, begin)
        data = item.data[max(0, self._written - begin) :]
        while data:
            data = data[os.write(self._file, data) :]

    def skip(self, hole: Hole) -> None:
        """Note that something is missing."""
        self._follow(hole.invocation, hole.mark - hole.size)
        missing = hole.mark - self._written
        if missing <= 0:
            return
        told = {"offset": self._size, "bytes": missing, "first": hole.first, "last": hole.last}
        _append(self._holes_path, json.dumps(told))
        self._take_note(self._from_here(hole.invocation, hole.mark))

    def end(self, end: Closed) -> None:
        """Note how the process ended, unless that was noted before papa was told so."""
        told = {"offset": self._size, "time": end.timestamp, "exit_code": end.exit_code, "invocation": end.invocation}
        line = json.dumps(told)
        if _last_line(self._ends_path) != line:
            _append(self._ends_path, line)

    def _follow(self, invocation: str, mark: int) -> None:
        """What comes may be of another process than before, or what was there have been cut off."""
        if invocation != self._note.invocation or mark > self._written:
            self._take_note(self._from_here(invocation, mark))

    def _from_here(self, invocation: str, mark: int) -> _Note:
        found = os.fstat(self._file)
        return _Note(invocation, found.st_ino, found.st_size, mark)

    def _take_note(self, note: _Note) -> None:
        # What the former note counts must be on the disk before the new one is, which begins behind it.
        self.sync()
        new = f"{self._note_path}.new"
        with suppress(FileNotFoundError):
            os.unlink(new)
        with open(new, "x", encoding="utf-8", opener=_opened) as file:
            json.dump(asdict(note), file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self._note_path)
        _sync_folder(self._folder)
        self._note = note

    def sync(self) -> None:
        """Have it on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Have it on the disk, and close it."""
        self.sync()
        os.close(self._file)


class Shipper:
    """Writes items into files; when L{show} returns they are on the disk."""

    def __init__(self, folder: str) -> None:
        """
        @raise BadRequest: if the folder cannot be made.
        @raise NotAllowed: if somebody else writes to it.
        """
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise BadRequest(f"Cannot make {folder}: {error.strerror}") from error
        self._folder = folder
        self._lock = PidLockFile(os.path.join(os.path.abspath(folder), ".papa-watch.pid"))
        try:
            self._lock.seal()
        except LockError as error:
            raise NotAllowed(f"Somebody else writes to {folder}: {error}") from error
        self._targets: dict[str, _Target] = {}
        self._reopen = False

    def show(self, items: Iterable[Item]) -> None:
        """Write some items."""
        if self._reopen:
            self._reopen = False
            for target in self._targets.values():
                target.reopen()
        written: set[_Target] = set()
        for item in items:
            if item.name not in self._targets:
                self._targets[item.name] = _Target(self._folder, item.name)
            target = self._targets[item.name]
            if isinstance(item, Output):
                target.write(item)
            elif isinstance(item, Hole):
                target.skip(item)
            elif isinstance(item, Closed):
                target.end(item)
                self._targets.pop(item.name).close()
                written.discard(target)
                continue
            written.add(target)
        for target in written:
            target.sync()

    def reopen(self) -> None:
        """Have the files opened again before anything else is written."""
        self._reopen = True

    def finish(self) -> None:
        """Close them."""
        while self._targets:
            with suppress(OSError):
                self._targets.popitem()[1].close()
        self._lock.release()


def _opened(path: str, flags: int) -> int:
    """
    Open a file that, if it is made now, others than its owner and group cannot read.

    @raise BadRequest: if something else is there, or a link, which whoever may write to the folder could have made.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o640)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _in_the_way(path) from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise _in_the_way(path)
    return descriptor


def _in_the_way(path: str) -> BadRequest:
    return BadRequest(f"{path} is a link or no file: move it away, and let nobody else write to that folder")


def _append(path: str, line: str) -> None:
    """Have a line at the end of a file, on the disk."""
    with open(path, "a", encoding="utf-8", opener=_opened) as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _last_line(path: str) -> str:
    """Empty if there is none."""
    with suppress(FileNotFoundError), open(path, encoding="utf-8", opener=_opened) as file:
        return deque(file, 1).pop().rstrip("\n") if os.fstat(file.fileno()).st_size else ""
    return ""


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
