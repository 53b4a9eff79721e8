"""What is said on a connection, and when it is sent."""

from __future__ import annotations

import socket

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet, ISystemHandle, IUNIXTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from papa.server.sending import Outlet


@implementer(IReactorFDSet)
class _Reactor:
    """Comes round when the test says so."""

    def addReader(self, reader: object) -> None:
        """Nothing is read."""

    def removeReader(self, reader: object) -> None:
        """Nothing is."""

    def addWriter(self, writer: object) -> None:
        """The test knows."""

    def removeWriter(self, writer: object) -> None:
        """It does."""

    def removeAll(self) -> list[object]:
        return []

    def getReaders(self) -> list[object]:
        return []

    def getWriters(self) -> list[object]:
        return []


class _Socket(FileDescriptor):
    """
    A transport of Twisted's, of which the system takes as much as it has room for.

    @ivar taken: each call of the system that took something, with what it took.
    """

    def __init__(self, room: int) -> None:
        super().__init__(_Reactor())
        self.connected = 1
        self.room = room
        self.lost = False
        self.taken: list[bytes] = []

    def writeSomeData(self, data: bytes) -> int | BaseException:
        if self.lost:
            return CONNECTION_LOST
        part = bytes(data[: self.room])
        self.room -= len(part)
        if part:
            self.taken.append(part)
        return len(part)


class OutletTests(SynchronousTestCase):
    """What leaves at once, and what waits."""

    def outlet(self, room: int = 1 << 20) -> Outlet:
        """An outlet of a transport that takes so much."""
        self.transport = _Socket(room)
        return Outlet(self.transport)

    def test_answers(self) -> None:
        """What is said to what has come leaves together, and without the reactor."""
        outlet = self.outlet()
        outlet.hold()
        outlet.say(b"one ", b"two ")
        outlet.say(b"three")
        self.assertEqual((self.transport.taken, outlet.unsent), ([], 13))
        outlet.release()
        self.assertEqual((self.transport.taken, outlet.unsent), ([b"one two three"], 0))
        outlet.release()
        self.assertEqual(len(self.transport.taken), 1)

    def test_what_the_system_does_not_take(self) -> None:
        """The rest is sent when the reactor comes round, before all that is said later."""
        outlet = self.outlet(room=5)
        outlet.hold()
        outlet.say(b"abcdefgh")
        outlet.release()
        self.assertEqual((self.transport.taken, outlet.unsent), ([b"abcde"], 3))
        self.transport.room = 100
        outlet.hold()
        outlet.say(b"ijk")
        outlet.release()
        self.assertEqual(self.transport.taken, [b"abcde"])
        self.transport.doWrite()
        self.assertEqual(self.transport.taken, [b"abcde", b"fghijk"])
        outlet.sent()
        outlet.hold()
        outlet.say(b"l")
        outlet.release()
        self.assertEqual(self.transport.taken, [b"abcde", b"fghijk", b"l"])

    def test_sent_while_something_is_held(self) -> None:
        """What is held still counts as unsent when all before it was sent."""
        outlet = self.outlet()
        outlet.say(b"one ")
        outlet.hold()
        outlet.say(b"two")
        outlet.sent()
        self.assertEqual(outlet.unsent, 3)

    def test_unasked(self) -> None:
        """What is said by itself, or is to be told of when it was sent, or is much, is left to the reactor."""
        outlet = self.outlet()
        outlet.say(b"one ")
        outlet.sent()
        outlet.hold()
        outlet.say(b"two ")
        outlet.release(at_once=False)
        outlet.sent()
        outlet.hold()
        outlet.say(b"x" * 100_000)
        self.assertTrue(outlet.full)
        outlet.release()
        self.assertEqual((self.transport.taken, outlet.unsent), ([], 100_000))
        self.transport.doWrite()
        self.assertEqual(self.transport.taken, [b"one two " + b"x" * 100_000])

    def test_unasked_and_at_once(self) -> None:
        """What is worth it leaves at once though nobody has asked, if nothing is on its way."""
        outlet = self.outlet()
        outlet.say(b"one", b" two", at_once=True)
        self.assertEqual((self.transport.taken, outlet.unsent), ([b"one two"], 0))
        outlet.say(b"three")
        outlet.say(b"four", at_once=True)
        self.assertEqual((self.transport.taken, outlet.unsent), ([b"one two"], 9))
        self.transport.doWrite()
        self.assertEqual(self.transport.taken, [b"one two", b"threefour"])

    def test_lost_connection(self) -> None:
        """That a connection is lost is left to the transport to find."""
        outlet = self.outlet()
        self.transport.lost = True
        outlet.hold()
        outlet.say(b"abc")
        outlet.release()
        self.assertEqual((self.transport.taken, outlet.unsent), ([], 3))
        self.assertIs(self.transport.doWrite(), CONNECTION_LOST)

    def test_gone(self) -> None:
        """Nothing is sent on a connection that has gone."""
        outlet = self.outlet()
        self.transport.connected = 0
        outlet.hold()
        outlet.say(b"abc")
        outlet.release()
        self.assertEqual(self.transport.taken, [])

    def test_other_transports(self) -> None:
        """Any other transport is just written to."""
        transport = StringTransport()
        outlet = Outlet(transport)
        outlet.hold()
        outlet.say(b"a", b"b")
        outlet.release()
        outlet.say(b"c")
        self.assertEqual((transport.value(), outlet.unsent), (b"abc", 3))


@implementer(IUNIXTransport, ISystemHandle)
class _Carrier(StringTransport):
    """A transport with a socket."""

    SEND_LIMIT = 1000

    def __init__(self) -> None:
        super().__init__()
        self.sock, self.other = socket.socketpair()

    def getHandle(self) -> socket.socket:
        return self.sock

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Nobody asks."""


class WideningTests(SynchronousTestCase):
    """Unix sockets, and others."""

    def test_unix(self) -> None:
        """What was asked for goes in one piece, with something around it, though the other side does not read."""
        carrier = _Carrier()
        self.addCleanup(carrier.sock.close)
        self.addCleanup(carrier.other.close)
        Outlet(carrier).widen(1 << 18)
        said = b"x" * ((1 << 18) + 4096)
        self.assertGreater(carrier.SEND_LIMIT, len(said))
        carrier.sock.setblocking(False)
        self.assertEqual(carrier.sock.send(said), len(said))

    def test_gone(self) -> None:
        """A connection that has gone has nothing to be widened."""
        carrier = _Carrier()
        carrier.sock.close()
        carrier.other.close()
        carrier.connected = False
        Outlet(carrier).widen(1 << 18)
        self.assertEqual(carrier.SEND_LIMIT, 1000)

    def test_others(self) -> None:
        """Any other connection stays as it is."""
        transport = StringTransport()
        Outlet(transport).widen(1 << 18)
        self.assertFalse(hasattr(transport, "SEND_LIMIT"))
