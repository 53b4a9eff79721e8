"""How much output all processes together may have kept."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Budget"]


class Budget:
    """
    Bytes that are kept, over all processes.

    Each process has a bound of its own, and most come nowhere near it; so the bounds may add up to more than there is
    memory, and what is kept may not.

    @ivar kept: how many bytes are.
    """

    def __init__(self, most: int) -> None:
        """
        @param most: how many may be.
        """
        self._most = most
        self.kept = 0
        self._waiting: list[Callable[[], object]] = []

    @property
    def excess(self) -> int:
        """By how many bytes too much is kept; none or less while there is room."""
        return self.kept - self._most

    def change(self, size: int) -> None:
        """So many bytes more are kept, or less; where that makes room, those who wait for it are told."""
        self.kept += size
        if size < 0 and self._waiting and self.excess <= 0:
            waiting, self._waiting = self._waiting, []
            for told in waiting:
                told()

    def await_room(self, told: Callable[[], object]) -> None:
        """Tell somebody once, when there is room."""
        self._waiting.append(told)
