"""The ordeal's ways to end a kernel, each by itself; all together are in L{tests.functional.test_continuity}."""

from __future__ import annotations

import random
import time

from papa.torture import ordeal
from papa.torture.score import Score
from tests.support import KernelTestCase, until


class InterruptedTests(KernelTestCase):
    """It is told to end in the midst of something."""

    def test_standing_kernel(self) -> None:
        """A kernel that was made to stand still does not stay so."""

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        with ordeal.anchored() as (path, _):
            pid = ordeal._kernel_of(path)
            patched = self.patch(time, "sleep", interrupt)
            self.assertRaises(KeyboardInterrupt, ordeal._stop_and_kill, path, Score(), random.Random(1))
            patched.restore()
            until(lambda: ordeal._kernel_of(path) != pid, "the next kernel")
