"""The kept output of several processes, in the order in which it was read from them."""

from __future__ import annotations

import heapq
import re
import resource
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from papa.client.blocking import Papa, Watcher
from papa.client.progress import behind
from papa.records import Closed, Hole, Item, Output

__all__ = ["Merged"]

#: Room for what a process has open beside its connections.
_OTHER_DESCRIPTORS: Final = 64
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")


class Merged:
    """
    The output of some processes, what is kept merged by time.

    @ivar running: those of which the end was not read.
    """

    def __init__(self, papa: Papa, names: Sequence[str]) -> None:
        self._papa = papa
        self.running = list(names)
        self._marks: dict[str, int] = {}

    def kept(self, lines: int | None = None) -> Iterator[Item]:
        """
        What is kept. Each process is read on a connection of its own, so that little of it is in memory at once.

        @param lines: of each, so many lines at the end; all by default.
        """
        _make_room(len(self.running))
        with ExitStack() as stack:
            streams: list[Iterable[Item]] = []
            for name in list(self.running):
                papa = stack.enter_context(Papa(self._papa.port_or_path))
                watcher = stack.enter_context(papa.watch_processes(name, observe=True, follow=False))
                streams.append(self._noted(watcher))
                if lines is not None:
                    streams[-1] = _last_lines(list(streams[-1]), lines)
                    papa.close()
            yield from heapq.merge(*streams, key=_time)

    def _noted(self, watcher: Watcher) -> Iterator[Item]:
        while (items := watcher.read_items()) is not None:
            for item in items:
                if isinstance(item, Closed):
                    self.running.remove(item.name)
                else:
                    self._marks[item.invocation] = item.mark
                yield item

    def coming(self) -> Iterator[list[Item]]:
        """What comes then, as it comes."""
        if not self.running:
            return
        with self._papa.watch_processes(*self.running, observe=True) as watcher:
            while (items := watcher.read_items()) is not None:
                yield [rest for item in items if (rest := self._rest(item)) is not None]

    def _rest(self, item: Item) -> Item | None:
        """What of it was not there before."""
        return item if isinstance(item, Closed) else behind(item, self._marks.get(item.invocation, 0))


def _make_room(connections: int) -> None:
    """Let this process have so many connections, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _time(item: Item) -> float:
    return item.first if isinstance(item, Hole) else item.timestamp


def _last_lines(items: Sequence[Item], count: int) -> list[Item]:
    """What one process printed, cut down to its last lines."""
    left = count
    # By channel, whether the line that its later output begins with was chosen.
    goes_on: dict[int, bool] = {}
    chosen: deque[Item] = deque()
    for item in reversed(items):
        if not isinstance(item, Output):
            if left:
                chosen.appendleft(item)
            continue
        lines: list[bytes] = []
        for line in reversed(_LINE.findall(item.data)):
            if line.endswith(b"\n") or item.channel not in goes_on:
                goes_on[item.channel] = left > 0
                left -= left > 0
            if goes_on[item.channel]:
                lines.insert(0, line)
        if lines:
            chosen.appendleft(replace(item, data=b"".join(lines)))
    return list(chosen)
