"""A log of records in a file, each with its length and checksum: read up to the first that is not complete."""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Final

__all__ = ["encoded", "records"]

#: Length and checksum of the body.
_HEADER: Final = struct.Struct("<II")


def encoded(fields: list[object]) -> bytes:
    """A record."""
    body = json.dumps(fields, separators=(",", ":")).encode()
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def records(descriptor: int) -> Iterator[tuple[int, int, list[Any]]]:
    """Each record up to the first that is not complete: its place, its length, and what is in it."""
    size = os.fstat(descriptor).st_size
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else nullcontext(b"") as log:
        offset = 0
        while offset + _HEADER.size <= size:
            length, checksum = _HEADER.unpack_from(log, offset)
            body = log[offset + _HEADER.size : offset + _HEADER.size + length]
            if not length or len(body) < length or zlib.crc32(body) != checksum:
                return
            yield offset, _HEADER.size + length, json.loads(body)
            offset += _HEADER.size + length
