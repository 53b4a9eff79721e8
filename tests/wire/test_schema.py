"""Values and records in boxes, one codec for each type."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.commands import ALL, MakeProcess, MakeSocket, Set
from papa.errors import BadRequest, Error, Unsayable
from papa.records import Closed, Hole, Output, Process, Socket
from papa.wire import messages
from papa.wire.boxes import Box
from papa.wire.schema import codec_of, fields_of, read_list, read_record, to_box, write_list

QUICK = settings(max_examples=60)

#: Text as papa has it: UTF-8 where it is, and every other byte as itself.
texts = st.one_of(
    st.just(70000).map(lambda size: "a" * size),
    st.binary(max_size=12).map(lambda data: data.decode(errors="surrogateescape")),
    st.sampled_from(["", " ", "\n", "\0", '"', "\\", "=", "ä€😀", "\udcff\udc80"]),
)
words = st.text(alphabet="abc", min_size=1, max_size=5)
pairs = st.tuples(st.integers(-1, 1 << 70), st.integers(-1, 1 << 70))

#: What fields can be, and values of it.
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    str | None: texts,
    int: st.integers(-(1 << 70), 1 << 70),
    int | None: st.integers(-(1 << 70), 1 << 70),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=70000),
    int | str: st.one_of(st.integers(0, 10**19), words),
    tuple[str, ...]: st.lists(texts, max_size=4).map(tuple),
    tuple[int | str, ...]: st.lists(st.one_of(st.integers(0, 99), words), max_size=4).map(tuple),
    Mapping[str, str]: st.dictionaries(texts, texts, max_size=4),
    Mapping[str, tuple[int, int]]: st.dictionaries(words, pairs, max_size=3),
}

RECORDS = (*ALL, Socket, Process, Output, Hole, Closed, *messages.Message.__subclasses__())


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A record of all kinds of fields."""

    title: str
    lines: tuple[str, ...] = ()
    number: int | None = None
    seconds: float = 0.0
    limits: Mapping[str, tuple[int, int]] | None = None
    owner: int | str | None = None


class CodecTests(SynchronousTestCase):
    """Single values."""

    @QUICK
    @given(st.data())
    def test_values_come_back(self, data: st.DataObject) -> None:
        """Whatever a field can hold is the same after it was written and read."""
        for kind, values in VALUES.items():
            value = data.draw(values)
            codec = codec_of(kind)
            written = codec.write(value)
            self.assertIsInstance(written, bytes)
            again = codec.read(written)
            self.assertEqual(again, value)
            self.assertIs(type(again), type(value))

    def test_every_field_of_every_record_has_a_codec(self) -> None:
        """There is nothing that a command, an answer or a message could not carry."""
        for record in RECORDS:
            self.assertEqual([key.decode() for key in fields_of(record)], [field.name for field in fields(record)])

    @QUICK
    @given(st.binary(max_size=30))
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        """Bytes that are no value of a type raise ValueError, and nothing else."""
        for kind in VALUES:
            try:
                codec_of(kind).read(data)
            except ValueError:
                continue

    def test_half_characters_are_unsayable(self) -> None:
        """Text that no bytes stand for is refused, wherever it hides."""
        for value, kind in (("a\ud800", str), (("x", "\udfff"), tuple[str, ...]), ({"\ud800": ""}, Mapping[str, str])):
            self.assertRaises(Unsayable, codec_of(kind).write, value)

    def test_numbers_are_not_rounded(self) -> None:
        """A float is no integer, and is not made one silently."""
        self.assertRaises(TypeError, codec_of(int).write, 1.5)
        self.assertRaises(TypeError, codec_of(Mapping[str, tuple[int, int]]).write, {"as": (1.5, 2)})

    def test_limits_are_two(self) -> None:
        """A pair with one number, or three, is none."""
        for data in (b"1", b"1:2:3", b":", b"a:b", b"\xff:1"):
            with self.assertRaises(ValueError):
                codec_of(Mapping[str, tuple[int, int]]).read(write_list([b"as", data]))

    def test_lists_that_are_cut_off(self) -> None:
        """A list that ends within an item, or within its length, is none."""
        whole = write_list([b"abc", b"", b"d"])
        self.assertEqual(read_list(whole), [b"abc", b"", b"d"])
        for end in range(1, len(whole)):
            cut = whole[:end]
            if cut not in (write_list([b"abc"]), write_list([b"abc", b""])):
                with self.assertRaises(ValueError):
                    read_list(cut)


class RecordTests(SynchronousTestCase):
    """Whole records."""

    def test_defaults_are_left_out(self) -> None:
        """A box has only what was set."""
        self.assertEqual(to_box(Note(title="t")), {b"title": b"t"})
        self.assertEqual(read_record(Note, {b"title": b"t"}), Note(title="t"))

    def test_unknown_fields_are_passed_over(self) -> None:
        """A record from a later papa may have more fields."""
        self.assertEqual(read_record(Note, {b"title": b"t", b"colour": b"red"}), Note(title="t"))

    def test_nothing_differs_from_an_empty_text(self) -> None:
        """A field that may be without a value keeps the difference."""
        for value in (None, ""):
            asked = Set(name="x", value=value)
            self.assertEqual(read_record(Set, to_box(asked)).value, value)

    def test_missing(self) -> None:
        """A field that must be there is named if it is not."""
        with self.assertRaisesRegex(BadRequest, "^title is missing$"):
            read_record(Note, {})

    def test_not_of_its_type(self) -> None:
        """A value that is none of its type is quoted, but not at any length."""
        with self.assertRaises(BadRequest) as caught:
            read_record(Note, {b"title": b"t", b"number": b"x" * 1000})
        self.assertRegex(str(caught.exception), "^number is not of its type: b'x{80}'$")

    def test_invalid_commands_are_refused_as_anywhere(self) -> None:
        """What a command checks itself is checked when it is read."""
        with self.assertRaisesRegex(BadRequest, "NUL"):
            read_record(MakeProcess, {b"name": b"job", b"args": write_list([b"a", b"b\0"])})
        with self.assertRaisesRegex(BadRequest, "^port must be"):
            read_record(MakeSocket, {b"name": b"web", b"port": b"65536"})

    @settings(max_examples=400)
    @given(st.data())
    def test_hostile_boxes_raise_only_refusals(self, data: st.DataObject) -> None:
        """Whatever stands in the fields of a record, reading it raises a leaf of papa's errors if anything."""
        kind = data.draw(st.sampled_from(RECORDS))
        values = st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"", b"0", b"-1", b"True", b"nan", b"1e999", b"9" * 5000, b"\xff", b"inet", b"/x", b"pipe"]
            ),
            st.lists(st.binary(max_size=6), max_size=4).map(write_list),
        )
        named = st.one_of(st.just(b"job"), values)
        every = {field.name.encode(): named if field.name == "name" else values for field in fields(kind)}
        needed = {field.name.encode() for field in fields(kind) if field.default is MISSING}
        required = {key: value for key, value in every.items() if key in needed}
        optional = {key: value for key, value in every.items() if key not in needed}
        box: Box = data.draw(st.fixed_dictionaries(required, optional=optional) if every else st.just({}))
        with contextlib.suppress(Error):
            read_record(kind, box)
