"""How far a blocking reader has come, so that it can go on when the kernel was killed and another goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from papa.commands import WatchProcesses
from papa.records import Closed, Hole, Item, Output

__all__ = ["Progress", "behind"]


def behind(piece: Output | Hole, mark: int) -> Output | Hole | None:
    """What of a piece lies behind a mark; L{None} if nothing does."""
    size = piece.mark - mark
    if size <= 0:
        return None
    if isinstance(piece, Hole):
        return piece if size >= piece.size else replace(piece, size=size)
    return piece if size >= len(piece.data) else replace(piece, data=piece.data[-size:])


class Progress:
    """What has come of each process, by what tells it from any other."""

    def __init__(self, request: WatchProcesses) -> None:
        """
        @param request: the watch as it was asked for first.
        """
        self._request = request
        self._invocations: dict[str, str] = {}
        self._marks: dict[str, int] = {}
        self._ended: set[str] = set()

    def began(self, processes: Mapping[str, str]) -> None:
        """
        A watch has begun, or begun again.

        @param processes: what it watches: by name, the invocation.
        """
        self._invocations.update(processes)

    def fresh(self, items: Iterable[Item]) -> list[Item]:
        """The items, or parts of them, that have not come before."""
        new: list[Item] = []
        for item in items:
            self._invocations[item.name] = item.invocation
            if isinstance(item, Closed):
                if item.invocation not in self._ended:
                    self._ended.add(item.invocation)
                    new.append(item)
                continue
            rest = behind(item, self._marks.get(item.invocation, 0))
            if rest is not None:
                self._marks[item.invocation] = item.mark
                new.append(rest)
        return new

    def left(self, held: Iterable[str]) -> WatchProcesses | None:
        """
        What to ask for to go on; L{None} if nothing is left.

        @param held: the processes that are held now. What is not there any more was acknowledged to its end, here or by
            somebody else, or was removed.
        """
        there = set(held)
        if not self._request.cursor:
            # The same processes as before: of the same patterns others may have come to be.
            names = tuple(name for name in self._invocations if name in there)
        elif not self._request.names:
            return self._request
        else:
            names = tuple(name for name in self._request.names if name.endswith("*") or name in there)
        return replace(self._request, names=names) if names else None
