"""Tests that open descriptors which nothing but the process's end would close."""

from __future__ import annotations

import gc
import os

from twisted.trial.unittest import SynchronousTestCase

from papa.errors import LimitReached

__all__ = ["Refusing", "TidyTestCase"]


class Refusing:
    """Cannot hold what it is given first, and holds what it is given then: C{files}."""

    def __init__(self) -> None:
        self.files: list[int] = []
        self._asked = False

    def __call__(self, files: list[int]) -> None:
        if not self._asked:
            self._asked = True
            raise LimitReached("not now")
        self.files += files


class TidyTestCase(SynchronousTestCase):
    """Closes what a test has opened: others in this process may need low numbers."""

    def setUp(self) -> None:
        super().setUp()
        self._before = _open_files()
        self.addCleanup(self._tidy)

    def _tidy(self) -> None:
        # What closes its descriptors by itself does so first.
        for name in [name for name in vars(self) if not name.startswith("_")]:
            delattr(self, name)
        gc.collect()
        for descriptor in _open_files() - self._before:
            os.close(descriptor)


def _open_files() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # That of the listing.
        found.add(int(name))
    return found
