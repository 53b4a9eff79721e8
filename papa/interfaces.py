"""The seams: what the kernel asks of the operating system, and what it tells the wires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zope.interface import Attribute, Interface

from papa.commands import Command, MakeProcess, MakeSocket, WatchProcesses
from papa.records import Event, Item

__all__ = [
    "ChildSpec",
    "IChild",
    "IChildDriver",
    "IChildObserver",
    "IEventObserver",
    "IHeldSocket",
    "IKernel",
    "ISocketDriver",
    "IWatch",
    "IWatchObserver",
    "Identity",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    Whom a child runs as.

    @ivar groups: its supplementary groups.
    @ivar changed: whether this differs from papa's own identity, so that something must be done about it.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """
    All that a driver needs to start a child.

    @ivar args: the program and its arguments, sockets substituted.
    @ivar env: its environment; the driver adds nothing but what C{listen} and C{inherit_env} stand for.
    @ivar descriptors: descriptors of papa's that the child gets under the same number.
    @ivar listen: name and descriptor of each socket handed over as LISTEN_FDS, in order.
    """

    args: tuple[str, ...]
    env: Mapping[str, str]
    inherit_env: bool = False
    working_dir: str | None = None
    identity: Identity
    rlimits: Mapping[str, tuple[int, int]]
    umask: int | None = None
    stdin: str = "null"
    stdout: str = "pipe"
    stderr: str = "pipe"
    descriptors: tuple[int, ...] = ()
    listen: tuple[tuple[str, int], ...] = ()


class IHeldSocket(Interface):
    """A bound socket."""

    port: int | None = Attribute("The port it is bound to, for an inet family.")
    fileno: int | None = Attribute("Its descriptor; None where each child gets a socket of its own.")

    def duplicate() -> IHeldSocket:
        """
        Bind another socket to the same address, where the socket was made with C{reuseport}.

        @raise SocketFailed: if the system refuses.
        """

    def close(unlink: bool = True) -> None:
        """Close it and, unless told otherwise, delete the file of a unix socket."""


class ISocketDriver(Interface):
    """Makes sockets."""

    def hold(spec: MakeSocket) -> IHeldSocket:
        """
        Bind, and listen where the type has it.

        @raise SocketFailed: if the system refuses; nothing is left behind.
        """


class IChildObserver(Interface):
    """Is told what becomes of a child."""

    def output_arrived(channel: int, data: bytes) -> None:
        """Some of its output was read just now."""

    def output_ended() -> None:
        """All captured channels have ended; comes once, also where none was captured."""

    def exited(code: int) -> None:
        """It has exited; comes once, before or after the end of its output."""


class IChild(Interface):
    """A started program."""

    pid: int = Attribute("Its process id.")

    def write(data: bytes) -> None:
        """
        Send bytes to its standard input.

        @raise BadRequest: if it has none, or it was closed.
        @raise LimitReached: if it has not read what it was sent before.
        """

    def close_stdin() -> None:
        """
        End its standard input, after what was written.

        @raise BadRequest: if it has none, or it was closed.
        """

    def pause_output() -> None:
        """Stop reading: the child will wait when its pipes are full."""

    def resume_output() -> None:
        """Read on."""


class IChildDriver(Interface):
    """Starts programs."""

    def identity(spec: MakeProcess) -> Identity:
        """
        Look up the user and groups that a request asks for.

        @raise BadRequest: if there is no such user or group.
        @raise NotAllowed: if papa may not become it.
        """

    def spawn(spec: ChildSpec, observer: IChildObserver) -> IChild:
        """
        Start a program. The observer is told nothing before this returns.

        @raise SpawnFailed: if the program does not start; nothing is left behind.
        @raise LimitReached: if the machine has no process or descriptor left.
        """


class IEventObserver(Interface):
    """Is told what happened to what papa holds."""

    def happened(event: Event) -> None:
        """It has just happened."""


class IWatchObserver(Interface):
    """Is told when there is something to take from a watch."""

    def output_ready() -> None:
        """There was nothing to take and now there is."""


class IWatch(Interface):
    """One reader of the output of some processes, with its own place in each."""

    count: int = Attribute("How many processes it still watches.")
    pending: bool = Attribute("Whether there is something to take.")

    def take(limit: int) -> list[Item]:
        """Up to about C{limit} bytes of output, in order of arrival for each process; each item is given once."""

    def acknowledge() -> None:
        """All that was taken is safe: papa may let go of it, and forget the processes whose end was taken."""

    def stop() -> None:
        """Stop watching; what was not acknowledged is kept for others."""


class IKernel(Interface):
    """What papa holds, and all that can be asked of it."""

    idle: bool = Attribute("Whether it holds nothing.")

    def perform(command: Command) -> object:
        """
        Do what a command asks.

        @return: what the command's method gives: a record, a mapping of name to record, a value, or None.
        @raise Error: one leaf of L{papa.errors}; the kernel is then as it was.
        """

    def watch(request: WatchProcesses, observer: IWatchObserver) -> IWatch:
        """
        Start watching.

        @raise NotFound: if a plain name is not held, or nothing is selected.
        """
