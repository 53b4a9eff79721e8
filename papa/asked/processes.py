"""Commands about processes."""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from papa import parameters
from papa.asked import checks
from papa.asked.command import Command
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotAllowed, NotFound, SocketFailed, SpawnFailed
from papa.names import check_name
from papa.records import Process

__all__ = [
    "CloseStdin",
    "LendProcess",
    "MakeProcess",
    "RemoveProcesses",
    "WatchProcesses",
    "WriteProcess",
]

DEFAULT_BUFSIZE: Final = 1 << 20
#: How many names or patterns a cursor may have: each is looked at for each process that is made.
_MOST_PATTERNS: Final = 1000

Stdin = Literal["null", "pipe"]
Stdout = Literal["pipe", "null"]
Stderr = Literal["pipe", "null", "stdout"]
Overflow = Literal["drop-oldest", "block"]


def _outputs(word: str) -> str:
    return {"0": "null", "1": "pipe"}.get(word, word)


def _inherit(word: str) -> bool:
    try:
        return {"inherit": True, "replace": False}[word]
    except KeyError:
        raise BadRequest(f"env={word} is neither inherit nor replace; a variable is set with env.NAME={word}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeProcess(Command):
    """Start a program and capture its output."""

    words = ("make", "process")
    summary = "Start a process and keep its output"
    answer = Process
    refusals = (
        (NotFound, "listen, an argument or a variable names a socket that is not held"),
        (AlreadyDiffers, "the name is held, with other parameters; it says which"),
        (NotAllowed, "it is to run as another user, and papa is not root"),
        (SpawnFailed, "the program is not found, or does not start"),
        (SocketFailed, "the system refuses another socket of a reuseport"),
        (LimitReached, "the machine has no process or descriptor left"),
    )
    help = """\
Options come before the program; -- ends them. In arguments and in env,
$(socket.NAME.fileno) and $(socket.NAME.port) stand for those of a held socket.
The program gets no environment but what env gives it. It is looked up in the
PATH of that environment, or in /bin and /usr/bin.
Making the same process again gives the one that is held, unless exclusive=1.

Examples:
    make process web /usr/bin/gunicorn --bind fd://$(socket.web.fileno) app:app
    make process job uid=www env=inherit bufsize=10m python3 job.py
    make process app listen=web,admin working_dir=/srv/app /srv/app/bin/serve"""

    name: str = parameters.name()
    args: tuple[str, ...] = parameters.argv("the program and its arguments")
    env: Mapping[str, str] = parameters.mapping("env", "sets one variable of its environment", hint="TEXT")
    inherit_env: bool = parameters.option(
        "env",
        "inherit: start from papa's own environment; replace: from an empty one",
        hint="inherit|replace",
        default=False,
        parse=_inherit,
    )
    working_dir: str | None = parameters.option("working_dir", "the folder to start in, an absolute path", hint="PATH")
    uid: int | str | None = parameters.option(
        "uid", "user to run as, by name or number", hint="USER", parse=parameters.identity
    )
    gid: int | str | None = parameters.option(
        "gid", "group, by name or number; the user's own by default", hint="GROUP", parse=parameters.identity
    )
    groups: tuple[int | str, ...] | None = parameters.option(
        "groups",
        "supplementary groups, separated by commas; the user's own by default",
        hint="GROUP,...",
        parse=parameters.listed(parameters.identity),
    )
    rlimits: Mapping[str, tuple[int, int]] = parameters.mapping(
        "rlimit",
        "sets a resource limit by name (nofile, core, as, ...), soft and hard, or SOFT:HARD",
        hint="N",
        parse=parameters.rlimit,
    )
    umask: int | None = parameters.option(
        "umask", "its file mode mask, octal with a leading 0; papa's own by default", hint="MASK", parse=parameters.mask
    )
    stdin: str = parameters.option(
        "stdin", "null, or pipe for 'write process'", hint="null|pipe", default="null", parse=_outputs
    )
    stdout: str = parameters.option(
        "stdout", "pipe (1): capture it; null (0): discard it", hint="pipe|null", default="pipe", parse=_outputs
    )
    stderr: str = parameters.option(
        "stderr",
        "pipe (1), null (0), or stdout: into the same stream",
        hint="pipe|null|stdout",
        default="pipe",
        parse=_outputs,
    )
    bufsize: int = parameters.option(
        "bufsize",
        "how many bytes of unread output to keep, with k, m or g; 0 captures nothing",
        hint="SIZE",
        default=DEFAULT_BUFSIZE,
        parse=parameters.size,
    )
    overflow: str = parameters.option(
        "overflow",
        "when the buffer is full: drop-oldest, or block until somebody reads",
        hint="drop-oldest|block",
        default="drop-oldest",
    )
    listen: tuple[str, ...] = parameters.option(
        "listen",
        "held sockets to hand over as systemd does (LISTEN_FDS), separated by commas",
        hint="SOCKET,...",
        default=(),
        parse=parameters.listed(),
    )
    exclusive: bool = parameters.option(
        "exclusive",
        "1: refuse if there is a process of this name, even if it was made the same",
        hint="0|1",
        default=False,
        parse=parameters.flag,
    )
    forget: bool = parameters.option(
        "forget",
        "1: forget it once it has ended and nobody reads it; cursors have it first",
        hint="0|1",
        default=False,
        parse=parameters.flag,
    )
    watch: bool = parameters.option(
        "watch",
        "1: start watching it at once",
        hint="0|1",
        default=False,
        parse=parameters.flag,
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Process")
        if not self.args or not self.args[0]:
            raise BadRequest("Process requires a program to run")
        checks.no_nul(self.args, "An argument")
        for field in ("uid", "gid"):
            if isinstance(identity := getattr(self, field), str):
                object.__setattr__(self, field, parameters.identity(identity))
        if self.groups is not None:
            object.__setattr__(self, "groups", tuple(parameters.identity(str(group)) for group in self.groups))
        self._check_env()
        self._check_rlimits()
        if self.working_dir is not None:
            checks.absolute(self.working_dir, "working_dir")
        if self.umask is not None:
            checks.in_range(self.umask, 0, 0o777, "umask")
        checks.one_of(self.stdin, Stdin, "stdin")
        checks.one_of(self.stdout, Stdout, "stdout")
        checks.one_of(self.stderr, Stderr, "stderr")
        checks.one_of(self.overflow, Overflow, "overflow")
        checks.in_range(self.bufsize, 0, 1 << 40, "bufsize")
        if not self.bufsize:
            object.__setattr__(self, "stdout", "null")
            object.__setattr__(self, "stderr", "null")
        for held in self.listen:
            check_name(held, "Socket")

    def _check_env(self) -> None:
        checks.no_nul(self.env, "The name of an environment variable")
        checks.no_nul(self.env.values(), "An environment variable")
        for variable in self.env:
            if not variable or "=" in variable:
                raise BadRequest(f"{variable!r} is no name for an environment variable")

    def _check_rlimits(self) -> None:
        for limit, (soft, hard) in self.rlimits.items():
            if not hasattr(resource, f"RLIMIT_{limit.upper()}"):
                known = sorted(word[7:].lower() for word in dir(resource) if word.startswith("RLIMIT_"))
                raise BadRequest(f"Unknown rlimit {limit!r}; the limits here are: {', '.join(known)}")
            least, most = (math.inf if each == resource.RLIM_INFINITY else each for each in (soft, hard))
            if min(least, most) < 0:
                raise BadRequest(f"rlimit {limit}: {parameters.shown_rlimit((soft, hard))} is below 0")
            if least > most:
                raise BadRequest(f"rlimit {limit}: the soft limit {soft} is above the hard limit {hard}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProcesses(Command):
    """Throw away the output of processes, and forget them when they end."""

    words = ("remove", "processes")
    summary = "Drop processes' output and forget them once they end"
    refusals = (
        (NotFound, "a name without a * is not held; then none is removed"),
        (LimitReached, "there is no memory left to note that; of several, those before it are removed"),
    )
    help = """\
No process is stopped by this. What a removed process still prints is read
and thrown away; when it exits, its name is free.

Examples:
    remove processes job
    remove processes 3698"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or pids; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteProcess(Command):
    """Send bytes to the standard input of a process that was made with C{stdin=pipe}."""

    words = ("write", "process")
    summary = "Send a line to a process's standard input"
    refusals = (
        (NotFound, "there is no such process"),
        (LimitReached, "it has not read what it was sent before"),
    )
    help = """\
The process must have been made with stdin=pipe. On the console the line is
sent with a newline at its end.

Example:
    write process shell echo hello"""

    name: str = parameters.name("the process")
    data: bytes = parameters.text(
        "what to send: the rest of the line",
        "TEXT",
        default=b"",
        parse=parameters.typed,
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Process")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStdin(Command):
    """End the standard input of a process that was made with C{stdin=pipe}."""

    words = ("close", "stdin")
    summary = "End a process's standard input"
    refusals = ((NotFound, "there is no such process"),)
    help = """\
Example:
    close stdin shell"""

    name: str = parameters.name("the process")

    def __post_init__(self) -> None:
        check_name(self.name, "Process")


@dataclass(frozen=True, slots=True, kw_only=True)
class LendProcess(Command):
    """A pidfd of a process, by which it can be signalled and no other process in its place."""

    words = ("lend", "process")
    summary = "Get a pidfd of a process"
    answer = Process
    refusals = (
        (NotFound, "there is no such process"),
        (NotAllowed, "the connection is not a Unix socket"),
        (LimitReached, "too many descriptors are on their way to this client"),
        (SpawnFailed, "it has exited, or the system has no pidfds"),
    )
    on_console = False
    lends = True

    name: str = parameters.name("the process")

    def __post_init__(self) -> None:
        check_name(self.name, "Process")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchProcesses(Command):
    """Receive the output of processes: kept output first, then what they print, then their ends."""

    words = ("watch", "processes")
    summary = "Receive the output of processes"
    refusals = (
        (NotFound, "a name without a * is not held, or nothing is selected"),
        (LimitReached, "there are as many cursors as there may be"),
    )
    watches = True
    help = """\
Output comes in batches. A batch ends in "] ": any line acknowledges it, and
papa then lets go of it and sends the next; q acknowledges and stops. What was
not acknowledged is kept for the next watcher.

Examples:
    watch processes web.*
    watch processes observe=1 job"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or pids; none means all")
    observe: bool = parameters.option(
        "observe",
        "1: only look; what is read here is kept for others",
        hint="0|1",
        default=False,
        parse=parameters.flag,
    )
    follow: bool = parameters.option(
        "follow",
        "0: stop when what is there has been sent",
        hint="0|1",
        default=True,
        parse=parameters.flag,
    )
    cursor: str = parameters.option(
        "cursor",
        "read with a place of this name, which outlives the reader; processes made later join",
        hint="NAME",
        default="",
    )
    holes: bool = parameters.option(
        "holes",
        "1: say where a full buffer dropped output",
        hint="0|1",
        default=False,
        parse=parameters.flag,
    )

    def __post_init__(self) -> None:
        if self.cursor:
            check_name(self.cursor, "Cursor")
            if len(self.names) > _MOST_PATTERNS:
                raise BadRequest(f"A cursor reads at most {_MOST_PATTERNS} names: use a wildcard")
            if self.observe:
                raise BadRequest("observe=1 has no place that could be kept, so it takes no cursor")
