"""What a name may look like, and how patterns select names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from papa.errors import BadRequest, NotFound

__all__ = ["MAX_LENGTH", "check_name", "nearest", "select"]

MAX_LENGTH = 128

_NAME = re.compile(rf"[A-Za-z0-9._@%+-]{{1,{MAX_LENGTH}}}")

_Held = TypeVar("_Held")


def check_name(name: str, kind: str) -> str:
    """
    Give C{name} back if it is one.

    @param kind: what is being named, for the message: C{"Socket"}, C{"Process"}, C{"Value"}.
    @raise BadRequest: if it is empty, too long, or has a character that some wire or terminal could misread.
    """
    if not name:
        raise BadRequest(f"{kind} requires a name")
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{kind} name {name!r} is not valid: use 1 to {MAX_LENGTH} of the characters A-Z a-z 0-9 . _ @ % + -"
        )
    return name


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that offers the known name most like C{name}, to end an error message with; or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def select(
    held: Mapping[str, _Held],
    patterns: Iterable[str],
    *,
    kind: str,
    required: bool = False,
    number: Callable[[_Held], int | None] | None = None,
) -> dict[str, _Held]:
    """
    The held things that the patterns name, sorted by name.

    A final C{*} stands for anything; C{*} alone, and no pattern at all, mean everything.

    @param required: whether a plain name that is not held is an error; a wildcard may always match nothing.
    @param number: gives the number (pid, descriptor) by which a thing may be named too; a name goes first.
    @raise NotFound: for a plain name that is not held, if C{required}.
    """
    patterns = list(patterns)
    if not patterns or "*" in patterns:
        return dict(sorted(held.items()))
    found: dict[str, _Held] = {}
    for pattern in patterns:
        if pattern.endswith("*"):
            found.update((name, thing) for name, thing in held.items() if name.startswith(pattern[:-1]))
        elif pattern in held:
            found[pattern] = held[pattern]
        elif number is not None and pattern.isascii() and pattern.isdigit():
            named = {name: thing for name, thing in held.items() if number(thing) == int(pattern)}
            if not named and required:
                raise NotFound(f"{kind} {pattern} not found")
            found.update(named)
        elif required:
            raise NotFound(f"{kind} {pattern!r} not found{nearest(pattern, held)}")
    return dict(sorted(found.items()))
