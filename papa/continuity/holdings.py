"""What a kernel keeps of all that its anchor holds, so that another anchor can be given it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from twisted.logger import Logger

__all__ = ["Holdings"]

#: Duplicates have this number or a higher one.
_LOWEST: Final = 4096


class Holdings:
    """Duplicates of descriptors, by the keys that the anchor holds them under."""

    _log = Logger()

    def __init__(self) -> None:
        self._held: dict[str, tuple[list[int], bool]] = {}

    @contextmanager
    def held(self, key: str, descriptors: Sequence[int], *, stays: bool = False) -> Iterator[None]:
        """
        Keep these, in place of what was kept under the key, and where that stood among the others.

        If the body fails all is as it was.

        @param stays: they stay open as they are until they are dropped, so that no duplicates are needed.
        @raise OSError: if there are no descriptors left for that.
        """
        kept = list(descriptors) if stays else _duplicates(descriptors)
        try:
            yield
        except BaseException:
            _close(kept, stays)
            raise
        before = self._held.get(key, ([], True))
        self._held[key] = (kept, stays)
        _close(*before)

    def hold(self, key: str, descriptors: Sequence[int], *, stays: bool = False) -> None:
        """Keep what the anchor holds already, as L{held}; nothing if there are no descriptors left for that."""
        try:
            with self.held(key, descriptors, stays=stays):
                pass
        except OSError as error:
            self.drop(key)
            self._log.error("{key} would be lost with the anchor: {error}", key=key, error=error)

    def drop(self, key: str) -> None:
        """Keep these no more."""
        _close(*self._held.pop(key, ([], True)))

    def get(self, key: str) -> Sequence[int]:
        """What is kept under a key."""
        return self._held.get(key, ([], True))[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)


def _duplicate(descriptor: int) -> int:
    """Clear of the numbers by which children know sockets, if there is one."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
    except OSError:
        return os.dup(descriptor)


def _close(descriptors: Sequence[int], stays: bool) -> None:
    if not stays:
        for descriptor in descriptors:
            os.close(descriptor)


def _duplicates(descriptors: Sequence[int]) -> list[int]:
    """As many, or none."""
    made: list[int] = []
    try:
        made.extend(map(_duplicate, descriptors))
    except OSError:
        for descriptor in made:
            os.close(descriptor)
        raise
    return made
