"""The seams: what the kernel asks of the system, of who goes on from it, and what it tells the wires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zope.interface import Attribute, Interface

from papa.childspec import ChildSpec, Identity
from papa.commands import Command, MakeProcess, MakeSocket, WatchEvents, WatchProcesses
from papa.records import Event, Happened, Item
from papa.steps import Steps

__all__ = [
    "IChild",
    "IChildDriver",
    "IChildObserver",
    "IEventObserver",
    "IHeldSocket",
    "IHolder",
    "IKernel",
    "ILedger",
    "ILine",
    "ISocketDriver",
    "ITape",
    "IWatch",
    "IWatchObserver",
]


class IHolder(Interface):
    """Holds descriptors beyond the life of papa; what it holds under a key are duplicates."""

    def hold(key: str, descriptors: Sequence[int]) -> None:
        """
        Hold these, in place of what was held under the key.

        @raise LimitReached: if they cannot be held now.
        """

    def take(key: str) -> Sequence[int]:
        """Those that were held by the papa before: the caller's now, and still held; none if nothing is."""

    def drop(*keys: str) -> None:
        """Hold these no more."""


class ILine(Interface):
    """Leads to who goes on when this papa ends."""

    def serve() -> None:
        """This papa serves."""

    def goodbye() -> None:
        """It ends because it was told to: nobody shall go on."""


class ILedger(Interface):
    """Remembers what the kernel holds, for the next one. What was put stays, though papa is killed right after."""

    keeps: bool = Attribute("Whether it remembers anything.")

    def put(kind: str, name: str, value: object) -> None:
        """
        Remember something, in place of what was put under that kind and name.

        @param value: of what JSON knows.
        @raise LimitReached: if there is no room left.
        """

    def remove(kind: str, name: str) -> None:
        """
        Remember it no more, if it was.

        @raise LimitReached: if there is no room left to note that.
        """


class ITape(Interface):
    """
    Where the output of one process lies, when it does not lie in papa's own memory: it outlives papa.

    What is on it is addressed by marks, and told apart by entries: runs of bytes of one channel, none of which lies on
    both sides of a multiple of 256 KiB.
    """

    def note(number: int, end: int, stamp: float, channel: int) -> None:
        """The entry of that number, counted from 0, ends at a mark; said again of the last one when it grows."""

    def entries(number: int, mark: int) -> Iterable[tuple[int, float, int]]:
        """
        The entries from that number on, to the end of the tape: end, stamp and channel of each.

        @param mark: up to where the entry before it went.
        """

    def read(mark: int, size: int) -> bytes:
        """What is there."""

    def release(mark: int, number: int) -> None:
        """What is below the mark, and the entries below that number, will not be asked for any more."""

    def straighten(mark: int, number: int) -> None:
        """
        Have what is behind the mark, and the entries from that number on, lie as a papa of the first format would have
        it; nothing is put on the tape any more.

        @raise OSError: if there is no room for that.
        """


class IHeldSocket(Interface):
    """A bound socket."""

    port: int | None = Attribute("The port it is bound to, for an inet family.")
    fileno: int | None = Attribute("Its descriptor; None where each child gets a socket of its own.")

    def duplicate() -> IHeldSocket:
        """
        Bind another socket to the same address, where the socket was made with C{reuseport}.

        @raise SocketFailed: if the system refuses.
        """

    def lend() -> int:
        """
        A descriptor of it for somebody else: a duplicate, or where it was made with C{reuseport} a socket of its own.

        @return: not inheritable; the caller closes it.
        @raise SocketFailed: if the system refuses.
        """

    def close() -> None:
        """Close it, and delete the file of a unix socket."""


class ISocketDriver(Interface):
    """Makes sockets."""

    def hold(spec: MakeSocket) -> IHeldSocket:
        """
        Bind, and listen where the type has it.

        @raise SocketFailed: if the system refuses; nothing is left behind.
        @raise LimitReached: if whoever is to go on cannot be given it now.
        """

    def adopt(spec: MakeSocket, fileno: int | None) -> IHeldSocket:
        """
        Go on with a socket that the papa before has held, under the same descriptor if that is free.

        @raise SocketFailed: if there is none.
        """

    def take(name: str, descriptor: int) -> tuple[MakeSocket, IHeldSocket]:
        """
        Hold a socket that was bound elsewhere.

        @param descriptor: stays the caller's; the driver holds a duplicate.
        @return: what would have made such a socket, and the socket.
        @raise SocketFailed: if it is no bound socket of a kind that papa holds.
        @raise LimitReached: as L{hold}.
        """


class IChildObserver(Interface):
    """Is told what becomes of a child."""

    def output_arrived(channel: int, data: bytes) -> None:
        """Some of its output was read just now."""

    def output_stored(channel: int, size: int) -> None:
        """Some of its output was put on the tape just now."""

    def output_ended() -> None:
        """All captured channels have ended; comes once, also where none was captured."""

    def exited(code: int) -> None:
        """It has exited; comes once, before or after the end of its output."""


class IChild(Interface):
    """A started program."""

    pid: int = Attribute("Its process id.")
    tape: ITape | None = Attribute("Where its output is put; None where the observer is given it.")

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

    def unsent() -> tuple[bytes, bool]:
        """What of its standard input is still on its way to it, and whether that ends behind it."""

    def lend() -> int:
        """
        A pidfd of it.

        @return: not inheritable; the caller closes it.
        @raise SpawnFailed: if it has been reaped, or the system has no such thing.
        """

    def discard() -> None:
        """Nothing of its output will be asked for any more; it is read all the same."""

    def forget() -> None:
        """Nobody will ask for it again, nor will the papa after this one."""

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

    def adopt(spec: ChildSpec, observer: IChildObserver) -> IChild:
        """
        Go on with a child that the papa before has started. The observer is told nothing before this returns.

        @raise SpawnFailed: if there is none.
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
    processes: Mapping[str, str] = Attribute("Their names, and what tells each from any other that has had its name.")
    since: int = Attribute("Of events, the number of the one behind which they began; otherwise 0.")
    pending: bool = Attribute("Whether there is something to take.")
    done: bool = Attribute("Whether nothing will ever come any more; what was taken can still be acknowledged.")

    def take(limit: int) -> Sequence[Item | Happened]:
        """
        Up to about C{limit} bytes, in order of arrival for each process; each item is given once.

        @return: L{Item}s of processes; of events L{Happened}.
        """

    def acknowledge() -> None:
        """All that was taken is safe: papa may let go of it, and forget the processes whose end was taken."""

    def acknowledge_to(name: str, invocation: str, mark: int, *, end: bool) -> None:
        """
        Of one process, what was taken up to a mark is safe, and its end if C{end}.

        One that is not watched, or no longer, is passed over: an acknowledgement may cross with an end, and with
        another process that was made under the name.
        """

    def stop() -> None:
        """Stop watching; what was not acknowledged is kept for others."""


class IKernel(Interface):
    """What papa holds, and all that can be asked of it."""

    idle: bool = Attribute("Whether it holds nothing.")

    def perform(command: Command) -> object:
        """
        Do what a command asks.

        @return: what the command's method gives: a record, a mapping of name to record, a value, or None.
        @raise Error: one leaf of L{papa.errors}; the kernel is then as it was, but where a removal of several things
            finds no memory for the next: those before it are removed.
        """

    def steps(command: Command) -> Steps[object]:
        """
        Do the same a little at a time, so that whoever takes the steps may do something else in between.

        @return: takes a step each time it is asked for the next, and returns in the end what L{perform} does. It raises
            what that does; if not in the first step, what was done before stays done.
        """

    def noticed(event: Event) -> None:
        """Something has happened beside what is held, as the coming of a client: told to those who ask for it."""

    def watch(request: WatchProcesses | WatchEvents, observer: IWatchObserver) -> Steps[IWatch]:
        """
        Start watching a little at a time.

        What the observer is told before the last step can be passed over: there is no watch to take it from yet.

        @raise NotFound: if a plain name is not held, or nothing is selected.
        @raise TooOld: if events are asked for that are no longer kept.
        """
