"""
What can be asked of papa: one frozen record a request, valid as soon as it exists.

Everything else follows from these records: the console's words, abbreviations and help, the kernel's methods, the
methods of the clients, and the boxes of the program wire.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, get_args

from papa import parameters
from papa.errors import BadRequest
from papa.names import check_name

__all__ = [
    "ALL",
    "CloseStdin",
    "Command",
    "ExitIfIdle",
    "Get",
    "Help",
    "ListProcesses",
    "ListSockets",
    "ListValues",
    "MakeProcess",
    "MakeSocket",
    "Quit",
    "RemoveProcesses",
    "RemoveSockets",
    "RemoveValues",
    "Set",
    "WatchProcesses",
    "WriteProcess",
]

DEFAULT_BUFSIZE: Final = 1 << 20
MAX_PORT: Final = 65535

Family = Literal["unix", "inet", "inet6"]
SocketType = Literal["stream", "dgram", "seqpacket"]
Stdin = Literal["null", "pipe"]
Stdout = Literal["pipe", "null"]
Stderr = Literal["pipe", "null", "stdout"]
Overflow = Literal["drop-oldest", "block"]


def _one_of(value: object, choices: object, what: str) -> None:
    known = get_args(choices)
    if value not in known:
        raise BadRequest(f"{what} {value!r} is not one of: {', '.join(known)}")


def _in_range(value: int, least: int, most: int, what: str) -> None:
    if not least <= value <= most:
        raise BadRequest(f"{what} must be {least} to {most}, not {value}")


def _no_nul(texts: Iterable[str], what: str) -> None:
    if any("\0" in text for text in texts):
        raise BadRequest(f"{what} cannot hold a NUL: no program could be given it")


def _absolute(path: str, what: str) -> None:
    _no_nul([path], what)
    if not os.path.isabs(path):
        raise BadRequest(f"{what} must be an absolute path, not {path!r}")


def _outputs(word: str) -> str:
    return {"0": "null", "1": "pipe"}.get(word, word)


def _inherit(word: str) -> bool:
    try:
        return {"inherit": True, "replace": False}[word]
    except KeyError:
        raise BadRequest(f"env={word} is neither inherit nor replace; a variable is set with env.NAME={word}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    Something that can be asked.

    @cvar words: how it is called; joined by underscores, the name of the kernel's and the clients' methods.
    @cvar summary: one line for the list of commands.
    @cvar help: what a person needs beyond the fields: examples above all.
    """

    words: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    help: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSocket(Command):
    """Bind and hold a socket. Defaults are filled in: after construction C{family} and C{host} or C{path} are set."""

    words = ("make", "socket")
    summary = "Create a socket and hold it"
    help = """\
A process is given the socket by its descriptor: write $(socket.NAME.fileno)
in an argument, or listen=NAME for programs that take sockets from systemd.
Making the same socket again gives the one that is held.

Examples:
    make socket web port=8080
    make socket web host=0.0.0.0 port=8080 backlog=1024
    make socket app path=/run/app.sock umask=077"""

    name: str = parameters.name()
    family: str = parameters.option("family", "unix (where a path is given), inet (where not) or inet6", default="")
    type: str = parameters.option("type", "stream, dgram or seqpacket", default="stream")
    backlog: int = parameters.option(
        "backlog", "how many connections may wait", hint="N", default=5, parse=parameters.number
    )
    path: str | None = parameters.option("path", "unix: the file, an absolute path", hint="PATH")
    umask: int | None = parameters.option(
        "umask", "unix: mask for the file's mode, octal with a leading 0", hint="MASK", parse=parameters.mask
    )
    host: str | None = parameters.option(
        "host", "inet: name or address; 127.0.0.1 or ::1, with interface= any address", hint="HOST"
    )
    port: int = parameters.option(
        "port", "inet: 0 lets the system choose one", hint="N", default=0, parse=parameters.number
    )
    interface: str | None = parameters.option("interface", "inet: bind to one network interface", hint="IFACE")
    reuseport: bool = parameters.option(
        "reuseport",
        "inet: 1 gives each process that asks for the fileno a socket of its own",
        hint="0|1",
        default=False,
        parse=parameters.flag,
        show=lambda value: "1" if value else "0",
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Socket")
        if not self.family:
            object.__setattr__(self, "family", "unix" if self.path is not None else "inet")
        _one_of(self.family, Family, "Socket family")
        _one_of(self.type, SocketType, "Socket type")
        _in_range(self.backlog, 0, (1 << 31) - 1, "backlog")
        if self.family == "unix":
            self._check_unix()
        else:
            self._check_inet()

    def _check_unix(self) -> None:
        if not self.path or self.path.endswith("/"):
            raise BadRequest("A unix socket requires path=, the absolute path of its file")
        _absolute(self.path, "Socket path")
        if self.host is not None or self.port or self.interface is not None or self.reuseport:
            raise BadRequest("host, port, interface and reuseport belong to inet sockets, path and umask to unix ones")
        if self.umask is not None:
            _in_range(self.umask, 0, 0o777, "umask")

    def _check_inet(self) -> None:
        if self.path is not None or self.umask is not None:
            raise BadRequest("path and umask belong to unix sockets, host, port, interface and reuseport to inet ones")
        _in_range(self.port, 0, MAX_PORT, "port")
        if self.type == "seqpacket":
            raise BadRequest("seqpacket is a type of unix sockets; inet sockets are stream or dgram")
        if not self.host:
            hosts = {"inet": ("127.0.0.1", "0.0.0.0"), "inet6": ("::1", "::")}[self.family]  # noqa: S104 - as in 1.0.6
            object.__setattr__(self, "host", hosts[self.interface is not None])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSockets(Command):
    """The held sockets that the patterns select."""

    words = ("list", "sockets")
    summary = "List sockets"
    help = """\
Examples:
    list sockets
    list sockets web.* 12"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or descriptors; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSockets(Command):
    """Close and forget sockets."""

    words = ("remove", "sockets")
    summary = "Close sockets and forget them"
    help = """\
Processes that were given a socket keep it; a unix socket's file is deleted.

Examples:
    remove sockets web
    remove sockets test.*"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or descriptors; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Command):
    """Keep a value under a name; no value, or an empty one, removes it."""

    words = ("set",)
    summary = "Keep a value under a name"
    help = """\
Without a value the name is removed.

Examples:
    set deploy.current 2041
    set deploy.current"""

    name: str = parameters.name("the name of the value")
    value: str | None = parameters.text("the value: the rest of the line", "VALUE", default=None)

    def __post_init__(self) -> None:
        check_name(self.name, "Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Command):
    """The value of a name, or nothing."""

    words = ("get",)
    summary = "Show the value of a name"
    help = """\
Example:
    get deploy.current"""

    name: str = parameters.name("the name of the value")

    def __post_init__(self) -> None:
        check_name(self.name, "Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValues(Command):
    """The values that the patterns select."""

    words = ("list", "values")
    summary = "List values"
    help = """\
Examples:
    list values
    list values deploy.*"""

    names: tuple[str, ...] = parameters.names("names, or patterns with a final *; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveValues(Command):
    """Forget values; never all of them at once."""

    words = ("remove", "values")
    summary = "Forget values"
    help = """\
All values at once cannot be removed: name them, or use a pattern with some
letters before the *.

Examples:
    remove values deploy.current
    remove values deploy.*"""

    names: tuple[str, ...] = parameters.names("names, or patterns with a final *")

    def __post_init__(self) -> None:
        if not self.names or "*" in self.names:
            raise BadRequest("Values cannot all be removed at once: name them, or use a pattern such as web.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeProcess(Command):
    """Start a program and capture its output."""

    words = ("make", "process")
    summary = "Start a process and keep its output"
    help = """\
Options come before the program; -- ends them. In arguments and in env,
$(socket.NAME.fileno) and $(socket.NAME.port) stand for those of a held socket.
The program gets no environment but what env gives it. It is looked up in the
PATH of that environment, or in /bin and /usr/bin.
Making the same process again gives the one that is held.

Examples:
    make process web /usr/bin/gunicorn --bind fd://$(socket.web.fileno) app:app
    make process job uid=www env=inherit bufsize=10m /usr/bin/env python3 job.py
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
        show=lambda value: "inherit" if value else "replace",
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
        show=lambda value: ",".join(map(str, value)),
    )
    rlimits: Mapping[str, tuple[int, int]] = parameters.mapping(
        "rlimit",
        "sets a resource limit by name (nofile, core, as, ...), soft and hard, or SOFT:HARD",
        hint="N",
        parse=parameters.rlimit,
        show=parameters.shown_rlimit,
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
        show=",".join,
    )
    watch: bool = parameters.option(
        "watch",
        "1: start watching it at once",
        hint="0|1",
        default=False,
        parse=parameters.flag,
        show=lambda value: "1" if value else "0",
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Process")
        if not self.args or not self.args[0]:
            raise BadRequest("Process requires a program to run")
        _no_nul(self.args, "An argument")
        self._check_env()
        self._check_rlimits()
        if self.working_dir is not None:
            _absolute(self.working_dir, "working_dir")
        if self.umask is not None:
            _in_range(self.umask, 0, 0o777, "umask")
        _one_of(self.stdin, Stdin, "stdin")
        _one_of(self.stdout, Stdout, "stdout")
        _one_of(self.stderr, Stderr, "stderr")
        _one_of(self.overflow, Overflow, "overflow")
        _in_range(self.bufsize, 0, 1 << 40, "bufsize")
        if not self.bufsize:
            object.__setattr__(self, "stdout", "null")
            object.__setattr__(self, "stderr", "null")
        for held in self.listen:
            check_name(held, "Socket")

    def _check_env(self) -> None:
        _no_nul(self.env, "The name of an environment variable")
        _no_nul(self.env.values(), "An environment variable")
        for variable in self.env:
            if not variable or "=" in variable:
                raise BadRequest(f"{variable!r} is no name for an environment variable")

    def _check_rlimits(self) -> None:
        for limit, (soft, hard) in self.rlimits.items():
            if not hasattr(resource, f"RLIMIT_{limit.upper()}"):
                known = sorted(word[7:].lower() for word in dir(resource) if word.startswith("RLIMIT_"))
                raise BadRequest(f"Unknown rlimit {limit!r}; the limits here are: {', '.join(known)}")
            if hard != resource.RLIM_INFINITY and not 0 <= soft <= hard:
                raise BadRequest(f"rlimit {limit}: the soft limit {soft} is above the hard limit {hard}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProcesses(Command):
    """The held processes that the patterns select."""

    words = ("list", "processes")
    summary = "List processes"
    help = """\
Examples:
    list processes
    list processes web.* 3698"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or pids; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProcesses(Command):
    """Throw away the output of processes, and forget them when they end."""

    words = ("remove", "processes")
    summary = "Drop processes' output and forget them once they end"
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
        show=parameters.shown_typed,
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Process")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStdin(Command):
    """End the standard input of a process that was made with C{stdin=pipe}."""

    words = ("close", "stdin")
    summary = "End a process's standard input"
    help = """\
Example:
    close stdin shell"""

    name: str = parameters.name("the process")

    def __post_init__(self) -> None:
        check_name(self.name, "Process")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchProcesses(Command):
    """Receive the output of processes: kept output first, then what they print, then their ends."""

    words = ("watch", "processes")
    summary = "Receive the output of processes"
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
        show=lambda value: "1" if value else "0",
    )
    follow: bool = parameters.option(
        "follow",
        "0: stop when what is there has been sent",
        hint="0|1",
        default=True,
        parse=parameters.flag,
        show=lambda value: "1" if value else "0",
    )
    holes: bool = parameters.option(
        "holes",
        "1: say where a full buffer dropped output",
        hint="0|1",
        default=False,
        parse=parameters.flag,
        show=lambda value: "1" if value else "0",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Help(Command):
    """Help on all commands, or on one."""

    words = ("help",)
    summary = "Show this list, or help on one command"
    help = """\
Examples:
    help
    help make process
    h m p"""

    topic: tuple[str, ...] = parameters.names("the words of a command, or some of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit(Command):
    """End this conversation."""

    words = ("quit",)
    summary = "Close this connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitIfIdle(Command):
    """End papa when the last connection has gone, if it then holds nothing."""

    words = ("exit-if-idle",)
    summary = "End papa if it holds no socket, value or process"
    help = """\
Papa ends when the last connection is closed, unless somebody connects before
that or something was made. This command cannot be abbreviated."""


ALL: tuple[type[Command], ...] = (
    MakeSocket,
    ListSockets,
    RemoveSockets,
    MakeProcess,
    ListProcesses,
    WatchProcesses,
    WriteProcess,
    CloseStdin,
    RemoveProcesses,
    Set,
    Get,
    ListValues,
    RemoveValues,
    Help,
    Quit,
    ExitIfIdle,
)
"""Every command, in the order in which help shows them."""
