"""The ends of processes that a benchmark has started."""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from bench.started import Ends
from tests.support import program


class EndsTests(SynchronousTestCase):
    """Processes that end before one looks, and while one does."""

    def test_gone_before(self) -> None:
        """One that has ended and was reaped need not be waited for; the others are told of as they end."""
        gone = subprocess.Popen([program("true")])
        gone.wait()
        there = subprocess.Popen([program("sleep"), "60"])
        with Ends([gone.pid, there.pid]) as ends:
            ends.kill()
            self.assertEqual(list(ends.each()), [there.pid])
        self.assertEqual(there.wait(), -9)
