"""The client for Twisted programs, with a kernel in memory: requests, watches, and connections that are lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from papa.client.deferred import RemoteKernel, RemoteWatch, connect
from papa.client.interfaces import IRemoteKernel
from papa.commands import Get, ListProcesses, ListValues, MakeProcess, RemoveCursors, RemoveProcesses, Set
from papa.drivers.memory import MemoryChild
from papa.errors import (
    AlreadyDiffers,
    BadRequest,
    ConnectionLost,
    Error,
    LimitReached,
    NotAllowed,
    NotFound,
    Unreachable,
    Unsayable,
)
from papa.kernel import cursors
from papa.records import Closed, Hole, Item, Output
from papa.testing import MemoryKernel

#: Longer than a client waits between any two attempts.
A_WHILE = 60.0


class Reader:
    """
    Reads a watch for as long as anything comes.

    @ivar items: what has come.
    @ivar end: C{"over"}, or what the watch failed with; L{None} while it goes on.
    """

    def __init__(self, watch: RemoteWatch, *, acknowledging: bool = True) -> None:
        self.watch = watch
        self.items: list[Item] = []
        self.end: object = None
        self.acknowledging = acknowledging
        self.running = Deferred.fromCoroutine(self._read())

    async def _read(self) -> None:
        try:
            async for item in self.watch:
                self.items.append(item)
                if self.acknowledging:
                    self.watch.acknowledge(item)
        except Error as failure:
            self.end = failure
        else:
            self.end = "over"

    @property
    def data(self) -> bytes:
        """All output that has come."""
        return b"".join(item.data for item in self.items if isinstance(item, Output))


class MemoryTestCase(SynchronousTestCase):
    """A kernel in memory and a client of it; whatever is logged as an error fails the test."""

    def setUp(self) -> None:
        self.papa = MemoryKernel()
        self.kernel: RemoteKernel = self.result(self.papa.client())
        self.addCleanup(self.assert_nothing_is_left)

    def assert_nothing_is_left(self) -> None:
        """After it was closed a client leaves no connection and nothing that waits."""
        closing = self.kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        self.assertEqual(self.papa.clock.getDelayedCalls(), [])
        self.assertEqual(self.papa.attendance.guests, set())

    def pass_time(self, seconds: float = A_WHILE) -> None:
        """Let time pass, turn by turn."""
        clock = self.papa.clock
        until = clock.seconds() + seconds
        for _ in range(1000):
            due = [call.getTime() for call in clock.getDelayedCalls() if call.getTime() <= until]
            if not due:
                break
            clock.advance(max(0, min(due) - clock.seconds()))
        clock.advance(max(0, until - clock.seconds()))

    def result(self, deferred: Deferred[Any] | Coroutine[Deferred[Any], Any, Any]) -> Any:
        """What has come of something, in this very turn."""
        if not isinstance(deferred, Deferred):
            deferred = Deferred.fromCoroutine(deferred)
        return self.successResultOf(deferred)

    def start(self, name: str = "job", **options: Any) -> MemoryChild:
        """A process."""
        self.papa.kernel.perform(MakeProcess(name=name, args=("/bin/job",), **options))
        return self.papa.child(name)

    def read(self, *names: str, acknowledging: bool = True, **options: Any) -> Reader:
        """Something that reads a watch."""
        return Reader(self.kernel.watch_processes(*names, **options), acknowledging=acknowledging)


class RequestTests(MemoryTestCase):
    """The methods."""

    def test_provides_its_interface(self) -> None:
        """It has all that a remote kernel must have."""
        self.assertTrue(verifyObject(IRemoteKernel, self.kernel))

    def test_sockets(self) -> None:
        """Sockets are made, listed and removed."""
        made = self.result(self.kernel.make_socket("web", port=80))
        self.assertEqual((made.name, made.port, made.host), ("web", 80, "127.0.0.1"))
        self.assertEqual(self.result(self.kernel.list_sockets("w*")), {"web": made})
        self.assertIsNone(self.result(self.kernel.remove_sockets("web")))
        self.assertEqual(self.result(self.kernel.list_sockets()), {})

    def test_values(self) -> None:
        """Values are set, read, listed and removed."""
        self.assertIsNone(self.result(self.kernel.set("x", "\udcff\n")))
        self.assertEqual(self.result(self.kernel.get("x")), "\udcff\n")
        self.assertEqual(self.result(self.kernel.list_values()), {"x": "\udcff\n"})
        self.assertIsNone(self.result(self.kernel.remove_values("x")))
        self.assertIsNone(self.result(self.kernel.get("x")))

    def test_processes(self) -> None:
        """Processes are made, listed, written to and removed."""
        made = self.result(self.kernel.make_process("job", ["/bin/job", "\n"], stdin="pipe", rlimits={"core": (0, 0)}))
        child = self.papa.child("job")
        self.assertEqual((made.pid, child.spec.args, child.spec.rlimits), (child.pid, made.args, {"core": (0, 0)}))
        self.result(self.kernel.write_process("job", b"\0"))
        self.result(self.kernel.close_stdin("job"))
        self.assertEqual((child.stdin, child.stdin_open), ([b"\0"], False))
        child.exit(1)
        self.assertEqual(self.result(self.kernel.list_processes())["job"].exit_code, 1)
        self.result(self.kernel.remove_processes("job"))
        self.assertEqual(self.result(self.kernel.list_processes()), {})

    def test_long_lists(self) -> None:
        """A list comes whole, however long it is."""
        for number in range(3000):
            self.papa.kernel.perform(Set(name=f"v{number:04}", value="x" * 300))
        self.assertEqual(self.result(self.kernel.list_values()), self.papa.kernel.perform(ListValues()))

    def test_exit_if_idle(self) -> None:
        """The kernel is asked to end with its last connection, and does."""
        self.assertTrue(self.result(self.kernel.exit_if_idle()))
        closing = self.kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        self.assertEqual(self.papa.ended, ["it was asked to exit if idle"])

    def test_refused(self) -> None:
        """What the kernel refuses fails with its class."""
        self.result(self.kernel.make_socket("web", port=80))
        self.failureResultOf(self.kernel.make_socket("web", port=81), AlreadyDiffers)
        self.failureResultOf(self.kernel.remove_sockets("nothing"), NotFound)
        self.failureResultOf(self.kernel.lend_socket("web"), NotAllowed)
        self.failureResultOf(self.kernel.take_socket("other", 0), NotAllowed)
        self.failureResultOf(self.kernel.lend_process("nothing"), NotAllowed)

    def test_nothing_is_raised_at_once(self) -> None:
        """What is wrong in itself fails the Deferred; nothing was sent, and the connection goes on."""
        wrong: list[tuple[Callable[[], Deferred[Any]], type[Exception]]] = [
            (lambda: self.kernel.get("a b"), BadRequest),
            (lambda: self.kernel.make_process("job", ["a\0b"]), BadRequest),
            (lambda: self.kernel.make_process("job", [], env={"A=B": "C"}), BadRequest),
            (lambda: self.kernel.make_socket("web", port=1 << 20), BadRequest),
            (self.kernel.remove_values, BadRequest),
            (lambda: self.kernel.set("x", "\ud800"), Unsayable),
            (lambda: self.kernel.set("x", "x" * (65 << 20)), LimitReached),
            (lambda: self.kernel.make_process("job", None), TypeError),  # type: ignore[arg-type]
            (lambda: self.kernel.make_process("job", ["x"], umask="027"), TypeError),  # type: ignore[arg-type]
            (self.kernel.get, TypeError),  # type: ignore[list-item]
            (lambda: self.kernel.list_values(colour="red"), TypeError),  # type: ignore[call-arg]
        ]
        for ask, kind in wrong:
            self.failureResultOf(ask(), kind)
        self.assertTrue(self.papa.kernel.idle)
        self.assertIsNone(self.result(self.kernel.get("x")))

    def test_nul_is_refused_in_words(self) -> None:
        """An argument that no program could be given is refused so that one knows why."""
        failure = self.failureResultOf(self.kernel.make_process("job", ["a", "b\0c"]), BadRequest)
        self.assertEqual(str(failure.value), "An argument cannot hold a NUL: no program could be given it")


class ReconnectionTests(MemoryTestCase):
    """Connections that are lost between and during requests."""

    def test_between_requests(self) -> None:
        """What is asked after a connection was lost waits for the next."""
        self.papa.cut()
        got = self.kernel.get("x")
        self.assertNoResult(got)
        self.pass_time(1)
        self.assertIsNone(self.successResultOf(got))

    def test_in_the_middle_of_a_request(self) -> None:
        """What does no harm is asked again; what could is not, and fails."""
        self.papa.deaf = True
        asked = [self.kernel.get("x"), self.kernel.set("y", "z"), self.kernel.list_processes()]
        made = self.kernel.make_process("job", ["/bin/job"])
        removed = self.kernel.remove_values("y")
        self.papa.deaf = False
        self.papa.cut()
        self.failureResultOf(made, ConnectionLost)
        self.failureResultOf(removed, ConnectionLost)
        self.assertEqual(self.papa.kernel.perform(ListProcesses()), {})
        self.pass_time(1)
        self.assertEqual([self.successResultOf(each) for each in asked], [None, None, {}])
        self.assertEqual(self.papa.kernel.perform(Get(name="y")), "z")

    def test_again_and_again(self) -> None:
        """What is lost each time it is asked is given up in the end."""
        self.papa.deaf = True
        got = self.kernel.get("x")
        for _ in range(10):
            self.papa.cut()
            self.pass_time(1)
        self.failureResultOf(got, ConnectionLost)
        self.papa.deaf = False
        self.papa.cut()

    def test_nobody_there(self) -> None:
        """While no kernel answers, requests wait, and fail after some attempts; a kernel that comes back is found."""
        self.papa.refuses = error.ConnectionRefusedError("nobody there")
        self.papa.cut()
        got = self.kernel.get("x")
        self.pass_time(10)
        self.assertNoResult(got)
        self.pass_time(A_WHILE)
        self.assertIn("nobody there", str(self.failureResultOf(got, Unreachable).value))
        self.papa.refuses = None
        self.pass_time(11)
        self.assertIsNone(self.result(self.kernel.get("x")))

    def test_does_not_spin(self) -> None:
        """Attempts become rarer; a connection that is lost as soon as it is made does not keep a client busy."""
        before = self.papa.attempts
        for _ in range(100):
            self.papa.cut()
            self.pass_time(0.01)
        self.assertLess(self.papa.attempts - before, 30)
        self.papa.refuses = error.ConnectionRefusedError()
        self.papa.cut()
        before = self.papa.attempts
        self.pass_time(600)
        self.assertLess(self.papa.attempts - before, 80)
        self.papa.refuses = None

    def test_restarted(self) -> None:
        """Another kernel in the place of the first is asked as if nothing had been."""
        self.result(self.kernel.set("x", "y"))
        self.papa.restart()
        got = self.kernel.get("x")
        self.pass_time(1)
        self.assertIsNone(self.successResultOf(got))

    def test_cancelled(self) -> None:
        """What waits for a connection, or for an answer, can be cancelled."""
        self.papa.deaf = True
        got = self.kernel.get("x")
        got.cancel()
        self.failureResultOf(got, CancelledError)
        self.papa.cut()
        waiting = self.kernel.get("x")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.papa.deaf = False
        self.pass_time(1)
        self.assertIsNone(self.result(self.kernel.get("x")))

    def test_cancelled_by_another(self) -> None:
        """One that waits for a connection may cancel another when it gets it; the rest are asked, now and later."""
        self.papa.cut()
        refused, cancelled, got = self.kernel.take_socket("other", 0), self.kernel.get("x"), self.kernel.get("x")
        refused.addErrback(lambda failure: cancelled.cancel())
        self.pass_time(1)
        self.failureResultOf(cancelled, CancelledError)
        self.assertIsNone(self.successResultOf(got))
        self.papa.cut()
        later = self.kernel.get("x")
        self.pass_time(1)
        self.assertIsNone(self.successResultOf(later))

    def test_closed(self) -> None:
        """After it was closed everything fails at once, what was asked before as well; closing again does no harm."""
        self.papa.deaf = True
        asked = self.kernel.get("x")
        closing = [self.kernel.close(), self.kernel.close()]
        self.pass_time(0)
        for each in closing:
            self.successResultOf(each)
        self.failureResultOf(asked, ConnectionLost)
        self.failureResultOf(self.kernel.get("x"), ConnectionLost)
        self.failureResultOf(self.kernel.make_process("job", ["x"]), ConnectionLost)
        again = self.kernel.close()
        self.pass_time(0)
        self.successResultOf(again)

    def test_closed_while_it_waits(self) -> None:
        """It can be closed between two attempts to connect."""
        self.papa.refuses = error.ConnectionRefusedError()
        self.papa.cut()
        got = self.kernel.get("x")
        self.pass_time(1)
        closing = self.kernel.close()
        self.failureResultOf(got, ConnectionLost)
        self.pass_time(0)
        self.successResultOf(closing)
        self.papa.refuses = None

    def test_closed_by_whoever_has_just_got_a_connection(self) -> None:
        """It can be closed in the very moment in which it has connected."""
        kernel = RemoteKernel(self.papa, self.papa.clock)
        closing: list[Deferred[None]] = []
        kernel.start().addCallback(lambda _: closing.append(kernel.close()))
        self.pass_time(0)
        self.successResultOf(closing[0])

    def test_first_connection(self) -> None:
        """A client that cannot connect at first says so at once."""
        self.papa.refuses = error.ConnectionRefusedError("nobody there")
        kernel = RemoteKernel(self.papa, self.papa.clock)
        self.assertIn("nobody there", str(self.failureResultOf(kernel.start(), Unreachable).value))
        closing = kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        self.papa.refuses = None

    def test_not_let_in(self) -> None:
        """A kernel that refuses says why."""
        self.papa.door.reason = "this papa serves uid 5 and root, not uid 7"
        kernel = RemoteKernel(self.papa, self.papa.clock)
        failure = self.failureResultOf(kernel.start(), NotAllowed)
        self.assertEqual(str(failure.value), "Refused: this papa serves uid 5 and root, not uid 7")
        closing = kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)

    def test_something_that_does_not_greet(self) -> None:
        """Something that takes connections and says nothing is not waited for without end."""
        self.papa.mute = True
        kernel = RemoteKernel(self.papa, self.papa.clock)
        started = kernel.start()
        self.pass_time(11)
        self.assertIn("does not greet", str(self.failureResultOf(started, Unreachable).value))
        closing = kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        self.papa.mute = False


class WatchTests(MemoryTestCase):
    """Watches."""

    def test_to_the_end(self) -> None:
        """It gives what there was and what comes, and is over when all ends were acknowledged."""
        child = self.start()
        child.print(b"one")
        reader = self.read("job")
        child.print(b"two", 2)
        child.exit(3)
        self.pass_time(0)
        self.assertEqual(
            reader.items,
            [
                Output(name="job", channel=1, timestamp=0.0, data=b"one", mark=3, invocation="1001@0.0"),
                Output(name="job", channel=2, timestamp=0.0, data=b"two", mark=6, invocation="1001@0.0"),
                Closed(name="job", timestamp=0.0, exit_code=3, invocation="1001@0.0"),
            ],
        )
        self.assertEqual(reader.end, "over")
        self.assertTrue(self.papa.kernel.idle)
        self.assertEqual(len(self.papa.attendance.guests), 1)

    def test_not_acknowledged(self) -> None:
        """What was read and not acknowledged is kept for the next; so is the end."""
        child = self.start()
        child.print(b"one")
        first = self.read("job", acknowledging=False)
        child.print(b"two")
        first.watch.acknowledge(first.items[0])
        stopping = first.watch.stop()
        self.pass_time(0)
        self.successResultOf(stopping)
        self.assertEqual(first.end, "over")
        self.assertEqual(self.read("job").data, b"two")

    def test_acknowledged_before_it_is_stopped(self) -> None:
        """Once a watch has been stopped the kernel knows all that was acknowledged."""
        child = self.start()
        child.print(b"one")
        reader = self.read("job")
        stopping = reader.watch.stop()
        self.pass_time(0)
        self.successResultOf(stopping)
        self.assertEqual(self.read("job").data, b"")

    def test_without_following(self) -> None:
        """It ends with what is there, which can be acknowledged."""
        child = self.start()
        child.print(b"one")
        reader = self.read("job", follow=False)
        self.pass_time(0)
        self.assertEqual((reader.data, reader.end), (b"one", "over"))
        child.print(b"two")
        self.assertEqual(self.read("job").data, b"two")

    def test_observing(self) -> None:
        """An observer leaves everything to others."""
        child = self.start()
        child.print(b"one")
        child.exit(0)
        reader = self.read("job", observe=True)
        self.pass_time(0)
        self.assertEqual(reader.end, "over")
        self.assertEqual(self.read("job").data, b"one")

    def test_not_found(self) -> None:
        """What the kernel does not hold fails the iteration."""
        reader = self.read("nothing")
        self.pass_time(0)
        self.assertIsInstance(reader.end, NotFound)

    def test_one_of_two_is_not_found(self) -> None:
        """A watch of something that is there and something that is not does not begin."""
        self.start("a")
        reader = self.read("a", "nothing")
        self.pass_time(0)
        self.assertIsInstance(reader.end, NotFound)

    def test_no_room(self) -> None:
        """A watch that the kernel has no room for fails at once."""
        self.patch(cursors, "_MOST", 0)
        reader = self.read(cursor="ship")
        self.pass_time(0)
        self.assertIsInstance(reader.end, LimitReached)

    def test_output_acknowledged(self) -> None:
        """Nobody waits for the kernel to take note of output."""
        self.start().print(b"x")
        reader = self.read("job", acknowledging=False)
        self.papa.deaf = True
        self.assertTrue(self.successResultOf(reader.watch.acknowledge(reader.items[0])))
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(1)

    def test_item_of_another_watch(self) -> None:
        """An item that another watch has given acknowledges nothing that this one has not."""
        other, child = self.start("other"), self.start()
        watch = self.kernel.watch_processes("other", "job")
        taken = Deferred.fromCoroutine(watch.__anext__())
        other.print(b"x")
        child.print(b"precious")
        self.assertEqual(self.successResultOf(taken).name, "other")
        observer = self.read("job", observe=True)
        watch.acknowledge(observer.items[0])
        self.assertEqual(self.read("job", observe=True).data, b"precious")

    def test_nothing_happens_before_it_is_read(self) -> None:
        """A watch that is never read makes no connection, and can be stopped."""
        self.start()
        watch = self.kernel.watch_processes("job")
        self.assertEqual(len(self.papa.attendance.guests), 1)
        stopping = watch.stop()
        self.pass_time(0)
        self.successResultOf(stopping)
        reader = Reader(watch)
        self.assertEqual((reader.items, reader.end), ([], "over"))

    def test_stopped_again(self) -> None:
        """Stopping it twice, or after its end, does no harm."""
        self.start()
        reader = self.read("job")
        stopping = [reader.watch.stop(), reader.watch.stop()]
        self.pass_time(0)
        for each in stopping:
            self.successResultOf(each)
        self.assertEqual(reader.end, "over")
        again = reader.watch.stop()
        self.pass_time(0)
        self.successResultOf(again)

    def test_stopping_is_cancelled(self) -> None:
        """Who waits no longer for a kernel that takes no note has the watch ended all the same, for good."""
        self.start().exit(0)
        watch = self.kernel.watch_processes("job")
        end = self.result(watch.__anext__())
        self.papa.deaf = True
        noted, stopping = watch.acknowledge(end), watch.stop()
        stopping.cancel()
        self.failureResultOf(stopping, CancelledError)
        self.assertFalse(self.successResultOf(noted))
        self.pass_time(0)
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time()
        self.assertEqual(len(self.papa.attendance.guests), 1)

    def test_closing_is_cancelled(self) -> None:
        """A client that somebody no longer waits for to close is closed with all its watches."""
        self.start()
        readers = [self.read("job"), self.read("job")]
        self.pass_time(0)
        self.assertEqual(len(self.papa.attendance.guests), 3)
        closing = self.kernel.close()
        closing.cancel()
        self.failureResultOf(closing, CancelledError)
        self.pass_time(0)
        self.assertEqual([len(self.papa.attendance.guests), *(reader.end for reader in readers)], [0, "over", "over"])

    def test_in_a_context(self) -> None:
        """A context stops it, also when the reader fails."""
        self.start().print(b"x")

        async def fail() -> None:
            async with self.kernel.watch_processes("job") as watch:
                async for _ in watch:
                    raise ZeroDivisionError

        failing = Deferred.fromCoroutine(fail())
        self.pass_time(0)
        self.failureResultOf(failing, ZeroDivisionError)
        self.assertEqual(len(self.papa.attendance.guests), 1)

    def test_stopped_from_within(self) -> None:
        """A reader may stop its watch for something that it reads."""
        child = self.start()

        async def read() -> list[Item]:
            found: list[Item] = []
            watch = self.kernel.watch_processes("job")
            async for item in watch:
                found.append(item)
                await watch.stop()
            return found

        reading = Deferred.fromCoroutine(read())
        child.print(b"x")
        self.pass_time(0)
        self.assertEqual(len(self.successResultOf(reading)), 1)

    def test_cancelled(self) -> None:
        """Waiting for an item can be cancelled, and begun again without losing any."""
        child = self.start()
        watch = self.kernel.watch_processes("job")
        waiting = Deferred.fromCoroutine(watch.__anext__())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        child.print(b"x")
        self.assertEqual(self.result(watch.__anext__()).data, b"x")

    def test_one_at_a_time(self) -> None:
        """Two cannot wait for the next item of one watch."""
        self.start()
        watch = self.kernel.watch_processes("job")
        waiting = Deferred.fromCoroutine(watch.__anext__())
        self.failureResultOf(Deferred.fromCoroutine(watch.__anext__()), RuntimeError)
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_closing_the_kernel_stops_watches(self) -> None:
        """Closing a client ends the watches that it has given out."""
        self.start()
        reader = self.read("job")
        closing = self.kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        self.assertEqual(reader.end, "over")

    def test_slow_consumer(self) -> None:
        """While a consumer is slow little waits in the client, and the process that may lose nothing waits."""
        child = self.start(bufsize=1_000_000, overflow="block")
        watch = self.kernel.watch_processes("job")
        first = Deferred.fromCoroutine(watch.__anext__())
        for number in range(400):
            child.print(b"%04d" % number * 2500)
        found = self.successResultOf(first).data
        self.assertTrue(child.paused)
        self.assertLess(sum(len(item.data) for item, _ in watch._items if isinstance(item, Output)), 600_000)
        while len(found) < 4_000_000:
            item = self.result(watch.__anext__())
            found += item.data
            watch.acknowledge(item)
        self.assertEqual(found, b"".join(b"%04d" % number * 2500 for number in range(400)))
        self.assertFalse(child.paused)

    def test_slow_consumer_of_small_pieces(self) -> None:
        """Very many small items are not let pile up either."""
        child = self.start(bufsize=10_000_000)
        watch = self.kernel.watch_processes("job")
        first = Deferred.fromCoroutine(watch.__anext__())
        for number in range(20000):
            child.print(b"%d" % (number % 10), 1 + number % 2)
        self.successResultOf(first)
        self.assertLess(len(watch._items), 2000)
        count = 1
        while count < 20000:
            count += len(self.result(watch.__anext__()).data)


class ResumptionTests(MemoryTestCase):
    """Watches whose connection is lost."""

    def test_nothing_lost_nothing_twice(self) -> None:
        """A watch goes on behind what has come."""
        child = self.start()
        reader = self.read("job", acknowledging=False)
        child.print(b"one")
        self.papa.cut()
        child.print(b"two")
        self.assertEqual(reader.data, b"one")
        self.pass_time(1)
        child.print(b"three")
        self.assertEqual(reader.data, b"onetwothree")
        self.assertEqual([item.mark for item in reader.items if isinstance(item, Output)], [3, 6, 11])

    def test_acknowledged_again(self) -> None:
        """An acknowledgement that the kernel did not get is sent again, and nothing beyond it."""
        child = self.start()
        reader = self.read("job", acknowledging=False)
        child.print(b"one")
        child.print(b"two")
        self.papa.deaf = True
        reader.watch.acknowledge(reader.items[0])
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(1)
        closing = self.kernel.close()
        self.pass_time(0)
        self.successResultOf(closing)
        other = self.result(self.papa.client())
        self.assertEqual(Reader(other.watch_processes("job")).data, b"two")
        other.close()
        self.pass_time(0)

    def test_not_acknowledged(self) -> None:
        """What comes again and was not acknowledged before is not acknowledged now."""
        self.start().print(b"precious")
        reader = self.read("job", acknowledging=False)
        self.papa.cut()
        self.pass_time(1)
        self.assertEqual(reader.data, b"precious")
        self.assertEqual(self.read("job", observe=True).data, b"precious")

    def test_end_acknowledged_again(self) -> None:
        """So is that of an end, if it was lost; the watch is then over, and the process forgotten."""
        child = self.start()
        reader = self.read("job", acknowledging=False)
        child.print(b"x")
        child.exit(5)
        self.papa.deaf = True
        for item in reader.items:
            reader.watch.acknowledge(item)
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(1)
        self.assertEqual((len(reader.items), reader.end), (2, "over"))
        self.assertTrue(self.papa.kernel.idle)

    def test_end_is_noted(self) -> None:
        """Who acknowledges an end learns when the kernel knows, and can then use the name; a lost connection or not."""
        for cut in (False, True):
            child = self.start()
            other = self.start("other")
            reader = self.read("job", "other", acknowledging=False)
            child.exit(5)
            self.papa.deaf = cut
            noted = reader.watch.acknowledge(reader.items[0])
            if cut:
                self.assertNoResult(noted)
                given_up = reader.watch.acknowledge(reader.items[0])
                given_up.cancel()
                self.failureResultOf(given_up, CancelledError)
                self.papa.deaf = False
                self.papa.cut()
                self.pass_time(1)
            self.successResultOf(noted)
            self.assertTrue(self.result(self.kernel.make_process("job", ["/bin/job", "again"])).running)
            other.exit(0)
            self.assertEqual([item.name for item in reader.items], ["job", "other"])
            self.papa.child("job").exit(0)
            self.result(self.kernel.remove_processes("job", "other"))

    def test_end_is_noted_by_a_kernel_that_has_forgotten_it(self) -> None:
        """So does one whose acknowledgement came, and only the answer was lost; of a watch that is over as well."""
        for again in (False, True):
            child = self.start()
            self.start("other")
            reader = self.read("job", "other", acknowledging=False)
            child.exit(5)
            self.papa.mute = True
            noted = reader.watch.acknowledge(reader.items[0])
            self.papa.mute = False
            if again:
                self.start()
            self.papa.cut()
            self.pass_time(1)
            self.successResultOf(noted)
            stopping = reader.watch.stop()
            self.pass_time(0)
            self.successResultOf(stopping)
            self.successResultOf(reader.watch.acknowledge(reader.items[0]))
            for name in self.result(self.kernel.list_processes()):
                self.papa.child(name).exit(0)
            self.result(self.kernel.remove_processes())

    def test_end_is_noted_behind_a_backlog(self) -> None:
        """Who waits for that and reads nothing meanwhile does not wait for ever behind output that waits for itself."""
        child, loud = self.start(), self.start("loud", bufsize=1 << 22)
        watch = self.kernel.watch_processes("job", "loud")
        next_one = Deferred.fromCoroutine(watch.__anext__())
        child.exit(5)
        end = self.successResultOf(next_one)
        for _ in range(40):
            loud.print(b"x" * 50_000)
        noted = watch.acknowledge(end)
        self.assertTrue(self.successResultOf(noted))
        self.assertNotIn("job", self.result(self.kernel.list_processes()))
        for _ in range(40):
            loud.print(b"x" * 50_000)
        found = self.result(watch.__anext__())
        assert isinstance(found, Output)
        self.assertLess(len(watch._items), 80)  # The rest waits with the kernel again.

    def test_end_is_not_noted_by_a_kernel_that_was_not_told(self) -> None:
        """Nor is it said to be when the watch ends by itself, or is stopped, before that is known."""
        child = self.start()
        child.print(b"x")
        child.exit(5)
        reader = self.read("job", follow=False, acknowledging=False)
        self.assertEqual(len(reader.items), 2)
        self.papa.deaf = True
        noted = reader.watch.acknowledge(reader.items[1])
        self.assertNoResult(noted)
        reader.watch.stop()
        self.pass_time(A_WHILE)
        self.assertFalse(self.successResultOf(noted))
        self.assertFalse(self.successResultOf(reader.watch.acknowledge(reader.items[1])))
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(A_WHILE)

    def test_end_of_what_was_made_again(self) -> None:
        """That another process has the name by now means that the end of the former was noted."""
        self.start("job.1").exit(5)
        reader = self.read("job.*", cursor="ship", acknowledging=False)
        self.papa.cut()
        noted = reader.watch.acknowledge(reader.items[0])
        self.papa.kernel.perform(RemoveProcesses(names=("job.1",)))
        self.start("job.1").print(b"new")
        self.pass_time(1)
        self.assertTrue(self.successResultOf(noted))
        self.assertEqual(reader.data, b"new")

    def test_end_of_what_was_made_again_on_this_connection(self) -> None:
        """So it does when the other process joins before the kernel could have answered."""
        self.start("job.1").exit(5)
        reader = self.read("job.*", cursor="ship", acknowledging=False)
        self.papa.deaf = True
        noted = reader.watch.acknowledge(reader.items[0])
        self.papa.kernel.perform(RemoveProcesses(names=("job.1",)))
        self.start("job.1").print(b"new")
        self.assertTrue(self.successResultOf(noted))
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(1)
        self.assertEqual(reader.data, b"new")

    def test_end_of_what_was_removed(self) -> None:
        """Nobody waits for the kernel to take note of the end of a process that was removed meanwhile."""
        for options in ({}, {"cursor": "ship"}):
            self.start().exit(5)
            other = self.start("other")
            reader = self.read("job", "other", acknowledging=False, **options)
            self.papa.cut()
            self.papa.kernel.perform(RemoveProcesses(names=("job",)))
            self.pass_time(1)
            self.assertTrue(self.successResultOf(reader.watch.acknowledge(reader.items[0])))
            other.exit(0)
            reader.watch.acknowledge(reader.items[-1])
            self.pass_time(0)
            self.assertEqual((len(reader.items), reader.end), (2, "over"))

    def test_end_acknowledged_twice(self) -> None:
        """All who acknowledge an end learn when the kernel knows."""
        self.start().exit(5)
        reader = self.read("job", acknowledging=False)
        self.papa.deaf = True
        noted = [reader.watch.acknowledge(reader.items[0]) for _ in range(3)]
        self.papa.deaf = False
        self.papa.cut()
        self.pass_time(1)
        self.assertEqual([self.successResultOf(each) for each in noted], [True, True, True])

    def test_end_comes_once(self) -> None:
        """An end that has come and was not taken before the connection was lost does not come again."""
        for cursor in ("", "ship"):
            child = self.start()
            watch = self.kernel.watch_processes("job", cursor=cursor)
            taken = Deferred.fromCoroutine(watch.__anext__())
            child.print(b"x")
            child.exit(5)
            self.assertEqual(self.successResultOf(taken).name, "job")
            self.papa.cut()
            self.pass_time(1)
            reader = Reader(watch)
            self.pass_time(1)
            self.assertEqual(([type(item) for item in reader.items], reader.end), ([Closed], "over"))

    def test_cut_before_it_began(self) -> None:
        """A connection that is lost before the kernel has answered loses nothing: the watch begins on the next."""
        self.start().print(b"precious")
        self.papa.deaf = True
        reader = self.read("job")
        self.papa.cut()
        self.papa.deaf = False
        self.pass_time(20)
        self.assertEqual((reader.data, reader.end), (b"precious", None))

    def test_another_kernel_before_it_began(self) -> None:
        """Nor does it matter whether that is another kernel."""
        self.papa.deaf = True
        reader = self.read("job")
        self.papa.restart()
        self.papa.deaf = False
        self.start().print(b"of the next")
        self.pass_time(20)
        self.assertEqual((reader.data, reader.end), (b"of the next", None))

    def test_cursor_with_names_of_which_some_are_done(self) -> None:
        """A cursor goes on with what is left of the names that it was given, also if an answer was lost."""
        for mute in (False, True):
            self.start("a").exit(0)
            child = self.start("b")
            reader = self.read("a", "b", cursor="ship", acknowledging=False)
            self.papa.mute = mute
            reader.watch.acknowledge(reader.items[0])
            self.papa.mute = False
            self.papa.cut()
            self.pass_time(1)
            child.print(b"more")
            self.assertEqual((reader.data, reader.end), (b"more", None))
            child.exit(0)
            self.papa.mute = mute
            reader.watch.acknowledge(reader.items[-1])
            self.papa.mute = False
            self.papa.cut()
            self.pass_time(1)
            self.assertEqual((reader.end, self.papa.kernel.idle), ("over", True))

    def test_cursor_without_names(self) -> None:
        """A cursor that was given no names goes on with all processes, those too that have been made meanwhile."""
        child = self.start("a")
        reader = self.read(cursor="ship")
        child.print(b"one ")
        self.papa.cut()
        child.print(b"two ")
        self.start("b").print(b"three")
        self.pass_time(1)
        self.assertEqual((reader.data, reader.end), (b"one two three", None))

    def test_cursor_with_a_pattern_and_a_name_that_was_removed(self) -> None:
        """When a name is gone the patterns are watched on, though they match nothing yet."""
        child = self.start("a")
        reader = self.read("a", "job.*", cursor="ship")
        self.papa.cut()
        self.remove("a", child)
        self.pass_time(1)
        self.start("job.1").print(b"x")
        self.assertEqual((reader.data, reader.end), (b"x", None))

    def test_cursor_with_a_name_that_has_another_process(self) -> None:
        """A name that is done with is not asked for again, though another process has it by now."""
        self.start("a").exit(0)
        child = self.start("b")
        reader = self.read("a", "b", cursor="ship")
        self.papa.cut()
        self.start("a").print(b"not watched")
        child.print(b"watched")
        self.pass_time(1)
        self.assertEqual((reader.data, reader.end), (b"watched", None))

    def test_no_room_for_a_moment(self) -> None:
        """A watch that the kernel has no room to go on with goes on soon after there is some."""
        child = self.start()
        reader = self.read("job", cursor="ship")
        child.print(b"one ")
        self.papa.cut()
        self.papa.kernel.perform(RemoveCursors(names=("ship",)))
        full = self.patch(cursors, "_MOST", 0)
        child.print(b"two")
        self.pass_time(A_WHILE)
        self.assertEqual((reader.data, reader.end), (b"one ", None))
        full.restore()
        self.pass_time(0.1)
        self.assertEqual(reader.data, b"one two")

    def test_what_is_over_is_forgotten(self) -> None:
        """A watch of many short processes keeps nothing of those that have ended."""
        reader = self.read("job.*", cursor="ship")
        for number in range(50):
            self.start(f"job.{number}").exit(0)
        self.assertEqual((len(reader.items), len(reader.watch._readings), len(reader.watch._done)), (50, 0, 0))

    def test_end_acknowledged_and_the_answer_lost(self) -> None:
        """If the kernel got it and only its answer was lost, the watch is over as well."""
        child = self.start()
        reader = self.read("job", acknowledging=False)
        child.exit(5)
        self.papa.mute = True
        reader.watch.acknowledge(reader.items[0])
        self.papa.mute = False
        self.assertTrue(self.papa.kernel.idle)
        self.papa.cut()
        self.pass_time(1)
        self.assertEqual((len(reader.items), reader.end), (1, "over"))

    def test_only_what_is_left_is_watched_again(self) -> None:
        """Processes that are done with are not asked for, and new ones of the same pattern do not join."""
        self.start("a").exit(0)
        child = self.start("b")
        reader = self.read("*")
        self.papa.cut()
        self.start("c").print(b"not watched")
        child.print(b"watched")
        self.pass_time(1)
        self.assertEqual(reader.data, b"watched")
        child.exit(0)
        self.pass_time(0)
        self.assertEqual(reader.end, "over")

    def test_removed_meanwhile(self) -> None:
        """If somebody has removed one of the processes, the others are watched on; if all, the reader is told."""
        gone, child = self.start("a"), self.start("b")
        reader = self.read("*")
        self.papa.cut()
        self.remove("a", gone)
        child.print(b"x")
        self.pass_time(1)
        self.assertEqual((reader.data, reader.end), (b"x", None))
        self.papa.cut()
        self.remove("b", child)
        self.pass_time(1)
        self.assertIsInstance(reader.end, NotFound)

    def test_one_is_done_and_one_removed(self) -> None:
        """Nor is a reader left in the dark when the end of another process was acknowledged."""
        self.start("a").exit(0)
        child = self.start("b")
        reader = self.read("a", "b", acknowledging=False)
        self.papa.mute = True
        reader.watch.acknowledge(reader.items[0])
        self.papa.mute = False
        self.papa.cut()
        self.remove("b", child)
        self.pass_time(1)
        self.assertIsInstance(reader.end, NotFound)

    def remove(self, name: str, child: MemoryChild) -> None:
        """Have somebody else remove a process that ends."""
        other = self.result(self.papa.client())
        self.result(other.remove_processes(name))
        child.exit(0)
        closing = other.close()
        self.pass_time(0)
        self.successResultOf(closing)

    def test_another_process_of_the_same_name(self) -> None:
        """Marks of a process count for that process alone: another of its name is read from its beginning."""
        child = self.start()
        reader = self.read("job", acknowledging=False)
        child.print(b"old output")
        self.papa.cut()
        self.remove("job", child)
        self.papa.clock.advance(0.001)
        self.start().print(b"new")
        self.pass_time(1)
        self.assertEqual(reader.data, b"old outputnew")
        reader.watch.acknowledge(reader.items[0])
        reader.watch.acknowledge(reader.items[1])
        self.assertEqual(self.read("job", observe=True).data, b"")

    def test_old_items_acknowledge_nothing_of_another_process(self) -> None:
        """An item of a former process cannot acknowledge what the reader does not have."""
        child = self.start()
        watch = self.kernel.watch_processes("job")
        child.print(b"old output")
        old = self.result(watch.__anext__())
        waiting = Deferred.fromCoroutine(watch.__anext__())
        child.exit(1)
        end = self.successResultOf(waiting)
        self.papa.cut()
        self.remove("job", child)
        self.papa.clock.advance(0.001)
        self.start().print(b"new")
        self.pass_time(1)
        watch.acknowledge(old)
        watch.acknowledge(end)
        self.assertEqual(self.read("job").data, b"new")

    def test_old_items_acknowledge_nothing_that_was_given(self) -> None:
        """Nor can it acknowledge what the reader has by now, nor an old end the end of another."""
        child = self.start("job.1")
        reader = self.read("job.*", cursor="ship", acknowledging=False)
        child.print(b"old output")
        child.exit(1)
        self.papa.kernel.perform(RemoveProcesses(names=("job.1",)))
        child = self.start("job.1")
        child.print(b"new")
        child.exit(2)
        for item in reader.items[:2]:
            self.assertTrue(self.successResultOf(reader.watch.acknowledge(item)))
        self.assertEqual(reader.data, b"old outputnew")
        self.assertEqual(self.result(self.kernel.list_cursors())["ship"].marks, {"job.1": 0})

    def test_items_of_what_is_forgotten(self) -> None:
        """What has come of a process is given also when another has its name by then."""
        child = self.start("job.1")
        watch = self.kernel.watch_processes("job.*", cursor="ship")
        taken = Deferred.fromCoroutine(watch.__anext__())
        for text in (b"one", b"two"):
            child.print(text)
        child.exit(1)
        self.successResultOf(taken)
        self.papa.kernel.perform(RemoveProcesses(names=("job.1",)))
        self.start("job.1").print(b"three")
        reader = Reader(watch)
        self.assertEqual(reader.data, b"twothree")

    def test_another_kernel(self) -> None:
        """A kernel that was replaced has lost what was watched: the reader gets what had come, and is told."""
        child = self.start()
        watch = self.kernel.watch_processes("job")
        waiting = Deferred.fromCoroutine(watch.__anext__())
        child.print(b"one")
        child.print(b"two")
        first = self.successResultOf(waiting)
        self.papa.restart()
        self.start().print(b"of another kernel")
        self.pass_time(1)
        watch.acknowledge(first)
        rest = Reader(watch)
        self.pass_time(0)
        self.assertEqual(rest.data, b"two")
        self.assertIsInstance(rest.end, ConnectionLost)
        self.assertIn("replaced by another", str(rest.end))
        self.assertEqual(self.read("job").data, b"of another kernel")

    def test_nobody_there(self) -> None:
        """A reader is told when there is no kernel any more."""
        self.start()
        reader = self.read("job")
        self.papa.refuses = error.ConnectionRefusedError("nobody there")
        self.papa.cut()
        self.pass_time(10)
        self.assertIsNone(reader.end)
        self.pass_time(A_WHILE)
        self.assertIsInstance(reader.end, Unreachable)
        self.papa.refuses = None

    def test_hole(self) -> None:
        """What was dropped while the connection was gone is a hole of exactly that size."""
        child = self.start(bufsize=1000)
        reader = self.read("job", acknowledging=False)
        child.print(b"a" * 500)
        self.papa.cut()
        child.print(b"b" * 5000)
        self.pass_time(1)
        (hole,) = [item for item in reader.items if isinstance(item, Hole)]
        self.assertEqual(hole.size + len(reader.data), 5500)
        self.assertEqual(hole.mark, 5500 - len(reader.data) + 500)

    def test_without_following(self) -> None:
        """A watch that does not follow and was through is not begun again."""
        child = self.start()
        child.print(b"one")
        watch = self.kernel.watch_processes("job", follow=False)
        item = self.result(watch.__anext__())
        self.papa.cut()
        child.print(b"two")
        self.pass_time(1)
        watch.acknowledge(item)
        reader = Reader(watch)
        self.pass_time(1)
        self.assertEqual((reader.items, reader.end), ([], "over"))

    @settings(max_examples=60)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("print"), st.integers(1, 300)),
                st.tuples(st.just("cut"), st.just(0)),
                st.tuples(st.just("wait"), st.just(0)),
                st.tuples(st.just("acknowledge"), st.integers(0, 20)),
                st.tuples(st.just("lose acknowledgement"), st.integers(0, 20)),
            ),
            max_size=25,
        )
    )
    def test_whatever_happens(self, story: list[tuple[str, int]]) -> None:
        """Wherever connections are cut and acknowledgements lost, every byte comes once and in order."""
        self.setUp()
        child = self.start(bufsize=1 << 20)
        reader = self.read("job", acknowledging=False)
        printed = b""
        for happens, number in story:
            if happens == "print":
                data = bytes(each % 251 for each in range(len(printed), len(printed) + number))
                printed += data
                child.print(data)
            elif happens == "cut":
                self.papa.cut()
            elif happens == "wait":
                self.pass_time(1)
            elif number < len(reader.items):
                self.papa.deaf = happens == "lose acknowledgement"
                reader.watch.acknowledge(reader.items[number])
                if self.papa.deaf:
                    self.papa.deaf = False
                    self.papa.cut()
        self.pass_time(1)
        self.assertEqual(reader.data, printed)
        child.exit(0)
        self.assertEqual(
            reader.items[-1],
            Closed(name="job", timestamp=self.papa.clock.seconds(), exit_code=0, invocation="1001@0.0"),
        )
        reader.watch.acknowledge(reader.items[-1])
        self.pass_time(0)
        self.assertEqual((reader.end, self.papa.kernel.idle), ("over", True))
        self.assert_nothing_is_left()


class RealSocketTests(TestCase):
    """The same over real sockets: what only the reactor can show."""

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "papa.sock")
        self.papa = MemoryKernel(reactor)
        return self.listen(self.papa.factory)

    async def _listen(self, factory: IProtocolFactory) -> None:
        self.port: Any = await UNIXServerEndpoint(self.reactor, self.path, mode=0o600).listen(factory)
        self.addCleanup(self.port.stopListening)

    def listen(self, factory: IProtocolFactory) -> Deferred[None]:
        """Serve at the path."""
        return Deferred.fromCoroutine(self._listen(factory))

    def start(self, **options: Any) -> MemoryChild:
        """A process."""
        self.papa.kernel.perform(MakeProcess(name="job", args=("/bin/job",), **options))
        return self.papa.child("job")

    async def test_connects_and_leaves_nothing(self) -> None:
        """A client connects by path, asks, and leaves neither a connection nor a delayed call."""
        kernel = await connect(self.reactor, self.path)
        await kernel.set("x", "y" * 1_000_000)
        self.assertEqual(await kernel.get("x"), "y" * 1_000_000)
        await kernel.close()
        await kernel.close()

    async def test_nobody_there(self) -> None:
        """Where nobody listens it fails, says where it looked, and leaves nothing."""
        for where in (os.path.join(self.folder, "nothing"), 1, "not/absolute"):
            with self.assertRaises((Unreachable, BadRequest)) as caught:
                await connect(self.reactor, where)
            self.assertIn(str(where), str(caught.exception))

    async def test_cancelled_connection(self) -> None:
        """Connecting to something that does not greet can be cancelled."""
        await self.port.stopListening()
        await self.listen(Factory.forProtocol(Protocol))
        connecting = connect(self.reactor, self.path)
        self.reactor.callLater(0.05, connecting.cancel)
        with self.assertRaises(CancelledError):
            await connecting

    async def test_slow_consumer(self) -> None:
        """With a consumer that does not read, a process that may lose nothing waits; with one that does, it goes on."""
        kernel = await connect(self.reactor, self.path)
        child = self.start(bufsize=1 << 20, overflow="block")
        watch = kernel.watch_processes("job")
        first = Deferred.fromCoroutine(watch.__anext__())
        printed = 0
        paused: Deferred[None] = Deferred()

        def feed() -> None:
            nonlocal printed
            if child.paused:
                paused.callback(None)
            else:
                child.print(bytes(10_000))
                printed += 10_000
                self.reactor.callLater(0, feed)

        feed()
        found = len((await first).data)
        await paused
        self.assertLess(watch._waiting_bytes, 1 << 20)
        self.assertLess(printed, 4 << 20)
        while found < printed:
            item = await watch.__anext__()
            found += len(item.data)
            watch.acknowledge(item)
        child.exit(0)
        watch.acknowledge(await watch.__anext__())
        with self.assertRaises(StopAsyncIteration):
            await watch.__anext__()
        self.assertFalse(child.paused)
        await kernel.close()

    async def test_reconnects(self) -> None:
        """When the kernel's end is cut a watch goes on by itself, over a new connection."""
        kernel = await connect(self.reactor, self.path)
        child = self.start()
        watch = kernel.watch_processes("job")
        first = Deferred.fromCoroutine(watch.__anext__())
        child.print(b"one")
        self.assertEqual((await first).data, b"one")
        for guest in list(self.papa.attendance.guests):
            guest.dismiss()
        child.print(b"two")
        self.assertEqual((await watch.__anext__()).data, b"two")
        self.assertIsNone(await kernel.get("x"))
        await kernel.close()
        child.exit(0)

    async def test_descriptors(self) -> None:
        """A descriptor that is not asked for is not kept; what the kernel refuses to take is not taken."""
        kernel = await connect(self.reactor, self.path)
        for _ in range(70):
            with self.assertRaises(NotFound):
                await kernel.lend_socket("nothing")
        await kernel.close()

    async def test_no_error_is_logged(self) -> None:
        """Losing a connection is no error of the program's."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        try:
            kernel = await connect(self.reactor, self.path)
            for _ in range(3):
                for guest in list(self.papa.attendance.guests):
                    guest.dismiss()
                await kernel.get("x")
            await kernel.close()
        finally:
            globalLogPublisher.removeObserver(events.append)
        self.assertEqual([event for event in events if "log_failure" in event], [])
