"""The exit codes of the papa command: the numbers from the code, the meanings here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from papa.cli import failures
from papa.errors import Error
from papa_reference.rst import table

__all__ = ["exit_code", "exit_codes", "meanings"]

_MEANINGS = {
    "EXIT_FAILED": "It failed: standard error says why, and what would be right.",
    "EXIT_USAGE": "Wrong usage: an option, an argument or the configuration file cannot be understood.",
    "EXIT_NOT_REACHED": "What was asked for has not come to be, as with ``papa wait --timeout``.",
    "EXIT_NOT_FOUND": "The kernel holds nothing of that name.",
    "EXIT_UNREACHABLE": "No kernel answers, or it went away in the middle.",
    "EXIT_INTERRUPTED": "The interrupt key was pressed. Any other signal that ends it: 128 and its number.",
}


def meanings() -> Iterator[tuple[int, str]]:
    """
    Each code with its meaning, in the order of the numbers.

    @raise KeyError: if the code has an exit code that has no meaning here.
    """
    numbers = {name: number for name, number in vars(failures).items() if name.startswith("EXIT_")}
    yield 0, "It is done."
    for name, number in sorted(numbers.items(), key=lambda each: each[1]):
        yield number, _MEANINGS[name]


def exit_codes() -> Iterator[str]:
    """A table of them."""
    yield from table(("code", "meaning"), ((f"``{number}``", meaning) for number, meaning in meanings()), "10 90")


def exit_code(kind: type[Error]) -> int:
    """What a verb ends with when an error of this kind comes to the top."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), failures.reported():
            raise kind("")
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
