"""Commands about sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from papa import parameters
from papa.asked import checks
from papa.asked.command import Command
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotAllowed, NotFound, SocketFailed
from papa.names import check_name
from papa.records import Socket

__all__ = ["LendSocket", "MakeSocket", "RemoveSockets", "TakeSocket"]

MAX_PORT: Final = 65535

Family = Literal["unix", "inet", "inet6"]
SocketType = Literal["stream", "dgram", "seqpacket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSocket(Command):
    """Bind and hold a socket. Defaults are filled in: after construction C{family} and C{host} or C{path} are set."""

    words = ("make", "socket")
    summary = "Create a socket and hold it"
    answer = Socket
    refusals = (
        (AlreadyDiffers, "the name is held, with other parameters; it says which"),
        (SocketFailed, "the system does not give the address, or something else is at the path"),
        (LimitReached, "the anchor cannot be given it now"),
    )
    repeatable = True
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
    )

    def __post_init__(self) -> None:
        check_name(self.name, "Socket")
        if not self.family:
            object.__setattr__(self, "family", "unix" if self.path is not None else "inet")
        checks.one_of(self.family, Family, "Socket family")
        checks.one_of(self.type, SocketType, "Socket type")
        checks.in_range(self.backlog, 0, (1 << 31) - 1, "backlog")
        if self.family == "unix":
            self._check_unix()
        else:
            self._check_inet()

    def _check_unix(self) -> None:
        if not self.path or self.path.endswith("/"):
            raise BadRequest("A unix socket requires path=, the absolute path of its file")
        checks.absolute(self.path, "Socket path")
        if self.host is not None or self.port or self.interface is not None or self.reuseport:
            raise BadRequest("host, port, interface and reuseport belong to inet sockets, path and umask to unix ones")
        if self.umask is not None:
            checks.in_range(self.umask, 0, 0o777, "umask")

    def _check_inet(self) -> None:
        if self.path is not None or self.umask is not None:
            raise BadRequest("path and umask belong to unix sockets, host, port, interface and reuseport to inet ones")
        checks.in_range(self.port, 0, MAX_PORT, "port")
        if self.interface is not None:
            checks.no_nul([self.interface], "interface")
            if not self.interface:
                raise BadRequest("interface= needs the name of a network interface, as eth0")
        if self.type == "seqpacket":
            raise BadRequest("seqpacket is a type of unix sockets; inet sockets are stream or dgram")
        checks.no_nul([self.host or ""], "host")
        if not self.host:
            hosts = {"inet": ("127.0.0.1", "0.0.0.0"), "inet6": ("::1", "::")}[self.family]  # noqa: S104 - as in 1.0.6
            object.__setattr__(self, "host", hosts[self.interface is not None])


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSockets(Command):
    """Close and forget sockets."""

    words = ("remove", "sockets")
    summary = "Close sockets and forget them"
    refusals = (
        (NotFound, "a name without a * is not held; then none is removed"),
        (LimitReached, "there is no memory left to note that; of several, those before it are removed"),
    )
    help = """\
Processes that were given a socket keep it; a unix socket's file is deleted.

Examples:
    remove sockets web
    remove sockets test.*"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or descriptors; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class LendSocket(Command):
    """A duplicate of a held socket, for a program to serve on."""

    words = ("lend", "socket")
    summary = "Get a duplicate of a held socket"
    answer = Socket
    refusals = (
        (NotFound, "there is no such socket"),
        (NotAllowed, "the connection is not a Unix socket"),
        (LimitReached, "too many descriptors are on their way to this client"),
        (SocketFailed, "the system has no descriptor left, or refuses another socket of a reuseport"),
    )
    on_console = False
    lends = True

    name: str = parameters.name("the socket")

    def __post_init__(self) -> None:
        check_name(self.name, "Socket")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSocket(Command):
    """Have papa hold a duplicate of a socket that was bound elsewhere."""

    words = ("take", "socket")
    summary = "Give papa a bound socket to hold"
    answer = Socket
    refusals = (
        (AlreadyDiffers, "the name is held"),
        (NotAllowed, "the connection is not a Unix socket"),
        (SocketFailed, "what came is no bound socket of a kind that papa holds"),
        (LimitReached, "the anchor cannot be given it now"),
    )
    on_console = False
    takes = True

    name: str = parameters.name()
    descriptor: int = parameters.descriptor()

    def __post_init__(self) -> None:
        check_name(self.name, "Socket")
