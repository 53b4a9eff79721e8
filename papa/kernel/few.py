"""
Rows of what there is mostly none of: tuples, since all empty ones are one, and what looks for garbage passes them over.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = ["without"]

_Thing = TypeVar("_Thing")


def without(row: tuple[_Thing, ...], gone: _Thing) -> tuple[_Thing, ...]:
    """The others."""
    return tuple([each for each in row if each is not gone]) if row else row
