"""
Sockets and children that exist in memory only, for tests of papa and of programs that use it, and for rehearsals.

They keep the contracts of the real drivers. What a test does to them, and a kernel never would, stands last in each
class.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from typing import Any

from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess, MakeSocket
from papa.errors import BadRequest, SocketFailed, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IChildObserver, IHeldSocket, ILedger, ISocketDriver, ITape
from papa.records import STDERR, STDOUT

__all__ = ["MemoryChild", "MemoryChildren", "MemoryLedger", "MemorySocket", "MemorySockets", "MemoryTape"]


@implementer(IHeldSocket)
class MemorySocket:
    """A name for an address."""

    def __init__(self, driver: MemorySockets, spec: MakeSocket, port: int | None, fileno: int | None) -> None:
        self._driver = driver
        self.spec = spec
        self.port = port
        self.fileno = fileno
        self.closed = False
        self.duplicates: list[MemorySocket] = []

    def duplicate(self) -> MemorySocket:
        """Another one at the same address."""
        twin = MemorySocket(self._driver, self.spec, self.port, next(self._driver.filenos))
        self.duplicates.append(twin)
        return twin

    def lend(self) -> int:
        """A descriptor of nothing."""
        return os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Free the address."""
        self.closed = True
        address = self._driver.address(self.spec, self.port)
        sharing = self._driver.bound.get(address, [])
        if self in sharing:
            sharing.remove(self)
            if not sharing:
                del self._driver.bound[address]


@implementer(ISocketDriver)
class MemorySockets:
    """Hands out addresses."""

    def __init__(self) -> None:
        self.filenos = itertools.count(64)
        self.bound: dict[tuple[object, ...], list[MemorySocket]] = {}
        self._ports = itertools.count(40001)

    def hold(self, spec: MakeSocket) -> MemorySocket:
        """Take the address."""
        port = None if spec.family == "unix" else spec.port or next(self._ports)
        address = self.address(spec, port)
        sharing = self.bound.get(address, [])
        if sharing and not (spec.reuseport and all(each.spec.reuseport for each in sharing)):
            raise SocketFailed(f"Cannot bind {spec.name}: Address already in use")
        held = MemorySocket(self, spec, port, None if spec.reuseport else next(self.filenos))
        self.bound[address] = [*sharing, held]
        return held

    def adopt(self, spec: MakeSocket, fileno: int | None) -> MemorySocket:
        """Go on with one that was held."""
        for held in (each for sharing in self.bound.values() for each in sharing):
            if held.spec == spec and held.fileno == fileno:
                return held
        raise SocketFailed(f"Nothing holds {spec.name}")

    def take(self, name: str, descriptor: int) -> tuple[MakeSocket, MemorySocket]:
        """Hold what came under a port of its own."""
        spec = MakeSocket(name=name, port=next(self._ports))
        return spec, self.hold(spec)

    @staticmethod
    def address(spec: MakeSocket, port: int | None) -> tuple[object, ...]:
        """What no two sockets can share, but with C{reuseport}."""
        return (spec.path,) if spec.family == "unix" else (spec.family, spec.type, spec.host, port)


@implementer(ITape)
class MemoryTape:
    """
    A tape that forgets nothing, and says what it was told to let go of.

    @ivar channel: of what was put on it last.
    @ivar straightened: the mark and the number from which on it was straightened; L{None} if it was not.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.channel = STDOUT
        self.released = (0, 0)
        self.straightened: tuple[int, int] | None = None
        self._closed = False
        self._entries: list[tuple[int, float, int]] = []

    def note(self, number: int, end: int, stamp: float, channel: int) -> None:
        """An entry."""
        self._entries[number:] = [(end, stamp, channel)]

    def entries(self, number: int, mark: int) -> Iterable[tuple[int, float, int]]:
        """The entries from that number on; and one of what a kernel had no time left to note."""
        marked = max([mark, *(end for end, _, _ in self._entries[number:])])
        if marked < len(self.data):
            self._entries.append((len(self.data), 0.0, self.channel))
        return self._entries[number:]

    def read(self, mark: int, size: int) -> bytes:
        """What is there."""
        assert mark >= self.released[0]
        assert not self._closed
        return bytes(self.data[mark : mark + size])

    def release(self, mark: int, number: int) -> None:
        """Never be asked for it."""
        self.released = (mark, number)

    def straighten(self, mark: int, number: int) -> None:
        """Lie as ever, and say so."""
        self.straightened = (mark, number)

    def close(self) -> None:
        """Be asked for nothing."""
        self._closed = True


@implementer(ILedger)
class MemoryLedger:
    """
    A ledger for the next kernel of a test.

    @ivar entries: what it remembers, by kind and name.
    """

    keeps = True

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}

    def put(self, kind: str, name: str, value: object) -> None:
        """Remember it as JSON would."""
        self.entries.setdefault(kind, {})[name] = json.loads(json.dumps(value))

    def remove(self, kind: str, name: str) -> None:
        """Remember it no more."""
        self.entries.get(kind, {}).pop(name, None)


@implementer(IChild)
class MemoryChild:
    """A program that does what a test says."""

    def __init__(self, spec: ChildSpec, pid: int, observer: IChildObserver, tape: MemoryTape | None) -> None:
        self.spec = spec
        self.pid = pid
        self.tape = tape
        self.code: int | None = None
        self._observer = observer
        self._channels = {channel for channel, kind in ((STDOUT, spec.stdout), (STDERR, spec.stderr)) if kind == "pipe"}
        self._captures = bool(self._channels)
        self._exited = False
        self._unread: list[tuple[int, bytes]] = []
        self._end_told = False
        self.paused = self.forgotten = False
        self.stdin: list[bytes] = []
        self.stdin_open = spec.stdin == "pipe"
        self.untaken = (b"", False)

    def write(self, data: bytes) -> None:
        """Take input."""
        self._check_stdin()
        self.stdin.append(data)

    def close_stdin(self) -> None:
        """Take the end of input."""
        self._check_stdin()
        self.stdin_open = False

    def unsent(self) -> tuple[bytes, bool]:
        """What a test says."""
        return self.untaken

    def _check_stdin(self) -> None:
        if not self.stdin_open:
            raise BadRequest("The standard input of the process is closed")

    def lend(self) -> int:
        """A descriptor of nothing."""
        if self._exited:
            raise SpawnFailed("The process has exited: there is nothing left to signal")
        return os.open(os.devnull, os.O_RDONLY)

    def discard(self) -> None:
        """Print for nobody."""
        self.tape = None

    def forget(self) -> None:
        """Be asked for no more."""
        self.forgotten = True
        if self.tape is not None:
            self.tape.close()

    def pause_output(self) -> None:
        """Be read no more."""
        self.paused = True

    def resume_output(self) -> None:
        """Be read again."""
        self.paused = False
        self._flow()

    def print(self, data: bytes, channel: int = STDOUT) -> None:
        """Print something."""
        if channel == STDERR and self.spec.stderr == "stdout":
            channel = STDOUT
        if channel in self._channels:
            self._unread.append((channel, data))
            self._flow()

    def _flow(self) -> None:
        """What is not read while reading is paused waits, and so does the end."""
        while self._unread and not self.paused:
            self._arrived(*self._unread.pop(0))
        if self._captures and not (self._channels or self._unread or self.paused or self._end_told):
            self._end_told = True
            self._observer.output_ended()

    def _arrived(self, channel: int, data: bytes) -> None:
        if self.tape is None:
            self._observer.output_arrived(channel, data)
        else:
            self.tape.data += data
            self.tape.channel = channel
            self._observer.output_stored(channel, len(data))

    def close_output(self, *channels: int) -> None:
        """Close some channels, or all."""
        self._channels -= set(channels or (STDOUT, STDERR))
        self._flow()

    def adopted(self, observer: IChildObserver) -> MemoryChild:
        """Be the child of another kernel, which is still to be told what has become of it."""
        self._observer = observer
        self.paused = self._end_told = False
        self.untaken = (b"", False)
        return self

    def tell(self) -> None:
        """Tell the kernel that has adopted it what it has printed meanwhile, and how it has ended, if it has."""
        if self.code is not None:
            self._observer.exited(self.code)
        self._flow()
        if self.code is not None and not self._captures:
            self._observer.output_ended()

    def exit(self, code: int = 0, *, output_stays_open: bool = False) -> None:
        """Exit; a grandchild may hold the output open."""
        if not output_stays_open:
            self._channels.clear()
        if not self._exited:
            self._exited = True
            self.code = code
            self.tell()
        self._flow()


@implementer(IChildDriver)
class MemoryChildren:
    """
    Starts programs of which only the names exist.

    @ivar missing: names of programs that cannot be started.
    @ivar children: those that were, by pid.
    """

    def __init__(self, *, tapes: bool = False) -> None:
        """
        @param tapes: whether what they print is put on tapes, which another kernel can go on from.
        """
        self._tapes = tapes
        self.missing: set[str] = set()
        self.children: dict[int, MemoryChild] = {}
        self._pids = itertools.count(1001)

    def identity(self, spec: MakeProcess) -> Identity:
        """Numbers are users; there are no names."""
        if isinstance(spec.uid, str) or isinstance(spec.gid, str):
            raise BadRequest(f"There is no user {spec.uid!r} or group {spec.gid!r}")
        groups = tuple(group for group in spec.groups or () if isinstance(group, int))
        if len(groups) != len(spec.groups or ()):
            raise BadRequest(f"There are not all of the groups {spec.groups!r}")
        uid = 1000 if spec.uid is None else spec.uid
        gid = spec.gid if spec.gid is not None else uid
        asked = not (spec.uid is None and spec.gid is None and spec.groups is None)
        return Identity(uid=uid, gid=gid, groups=groups, changed=asked)

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """Start a program."""
        if spec.args[0] in self.missing:
            raise SpawnFailed(f"Program {spec.args[0]!r} not found")
        tape = MemoryTape() if self._tapes and spec.captured else None
        child = MemoryChild(spec, next(self._pids), observer, tape)
        self.children[child.pid] = child
        return child

    def adopt(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """Go on with a child of another kernel."""
        for child in self.children.values():
            if child.spec.key == spec.key and not child.forgotten:
                return child.adopted(observer)
        raise SpawnFailed(f"Nobody has started {spec.args[0]!r}")

    def latest(self) -> MemoryChild:
        """The child that was started last."""
        return self.children[max(self.children)]
