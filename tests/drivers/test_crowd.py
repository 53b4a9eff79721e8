"""Many descriptors of which a few have their turn at a time."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papa.drivers import crowd
from papa.drivers.crowd import Crowd


class _Reactor:
    """Knows what it is to watch."""

    def __init__(self) -> None:
        self.watched: list[object] = []

    def addReader(self, reader: object) -> None:
        self.watched.append(reader)

    def removeReader(self, reader: object) -> None:
        self.watched.remove(reader)


class _Reader:
    """The reading end of a pipe, in which something is, and which takes nothing out."""

    def __init__(self, test: CrowdTests, does: Callable[[], BaseException | None] = lambda: None) -> None:
        self.reading, self.writing = os.pipe()
        test.addCleanup(os.close, self.reading)
        test.addCleanup(os.close, self.writing)
        os.write(self.writing, b"x")
        self.does = does
        self.turns = 0
        self.lost: list[BaseException] = []

    def fileno(self) -> int:
        return self.reading

    def doRead(self) -> BaseException | None:
        self.turns += 1
        return self.does()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason.value)


class CrowdTests(SynchronousTestCase):
    """A reactor knows of all as one."""

    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.crowd = Crowd(self.reactor)

    def readers(self, count: int) -> list[_Reader]:
        """So many, watched."""
        readers = [_Reader(self) for _ in range(count)]
        for reader in readers:
            self.crowd.addReader(reader)
        return readers

    def test_turns(self) -> None:
        """A turn is a part of all, and in as many turns as it takes each has had one: nobody is passed over."""
        self.patch(crowd, "_WHILE", 1000.0)
        readers = self.readers(300)
        self.crowd.doRead()
        self.assertLess(sum(reader.turns for reader in readers), 100)
        for _ in range(4):
            self.crowd.doRead()
        self.assertEqual({reader.turns for reader in readers} - {1, 2}, set())

    def test_what_takes_long(self) -> None:
        """Where it takes long, it is a smaller part; nobody is passed over either."""
        self.patch(crowd, "_WHILE", 0.0)
        readers = self.readers(60)
        self.crowd.doRead()
        self.assertLess(sum(reader.turns for reader in readers), 20)
        for _ in range(3):
            self.crowd.doRead()
        self.assertEqual({reader.turns for reader in readers} - {1, 2}, set())

    def test_few(self) -> None:
        """Where there are few, each has several turns at once, as long as there is something to be read."""
        one, other = self.readers(2)
        one.does = lambda: None if one.turns < 5 else CONNECTION_DONE
        self.crowd.doRead()
        self.assertEqual((one.turns, one.lost), (5, [CONNECTION_DONE]))
        self.assertLess(other.turns, 100)

    def test_known_to_the_reactor(self) -> None:
        """The reactor watches it as long as there is something to watch, and sees when there is something to do."""
        self.assertEqual(self.reactor.watched, [])
        one, other = self.readers(2)
        self.crowd.addReader(one)
        self.assertEqual(self.reactor.watched, [self.crowd])
        self.assertEqual(select.select([self.crowd], [], [], 0)[0], [self.crowd])
        for reader in (one, other):
            os.read(reader.reading, 1)
        self.assertEqual(select.select([self.crowd], [], [], 0)[0], [])
        self.crowd.removeReader(one)
        self.crowd.removeReader(one)
        self.crowd.removeReader(other)
        self.assertEqual(self.reactor.watched, [])

    def test_ended(self) -> None:
        """One that has come to its end is told so, and watched no more; so is one that fails, and that is logged."""
        ended, failing, other = self.readers(3)
        failure = ValueError("no")

        def fail() -> None:
            raise failure

        ended.does, failing.does = (lambda: CONNECTION_DONE), fail
        self.crowd.doRead()
        self.crowd.doRead()
        self.assertEqual((ended.lost, failing.lost, other.lost), ([CONNECTION_DONE], [failure], []))
        self.assertEqual((ended.turns, failing.turns), (1, 1))
        self.assertGreater(other.turns, 1)
        self.assertEqual([logged.value for logged in self.flushLoggedErrors(ValueError)], [failure])

    def test_failing_at_the_end(self) -> None:
        """If papa fails at the end of one, that is logged, and the others are read on."""

        class Failing(_Reader):
            def connectionLost(self, reason: Failure) -> None:
                raise ValueError("no")

        failing, other = Failing(self, lambda: CONNECTION_DONE), _Reader(self)
        for reader in (failing, other):
            self.crowd.addReader(reader)
        self.crowd.doRead()
        self.crowd.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual((failing.turns, self.reactor.watched), (1, [self.crowd]))
        self.assertGreater(other.turns, 1)

    def test_removed_in_the_same_turn(self) -> None:
        """One that another has removed has no turn any more."""
        one, other = self.readers(2)
        one.does, other.does = (lambda: self.crowd.removeReader(other)), (lambda: self.crowd.removeReader(one))
        self.crowd.doRead()
        self.assertIn(0, (one.turns, other.turns))
