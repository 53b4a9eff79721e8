"""What is shown of things in columns: how they are, where, since when."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from papa.visible import escaped

__all__ = ["address", "duration", "moment", "state", "table"]


def state(process: Mapping[str, Any]) -> str:
    """Whether a process runs, or how it ended."""
    state = "running"
    if not process["running"]:
        code = process["exit_code"]
        state = f"exited {code}" if code >= 0 else f"killed {-code}"
    return f"{state}, {process['dropped']} B dropped" if "dropped" in process else state


def address(socket: Mapping[str, Any]) -> str:
    """Where a socket is bound."""
    if "path" in socket:
        return str(socket["path"])
    host = f"[{socket['host']}]" if ":" in socket["host"] else socket["host"]
    return f"{host}:{socket['port']}"


def duration(seconds: float) -> str:
    """A duration as people say it: its two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, of what can be shown; on a terminal cut to its width."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading) - 1)]
    if sys.stdout.isatty():
        _rich_table(heading, rows)
        return
    for row in (heading, *rows):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def _rich_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(color_system=None if click.get_current_context().color is False else "auto")
    # What is left for the last column, which alone is cut as long as that helps.
    used = sum(max(len(row[column]) for row in (heading, *rows)) + 2 for column in range(len(heading) - 1))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in heading[:-1]:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    table.add_column(heading[-1], no_wrap=True, overflow="ellipsis", max_width=max(10, console.width - used))
    for row in rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    console.print(table)


def _style(cell: str) -> str:
    if cell.startswith("running"):
        return "green"
    return "red" if cell.startswith(("exited ", "killed ")) and cell != "exited 0" else ""


def moment(timestamp: float) -> str:
    """A point in time, as ISO 8601 has it, in this place's time."""
    return datetime.fromtimestamp(timestamp).astimezone().isoformat(timespec="seconds")
