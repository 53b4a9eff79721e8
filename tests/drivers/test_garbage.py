"""What is looked through for garbage, and what is not."""

from __future__ import annotations

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.garbage import pass_over_what_stays


class Thing:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


class GarbageTests(SynchronousTestCase):
    """Here it is looked for when the test says so, through all that is to be looked through."""

    def setUp(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.callbacks.__setitem__, slice(None), list(gc.callbacks))
        gc.collect()
        pass_over_what_stays()

    def test_new(self) -> None:
        """Garbage that has come to be since is found."""
        found = weakref.ref(Thing())
        gc.collect()
        self.assertIsNone(found())

    def test_passed_over(self) -> None:
        """What has been looked through is not looked through again."""
        kept = [Thing() for _ in range(1000)]
        gc.collect()
        self.assertLess(len(gc.get_objects()), 1000)
        last = weakref.ref(kept.pop())
        gc.collect()
        self.assertIsNotNone(last())

    def test_twice_as_much(self) -> None:
        """Once there is twice as much, all of it is looked through, and is passed over again then."""
        first = Thing()
        gc.collect()
        gone = weakref.ref(first)
        del first
        kept = [Thing() for _ in range(gc.get_freeze_count() * 2)]
        for _ in range(2):
            gc.collect()
        self.assertIsNone(gone())
        self.assertLess(len(gc.get_objects()), len(kept))

    def test_as_much_as_went(self) -> None:
        """What comes in place of what goes does not count: all is looked through for what has grown."""
        first = Thing()
        gc.collect()
        gone = weakref.ref(first)
        del first
        kept: list[list[None]] = []
        for _ in range(5):
            kept = [[None] for _ in range(gc.get_freeze_count() // 2)]
            gc.collect()
        self.assertIsNotNone(gone())
        self.assertTrue(kept)
