"""Text that can be shown to a person without doing anything to the terminal."""

from __future__ import annotations

import re

__all__ = ["escaped", "has_controls"]

# Control characters of both sets but the tab, line and paragraph separators, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def has_controls(text: str) -> bool:
    """Whether there is anything in it that a terminal would act on."""
    return _CONTROLS.search(text) is not None


def escaped(text: str) -> str:
    r"""The text with such characters written out, as C{\x1b}."""
    return _CONTROLS.sub(_written_out, text)


def _written_out(character: re.Match[str]) -> str:
    number = ord(character.group())
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # A byte that was not text, as os.fsdecode keeps it.
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
