"""How much output all processes together may have kept."""

from __future__ import annotations

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

    @property
    def excess(self) -> int:
        """By how many bytes too much is kept; none or less while there is room."""
        return self.kept - self._most
