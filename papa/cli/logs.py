"""C{papa logs}: look at what processes printed, without taking it away from anybody."""

from __future__ import annotations

import re
import select
import time
from collections import deque
from dataclasses import replace
from typing import Final

import click

from papa.cli.completing import process_names
from papa.cli.connecting import running_kernel, selected_processes
from papa.cli.printing import printer
from papa.cli.times import PAST
from papa.client.blocking import Watcher
from papa.records import Hole, Item, Output

__all__ = ["command"]

#: How long nothing must come, in seconds, for the kept output to be all there.
_SETTLED: Final = 0.1
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")


@click.command()
@click.argument("names", nargs=-1, shell_complete=process_names)
@click.option("-f", "--follow", is_flag=True, help="Go on with what they print from now on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines of each.")
@click.option("--since", type=PAST, metavar="TIME", help="Begin at a time: 10m (ago), 14:30, 2026-11-21T14:30.")
@click.option("--no-prefix", is_flag=True, help="Show lines without times and names.")
@click.option("--raw", is_flag=True, help="Show the very bytes, without times and names.")
@click.option("--json", "as_json", is_flag=True, help="Show one JSON object a line.")
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    follow: bool,
    lines: int | None,
    since: float | None,
    no_prefix: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """
    Show the kept output of the processes NAMES, or of all; web.* means all whose name begins so.

    Output is kept until a watcher has acknowledged it. Looking at it here takes nothing away.
    """
    with running_kernel(ctx) as papa:
        held = selected_processes(papa, names)
        if not held:
            return
        shown = printer(raw=raw, as_json=as_json, names=held, prefix=not no_prefix)
        try:
            with papa.watch_processes(*names, observe=True, follow=follow) as watcher:
                if lines is not None:
                    shown.show(_last_lines(_behind(_kept(watcher, follow=follow), since), lines))
                while (items := watcher.read_items()) is not None:
                    shown.show(_behind(items, since))
        except KeyboardInterrupt:
            pass
        finally:
            shown.finish()


def _behind(items: list[Item], since: float | None) -> list[Item]:
    """What is not older than that."""
    if since is None:
        return items
    return [item for item in items if (item.last if isinstance(item, Hole) else item.timestamp) >= since]


def _kept(watcher: Watcher, *, follow: bool) -> list[Item]:
    """What was there before we came."""
    now = time.time()
    kept: list[Item] = []
    while follow is False or select.select([watcher], [], [], _SETTLED)[0]:
        items = watcher.read_items()
        if items is None:
            break
        kept += items
        watcher.acknowledge()
        if any(isinstance(item, Output) and item.timestamp > now for item in items):
            break
    return kept


def _last_lines(items: list[Item], count: int) -> list[Item]:
    """The items, cut down to the last lines of each process."""
    left = dict.fromkeys((item.name for item in items), count)
    # Whether the line that the later output of a channel begins with was chosen.
    goes_on: dict[tuple[str, int], bool] = {}
    chosen: deque[Item] = deque()
    for item in reversed(items):
        if not isinstance(item, Output):
            if left[item.name]:
                chosen.appendleft(item)
            continue
        lines: list[bytes] = []
        for line in reversed(_LINE.findall(item.data)):
            begun_here = line.endswith(b"\n") or (item.name, item.channel) not in goes_on
            if begun_here:
                goes_on[item.name, item.channel] = left[item.name] > 0
                left[item.name] -= left[item.name] > 0
            if goes_on[item.name, item.channel]:
                lines.insert(0, line)
        if lines:
            chosen.appendleft(replace(item, data=b"".join(lines)))
    return list(chosen)
