"""What was said on the program wire, all at once."""

from __future__ import annotations

from papa.wire.boxes import Box, BoxReader

__all__ = ["read_all"]


def read_all(data: bytes) -> list[Box]:
    """The boxes that these bytes are; what is left of one that is cut off is not among them."""
    reader = BoxReader()
    reader.receive(data)
    return list(iter(reader.take, None))
