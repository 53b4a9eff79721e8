"""What a name may look like, and how patterns select names."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from papa.errors import BadRequest, NotFound

__all__ = ["MAX_LENGTH", "check_name", "nearest", "page", "select"]

MAX_LENGTH = 128
#: Among more names than this the nearest is not looked for: it takes 20 microseconds a name, and others wait.
_MOST_COMPARED = 500

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
    candidates = list(known)
    if len(name) > MAX_LENGTH or len(candidates) > _MOST_COMPARED:
        return ""
    import difflib  # Few names are mistyped, and the papa command is to answer quickly.

    close = difflib.get_close_matches(name, candidates, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def page(selected: Mapping[str, _Held], after: str, most: int) -> dict[str, _Held]:
    """
    A part of what was selected.

    @param after: the part begins behind this name, held or not.
    @param most: how many it has at most; 0 means all.
    """
    names = list(selected)
    start = bisect.bisect_right(names, after)
    return {name: selected[name] for name in names[start : start + most if most else None]}


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
            named = {name: thing for name, thing in held.items() if str(number(thing)) == pattern}
            if not named and required:
                raise NotFound(f"{kind} {pattern} not found")
            found.update(named)
        elif required:
            raise NotFound(f"{kind} {pattern!r} not found{nearest(pattern, held)}")
    return dict(sorted(found.items()))
