"""AMP boxes as bytes: however they are cut, and as Twisted's own parser reads them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.protocols import amp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from papa.errors import LimitReached
from papa.wire.boxes import (
    MAX_BOX,
    MAX_KEY,
    MAX_VALUE,
    PAIR_COST,
    Box,
    BoxReader,
    joined,
    read_box,
    serialize,
    size,
    split,
)

KEYS = st.binary(min_size=1, max_size=MAX_KEY)
BOXES = st.dictionaries(KEYS, st.binary(max_size=300), max_size=5)
#: Bytes that are boxes in part: whole ones, pieces of some, and noise.
HOSTILE = st.lists(
    st.one_of(BOXES.map(serialize), st.binary(max_size=20), BOXES.map(lambda box: serialize(box)[:-3])), max_size=6
).map(b"".join)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Some bytes, cut at these places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def read(parts: Iterable[bytes]) -> tuple[list[Box], bool]:
    """The boxes that papa's reader finds, and whether it found that there are none behind them."""
    reader, found = BoxReader(), []
    try:
        for part in parts:
            reader.receive(part)
            while (box := reader.take()) is not None:
                found.append(box)
    except LimitReached:
        return found, True
    return found, False


@implementer(amp.IBoxReceiver)
class Collector:
    """Collects what Twisted's parser finds."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def startReceivingBoxes(self, boxSender: object) -> None:
        pass

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        self.boxes.append(dict(box))

    def stopReceivingBoxes(self, reason: object) -> None:
        pass


def read_by_twisted(parts: Iterable[bytes]) -> tuple[list[Box], bool]:
    """The boxes that Twisted's reader finds, and whether it hung up behind them."""
    collector, transport = Collector(), StringTransport()
    parser = amp.BinaryBoxProtocol(collector)
    parser.makeConnection(transport)
    for part in parts:
        if not transport.disconnecting:
            parser.dataReceived(part)
    return collector.boxes, bool(transport.disconnecting)


class SerializeTests(SynchronousTestCase):
    """Writing."""

    def test_bytes_of_a_box(self) -> None:
        """A box is its keys and values with their lengths in two bytes, and two zero bytes."""
        self.assertEqual(serialize({b"a": b"xyz", b"bc": b""}), b"\0\1a\0\3xyz\0\2bc\0\0\0\0")

    def test_refuses_what_does_not_fit(self) -> None:
        """An empty or too long key, and a too long value, are refused."""
        for box in ({b"": b"x"}, {b"k" * (MAX_KEY + 1): b"x"}, {b"k": b"v" * (MAX_VALUE + 1)}):
            self.assertRaises(LimitReached, serialize, box)

    @settings(max_examples=50)
    @given(BOXES)
    def test_is_what_twisted_writes(self, box: Box) -> None:
        """Twisted's AMP writes a box in the same bytes, but for the order of its keys."""
        ordered = dict(sorted(box.items()))
        self.assertEqual(serialize(ordered), amp.AmpBox(ordered).serialize())


class ReadTests(SynchronousTestCase):
    """Reading."""

    @settings(max_examples=100)
    @given(st.lists(BOXES, max_size=4), st.lists(st.integers(0, 5000), max_size=8))
    def test_boxes_cut_anywhere(self, boxes: list[Box], cuts: list[int]) -> None:
        """What was written is read again, wherever the stream is cut."""
        self.assertEqual(read(pieces(b"".join(map(serialize, boxes)), cuts)), (boxes, False))

    def test_longest(self) -> None:
        """The longest key and the longest value that there may be go through."""
        box = {b"k" * MAX_KEY: b"v" * MAX_VALUE}
        self.assertEqual(read([serialize(box)]), ([box], False))

    def test_byte_by_byte(self) -> None:
        """A box that comes one byte at a time is read with its last byte, and not before."""
        data = serialize({b"_command": b"set", b"value": b"\0\0\xff"})
        self.assertEqual(read([bytes([byte]) for byte in data[:-1]]), ([], False))
        self.assertEqual(
            read([bytes([byte]) for byte in data]), ([{b"_command": b"set", b"value": b"\0\0\xff"}], False)
        )

    @settings(max_examples=200)
    @given(HOSTILE, st.lists(st.integers(0, 2000), max_size=4))
    def test_agrees_with_twisted_on_any_bytes(self, data: bytes, cuts: list[int]) -> None:
        """Twisted's parser finds the same boxes in any bytes, and gives up at the same place."""
        parts = pieces(data, cuts)
        self.assertEqual(read(parts), read_by_twisted(parts))

    def test_says_so_again_once_it_is_no_stream_of_boxes(self) -> None:
        """After something that is no box nothing is found any more, whatever comes."""
        reader = BoxReader()
        reader.receive(b"GET / HTTP/1.1\r\n")
        self.assertRaises(LimitReached, reader.take)
        reader.receive(serialize({b"a": b"b"}))
        self.assertRaises(LimitReached, reader.take)

    def test_boxes_before_what_is_none_are_found(self) -> None:
        """Boxes that came before something that is none are given first."""
        self.assertEqual(read([serialize({b"a": b"b"}) + b"\xff\xff"]), ([{b"a": b"b"}], True))

    def test_bounded_by_bytes(self) -> None:
        """A box that does not end is refused before more than the limit is kept."""
        reader = BoxReader()
        pair = b"\0\1k\xff\xff" + bytes(MAX_VALUE)
        reader.receive(pair)
        fit = MAX_BOX // (1 + MAX_VALUE + PAIR_COST)
        for _ in range(fit):
            self.assertIsNone(reader.take())
            reader.receive(pair)
        self.assertRaises(LimitReached, reader.take)

    def test_bounded_by_keys(self) -> None:
        """A box of very many empty values, each of which costs memory, is refused as well."""
        many = MAX_BOX // PAIR_COST
        data = b"".join(b"\0\4%b\0\0" % number.to_bytes(4, "big") for number in range(1, many))
        self.assertEqual(read([data]), ([], True))

    @settings(max_examples=30)
    @given(BOXES)
    def test_box_within_a_value(self, box: Box) -> None:
        """A value may be a box; one that is cut off, or with something behind it, is none."""
        data = serialize(box)
        self.assertEqual(read_box(data), box)
        for length in range(len(data)):
            self.assertRaises(ValueError, read_box, data[:length])
        self.assertRaises(ValueError, read_box, data + b"\0")

    def test_size_is_what_is_limited(self) -> None:
        """The size of a box counts the bytes and a charge for each pair."""
        self.assertEqual(size({b"ab": b"c", b"d": b""}), 4 + 2 * PAIR_COST)


class SplitTests(SynchronousTestCase):
    """Values of any length."""

    @settings(max_examples=30)
    @given(st.integers(0, 3), st.integers(-2, 2))
    def test_what_was_split_is_joined(self, full: int, beside: int) -> None:
        """A value comes back as it was, whatever its length, also where the last key is full."""
        value = bytes(range(256)) * 1024
        value = value[: max(0, full * MAX_VALUE + beside)]
        box = split("data", value)
        self.assertTrue(all(len(part) <= MAX_VALUE for part in box.values()))
        self.assertEqual(joined("data", read_box(serialize(box))), value)

    def test_keys(self) -> None:
        """The first key has the plain name, further ones a number; each but the last is full."""
        box = split("data", bytes(2 * MAX_VALUE + 1))
        self.assertEqual(
            {key: len(value) for key, value in box.items()},
            {b"data": MAX_VALUE, b"data.1": MAX_VALUE, b"data.2": 1},
        )

    def test_nothing(self) -> None:
        """A name that a box does not have has no value; a value that is not full has no further keys."""
        self.assertIsNone(joined("data", {b"other": b"x"}))
        self.assertEqual(joined("data", {b"data": b"x", b"data.1": b"y"}), b"x")
