"""What more than one command checks of its fields; each raises L{BadRequest} with what would be right."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import get_args

from papa.errors import BadRequest

__all__ = ["absolute", "in_range", "no_nul", "one_of"]


def one_of(value: object, choices: object, what: str) -> None:
    """Refuse a value that is not one of a L{Literal}'s."""
    known = get_args(choices)
    if value not in known:
        raise BadRequest(f"{what} {value!r} is not one of: {', '.join(known)}")


def in_range(value: int, least: int, most: int, what: str) -> None:
    """Refuse a number that is out of range."""
    if not least <= value <= most:
        raise BadRequest(f"{what} must be {least} to {most}, not {value}")


def no_nul(texts: Iterable[str], what: str) -> None:
    """Refuse texts that no program and no path could hold."""
    if any("\0" in text for text in texts):
        raise BadRequest(f"{what} cannot hold a NUL: no program could be given it")


def absolute(path: str, what: str) -> None:
    """Refuse a path that means something else from each folder."""
    no_nul([path], what)
    if not os.path.isabs(path):
        raise BadRequest(f"{what} must be an absolute path, not {path!r}")
