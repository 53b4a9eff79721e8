"""
A kernel in memory, for the tests of programs that use papa through L{papa.client.deferred}.

The client is the real one and so is the kernel, but the sockets are mere names, and the programs do what the test says:

    >>> from papa.testing import MemoryKernel, result_of
    >>> papa = MemoryKernel()
    >>> kernel = result_of(papa.client())
    >>> process = result_of(kernel.make_process("web", ["/usr/bin/web", "--port", "80"]))
    >>> process.running, process.args[0]
    (True, '/usr/bin/web')

    >>> watch = kernel.watch_processes("web")
    >>> papa.child("web").print(b"ready")
    >>> result_of(watch.__anext__()).data
    b'ready'
    >>> papa.child("web").exit(3)
    >>> end = result_of(watch.__anext__())
    >>> end.exit_code
    3
    >>> result_of(watch.acknowledge(end))
    True
    >>> result_of(kernel.list_processes())
    {}

What is sent arrives before the call returns. Time passes when C{papa.clock.advance} says so. L{MemoryKernel.cut} ends
all connections with what is on its way, and L{MemoryKernel.restart} has another kernel answer afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer

from papa.client.deferred import RemoteKernel
from papa.commands import ListProcesses
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySockets
from papa.interfaces import IEventObserver
from papa.kernel.core import Kernel
from papa.records import Event, Process
from papa.server.attendance import Attendance
from papa.server.program import ProgramFactory
from papa.wire.messages import PROTOCOL_VERSION, Greeting

__all__ = ["MemoryKernel", "result_of"]

_Result = TypeVar("_Result")


def result_of(asked: Deferred[_Result] | Coroutine[Deferred[Any], Any, _Result]) -> _Result:
    """
    What has come of something that was asked.

    @raise AssertionError: if nothing has yet.
    @raise Exception: what it failed with.
    """
    deferred = asked if isinstance(asked, Deferred) else Deferred.fromCoroutine(asked)
    results: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    if not results:
        raise AssertionError("Nothing has come yet")
    result: _Result = results[0]
    return result


class _Transport(FakeTransport):
    """One end of a connection in memory, which takes no more than the other end reads."""

    def __init__(self, protocol: Any, isServer: bool, move: Callable[[], None], held: Callable[[], bool]) -> None:
        """
        @param held: whether nothing of what is said here arrives.
        """
        super().__init__(protocol, isServer)
        self.peer: _Transport
        self._move = move
        self._held = held
        self._reading = True

    def write(self, data: bytes) -> None:
        super().write(data)
        self._move()

    def loseConnection(self) -> None:
        super().loseConnection()
        self._move()

    def abortConnection(self) -> None:
        super().abortConnection()
        self._move()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self._move()

    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        self._reading = True
        self._move()

    def getOutBuffer(self) -> Any:
        return super().getOutBuffer() if self._passes else None

    @property
    def is_on_its_way(self) -> bool:
        """Whether something was said that the other end will read."""
        return bool(self.stream) and self._passes and not self.peer.disconnected

    @property
    def _passes(self) -> bool:
        return self.peer._reading and not self._held()

    def _checkProducer(self) -> None:
        if not self.stream:
            super()._checkProducer()


class _Connection:
    """Both ends of a connection in memory."""

    def __init__(self, server: Any, client: Any, papa: MemoryKernel) -> None:
        self._moving = True
        here = _Transport(server, True, self.move, lambda: papa.mute)
        there = _Transport(client, False, self.move, lambda: papa.deaf)
        here.peer, there.peer = there, here
        self.ends = (here, there)
        self._pump = IOPump(client, server, there, here, False, clock=papa.clock)
        server.makeConnection(here)
        client.makeConnection(there)
        self._moving = False
        self.move()

    def cut(self) -> None:
        """End it, with whatever is on its way."""
        for end in self.ends:
            end.stream.clear()
        self.ends[0].abortConnection()

    def move(self) -> None:
        """Bring what was said to the other end, both ways, until nothing more is said."""
        if not self._moving:
            self._moving = True
            try:
                while self._pump.pump(advanceClock=False) or any(end.is_on_its_way for end in self.ends):
                    pass
            finally:
                self._moving = False


@implementer(IEventObserver)
class _Diary:
    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def happened(self, event: Event) -> None:
        self._events.append(event)


class Impatient:
    """
    A clock on which nothing waits for no time at all.

    The kernel takes long requests a little at a time; and how long something takes is nothing that a test should see.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def callLater(self, delay: float, call: Callable[..., object], *args: object, **options: object) -> object:
        return self._clock.callLater(delay, call, *args, **options) if delay else call(*args, **options)


class _Door:
    reason: str | None = None

    def refusal(self, transport: Any) -> str | None:
        return self.reason


@implementer(IStreamClientEndpoint)
class MemoryKernel:
    """
    A kernel in memory, and the endpoint at which it is to be found.

    @ivar clock: what clients wait by; it stands still unless it is advanced.
    @ivar children: the programs that were started.
    @ivar events: what has happened to what the kernel holds.
    @ivar ended: why the kernel would have ended, if it would.
    @ivar factory: makes the kernel's ends of connections, to serve it at a real endpoint too.
    @ivar attempts: how often somebody tried to connect.
    @ivar refuses: why nobody can connect; L{None} if everybody can.
    @ivar door: whoever connects is refused for C{door.reason}, if there is one.
    @ivar deaf: nothing of what clients say arrives; C{mute}: nothing of what the kernel says.
    """

    def __init__(self, clock: Any = None) -> None:
        """
        @param clock: a reactor, or anything else that clients can wait by; a clock of its own by default.
        """
        self.clock = clock or Clock()
        self.attempts = 0
        self.refuses: Exception | None = None
        self.door = _Door()
        self.deaf = self.mute = False
        self._connections: list[_Connection] = []
        self._restarts = 0
        self._begin()

    def _begin(self) -> None:
        self.children = MemoryChildren()
        self.events: list[Event] = []
        self.ended: list[str] = []
        self.kernel = Kernel(
            sockets=MemorySockets(), children=self.children, wall=self.clock.seconds, events=_Diary(self.events)
        )
        self.attendance = Attendance(self.kernel, self.ended.append, most=1000)
        greeting = Greeting(version=PROTOCOL_VERSION, kernel=f"memory {self._restarts}", pid=1000)
        later: Any = Impatient(self.clock)
        self.factory = ProgramFactory(self.kernel, self.attendance, self.door, greeting, later)

    def client(self) -> Deferred[RemoteKernel]:
        """A client of the kernel, as L{papa.client.deferred.connect} gives it."""
        kernel = RemoteKernel(self, self.clock)
        return kernel.start().addCallback(lambda _: kernel)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect something else, as to any endpoint."""
        self.attempts += 1
        if self.refuses is not None:
            return fail(self.refuses)
        client: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        self._connections.append(_Connection(self.factory.buildProtocol(None), client, self))
        return succeed(client)

    def child(self, name: str) -> MemoryChild:
        """The program that runs in a process."""
        found = self.kernel.perform(ListProcesses(names=(name,)))
        assert isinstance(found, dict)
        process = found[name]
        assert isinstance(process, Process)
        return self.children.children[process.pid]

    def cut(self) -> None:
        """End all connections; clients connect again once time has passed."""
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.cut()

    def restart(self) -> None:
        """Put another kernel in the place of this one, which holds nothing."""
        self.cut()
        self._restarts += 1
        self._begin()
