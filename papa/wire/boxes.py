"""
AMP boxes, as bytes: the frames of the program wire, for readers and writers that have no Twisted.

A box is a sequence of keys and values, each with its length in two bytes, ended by an empty key
(U{the AMP specification<https://amp-protocol.net>}). A value has at most 65 535 bytes; a longer one goes into several
keys, C{name}, C{name.1}, C{name.2} and so on, each but the last full.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

from papa.errors import LimitReached

__all__ = [
    "MAX_BOX",
    "MAX_KEY",
    "MAX_REQUEST",
    "MAX_VALUE",
    "PAIR_COST",
    "Box",
    "BoxReader",
    "joined",
    "read_all",
    "serialize",
    "size",
    "split",
]

Box: TypeAlias = dict[bytes, bytes]

MAX_KEY: Final = 255
MAX_VALUE: Final = 65535
#: What a pair of key and value counts for beside its bytes: it costs at least as much to keep.
PAIR_COST: Final = 200
#: The most that a request may hold, in bytes.
MAX_REQUEST: Final = 64 << 20
#: The most that any box may hold: the largest answer lists what the largest request has made, and some more.
MAX_BOX: Final = 2 * MAX_REQUEST

_LENGTH: Final = struct.Struct("!H")
_END: Final = b"\0\0"


def size(box: Mapping[bytes, bytes]) -> int:
    """How much a box holds, as the limits count it."""
    return sum(len(key) + len(value) + PAIR_COST for key, value in box.items())


def serialize(box: Mapping[bytes, bytes]) -> bytes:
    """
    The bytes of a box.

    @raise LimitReached: if a key or value is too long; see L{split}.
    """
    parts: list[bytes] = []
    for key, value in box.items():
        if not 0 < len(key) <= MAX_KEY or len(value) > MAX_VALUE:
            raise LimitReached(f"{key[:MAX_KEY]!r} does not fit into a box")
        parts += (_LENGTH.pack(len(key)), key, _LENGTH.pack(len(value)), value)
    return b"".join([*parts, _END])


def split(name: str, value: bytes) -> Box:
    """A value of any length, as the keys that carry it."""
    box = {name.encode(): value[:MAX_VALUE]}
    for number, start in enumerate(range(MAX_VALUE, len(value), MAX_VALUE), 1):
        box[f"{name}.{number}".encode()] = value[start : start + MAX_VALUE]
    return box


def joined(name: str, box: Mapping[bytes, bytes]) -> bytes | None:
    """The value that L{split} split; L{None} if the box has none."""
    first = box.get(name.encode())
    if first is None or len(first) < MAX_VALUE:
        return first
    parts = [first]
    while (part := box.get(f"{name}.{len(parts)}".encode())) is not None:
        parts.append(part)
    return b"".join(parts)


class BoxReader:
    """Takes boxes out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._box: Box = {}
        self._size = 0

    def receive(self, data: bytes) -> None:
        """Some bytes have come."""
        self._buffer += data

    def take(self) -> Box | None:
        """
        The next box; L{None} if it is not all there.

        @raise LimitReached: if what comes next is no box, or a larger one than papa has; so it is from then on.
        """
        while (key := self._string(0, MAX_KEY)) is not None:
            if not key:
                self._position += len(_END)
                box, self._box, self._size = self._box, {}, 0
                return box
            value = self._string(_LENGTH.size + len(key), MAX_VALUE)
            if value is None:
                break
            self._size += len(key) + len(value) + PAIR_COST
            if self._size > MAX_BOX:
                raise LimitReached(f"A box of more than {MAX_BOX} bytes")
            self._position += 2 * _LENGTH.size + len(key) + len(value)
            self._box[key] = value
        del self._buffer[: self._position]
        self._position = 0
        return None

    def _string(self, offset: int, most: int) -> bytes | None:
        """The string that begins at an offset; L{None} if it is not all there."""
        start = self._position + offset
        if len(self._buffer) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if length > most:
            raise LimitReached(f"A key of {length} bytes: this is no box")
        start += _LENGTH.size
        if len(self._buffer) < start + length:
            return None
        with memoryview(self._buffer) as view:
            return bytes(view[start : start + length])


def read_all(data: bytes) -> list[Box]:
    """
    The boxes in a value that holds boxes.

    @raise LimitReached: if it holds something else.
    """
    reader = BoxReader()
    reader.receive(data)
    return list(iter(reader.take, None))
