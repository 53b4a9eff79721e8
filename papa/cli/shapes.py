"""
What the verbs print with C{--json}, as types: what they build is checked against these, and C{docs/json.rst} is made of
them.

Every object has C{version}, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypedDict

__all__ = [
    "PRINTED",
    "STREAMS",
    "Closed",
    "Comparison",
    "Diagnosis",
    "Ending",
    "Event",
    "Finding",
    "Forgotten",
    "ForgottenProcesses",
    "Hole",
    "KernelUsage",
    "Output",
    "Process",
    "ProcessInFull",
    "ProcessUsage",
    "Processes",
    "Reached",
    "Removed",
    "ScoreCard",
    "Serving",
    "Signalled",
    "Socket",
    "Sockets",
    "Started",
    "State",
    "StateEntry",
    "Status",
    "Top",
    "Upgraded",
    "Value",
    "ValueLength",
    "Values",
]


class Process(TypedDict):
    """
    A process.

    @ivar args: the program and its arguments.
    @ivar running: whether it runs; C{pid} is kept after its end.
    @ivar started: seconds since the epoch.
    @ivar exit_code: null while it runs; minus the number of the signal if one has ended it; 511 if nobody knows.
    @ivar captured: bytes of output read so far.
    @ivar buffered: bytes of output kept now, until somebody has acknowledged them.
    @ivar bufsize: how many may be kept.
    @ivar dropped: bytes of output that a full buffer had to let go unread.
    """

    name: str
    args: list[str]
    pid: int
    running: bool
    started: float
    uid: int
    gid: int
    exit_code: int | None
    captured: int
    buffered: int
    bufsize: int
    dropped: int


class Socket(TypedDict):
    """
    A socket. What does not apply to its family is null.

    @ivar family: inet, inet6 or unix.
    @ivar type: stream, dgram or seqpacket.
    @ivar reuseport: whether each process that asks for it gets a socket of its own; then C{fileno} is null.
    @ivar fileno: its descriptor in papa.
    """

    name: str
    family: str
    type: str
    backlog: int
    host: str | None
    port: int | None
    interface: str | None
    path: str | None
    umask: int | None
    reuseport: bool
    fileno: int | None


class Kernel(TypedDict):
    """
    The kernel that answers.

    @ivar anchor: the pid of its anchor; null where there is none.
    @ivar kernels: how many kernels that anchor has had, with this one.
    """

    pid: int
    anchor: int | None
    kernels: int


class Status(TypedDict):
    """
    What papa holds.

    @ivar processes: all, or those of the names given.
    @ivar sockets: all; none if names were given. C{values}: their names, likewise.
    """

    processes: list[Process]
    sockets: list[Socket]
    values: list[str]
    kernel: Kernel


class ProcessInFull(Process):
    """
    A process, and who reads it.

    @ivar cursors: by name, how many bytes of the output have been acknowledged with that cursor.
    """

    cursors: dict[str, int]


class Processes(TypedDict):
    """The processes NAMES."""

    processes: list[ProcessInFull]


class Started(TypedDict):
    """A process that was started."""

    name: str
    pid: int


class Output(TypedDict):
    """
    A piece of output; it may end anywhere in a line.

    @ivar kind: "output".
    @ivar time: seconds since the epoch, when its first byte was read.
    @ivar channel: stdout or stderr.
    @ivar data: its text.
    @ivar encoding: utf-8; or latin-1 if it is no UTF-8: then each character stands for the byte of that number.
    """

    kind: Literal["output"]
    name: str
    time: float
    channel: Literal["stdout", "stderr"]
    data: str
    encoding: Literal["utf-8", "latin-1"]


class Hole(TypedDict):
    """
    Output that a full buffer had dropped before it could be read.

    @ivar kind: "hole".
    @ivar first: seconds since the epoch, when the first of it was read; C{last}: the last.
    @ivar size: how many bytes, exactly.
    """

    kind: Literal["hole"]
    name: str
    first: float
    last: float
    size: int


class Closed(TypedDict):
    """
    The process has exited and its output has ended.

    @ivar kind: "closed".
    @ivar time: seconds since the epoch.
    @ivar exit_code: minus the number of the signal if one has ended it; 511 if nobody knows.
    """

    kind: Literal["closed"]
    name: str
    time: float
    exit_code: int


class Event(TypedDict):
    """
    Something that happened.

    @ivar number: one more for each.
    @ivar time: seconds since the epoch.
    @ivar kind: socket-made, socket-removed, value-set, value-removed, process-made, process-exited, process-closed,
        process-removed; with --clients also client-came and client-gone.
    @ivar detail: the pid, the exit code, or the descriptor; null where there is none.
    """

    number: int
    time: float
    kind: str
    name: str
    detail: int | None


class Reached(TypedDict):
    """
    What was waited for.

    @ivar state: exit, output or port.
    @ivar exit_code: of exit, else null.
    @ivar line: of output, the line; else null.
    @ivar where: of port, the port or path at which connections are accepted; else null.
    """

    name: str
    state: Literal["exit", "output", "port"]
    exit_code: int | None
    line: str | None
    where: int | str | None


class Forgotten(TypedDict):
    """
    A process that is forgotten.

    @ivar running: whether that is once it has ended.
    """

    name: str
    pid: int
    running: bool


class ForgottenProcesses(TypedDict):
    """The processes that are forgotten."""

    removed: list[Forgotten]


class Signalled(TypedDict):
    """
    A signal.

    @ivar signal: as SIGTERM.
    @ivar sent: to which processes.
    """

    signal: str
    sent: list[Started]


class Sockets(TypedDict):
    """The sockets that papa holds, all or NAMES."""

    sockets: list[Socket]


class Removed(TypedDict):
    """
    What was removed.

    @ivar removed: the names or patterns, as given.
    """

    removed: list[str]


class Value(TypedDict):
    """A value."""

    name: str
    value: str


class ValueLength(TypedDict):
    """
    How long a value is.

    @ivar length: in characters; 0 if the name was forgotten.
    """

    name: str
    length: int


class Values(TypedDict):
    """The values that papa holds, all or NAMES."""

    values: list[ValueLength]


class Ending(TypedDict):
    """
    Whether the kernel ends.

    @ivar leaving: whether it ends, with its last connection; otherwise the exit code is 3.
    @ivar processes: how many it holds; C{sockets} and C{values}, too.
    """

    leaving: bool
    processes: int
    sockets: int
    values: int


class Finding(TypedDict):
    """
    What was found of one thing.

    @ivar level: ok, warning or failure.
    @ivar remedy: how to mend it; empty if there is nothing to mend.
    """

    level: Literal["ok", "warning", "failure"]
    subject: str
    text: str
    remedy: str


class Diagnosis(TypedDict):
    """All that was looked at; the exit code is 1 if there is a failure."""

    findings: list[Finding]


class StateEntry(TypedDict):
    """
    A thing that a kernel knew.

    @ivar kind: of what it is; C{child} is what the anchor knows of a process: its pid and exit code.
    @ivar value: what was put down; JSON, in the format of the version that has written it.
    """

    kind: str
    name: str
    value: str


class State(TypedDict):
    """A state that was written down as no kernel came to serve."""

    entries: list[StateEntry]


class Serving(TypedDict):
    """
    A kernel that was started in the background.

    @ivar addresses: where it serves.
    @ivar log: the path of its log.
    """

    pid: int
    addresses: list[str]
    log: str


class ProcessUsage(Process):
    """
    A process, and what it uses together with what it has started.

    @ivar processor: percent of one processor, over the last interval; null where that cannot be seen.
    @ivar memory: resident bytes; null likewise.
    @ivar rate: bytes of output a second, over the last interval.
    """

    processor: float | None
    memory: int | None
    rate: float


class KernelUsage(TypedDict):
    """
    What the kernel uses by itself; null where that cannot be seen.

    @ivar processor: percent of one processor, over the last interval.
    @ivar memory: resident bytes.
    @ivar descriptors: how many are open; C{most}: how many may be.
    """

    pid: int
    processor: float | None
    memory: int | None
    descriptors: int | None
    most: int | None


class Top(TypedDict):
    """
    What is used.

    @ivar time: seconds since the epoch.
    """

    time: float
    kernel: KernelUsage
    processes: list[ProcessUsage]


class Upgraded(TypedDict):
    """
    A kernel that goes on.

    @ivar pid: of the kernel that runs now; C{before}: of the one that gave way.
    @ivar pause: seconds in which nobody was answered.
    @ivar preparation: seconds before that, in which it showed that it can go on.
    """

    pid: int
    before: int
    pause: float
    preparation: float


class ScoreCard(TypedDict):
    """
    What was lost while kernels were killed; if it is not perfect, the exit code is 1.

    @ivar seed: from which what is done, and when, follows.
    @ivar seconds: how long it took.
    @ivar perfect: whether nothing was lost, and something was tried.
    @ivar kernels: how many were ended, by how; C{starved}: how often one was left without something, by what.
    @ivar lines: printed lines that came, each once and intact; C{bytes}: how much that was.
    @ivar wrong: what must never happen, by kind.
    @ivar pause_longest: seconds that a client had to wait; C{pause_median}: those that a killed kernel has made.
    @ivar faults: what was said of what went wrong: the first few.
    """

    seed: int
    seconds: float
    perfect: bool
    kernels: dict[str, int]
    starved: dict[str, int]
    processes: int
    lines: int
    bytes: int
    connections: int
    values: int
    wrong: dict[str, int]
    pause_longest: float
    pause_median: float
    faults: list[str]


class Comparison(TypedDict):
    """
    What was lost with a manager that was killed.

    @ivar manager: its name and version. C{seed}: as in a score card.
    @ivar kills: how often it was killed; C{not_again}: how often it did not come up again within ten seconds.
    @ivar runs: how many runs of printers began; C{lines}: how many lines they have written.
    @ivar lines_lost: that were written, and that the manager does not have; C{lines_repeated}, C{lines_mangled}: that
        it has twice, or not as they were written.
    @ivar cut_off: runs that could not go on because nobody read what they print.
    @ivar codes: runs that have exited; C{codes_unknown}: of which the manager does not tell the code or tells another.
    @ivar doubled: how often a printer ran twice at a time after a kill; C{orphans}: what ran in the end without being
        the manager's.
    @ivar connections: to the service that were served; C{connections_failed}: others.
    """

    seed: int
    manager: str
    kills: int
    not_again: int
    runs: int
    lines: int
    lines_lost: int
    lines_repeated: int
    lines_mangled: int
    cut_off: int
    codes: int
    codes_unknown: int
    doubled: int
    orphans: int
    connections: int
    connections_failed: int


PRINTED: Final[Mapping[str, tuple[type[Any], ...]]] = {
    "status": (Status,),
    "show": (Processes,),
    "run": (Output, Hole, Closed),
    "run -d": (Started,),
    "logs": (Output, Hole, Closed),
    "watch": (Output, Hole, Closed),
    "wait": (Reached,),
    "rm": (ForgottenProcesses,),
    "signal": (Signalled,),
    "socket make": (Socket,),
    "socket ls": (Sockets,),
    "socket rm": (Removed,),
    "value set": (ValueLength,),
    "value get": (Value,),
    "value ls": (Values,),
    "value rm": (Removed,),
    "events": (Event,),
    "top": (Top,),
    "doctor": (Diagnosis,),
    "doctor --state": (State,),
    "serve --daemonize": (Serving,),
    "upgrade": (Upgraded,),
    "shutdown": (Ending,),
    "torture": (ScoreCard, Comparison),
}
"""What each verb prints; of several, one a line, in any order."""

STREAMS: Final = ("run", "logs", "watch", "events")
"""The verbs that print any number of objects, one a line."""
