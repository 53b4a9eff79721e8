"""What a kernel keeps for the next anchor."""

from __future__ import annotations

import contextlib
import os

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.holdings import Holdings
from tests.support import is_open


class HoldingsTests(SynchronousTestCase):
    """Descriptors by key."""

    def setUp(self) -> None:
        self.holdings = Holdings()
        self.pipe = os.pipe()
        self.addCleanup(os.close, self.pipe[0])
        self.addCleanup(os.close, self.pipe[1])

    def same(self, one: int, other: int) -> bool:
        return os.path.sameopenfile(one, other)

    def test_duplicates(self) -> None:
        """What is kept is another descriptor of the same, which is closed when it is dropped or replaced."""
        self.holdings.hold("a", self.pipe[:1])
        (kept,) = self.holdings.get("a")
        self.assertNotEqual(kept, self.pipe[0])
        self.assertTrue(self.same(kept, self.pipe[0]))
        self.holdings.hold("a", self.pipe)
        self.assertEqual(len(self.holdings.get("a")), 2)
        self.assertEqual(list(self.holdings), ["a"])
        kept, other = self.holdings.get("a")
        self.holdings.drop("a")
        self.assertEqual((is_open(kept), is_open(other), list(self.holdings)), (False, False, []))

    def test_as_they_are(self) -> None:
        """What stays open needs no duplicate, and is not closed here."""
        self.holdings.hold("a", self.pipe, stays=True)
        self.assertEqual(self.holdings.get("a"), list(self.pipe))
        self.holdings.drop("a")
        self.assertTrue(is_open(self.pipe[0]))

    def test_order(self) -> None:
        """What replaces something stands where that stood."""
        for key in ("a", "b", "a"):
            self.holdings.hold(key, self.pipe)
        self.assertEqual(list(self.holdings), ["a", "b"])
        for key in ("a", "b"):
            self.holdings.drop(key)

    def test_none_left(self) -> None:
        """Without a descriptor left nothing is kept, and nobody else is disturbed."""
        self.holdings.hold("a", [self.pipe[0], 1 << 20])
        self.assertEqual(self.holdings.get("a"), [])
        self.holdings.drop("a")

    def test_not_held(self) -> None:
        """What the anchor does not hold is not kept either, and what was kept before stays."""
        self.holdings.hold("a", self.pipe[:1])
        before = list(self.holdings.get("a"))
        count = len(os.listdir("/proc/self/fd"))
        for descriptors in (self.pipe, [1 << 20]):
            with contextlib.suppress(OSError), self.holdings.held("a", descriptors):
                raise OSError
        self.assertEqual((self.holdings.get("a"), len(os.listdir("/proc/self/fd"))), (before, count))
        self.holdings.drop("a")
