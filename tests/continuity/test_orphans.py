"""Processes that somebody else reaps."""

from __future__ import annotations

import os
import select
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.orphans import Orphans
from papa.records import UNKNOWN_EXIT


class OrphansTests(SynchronousTestCase):
    """What is told of them."""

    def program(self, code: int) -> subprocess.Popen[bytes]:
        """A program that ends with a code when its input does."""
        program = subprocess.Popen(["/bin/sh", "-c", f"read x; exit {code}"], stdin=subprocess.PIPE)
        self.addCleanup(program.communicate)
        return program

    def test_ends(self) -> None:
        """Each end is told once, with its code, whether or not a handle was there already."""
        orphans = Orphans()
        one, two = self.program(3), self.program(4)
        handle = os.pidfd_open(two.pid)
        self.addCleanup(os.close, handle)
        self.assertEqual([orphans.watch(one.pid), orphans.watch(two.pid, handle)], [None, None])
        self.assertEqual(orphans.ended(), [])
        for program, code in ((two, 4), (one, 3)):
            assert program.stdin is not None
            program.stdin.close()
            select.select([orphans], [], [])
            self.assertEqual(orphans.ended(), [(program.pid, code)])
        self.assertEqual((orphans.ended(), orphans.pids), ([], {}))

    def test_nothing_is_left(self) -> None:
        """Of one that nobody has a handle of, and that has gone, nobody knows how it ended."""
        program = self.program(0)
        program.communicate()
        self.assertEqual(Orphans().watch(program.pid), UNKNOWN_EXIT)
