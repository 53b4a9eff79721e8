"""C{papa top}: what the kernel and its processes use, live."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from papa.cli.answers import json_option, print_json, process_shape
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection
from papa.cli.describing import amount, counted, state
from papa.cli.measuring import Figures, KernelFigures, Meter, Sample
from papa.cli.tables import table_lines, terminal_width

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]

#: The columns, what is shown in each, and by which key and value it is sorted.
_COLUMNS: Final[dict[str, Callable[[Figures], str]]] = {
    "PROCESS": lambda each: each.process.name,
    "STATE": lambda each: state(each.process).partition(",")[0],
    "PID": lambda each: str(each.process.pid),
    "CPU": lambda each: _percent(each.processor),
    "MEMORY": lambda each: "-" if each.memory is None else amount(each.memory),
    "OUTPUT": lambda each: f"{amount(each.rate)}/s",
    "BUFFER": lambda each: _percent(each.fill),
    "DROPPED": lambda each: amount(each.process.dropped),
}
_LEFT: Final = ("PROCESS", "STATE")
#: What is left out, one after the other, where there is no room.
_DISPENSABLE: Final = ("PID", "STATE", "DROPPED", "MEMORY", "BUFFER")
#: So much of the names is worth more than a column.
_NAME: Final = 12
#: The size of a terminal that does not tell it, as of a bare one.
_UNKNOWN: Final = os.terminal_size((80, 24))

_SORTS: Final[dict[str, Callable[[Figures], Any]]] = {
    "cpu": lambda each: -(each.processor or 0),
    "memory": lambda each: -(each.memory or 0),
    "output": lambda each: -each.rate,
    "buffer": lambda each: -each.fill,
    "dropped": lambda each: -each.process.dropped,
    "name": lambda each: each.process.name,
}
_KEYS: Final = {sort[0]: sort for sort in _SORTS}

_ENDING: Final = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
_PAUSING: Final = (signal.SIGTSTP, signal.SIGCONT)


@click.command()
@click.argument("names", nargs=-1, shell_complete=process_names)
@click.option(
    "--sort", type=click.Choice([*_SORTS]), default="cpu", show_default=True, help="Which processes come first."
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to measure.",
)
@click.option("--once", is_flag=True, help="Measure once, print that, and end; so it is without a terminal.")
@json_option
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], sort: str, interval: float, once: bool, json: bool) -> None:
    """
    Show what the kernel and its processes use, all or NAMES, as it changes.

    CPU is in percent of one processor, of a process and of all that it has started; memory is resident, output what it
    has printed a second, buffer how full that is with output that nobody has acknowledged, dropped what a full buffer
    had to let go. The keys c, m, o, b, d and n sort by cpu, memory, output, buffer, dropped and name; q quits.
    """
    with open_connection(ctx) as connection:
        meter = Meter(connection, names)
        sample = meter.measure()
        if once or json or not (sys.stdout.isatty() and sys.stdin.isatty()):
            time.sleep(interval)
            sample = meter.measure()
            if json:
                print_json(_shape(sample, sort))
            else:
                for line in _lines(sample, sort, terminal_width()):
                    click.echo(line)
            return
        with suppress(KeyboardInterrupt):
            _Screen(ctx, meter, sort, sample).show(interval)


def _shape(sample: Sample, sort: str) -> shapes.Top:
    kernel = sample.kernel
    return {
        "time": sample.time,
        "kernel": {
            "pid": kernel.pid,
            "processor": kernel.processor,
            "memory": kernel.memory,
            "descriptors": kernel.descriptors,
            "most": kernel.most,
        },
        "processes": [
            {**process_shape(each.process), "processor": each.processor, "memory": each.memory, "rate": each.rate}
            for each in sorted(sample.processes, key=_SORTS[sort])
        ],
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1f}%"


def _lines(sample: Sample, sort: str, room: int | None) -> Iterator[str]:
    """All of it, as wide as there is room for."""
    yield _kernel_line(sample.kernel)[:room]
    running = sum(each.process.running for each in sample.processes)
    rate = amount(sum(each.rate for each in sample.processes))
    yield f"{counted(len(sample.processes), 'process')}, {running} running, {rate}/s of output"[:room]
    if not sample.processes:
        return
    yield ""
    rows = sorted(sample.processes, key=_SORTS[sort])
    columns = list(_COLUMNS)
    for dispensable in _DISPENSABLE:
        if room is None or _width(columns, rows) <= room:
            break
        columns.remove(dispensable)
    cells = [[_COLUMNS[column](each) for column in columns] for each in rows]
    yield from table_lines(columns, cells, set(columns).difference(_LEFT), room)


def _width(columns: list[str], rows: list[Figures]) -> int:
    """How wide a table is with these columns, and with names cut to what is needed of them."""
    widths = [max(len(column), *(len(_COLUMNS[column](each)) for each in rows)) for column in columns]
    return sum(widths) + 2 * len(widths) - 2 - max(0, widths[0] - _NAME)


def _kernel_line(kernel: KernelFigures) -> str:
    parts = [f"papa, pid {kernel.pid}"]
    if kernel.processor is not None:
        parts.append(f"{kernel.processor:.1f}% cpu")
    if kernel.memory is not None:
        parts.append(amount(kernel.memory))
    if kernel.descriptors is not None:
        parts.append(f"{kernel.descriptors} of {kernel.most or 'any number of'} descriptors")
    return ", ".join(parts)


class _Screen:
    """The terminal, while it shows nothing else."""

    def __init__(self, ctx: click.Context, meter: Meter, sort: str, sample: Sample) -> None:
        self._ctx = ctx
        self._meter = meter
        self._sort = sort
        self._sample = sample
        self._before = termios.tcgetattr(sys.stdin)
        self._taken = self._over = False

    def show(self, interval: float) -> None:
        """Show what is measured until somebody has had enough."""
        handlers = dict.fromkeys(_ENDING, self._end) | dict.fromkeys(_PAUSING, self._pause)
        # What is ignored, as by nohup, is not meant for this.
        heeded = [each for each in handlers if signal.getsignal(each) != signal.SIG_IGN]
        try:
            for each in heeded:
                signal.signal(each, handlers[each])
            self._take()
            next_at = time.monotonic() + interval
            while True:
                self._draw()
                if select.select([sys.stdin], [], [], max(0.0, next_at - time.monotonic()))[0]:
                    keys = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
                    if "q" in keys or not keys:
                        return
                    self._sort = _KEYS.get(keys[-1], self._sort)
                else:
                    self._sample = self._meter.measure()
                    next_at = time.monotonic() + interval
        finally:
            self._over = True
            self._leave()

    def _take(self) -> None:
        while True:
            try:
                # In the background, this is stopped in here.
                tty.setcbreak(sys.stdin)
                break
            except termios.error as error:
                if error.args[0] != errno.EINTR:
                    raise
        self._taken = True
        # The other screen of the terminal, without a cursor.
        _write("\x1b[?1049h\x1b[?25l")

    def _leave(self) -> None:
        if not self._taken:
            return
        # Else who is in the background by now is stopped for it.
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        # A terminal that has hung up is left already.
        with suppress(OSError, termios.error):
            _write("\x1b[?25h\x1b[?1049l")
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        self._taken = False
        signal.signal(signal.SIGTTOU, before)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal that would end this with the terminal as it is."""
        if not self._over:
            self._over = True
            self._leave()
            sys.exit(128 + number)

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Handle being stopped, and being continued: the terminal is somebody else's in between."""
        if self._over:
            return
        # However often it is continued until it has the terminal, that is once.
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        if number == signal.SIGTSTP:
            self._leave()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._pause)
        self._take()
        signal.signal(signal.SIGCONT, self._pause)
        self._draw()

    def _draw(self) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        width, height = size.columns or _UNKNOWN.columns, size.lines or _UNKNOWN.lines
        lines = list(_lines(self._sample, self._sort, width))
        if self._sample.processes and len(lines) >= height:
            # Where there is no room for the heading either, that is none of them.
            left_out = min(len(lines) - height + 2, len(self._sample.processes))
            lines[max(height - 2, 0) :] = [f"and {left_out} more"[:width]]
        lines[height - 1 :] = [""] * (height - 1 - len(lines))
        keys = f"by {self._sort}; c m o b d n sort, q quits"[:width]
        lines.append(click.style(keys, dim=True))
        if self._ctx.color is False:
            lines = [click.unstyle(line) for line in lines]
        # From the top left on, each line cleared to its end.
        _write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines))


def _write(text: str) -> None:
    """Write to the terminal past the buffer, which a handler must not use while it is written to."""
    data = text.encode(sys.stdout.encoding, "backslashreplace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
