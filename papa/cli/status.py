"""C{papa status}: what the kernel holds."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from papa.cli.connecting import running_kernel, selected_processes
from papa.visible import escaped

__all__ = ["command"]

#: Counted up when a program that reads the JSON would have to change.
_JSON_VERSION: Final = 1


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """
    Show what papa holds: processes, sockets and how many values; with NAMES only the processes of these names.

    Also called ps and ls.
    """
    with running_kernel(ctx) as papa:
        processes = selected_processes(papa, names)
        sockets = {} if names else papa.list_sockets()
        values = {} if names else papa.list_values()
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": _JSON_VERSION,
                    "processes": [{"name": name, **each} for name, each in processes.items()],
                    "sockets": [{"name": name, **each} for name, each in sockets.items()],
                    "values": sorted(values),
                }
            )
        )
    else:
        _show(processes, sockets, values)


def _show(
    processes: Mapping[str, Mapping[str, Any]], sockets: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]
) -> None:
    now = time.time()
    if processes:
        rows = [
            (name, _state(each), str(each["pid"]), duration(now - each["started"]), each["args"])
            for name, each in processes.items()
        ]
        _table(("PROCESS", "STATE", "PID", "AGE", "COMMAND"), rows)
    if sockets:
        rows = [
            (name, f"{each['family']} {each['type']}", _address(each), str(each.get("fileno", "one a process")), "")
            for name, each in sockets.items()
        ]
        if processes:
            click.echo()
        _table(("SOCKET", "KIND", "ADDRESS", "DESCRIPTOR", ""), rows)
    if values:
        if processes or sockets:
            click.echo()
        click.echo(f"{len(values)} value{'s' if len(values) > 1 else ''}: {', '.join(sorted(values))}")
    if not (processes or sockets or values):
        click.echo("papa holds nothing.")


def _state(process: Mapping[str, Any]) -> str:
    state = "running"
    if not process["running"]:
        code = process["exit_code"]
        state = f"exited {code}" if code >= 0 else f"killed {-code}"
    return f"{state}, {process['dropped']} B dropped" if "dropped" in process else state


def _address(socket: Mapping[str, Any]) -> str:
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


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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
