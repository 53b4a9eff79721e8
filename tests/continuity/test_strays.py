"""Children of which nobody was told."""

from __future__ import annotations

import os
import signal
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.strays import end_strays


class StraysTests(SynchronousTestCase):
    """Whoever has one of the pipes."""

    def setUp(self) -> None:
        self.pipes = [os.pipe(), os.pipe()]
        for descriptor in (each for pipe in self.pipes for each in pipe):
            self.addCleanup(os.close, descriptor)

    def program(self, output: int | None) -> subprocess.Popen[bytes]:
        """A program that prints there."""
        program = subprocess.Popen(["sleep", "100"], stdout=output)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def test_ended(self) -> None:
        """It is killed; this process, which has them too, and all others are not."""
        stray, other = self.program(self.pipes[0][1]), self.program(self.pipes[1][1])
        self.assertEqual(end_strays([self.pipes[0][0]]), [stray.pid])
        self.assertEqual(stray.wait(), -signal.SIGKILL)
        self.assertIsNone(other.poll())
        self.assertEqual(end_strays([self.pipes[0][1]]), [])

    def test_without_pipes(self) -> None:
        """Without a pipe there is nothing to know one by."""
        self.assertEqual(end_strays([]), [])
