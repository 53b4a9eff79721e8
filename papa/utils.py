"""What programs written for papa 1.0.6 import from here."""

from __future__ import annotations

import socket

from papa.errors import Error

__all__ = [
    "Error",
    "cast_bytes",
    "cast_string",
    "cast_unicode",
    "string_type",
    "valid_families",
    "valid_families_by_number",
    "valid_types",
    "valid_types_by_number",
]

string_type = str

valid_families = {name[3:].lower(): int(number) for name, number in socket.AddressFamily.__members__.items() if number}
valid_families_by_number = {number: name for name, number in valid_families.items()}
valid_types = {name[5:].lower(): int(number) for name, number in socket.SocketKind.__members__.items()}
valid_types_by_number = {number: name for name, number in valid_types.items()}


def cast_bytes(text: object, encoding: str = "utf8") -> bytes:
    """Bytes of a text; bytes stay what they are."""
    return text if isinstance(text, bytes) else str(text).encode(encoding)


def cast_unicode(text: object, encoding: str = "utf8", errors: str = "replace") -> str:
    """A text of bytes; a text stays what it is."""
    return text.decode(encoding, errors=errors) if isinstance(text, bytes) else str(text)


cast_string = cast_unicode
