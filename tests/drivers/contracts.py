"""
What every driver keeps, of memory or real: one set of tests, run on both.

A contract is a mixin. The class that runs it says how its driver is made and, since nobody but a test makes a program
of memory do something, how a child is brought to act.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess, MakeSocket
from papa.errors import BadRequest, NotAllowed, SocketFailed, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IChildObserver, IHeldSocket, ISocketDriver
from papa.records import STDERR, STDOUT

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Mixin
else:
    _Mixin = object


@implementer(IChildObserver)
class Audience:
    """
    Remembers what it was told of a child, in order.

    @ivar told: the kinds of what it was told: C{("output", channel)}, C{("ended",)} and C{("exited", code)}; of
        output that comes in several parts only the first.
    """

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self._output = {STDOUT: bytearray(), STDERR: bytearray()}
        self._awaited: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def out(self) -> bytes:
        return bytes(self._output[STDOUT])

    @property
    def err(self) -> bytes:
        return bytes(self._output[STDERR])

    @property
    def codes(self) -> list[object]:
        """The exit codes it was told; there must never be two."""
        return [each[1] for each in self.told if each[0] == "exited"]

    @property
    def ends(self) -> int:
        """How often it was told that the output has ended."""
        return self.told.count(("ended",))

    @property
    def over(self) -> bool:
        """Whether there is nothing more to be told."""
        return bool(self.codes) and bool(self.ends)

    def output_arrived(self, channel: int, data: bytes) -> None:
        self._output[channel] += data
        if ("output", channel) not in self.told:
            self.told.append(("output", channel))
        self._look()

    def output_ended(self) -> None:
        self.told.append(("ended",))
        self._look()

    def exited(self, code: int) -> None:
        self.told.append(("exited", code))
        self._look()

    def _look(self) -> None:
        for each in list(self._awaited):
            if each in self._awaited and each[0]():
                self._awaited.remove(each)
                each[1].callback(None)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires when what it was told makes the condition true."""
        waiting: Deferred[None] = Deferred()
        self._awaited.append((condition, waiting))
        self._look()
        return waiting

    def until_over(self) -> Deferred[None]:
        """Fires when the child has exited and its output has ended."""
        return self.until(lambda: self.over)


class Actor(Protocol):
    """
    A child that does as it is told.

    @ivar child: what the driver gave.
    """

    child: Any

    def print(self, data: bytes, channel: int = STDOUT) -> None:
        """Print something; without quotes and backslashes."""

    def close_output(self, channel: int) -> None:
        """Close an output and go on."""

    def exit(self, code: int) -> None:
        """Exit, or die of a signal if C{code} is negative."""

    def exit_leaving_heir(self, code: int) -> None:
        """Exit, while a grandchild keeps the outputs open."""

    def end_heir(self) -> None:
        """End the grandchild."""

    def input(self) -> Deferred[bytes]:
        """All that was sent to its standard input, after that has been closed."""


def spec(*args: str, **fields: Any) -> ChildSpec:
    """What a driver is asked to start: by default as the kernel asks, when nothing was said but the program."""
    values: dict[str, Any] = {"env": {}, "rlimits": {}, "identity": Identity(uid=0, gid=0), **fields}
    return ChildSpec(args=args, **values)


_numbers = itertools.count(1)


def socket_request(**fields: Any) -> MakeSocket:
    """A request for a socket with a name of its own."""
    return MakeSocket(name=f"socket{next(_numbers)}", **fields)


class ChildrenContract(_Mixin):
    """The contract of L{IChildDriver} and L{IChild}."""

    def driver(self) -> Any:
        """The driver to test."""
        raise NotImplementedError

    def start(self, audience: Audience, **fields: Any) -> Actor:
        """Start a child that does as it is told."""
        raise NotImplementedError

    #: A program that no driver can start.
    missing = "/nonexistent/papa-program"

    def test_provides_interfaces(self) -> None:
        """Driver and child have all that the interfaces name."""
        actor = self.start(Audience())
        verifyObject(IChildDriver, self.driver())
        verifyObject(IChild, actor.child)
        actor.exit(0)

    async def test_each_has_pid(self) -> None:
        """Two running children have two process ids."""
        audiences = [Audience(), Audience()]
        actors = [self.start(audience) for audience in audiences]
        pids = {actor.child.pid for actor in actors}
        self.assertEqual(len(pids), 2)
        self.assertTrue(all(isinstance(pid, int) and pid > 1 for pid in pids))
        for actor, audience in zip(actors, audiences, strict=True):
            actor.exit(0)
            await audience.until_over()

    async def test_output_arrives_by_channel(self) -> None:
        """What it prints is told with the channel it came from."""
        audience = Audience()
        actor = self.start(audience)
        actor.print(b"to out")
        await audience.until(lambda: audience.out == b"to out")
        actor.print(b"to err", STDERR)
        await audience.until(lambda: audience.err == b"to err")
        actor.print(b", more")
        await audience.until(lambda: audience.out == b"to out, more")
        actor.exit(0)
        await audience.until_over()
        self.assertEqual((audience.out, audience.err), (b"to out, more", b"to err"))

    async def test_exit_code_is_told_once(self) -> None:
        """An exit is told once, with its code, and so is the end of the output."""
        audience = Audience()
        self.start(audience).exit(42)
        await audience.until_over()
        self.assertEqual((audience.codes, audience.ends), ([42], 1))

    async def test_signal_is_negative_code(self) -> None:
        """A child that died of a signal has its number, negated, as exit code."""
        audience = Audience()
        self.start(audience).exit(-9)
        await audience.until_over()
        self.assertEqual(audience.codes, [-9])

    async def test_running_child_is_not_over(self) -> None:
        """Neither exit nor end of output is told while it runs and prints."""
        audience = Audience()
        actor = self.start(audience)
        actor.print(b"alive")
        await audience.until(lambda: audience.out == b"alive")
        self.assertEqual(audience.told, [("output", STDOUT)])
        actor.exit(0)
        await audience.until_over()

    async def test_other_channel_outlives_closed_one(self) -> None:
        """A child that closes its stdout goes on, and what it prints to stderr still arrives."""
        audience = Audience()
        actor = self.start(audience)
        actor.print(b"first")
        actor.close_output(STDOUT)
        actor.print(b"second", STDERR)
        await audience.until(lambda: audience.err == b"second")
        self.assertEqual((audience.ends, audience.codes), (0, []))
        actor.exit(3)
        await audience.until_over()
        self.assertEqual((audience.out, audience.codes), (b"first", [3]))

    async def test_output_may_end_long_before_exit(self) -> None:
        """The end of all output is told while the child still runs."""
        audience = Audience()
        actor = self.start(audience)
        actor.close_output(STDOUT)
        actor.close_output(STDERR)
        await audience.until(lambda: audience.ends == 1)
        self.assertEqual(audience.codes, [])
        actor.exit(5)
        await audience.until_over()
        self.assertEqual(audience.told, [("ended",), ("exited", 5)])

    async def test_exit_is_told_while_grandchild_holds_output(self) -> None:
        """An exit is told at once, though the output has not ended; its end follows."""
        audience = Audience()
        actor = self.start(audience)
        actor.exit_leaving_heir(7)
        await audience.until(lambda: bool(audience.codes))
        self.assertEqual((audience.codes, audience.ends), ([7], 0))
        actor.end_heir()
        await audience.until_over()
        self.assertEqual(audience.told[-2:], [("exited", 7), ("ended",)])

    async def test_nothing_captured(self) -> None:
        """Where no output is captured, its end is told once, after the exit."""
        audience = Audience()
        actor = self.start(audience, stdout="null", stderr="null")
        actor.print(b"unheard")
        actor.print(b"unheard", STDERR)
        actor.exit(0)
        await audience.until_over()
        self.assertEqual(audience.told, [("exited", 0), ("ended",)])

    async def test_only_wanted_channel_is_captured(self) -> None:
        """A discarded channel is never told of; the other one is."""
        for wanted, discarded in (("stdout", "stderr"), ("stderr", "stdout")):
            audience = Audience()
            actor = self.start(audience, **{discarded: "null"})
            actor.print(b"o")
            actor.print(b"e", STDERR)
            actor.exit(0)
            await audience.until_over()
            self.assertEqual((audience.out, audience.err), (b"o", b"") if wanted == "stdout" else (b"", b"e"))

    async def test_stderr_into_stdout(self) -> None:
        """With C{stderr=stdout} both arrive as one stream, in the order in which they were printed."""
        audience = Audience()
        actor = self.start(audience, stderr="stdout")
        actor.print(b"1")
        actor.print(b"2", STDERR)
        actor.print(b"3")
        actor.exit(0)
        await audience.until_over()
        self.assertEqual((audience.out, audience.err, audience.ends), (b"123", b"", 1))

    async def test_stderr_into_discarded_stdout(self) -> None:
        """With C{stdout=null stderr=stdout} neither is captured."""
        audience = Audience()
        actor = self.start(audience, stdout="null", stderr="stdout")
        actor.print(b"unheard", STDERR)
        actor.exit(0)
        await audience.until_over()
        self.assertEqual(audience.told, [("exited", 0), ("ended",)])

    async def test_input_is_sent_and_ended(self) -> None:
        """What is written arrives in order, and its end after it."""
        audience = Audience()
        actor = self.start(audience, stdin="pipe")
        actor.child.write(b"one\n")
        actor.child.write(b"two\n")
        actor.child.close_stdin()
        self.assertEqual(await actor.input(), b"one\ntwo\n")
        actor.exit(0)
        await audience.until_over()

    async def test_no_input_without_pipe(self) -> None:
        """A child that was started without C{stdin=pipe} has nothing to write to, or to close."""
        audience = Audience()
        actor = self.start(audience)
        self.assertRaises(BadRequest, actor.child.write, b"x")
        self.assertRaises(BadRequest, actor.child.close_stdin)
        actor.exit(0)
        await audience.until_over()

    async def test_no_input_after_its_end(self) -> None:
        """A standard input that was closed takes nothing more, and is not closed again."""
        audience = Audience()
        actor = self.start(audience, stdin="pipe")
        actor.child.close_stdin()
        self.assertRaises(BadRequest, actor.child.write, b"x")
        self.assertRaises(BadRequest, actor.child.close_stdin)
        actor.exit(0)
        await audience.until_over()

    async def test_paused_output_waits(self) -> None:
        """Nothing is told of output while it is paused, and all of it afterwards; an exit is told meanwhile."""
        audience = Audience()
        actor = self.start(audience)
        actor.child.pause_output()
        actor.print(b"kept")
        actor.exit(4)
        await audience.until(lambda: bool(audience.codes))
        self.assertEqual(audience.told, [("exited", 4)])
        actor.child.resume_output()
        await audience.until_over()
        self.assertEqual((audience.out, audience.told[-1]), (b"kept", ("ended",)))

    async def test_pause_and_resume_anytime(self) -> None:
        """Pausing and resuming are harmless when repeated, and when all is over."""
        audience = Audience()
        actor = self.start(audience)
        actor.child.resume_output()
        actor.child.pause_output()
        actor.child.pause_output()
        actor.child.resume_output()
        actor.print(b"x")
        actor.exit(0)
        await audience.until_over()
        actor.child.pause_output()
        actor.child.resume_output()
        self.assertEqual((audience.out, audience.codes, audience.ends), (b"x", [0], 1))

    def test_missing_program(self) -> None:
        """A program that is not there is refused by name, and nothing is ever told of it."""
        audience = Audience()
        error = self.assertRaises(SpawnFailed, self.driver().spawn, spec(self.missing), audience)
        self.assertIn(self.missing, str(error))
        self.assertEqual(audience.told, [])

    def test_own_identity_needs_no_change(self) -> None:
        """Who asks for no user gets papa's own, for which nothing must be done."""
        self.assertFalse(self.driver().identity(MakeProcess(name="x", args=("true",))).changed)

    def test_unknown_user(self) -> None:
        """A user or group that does not exist is refused."""
        for field in ("uid", "gid"):
            request = MakeProcess(name="x", args=("true",), **{field: "papa-no-such"})
            self.assertRaises(BadRequest, self.driver().identity, request)

    def test_asked_identity(self) -> None:
        """A user and group that are asked for by number are what the child gets, if papa may give them."""
        request = MakeProcess(name="x", args=("true",), uid=65533, gid=65532, groups=(7, 8))
        try:
            identity = self.driver().identity(request)
        except NotAllowed:
            return
        self.assertEqual(identity, Identity(uid=65533, gid=65532, groups=(7, 8), changed=True))


class SocketsContract(_Mixin):
    """The contract of L{ISocketDriver} and L{IHeldSocket}."""

    def driver(self) -> Any:
        """The driver to test."""
        raise NotImplementedError

    def hold(self, request: MakeSocket) -> Any:
        """Hold a socket until the test ends."""
        held = self.driver().hold(request)
        self.addCleanup(held.close)
        return held

    def path(self, name: str = "s") -> str:
        """A path that nothing is at."""
        raise NotImplementedError

    def test_provides_interfaces(self) -> None:
        """Driver and socket have all that the interfaces name."""
        verifyObject(ISocketDriver, self.driver())
        verifyObject(IHeldSocket, self.hold(socket_request()))

    def test_port_is_chosen(self) -> None:
        """Port 0 becomes a port that nothing else has."""
        ports = {self.hold(socket_request()).port for _ in range(5)}
        self.assertEqual(len(ports), 5)
        self.assertTrue(all(1024 <= port <= 65535 for port in ports))

    def test_descriptors_are_high(self) -> None:
        """Each socket has a descriptor of its own, clear of those that programs use first."""
        filenos = {self.hold(socket_request()).fileno for _ in range(5)}
        self.assertEqual(len(filenos), 5)
        self.assertTrue(all(fileno >= 64 for fileno in filenos))

    def test_unix_has_no_port(self) -> None:
        """A unix socket of each type has a descriptor, and no port."""
        for kind in ("stream", "dgram", "seqpacket"):
            held = self.hold(socket_request(path=self.path(kind), type=kind))
            self.assertIsNone(held.port)
            self.assertIsInstance(held.fileno, int)

    def test_taken_port(self) -> None:
        """A port that is held is refused, and the refusal names the socket and the reason."""
        held = self.hold(socket_request())
        request = socket_request(port=held.port)
        error = self.assertRaises(SocketFailed, self.driver().hold, request)
        self.assertIn(request.name, str(error))
        self.assertIn("Address already in use", str(error))

    def test_taken_path(self) -> None:
        """A path that is held is refused, whatever the type."""
        self.hold(socket_request(path=self.path()))
        for kind in ("stream", "dgram"):
            self.assertRaises(SocketFailed, self.driver().hold, socket_request(path=self.path(), type=kind))

    def test_types_share_port(self) -> None:
        """A stream and a dgram socket can have the same port."""
        held = self.hold(socket_request())
        self.assertEqual(self.hold(socket_request(port=held.port, type="dgram")).port, held.port)

    def test_close_frees_address(self) -> None:
        """What was closed can be held again at once."""
        first = self.driver().hold(socket_request())
        port = first.port
        first.close()
        self.assertEqual(self.hold(socket_request(port=port)).port, port)
        self.driver().hold(socket_request(path=self.path())).close()
        self.hold(socket_request(path=self.path()))

    def test_reuseport_has_no_descriptor(self) -> None:
        """A reuseport socket only reserves its port; each duplicate has a descriptor of its own, and the same port."""
        for kind in ("stream", "dgram"):
            held = self.hold(socket_request(type=kind, reuseport=True))
            duplicates = [held.duplicate() for _ in range(3)]
            for duplicate in duplicates:
                self.addCleanup(duplicate.close)
            self.assertIsNone(held.fileno)
            self.assertEqual(len({duplicate.fileno for duplicate in duplicates} - {None}), 3)
            self.assertEqual({duplicate.port for duplicate in duplicates}, {held.port})

    def test_closed_duplicate_keeps_reservation(self) -> None:
        """Closing a duplicate does not give the port away."""
        held = self.hold(socket_request(reuseport=True))
        held.duplicate().close()
        self.assertRaises(SocketFailed, self.driver().hold, socket_request(port=held.port))

    def test_reuseport_twice(self) -> None:
        """Two names can have the same port if both were made with reuseport."""
        first = self.driver().hold(socket_request(reuseport=True))
        second = self.hold(socket_request(reuseport=True, port=first.port))
        self.assertEqual(second.port, first.port)
        first.close()
        self.assertRaises(SocketFailed, self.driver().hold, socket_request(port=second.port))
