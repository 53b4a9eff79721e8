"""The clock of a reactor."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.steady import go_by_steady_clock


class SteadyTests(SynchronousTestCase):
    """A reactor that goes by the steady clock."""

    def test_what_is_to_be_called(self) -> None:
        """What was to be called in ten seconds still is, and can be put off; and so is what comes later."""
        clock = Clock()
        clock.advance(1_000_000_000)
        before, later = clock.callLater(10, list), clock.callLater(20, list)
        go_by_steady_clock(clock)
        now = time.monotonic()
        self.assertLess(abs(clock.seconds() - now), 1)
        self.assertLess(abs(before.getTime() - (now + 10)), 1)
        later.reset(30)
        self.assertLess(abs(later.getTime() - (now + 30)), 1)
        self.assertLess(abs(clock.callLater(5, list).getTime() - (now + 5)), 1)
