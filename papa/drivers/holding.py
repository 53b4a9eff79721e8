"""Holding nothing beyond the life of papa."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from papa.interfaces import IHolder

__all__ = ["NobodyElse"]


@implementer(IHolder)
class NobodyElse:
    """What a papa without an anchor has: itself."""

    def hold(self, key: str, descriptors: Sequence[int]) -> None:
        """Hold nothing."""

    def take(self, key: str) -> Sequence[int]:
        """There is nothing."""
        return ()

    def drop(self, *keys: str) -> None:
        """There is nothing to drop."""
