"""What papa answers and tells: frozen records, the same for every wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "STDERR",
    "STDOUT",
    "UNKNOWN_EXIT",
    "Closed",
    "Cursor",
    "Event",
    "EventKind",
    "Happened",
    "Hole",
    "Item",
    "Lent",
    "Output",
    "Process",
    "Socket",
]

STDOUT: Final = 1
STDERR: Final = 2

#: The exit code of a process of which nobody could know how it ended. None ends with it: it is beyond what a system
#: tells. Whoever ends with it in turn ends with 255, and so does not pass for a success.
UNKNOWN_EXIT: Final = 511


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """
    A socket that papa holds.

    @ivar port: for an inet family the port it is bound to, also when the system chose it.
    @ivar fileno: its descriptor in papa, and in every child that was given it; L{None} where each child gets a
        socket of its own (C{reuseport}).
    """

    name: str
    family: str
    type: str
    backlog: int
    path: str | None = None
    umask: int | None = None
    host: str | None = None
    port: int | None = None
    interface: str | None = None
    reuseport: bool = False
    fileno: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """
    A process that papa holds, running or not.

    @ivar args: the program and its arguments, as asked for.
    @ivar started: seconds since the epoch.
    @ivar exit_code: as L{subprocess} gives it (-9 for SIGKILL), or L{UNKNOWN_EXIT}; L{None} while it runs.
    @ivar captured: bytes of output read so far.
    @ivar dropped: bytes of output that a full buffer had to let go unread.
    @ivar buffered: bytes of output that are kept; C{bufsize}: how many may be.
    """

    name: str
    args: tuple[str, ...]
    pid: int
    running: bool
    started: float
    uid: int
    gid: int
    exit_code: int | None = None
    captured: int = 0
    dropped: int = 0
    buffered: int = 0
    bufsize: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """
    A reader with a name.

    @ivar patterns: the names of the processes that it reads.
    @ivar marks: up to where it has everything safe, by name of the process.
    @ivar behind: how many bytes that is behind what was captured, over all processes.
    @ivar reading: whether somebody reads with it now.
    """

    name: str
    patterns: tuple[str, ...]
    marks: Mapping[str, int]
    behind: int
    reading: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """
    A thing and a descriptor of it.

    @ivar descriptor: a duplicate, not inheritable; whoever gets this closes it.
    """

    record: Socket | Process
    descriptor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """
    A piece of what a process printed.

    @ivar channel: L{STDOUT} or L{STDERR}.
    @ivar timestamp: seconds since the epoch, when papa read its first byte.
    @ivar mark: how many bytes of this process, both channels together, were captured up to the end of this piece.
    @ivar invocation: tells this process from any other that has had its name; the marks are its own.
    """

    name: str
    channel: int
    timestamp: float
    data: bytes
    mark: int
    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """
    Output that a full buffer dropped before this reader was sent it.

    @ivar size: exactly how many bytes, both channels together.
    @ivar first: when the first of them was read; C{last}: the last.
    @ivar mark: where the hole ends, counted as in L{Output}; C{invocation}: as there.
    """

    name: str
    size: int
    first: float
    last: float
    mark: int
    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """
    The process has exited and its output has ended; nothing comes after this.

    @ivar timestamp: seconds since the epoch, of the later of the two.
    @ivar exit_code: as in L{Process}.
    @ivar invocation: as in L{Output}.
    """

    name: str
    timestamp: float
    exit_code: int
    invocation: str


Item: TypeAlias = Output | Hole | Closed
"""What a watcher is sent."""

EventKind: TypeAlias = Literal[
    "socket-made",
    "socket-removed",
    "value-set",
    "value-removed",
    "process-made",
    "process-exited",
    "process-closed",
    "process-removed",
    "client-came",
    "client-gone",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    Something that happened to what papa holds.

    @ivar detail: the figure that belongs to it: the pid, the exit code, the descriptor; never a value's text.
    """

    kind: EventKind
    name: str
    detail: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """
    An event in its place among all others.

    @ivar number: 1 for the first since the kernel began, and one more for each; but the coming and going of a client
        has the number of what happened last, and is not kept.
    @ivar timestamp: seconds since the epoch.
    @ivar detail: as in L{Event}.
    """

    number: int
    timestamp: float
    kind: str
    name: str
    detail: int | None = None
