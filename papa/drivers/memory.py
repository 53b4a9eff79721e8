"""
Sockets and children that exist in memory only, for tests: of papa, and of programs that use it.

They keep the contracts of the real drivers. What a test does to them, and a kernel never would, stands last in each
class.
"""

from __future__ import annotations

import itertools

from zope.interface import implementer

from papa.commands import MakeProcess, MakeSocket
from papa.errors import BadRequest, SocketFailed, SpawnFailed
from papa.interfaces import ChildSpec, IChild, IChildDriver, IChildObserver, Identity, IHeldSocket, ISocketDriver
from papa.records import STDERR, STDOUT

__all__ = ["MemoryChild", "MemoryChildren", "MemorySocket", "MemorySockets"]


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

    def close(self, unlink: bool = True) -> None:
        """Free the address."""
        self.closed = True
        if self._driver.bound.get(self._driver.address(self.spec, self.port)) is self:
            del self._driver.bound[self._driver.address(self.spec, self.port)]


@implementer(ISocketDriver)
class MemorySockets:
    """Hands out addresses."""

    def __init__(self) -> None:
        self.filenos = itertools.count(64)
        self.bound: dict[tuple[object, ...], MemorySocket] = {}
        self._ports = itertools.count(40001)

    def hold(self, spec: MakeSocket) -> MemorySocket:
        """Take the address."""
        port = None if spec.family == "unix" else spec.port or next(self._ports)
        address = self.address(spec, port)
        if address in self.bound:
            raise SocketFailed(f"Cannot bind {spec.name}: Address already in use")
        held = self.bound[address] = MemorySocket(self, spec, port, None if spec.reuseport else next(self.filenos))
        return held

    @staticmethod
    def address(spec: MakeSocket, port: int | None) -> tuple[object, ...]:
        """What no two sockets can share."""
        return (spec.family, spec.type, spec.path or spec.host, port)


@implementer(IChild)
class MemoryChild:
    """A program that does what a test says."""

    def __init__(self, spec: ChildSpec, pid: int, observer: IChildObserver) -> None:
        self.spec = spec
        self.pid = pid
        self._observer = observer
        self._channels = {channel for channel, kind in ((STDOUT, spec.stdout), (STDERR, spec.stderr)) if kind == "pipe"}
        self._captures = bool(self._channels)
        self._exited = False
        self.paused = False
        self.stdin: list[bytes] = []
        self.stdin_open = spec.stdin == "pipe"

    def write(self, data: bytes) -> None:
        """Take input."""
        self._check_stdin()
        self.stdin.append(data)

    def close_stdin(self) -> None:
        """Take the end of input."""
        self._check_stdin()
        self.stdin_open = False

    def _check_stdin(self) -> None:
        if not self.stdin_open:
            raise BadRequest("The standard input of the process is closed")

    def pause_output(self) -> None:
        """Be read no more."""
        self.paused = True

    def resume_output(self) -> None:
        """Be read again."""
        self.paused = False

    def print(self, data: bytes, channel: int = STDOUT) -> None:
        """Print something."""
        if channel in self._channels:
            self._observer.output_arrived(channel, data)

    def close_output(self, *channels: int) -> None:
        """Close some channels, or all."""
        if self._channels:
            self._channels -= set(channels or (STDOUT, STDERR))
            if not self._channels:
                self._observer.output_ended()

    def exit(self, code: int = 0, *, output_stays_open: bool = False) -> None:
        """Exit; a grandchild may hold the output open."""
        if not self._exited:
            self._exited = True
            self._observer.exited(code)
            if not self._captures:
                self._observer.output_ended()
        if not output_stays_open:
            self.close_output()


@implementer(IChildDriver)
class MemoryChildren:
    """
    Starts programs of which only the names exist.

    @ivar missing: names of programs that cannot be started.
    @ivar children: those that were, by pid.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.children: dict[int, MemoryChild] = {}
        self._pids = itertools.count(1001)

    def identity(self, spec: MakeProcess) -> Identity:
        """Numbers are users; there are no names."""
        if isinstance(spec.uid, str) or isinstance(spec.gid, str):
            raise BadRequest(f"There is no user {spec.uid!r} or group {spec.gid!r}")
        asked = spec.uid is not None or spec.gid is not None
        return Identity(uid=spec.uid or 1000, gid=spec.gid or spec.uid or 1000, changed=asked)

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """Start a program."""
        if spec.args[0] in self.missing:
            raise SpawnFailed(f"Program {spec.args[0]!r} not found")
        child = MemoryChild(spec, next(self._pids), observer)
        self.children[child.pid] = child
        return child

    def latest(self) -> MemoryChild:
        """The child that was started last."""
        return self.children[max(self.children)]
