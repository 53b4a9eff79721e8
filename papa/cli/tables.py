"""Things in columns, as wide as there is room for."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import click

from papa.visible import escaped

__all__ = ["show_table", "table_lines", "terminal_width"]

_GAP: Final = "  "
#: As long as the last column is wider than this, only that one is cut.
_LAST: Final = 12
#: No column is cut to less than this.
_LEAST: Final = 4


def show_table(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print a table; on a terminal no wider than that."""
    for line in table_lines(heading, rows, right, terminal_width()):
        click.echo(line)


def terminal_width() -> int | None:
    """How wide the terminal is that is printed to; L{None} if it is none."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None


def table_lines(
    heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = (), room: int | None = None
) -> Iterator[str]:
    """
    The lines of a table, with colours; what would act on a terminal is written out.

    @param right: the headings of the columns that end together, and do not begin so.
    @param room: how wide it may be, in columns of a terminal; L{None} for as wide as it is.
    """
    shown = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(heading, *shown, strict=True)]
    if room is not None:
        widths = _fitted(widths, room)
    aligned = [title in right for title in heading]
    for number, row in enumerate([heading, *shown]):
        cells = [_cell(*each, bold=not number) for each in zip(row, widths, aligned, strict=True)]
        if not aligned[-1]:
            cells[-1] = _cell(row[-1], min(widths[-1], _width(row[-1])), bold=not number)
        yield _GAP.join(cells)


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else not unicodedata.combining(character)
        for character in text
    )


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """The widths, cut down to what there is room for."""
    fitted = list(widths)
    excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - room
    cut = min(max(excess, 0), max(fitted[-1] - _LAST, 0))
    fitted[-1] -= cut
    for _ in range(excess - cut):
        widest = fitted.index(max(fitted))
        if fitted[widest] <= _LEAST:
            break
        fitted[widest] -= 1
    return fitted


def _cell(text: str, width: int, right: bool = False, *, bold: bool) -> str:
    """A text in so many columns, cut with an ellipsis if it takes more."""
    if _width(text) > width:
        while _width(text) >= width:
            text = text[:-1]
        text += "…"
    padding = " " * (width - _width(text))
    colour = _colour(text)
    styled = click.style(text, fg=colour, bold=bold) if text and (colour or bold) else text
    return padding + styled if right else styled + padding


def _colour(cell: str) -> str | None:
    if cell.startswith("running"):
        return "green"
    return "red" if cell.startswith(("exited ", "killed ")) and not cell.startswith("exited 0") else None
