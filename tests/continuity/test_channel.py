"""The line between an anchor and its kernel."""

from __future__ import annotations

import os
import resource
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.channel import MOST_DESCRIPTORS, Channel, DescriptorsLost
from tests.drivers.apart import apart


class ChannelTests(SynchronousTestCase):
    """Both ends in one process."""

    def setUp(self) -> None:
        self.one, self.other = Channel.pair()
        self.addCleanup(self.one.close)
        self.addCleanup(self.other.close)

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        return reading, writing

    def test_in_order(self) -> None:
        """Messages come whole, each by itself, in the order in which they were sent."""
        for number in range(3):
            self.one.send({"number": number})
        self.assertEqual([self.other.receive() for _ in range(3)], [({"number": number}, []) for number in range(3)])

    def test_both_ways(self) -> None:
        """Either end says what it likes."""
        self.one.send({"a": 1})
        self.other.send({"b": 2})
        self.assertEqual((self.one.receive(), self.other.receive()), (({"b": 2}, []), ({"a": 1}, [])))

    def test_descriptors(self) -> None:
        """Descriptors come beside the message they were sent with, as duplicates that no child inherits."""
        reading, writing = self.pipe()
        self.one.send({"with": 1}, [writing])
        self.one.send({"with": 0})
        os.close(writing)
        told = self.other.receive()
        assert told is not None
        (received,) = told[1]
        self.assertFalse(os.get_inheritable(received))
        os.write(received, b"x")
        os.close(received)
        self.assertEqual(os.read(reading, 2), b"x")
        self.assertEqual(self.other.receive(), ({"with": 0}, []))

    def test_as_many_as_go(self) -> None:
        """So many descriptors go with one message, also with one that travels in a file; more do not."""
        reading, writing = self.pipe()
        self.addCleanup(os.close, writing)
        for text in ("", "x" * 100_000):
            self.one.send({"text": text}, [reading] * MOST_DESCRIPTORS)
            told = self.other.receive()
            assert told is not None
            self.assertEqual((told[0]["text"], len(told[1])), (text, MOST_DESCRIPTORS))
            for each in told[1]:
                os.close(each)
        self.assertRaises(OSError, self.one.send, {}, [reading] * (MOST_DESCRIPTORS + 2))

    def test_large(self) -> None:
        """A message of any size comes, and leaves no descriptor behind."""
        before = len(os.listdir("/proc/self/fd"))
        for size in (32_767, 32_768, 40_000, 5_000_000):
            self.one.send({"text": "ü" * size})
            self.assertEqual(self.other.receive(), ({"text": "ü" * size}, []))
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_nothing_yet(self) -> None:
        """Who does not want to wait is told that there is nothing."""
        self.assertRaises(BlockingIOError, self.other.receive, wait=False)

    def test_no_room(self) -> None:
        """Who does not want to wait is told that there is no room; what was sent before comes, and nothing else."""
        sent = 0
        with self.assertRaises(BlockingIOError):
            while True:
                self.one.send({"number": sent, "text": "x" * 1000}, wait=False)
                sent += 1
        for number in range(sent):
            told = self.other.receive(wait=False)
            assert told is not None
            self.assertEqual(told[0]["number"], number)
        self.assertRaises(BlockingIOError, self.other.receive, wait=False)

    def test_gone(self) -> None:
        """What was said comes though its sender has gone; then that it has."""
        self.one.send({"last": 1})
        self.one.close()
        self.assertEqual(self.other.receive(), ({"last": 1}, []))
        self.assertIsNone(self.other.receive())
        self.assertRaises(ConnectionError, self.other.send, {})

    def test_gone_without_having_heard(self) -> None:
        """Nor does it matter that the sender had not heard what it was told."""
        self.other.send({})
        self.one.close()
        self.assertIsNone(self.other.receive())

    def test_too_many_open(self) -> None:
        """If there is no room for the descriptors, what was said is known all the same, and none of them is left."""
        self.assertEqual(apart(_too_many), [{"key": "a"}, {}, 0, {"next": 1}])

    @given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text()))))
    @settings(max_examples=100)
    def test_anything(self, message: dict[str, Any]) -> None:
        """Whatever JSON can say arrives as it was, also what is no text but came from a file name."""
        self.one.send(message)
        self.assertEqual(self.other.receive(), (message, []))
        self.one.send({"name": os.fsdecode(b"\xff")})
        self.assertEqual(self.other.receive(), ({"name": "\udcff"}, []))


def _too_many() -> list[Any]:
    one, other = Channel.pair()
    reading, _ = os.pipe()
    one.send({"key": "a"}, [reading, reading])
    one.send({"text": "x" * 100_000}, [reading])
    one.send({"next": 1})
    before = len(os.listdir("/proc/self/fd"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), limit[1]))
    found: list[Any] = []
    for _ in range(2):
        try:
            other.receive()
        except DescriptorsLost as lost:
            found.append(lost.message)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    told = other.receive()
    return [*found, len(os.listdir("/proc/self/fd")) - before, told and told[0]]
