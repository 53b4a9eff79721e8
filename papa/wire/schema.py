"""
What commands and records look like in boxes: one codec for each type that their fields have.

=================  =======================================================================
type               value
=================  =======================================================================
text               its bytes in UTF-8; bytes that were no text stay what they were
integer            decimal digits, with a minus sign where there is one
float              decimal, as short as keeps it exact
boolean            C{True} or C{False}
bytes              themselves
number or name     a number in decimal digits, or a name that is none
list               for each item its length in four bytes, and the item
mapping            a list that alternates keys and values
pair of integers   two decimal numbers with a colon between them
record             a box in the value
=================  =======================================================================

A field that is not set, or has its default, may be left out.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import struct
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from papa import parameters
from papa.errors import BadRequest, Error, Unsayable
from papa.wire import boxes
from papa.wire.boxes import Box

__all__ = [
    "MAX_ITEMS",
    "Codec",
    "codec_of",
    "fields_of",
    "read_list",
    "read_record",
    "read_value",
    "to_box",
    "write_list",
]

_ITEM: Final = struct.Struct("!I")

MAX_ITEMS: Final = 1 << 18
"""How many items a list may have; a mapping has two for each key. It takes a third of a second to read so many."""

_Record = TypeVar("_Record")


@dataclasses.dataclass(frozen=True, slots=True)
class Codec:
    """
    How values of one type are written and read.

    @ivar read: raises L{ValueError} or L{BadRequest} for bytes that are no such value.
    """

    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


def _write_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _write_escaped(text)


def _write_escaped(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise Unsayable(f"{text[error.start]!r} is half of a character: no bytes stand for it") from error


def _read_text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _read_boolean(data: bytes) -> bool:
    if data not in (b"True", b"False"):
        raise ValueError("neither True nor False")
    return data == b"True"


def _read_pair(data: bytes) -> tuple[int, int]:
    first, second = data.split(b":")
    return int(first), int(second)


def _write_integer(value: Any) -> bytes:
    return b"%d" % operator.index(value)


def write_list(items: Iterable[bytes]) -> bytes:
    """A list of already written items."""
    parts: list[bytes] = []
    length = _ITEM.pack
    for item in items:
        parts += (length(len(item)), item)
    return b"".join(parts)


def read_list(data: bytes) -> list[bytes]:
    """
    The items of a list.

    @raise ValueError: if it is cut off, or has more than L{MAX_ITEMS}.
    """
    items: list[bytes] = []
    position = 0
    try:
        while position < len(data):
            if len(items) == MAX_ITEMS:
                raise ValueError("a list has too many items")
            start = position + _ITEM.size
            position = start + _ITEM.unpack_from(data, position)[0]
            items.append(data[start:position])
    except struct.error:
        raise ValueError("a list is cut off") from None
    if position > len(data):
        raise ValueError("an item of a list is cut off")
    return items


def _list_of(item: Codec) -> Codec:
    return Codec(
        lambda values: write_list(map(item.write, values)),
        lambda data: tuple(map(item.read, read_list(data))),
    )


def _mapping_of(value: Codec) -> Codec:
    def write(mapping: Mapping[str, Any]) -> bytes:
        # As far as the parts go, in C: a watch names thousands of processes at once.
        parts: list[bytes] = [b""] * (2 * len(mapping))
        parts[::2] = map(_write_text, mapping)
        parts[1::2] = map(value.write, mapping.values())
        return write_list(parts)

    def read(data: bytes) -> dict[str, Any]:
        parts = read_list(data)
        if len(parts) % 2:
            raise ValueError("a mapping lacks a value")
        return {_read_text(key): value.read(each) for key, each in zip(parts[::2], parts[1::2], strict=True)}

    return Codec(write, read)


_TEXT: Final = Codec(_write_text, _read_text)
_IDENTITY: Final = Codec(lambda value: _write_text(str(value)), lambda data: parameters.identity(_read_text(data)))
_PAIR: Final = Codec(lambda pair: b":".join(map(_write_integer, pair)), _read_pair)

_CODECS: Final[Mapping[Any, Codec]] = {
    str: _TEXT,
    int: Codec(_write_integer, int),
    float: Codec(lambda value: repr(value).encode(), float),
    bool: Codec(lambda value: b"True" if value else b"False", _read_boolean),
    bytes: Codec(bytes, bytes),
    int | str: _IDENTITY,
    tuple[str, ...]: _list_of(_TEXT),
    tuple[int | str, ...]: _list_of(_IDENTITY),
    Mapping[str, int]: _mapping_of(Codec(_write_integer, int)),
    Mapping[str, str]: _mapping_of(_TEXT),
    Mapping[str, tuple[int, int]]: _mapping_of(_PAIR),
}


@functools.cache
def codec_of(annotation: Any) -> Codec:
    """The codec of a type; what may be L{None} has that of what it else is."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        annotation = functools.reduce(lambda one, other: one | other, parts)
    return _CODECS[annotation]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """
    A field of a record.

    @ivar write: its codec's, as C{read} is.
    @ivar default: what it may be without being said; C{dataclasses.MISSING} where there is no such value.
    @ivar optional: whether it may be left out.
    """

    name: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    default: Any
    optional: bool


_FIELDS: Final[dict[type[Any], Mapping[bytes, _Field]]] = {}


def fields_of(kind: type[Any]) -> Mapping[bytes, _Field]:
    """The fields of a record, by the key that each has in a box."""
    found = _FIELDS.get(kind)
    if found is None:
        hints = typing.get_type_hints(kind)
        found = _FIELDS[kind] = {
            field.name.encode(): _Field(
                name=field.name,
                write=codec_of(hints[field.name]).write,
                read=codec_of(hints[field.name]).read,
                default=field.default,
                optional=field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            )
            for field in dataclasses.fields(kind)
        }
    return found


def to_box(record: Any) -> Box:
    """
    A record as a box; what has its default is left out.

    @raise Unsayable: if a text in it has no bytes.
    """
    box: Box = {}
    for key, field in fields_of(type(record)).items():
        value = getattr(record, field.name)
        if value is not None and value != field.default:
            data = field.write(value)
            if len(data) <= boxes.MAX_VALUE:
                box[key] = data
            else:
                box |= boxes.split(field.name, data)
    return box


def read_value(name: str, codec: Codec, box: Mapping[bytes, bytes]) -> Any:
    """
    The value of one field; L{None} if the box has none.

    @raise BadRequest: if it is no value of its type.
    """
    data = boxes.joined(name, box)
    try:
        return None if data is None else codec.read(data)
    except (Error, ValueError) as error:
        raise _not_of_its_type(name, data) from error


def _not_of_its_type(name: str, data: bytes | None) -> BadRequest:
    return BadRequest(f"{name} is not of its type: {(data or b'')[:80]!r}")


def read_record(kind: type[_Record], box: Mapping[bytes, bytes]) -> _Record:
    """
    The record that a box is.

    @raise BadRequest: if a field is missing or no value of its type, or the record is not valid.
    """
    fields = fields_of(kind)
    values: dict[str, Any] = {}
    for key, data in box.items():
        field = fields.get(key)
        if field is None:
            continue
        if len(data) == boxes.MAX_VALUE:
            data = boxes.joined(field.name, box) or data  # noqa: PLW2901 - the rest of it
        try:
            values[field.name] = field.read(data)
        except (Error, ValueError) as error:
            raise _not_of_its_type(field.name, data) from error
    if len(values) < len(fields):
        for field in fields.values():
            if not (field.optional or field.name in values):
                raise BadRequest(f"{field.name} is missing")
    return kind(**values)
