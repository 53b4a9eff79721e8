"""What processes print, line by line, for a person or a program."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, Protocol

import click

from papa.cli.answers import print_json
from papa.records import STDOUT, UNKNOWN_EXIT, Closed, Hole, Item, Output
from papa.visible import escaped

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["JsonPrinter", "LinePrinter", "Printer", "RawPrinter", "ending", "printer"]

_COLOURS: Final = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")

#: More than this without a newline, in bytes, is shown as if there were one.
_LONGEST: Final = 1 << 16


class Printer(Protocol):
    """Shows items."""

    def show(self, items: Iterable[Item]) -> None:
        """Show some items."""

    def finish(self) -> None:
        """Show what was held back."""


def printer(*, raw: bool, as_json: bool, names: Iterable[str] = (), prefix: bool = True) -> Printer:
    """
    The printer that the options ask for.

    @param names: the names to come, for the width of their column.
    @param prefix: whether lines for a person begin with time and name.
    """
    if as_json:
        return JsonPrinter()
    return RawPrinter() if raw else LinePrinter(names, prefix=prefix)


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code == UNKNOWN_EXIT:
        return "ended, nobody knows how"
    return f"killed by signal {-code}" if code < 0 else f"exited with {code}"


class LinePrinter:
    """Whole lines, each with its time and name; what would act on the terminal is written out."""

    def __init__(self, names: Iterable[str], *, prefix: bool = True) -> None:
        self._prefix = prefix
        self._width = max((len(name) for name in names), default=0)
        self._partial: dict[tuple[str, int], tuple[float, bytes]] = {}

    def show(self, items: Iterable[Item]) -> None:
        """Show the lines that are whole."""
        for item in items:
            if isinstance(item, Output):
                for timestamp, line in self._lines(item):
                    self._show(item.name, item.channel, timestamp, line)
            elif isinstance(item, Closed):
                self._finish(item.name)
                self._note(item.name, item.timestamp, ending(item.exit_code))
            else:
                self._finish(item.name)  # What comes behind the hole is no part of that line.
                self._note(item.name, item.last, f"{item.size} bytes were dropped here: the buffer was full")
        sys.stdout.flush()

    def finish(self) -> None:
        """Show lines that were not finished."""
        for name, _ in list(self._partial):
            self._finish(name)
        sys.stdout.flush()

    def _lines(self, item: Output) -> Iterator[tuple[float, bytes]]:
        """The lines that an output finishes, each with the time at which it began."""
        began, data = self._partial.pop((item.name, item.channel), (item.timestamp, b""))
        *lines, rest = (data + item.data).split(b"\n")
        for line in lines:
            yield began, line
            began = item.timestamp
        if len(rest) > _LONGEST:
            yield began, rest
        elif rest:
            self._partial[item.name, item.channel] = (began, rest)

    def _finish(self, name: str) -> None:
        for key in [key for key in self._partial if key[0] == name]:
            timestamp, line = self._partial.pop(key)
            self._show(name, key[1], timestamp, line)

    def _show(self, name: str, channel: int, timestamp: float, line: bytes) -> None:
        text = escaped(line.removesuffix(b"\r").decode(errors="surrogateescape"))
        if not self._prefix:
            click.echo(text)
            return
        mark = "|" if channel == STDOUT else click.style("!", fg="red")
        click.echo(f"{self._heading(name, timestamp)} {mark} {text}")

    def _note(self, name: str, timestamp: float, text: str) -> None:
        sys.stdout.flush()
        click.echo(f"{self._heading(name, timestamp)} {click.style(f'- {text}', dim=True)}", err=True)

    def _heading(self, name: str, timestamp: float) -> str:
        colour = _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
        clock = time.strftime("%H:%M:%S", time.localtime(timestamp))
        return f"{clock} {click.style(f'{name:{self._width}}', fg=colour)}"


class RawPrinter:
    """The very bytes, each channel to its own."""

    def show(self, items: Iterable[Item]) -> None:
        """Write them."""
        for item in items:
            if isinstance(item, Output):
                stream = sys.stdout if item.channel == STDOUT else sys.stderr
                stream.buffer.write(item.data)
                stream.buffer.flush()

    def finish(self) -> None:
        """Nothing is held back."""


class JsonPrinter:
    """One JSON object a line for each item."""

    def show(self, items: Iterable[Item]) -> None:
        """Write them."""
        for item in items:
            print_json(_shape(item))

    def finish(self) -> None:
        """Nothing is held back."""


def _shape(item: Item) -> shapes.Output | shapes.Hole | shapes.Closed:
    if isinstance(item, Closed):
        return {"kind": "closed", "name": item.name, "time": item.timestamp, "exit_code": item.exit_code}
    if isinstance(item, Hole):
        return {"kind": "hole", "name": item.name, "first": item.first, "last": item.last, "size": item.size}
    text, encoding = _text(item.data)
    return {
        "kind": "output",
        "name": item.name,
        "time": item.timestamp,
        "channel": "stdout" if item.channel == STDOUT else "stderr",
        "data": text,
        "encoding": encoding,
    }


def _text(data: bytes) -> tuple[str, Literal["utf-8", "latin-1"]]:
    """Bytes as text: where they are no UTF-8, the characters 0 to 255 stand for them."""
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"
