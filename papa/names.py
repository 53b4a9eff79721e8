"""What a name may look like, and how patterns select names."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Final, Generic, TypeVar

from papa.errors import BadRequest, NotFound

__all__ = ["MAX_LENGTH", "Named", "check_name", "matches", "nearest", "select"]

MAX_LENGTH = 128
#: Among more names than this the nearest is not looked for: it takes 20 microseconds a name, and others wait.
_MOST_COMPARED = 500

#: No name has a character that stands behind this one.
_BEHIND_ALL: Final = "\x7f"

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


class Named(MutableMapping[str, _Held]):
    """Things by name, which are found by the beginning of their names, and paged, without a look at all of them."""

    def __init__(self, things: Mapping[str, _Held] | None = None) -> None:
        self._things: dict[str, _Held] = dict(things or {})
        self._names = sorted(self._things)

    def __getitem__(self, name: str) -> _Held:
        return self._things[name]

    def __setitem__(self, name: str, thing: _Held) -> None:
        if name not in self._things:
            # Among 50 000 names it takes 10 microseconds to make room for one.
            bisect.insort(self._names, name)
        self._things[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._things[name]
        del self._names[bisect.bisect_left(self._names, name)]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def beginning(self, prefix: str) -> list[str]:
        """The names that begin so, in order."""
        if not prefix:
            return self._names
        first = bisect.bisect_left(self._names, prefix)
        last = bisect.bisect_left(self._names, f"{prefix}{_BEHIND_ALL}", first)
        return self._names[first:last]


def select(
    held: Named[_Held],
    patterns: Sequence[str],
    *,
    kind: str,
    required: bool = False,
    number: Callable[[_Held], int | None] | None = None,
    after: str = "",
    most: int = 0,
) -> dict[str, _Held]:
    """
    The held things that the patterns name, sorted by name.

    A final C{*} stands for anything; C{*} alone, and no pattern at all, mean everything.

    @param required: whether a plain name that is not held is an error; a wildcard may always match nothing.
    @param number: gives the number (pid, descriptor) by which a thing may be named too; a name goes first.
    @param after: only what stands behind this name, held or not; and of that only the first C{most}, unless it is 0.
    @raise NotFound: for a plain name that is not held, if C{required}.
    """
    if not patterns or "*" in patterns:
        names = held.beginning("")
    else:
        selection = _Selection(held, kind, required, number)
        if len(patterns) == 1:
            names = selection.names(patterns[0])
        else:
            names = sorted({name for each in patterns for name in selection.names(each)})
    start = bisect.bisect_right(names, after) if after else 0
    return {name: held[name] for name in names[start : start + most if most else None]}


class _Selection(Generic[_Held]):
    """What one pattern after the other selects; the numbers of things are looked at once, if at all."""

    def __init__(
        self, held: Named[_Held], kind: str, required: bool, number: Callable[[_Held], int | None] | None
    ) -> None:
        self._held = held
        self._kind = kind
        self._required = required
        self._number = number
        self._numbered: dict[str, list[str]] | None = None

    def names(self, pattern: str) -> list[str]:
        """The names that a pattern selects, in order."""
        if pattern.endswith("*"):
            return self._held.beginning(pattern[:-1])
        if pattern in self._held:
            return [pattern]
        if self._number is not None and pattern.isascii() and pattern.isdigit():
            numbered = self._by_number().get(pattern, [])
            if numbered or not self._required:
                return numbered
            raise NotFound(f"{self._kind} {pattern} not found")
        if self._required:
            raise NotFound(f"{self._kind} {pattern!r} not found{nearest(pattern, self._held)}")
        return []

    def _by_number(self) -> dict[str, list[str]]:
        if self._numbered is None:
            assert self._number is not None
            self._numbered = {}
            for name, thing in self._held.items():
                self._numbered.setdefault(str(self._number(thing)), []).append(name)
        return self._numbered


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns, if there are any, stands for a name."""
    return not patterns or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
