"""C{papa logs}: look at what processes printed, without taking it away from anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from papa.cli.answers import json_lines_option
from papa.cli.completing import process_names
from papa.cli.connecting import open_connection, started_kernel
from papa.cli.merging import Merged
from papa.cli.printing import printer
from papa.cli.processes import selected_processes
from papa.cli.times import PAST
from papa.records import Hole, Item

__all__ = ["command"]

#: How many pieces are shown before what was printed is passed on.
_AT_ONCE = 256


@click.command()
@click.argument("names", nargs=-1, shell_complete=process_names)
@click.option("-f", "--follow", is_flag=True, help="Go on with what they print from now on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines of each.")
@click.option("--since", type=PAST, metavar="TIME", help="Begin at a time: 10m (ago), 14:30, 2026-11-21T14:30.")
@click.option("--no-prefix", is_flag=True, help="Show lines without times and names.")
@click.option("--raw", is_flag=True, help="Show the very bytes, without times and names.")
@json_lines_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    follow: bool,
    lines: int | None,
    since: float | None,
    no_prefix: bool,
    raw: bool,
    json: bool,
) -> None:
    """
    Show the kept output of the processes NAMES, or of all; web.* means all whose name begins so.

    Output is kept until a watcher has acknowledged it. Looking at it here takes nothing away. What several processes
    have printed is shown in the order of time.
    """
    with open_connection(ctx) as connection:
        held = selected_processes(connection, names)
    if not held:
        return
    shown = printer(raw=raw, as_json=json, names=held, prefix=not no_prefix)
    try:
        with started_kernel(ctx) as papa:
            merged = Merged(papa, list(held))
            for some in _batches(merged.kept(lines)):
                shown.show(_behind(some, since))
            if follow:
                for some in merged.coming():
                    shown.show(_behind(some, since))
    except KeyboardInterrupt:
        pass
    finally:
        shown.finish()


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    yield batch


def _behind(items: list[Item], since: float | None) -> list[Item]:
    """What is not older than that."""
    if since is None:
        return items
    return [item for item in items if (item.last if isinstance(item, Hole) else item.timestamp) >= since]
