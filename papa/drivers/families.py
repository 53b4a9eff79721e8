"""A process and what it has started, as /proc has it: what that uses, and where it listens."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from papa.drivers import sock_diag

__all__ = ["VISIBLE", "Usage", "descriptors", "families", "listening", "usage"]

VISIBLE: Final = os.path.exists("/proc/self/stat")
"""Whether this system shows any of that."""

#: __SO_ACCEPTCON of the system's headers: somebody listens on this Unix socket.
_ACCEPTS: Final = 1 << 16
_LISTEN: Final = "0A"
#: Its flags, its inode, and its path if it has one.
_UNIX_ROW: Final = re.compile(
    r"[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} +([0-9]+)(?: (.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    What processes use.

    @ivar processor: seconds of processor time since they began.
    @ivar memory: resident bytes; what they share counts for each.
    """

    processor: float
    memory: int


def _stat(pid: int) -> list[bytes]:
    """The fields of C{/proc/PID/stat} behind the name, from the state on (proc(5)); none if it has ended."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read().rpartition(b")")[2].split()
    return []


def families(pids: Iterable[int]) -> dict[int, set[int]]:
    """
    The processes that belong to each of these: itself, what descends from it, and what is in its session.

    What it has started with double fork and a session of its own is not found: nothing tells.
    """
    wanted = set(pids)
    belongs = {pid: pid for pid in wanted}
    parents: dict[int, int] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if fields := _stat(pid):
            parents[pid] = int(fields[1])
            if (session := int(fields[3])) in wanted:
                belongs.setdefault(pid, session)
    found: dict[int, set[int]] = {pid: {pid} for pid in wanted}
    for pid in parents:
        line: list[int] = []
        ancestor = pid
        while ancestor not in belongs and ancestor in parents:
            line.append(ancestor)
            ancestor = parents[ancestor]
        if (owner := belongs.get(ancestor)) is not None:
            found[owner].update(line, [ancestor])
            belongs.update(dict.fromkeys(line, owner))
    return found


def usage(pids: Iterable[int]) -> Usage:
    """What these processes use together; those that have ended use nothing."""
    ticks = pages = 0
    for fields in map(_stat, pids):
        if fields:
            ticks += int(fields[11]) + int(fields[12])
            pages += int(fields[21])
    return Usage(processor=ticks / os.sysconf("SC_CLK_TCK"), memory=pages * os.sysconf("SC_PAGE_SIZE"))


def descriptors(pid: int) -> tuple[int | None, int | None]:
    """How many descriptors a process has open, and how many it may have; L{None} for what is not for us to see."""
    used = most = None
    with suppress(OSError):
        used = len(os.listdir(f"/proc/{pid}/fd"))
    with suppress(OSError), open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        words = next((line.split() for line in limits if line.startswith("Max open files")), [])
        most = int(words[3]) if words[3:] and words[3].isdigit() else None
    return used, most


def listening(pids: Iterable[int]) -> list[int | str]:
    """
    The TCP ports and the paths of Unix sockets on which one of these processes can accept connections.

    @raise PermissionError: if that is not for us to see.
    """
    found: dict[int | str, None] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            inodes = set(_socket_inodes(pid))
            found.update(dict.fromkeys(where for inode, where in _tcp_listeners(pid) if inode in inodes))
            found.update(dict.fromkeys(_unix_listeners(pid, inodes)))
    return list(found)


def _socket_inodes(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for descriptor in os.listdir(folder):
        with suppress(FileNotFoundError):
            target = os.readlink(f"{folder}/{descriptor}")
            if target.startswith("socket:["):
                yield target[8:-1]


def _tcp_listeners(pid: int) -> Iterator[tuple[str, int]]:
    """Inode and port of the listening sockets that there are where a process is."""
    for table in ("tcp", "tcp6"):
        for words in _rows(pid, table):
            if words[3] == _LISTEN:
                yield words[9], int(words[1].rpartition(":")[2], 16)


def _unix_listeners(pid: int, inodes: set[str]) -> Iterator[str]:
    """The paths at which a process with these sockets listens; C{@} and its name for an abstract one."""
    in_sight = os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net"))
    for row in map(_UNIX_ROW.fullmatch, _lines(pid, "unix")):
        if row is not None and int(row[1], 16) & _ACCEPTS and row[2] in inodes and row[3]:
            # Anybody may give a socket a name that looks like rows of this table: the system itself is asked.
            path = _confirmed(row[2], row[3]) if in_sight else row[3]
            if path is not None:
                yield path


def _confirmed(inode: str, path: str) -> str | None:
    """The path at which a socket listens; L{None} if it does not; what is said of it if the system cannot be asked."""
    try:
        name = sock_diag.listens_at(int(inode))
    except OSError:
        return path
    return None if name is None else os.fsdecode(name.replace(b"\0", b"@"))


def _rows(pid: int, table: str) -> Iterator[list[str]]:
    return map(str.split, _lines(pid, table))


def _lines(pid: int, table: str) -> Iterator[str]:
    """What is in a table, but its heading."""
    path = f"/proc/{pid}/net/{table}"
    with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as rows:
        next(rows)
        yield from (row.rstrip("\n") for row in rows)
