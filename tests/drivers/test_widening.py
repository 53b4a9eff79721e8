"""Pipes that are made wider."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.widening import Widening


def size(pipe: int) -> int:
    """How much a pipe holds, in bytes."""
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


@contextmanager
def open_pipes(count: int) -> Iterator[list[int]]:
    """Pipes, of which one end is given."""
    pipes = [os.pipe() for _ in range(count)]
    try:
        yield [reading for reading, _ in pipes]
    finally:
        for pipe in pipes:
            for end in pipe:
                os.close(end)


class WideningTests(SynchronousTestCase):
    """Pipes that were found full hold more from then on."""

    def test_full(self) -> None:
        """One that was found full holds four times as much; one that was not, what it did."""
        with open_pipes(2) as (full, other):
            before = size(full)
            Widening().found_full(full)
            self.assertEqual((size(full), size(other)), (4 * before, before))

    def test_few(self) -> None:
        """Some are widened and no more, until one of those is closed; to be found full again does not count."""
        widening = Widening()
        with open_pipes(40) as pipes:
            before = size(pipes[0])
            for pipe in [pipes[0], *pipes]:
                widening.found_full(pipe)
            wide = [pipe for pipe in pipes if size(pipe) > before]
            self.assertEqual(wide, pipes[:32])
            widening.closed(wide[5])
            widening.found_full(pipes[-1])
            self.assertGreater(size(pipes[-1]), before)

    def test_refused(self) -> None:
        """What the system does not let be widened stays as it is."""
        here, there = os.pipe()
        os.close(there)
        os.close(here)
        Widening().found_full(here)
