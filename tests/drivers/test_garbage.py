"""What is looked through for garbage, and what is not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papa.drivers import garbage
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
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.callbacks.__setitem__, slice(None), list(gc.callbacks))
        gc.collect()
        self.clock = Clock()
        pass_over_what_stays(self.clock)
        self.reference = self.passed_over_garbage()

    def passed_over_garbage(self) -> weakref.ref[Thing]:
        """Something that was looked through while it was needed, and is needed no more."""
        thing = Thing()
        gc.collect()
        return weakref.ref(thing)

    def test_new(self) -> None:
        """Garbage that has come to be since is found."""
        found = weakref.ref(Thing())
        gc.collect()
        self.assertIsNone(found())

    def test_passed_over(self) -> None:
        """What has been looked through is not looked through again, as long as there is not much more of it."""
        kept = [Thing() for _ in range(1000)]
        gc.collect()
        self.assertLess(len(gc.get_objects()), 1000)
        self.clock.advance(60)
        gc.collect()
        self.assertIsNotNone(self.reference())
        self.assertEqual(len(kept), 1000)

    def test_little_at_a_time(self) -> None:
        """However much comes to be, little of it is looked through in one go."""
        looked_through: list[int] = []

        def note(phase: str, found: Mapping[str, int]) -> None:
            if phase == "start" and found["generation"] == 2:
                looked_through.append(len(gc.get_objects()))

        gc.callbacks.append(note)
        gc.enable()
        kept = [Thing() for _ in range(100_000)]
        gc.disable()
        self.assertLess(max(looked_through), 40_000)
        self.assertGreater(sum(looked_through), len(kept) // 2)

    def test_twice_as_much(self) -> None:
        """Once there is twice as much, all of it is looked through in a quiet minute, and is passed over again then."""
        kept = [Thing() for _ in range(gc.get_freeze_count() * 2)]
        gc.collect()
        self.assertIsNotNone(self.reference())
        self.clock.advance(60)
        self.assertIsNone(self.reference())
        self.assertLess(len(gc.get_objects()), len(kept))

    def test_never_quiet(self) -> None:
        """Where there is no quiet minute, it is done after ten others."""
        self.patch(garbage, "_QUIET", 0.0)
        kept = [Thing() for _ in range(gc.get_freeze_count() * 2)]
        gc.collect()
        for _ in range(9):
            self.clock.advance(60)
        self.assertIsNotNone(self.reference())
        self.clock.advance(60)
        self.assertIsNone(self.reference())
        self.assertTrue(kept)

    def test_as_much_as_went(self) -> None:
        """What comes in place of what goes does not count: all is looked through for what has grown."""
        kept: list[list[None]] = []
        for _ in range(5):
            kept = [[None] for _ in range(gc.get_freeze_count() // 2)]
            gc.collect()
        self.clock.advance(60)
        self.assertIsNotNone(self.reference())
        self.assertTrue(kept)
