"""Work in steps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa import steps
from papa.steps import Steps, all_at_once, for_a_while


class StepsTests(SynchronousTestCase):
    """What takes long."""

    def setUp(self) -> None:
        self.taken: list[int] = []

    def count(self, most: int) -> Steps[None]:
        """Count, a number at a step."""
        for number in range(most):
            self.taken.append(number)
            yield

    def product(self) -> Steps[int]:
        """Something comes of it."""
        yield from self.count(3)
        return 7

    def test_all_at_once(self) -> None:
        """Whoever has the time takes all steps, and has what comes of them."""
        self.assertEqual(all_at_once(self.product()), 7)
        self.assertEqual(self.taken, [0, 1, 2])

    def test_short(self) -> None:
        """Few steps are taken at once."""
        self.assertTrue(for_a_while(self.count(10)))
        self.assertEqual(len(self.taken), 10)

    def test_long(self) -> None:
        """Of many, some are taken at a time, each time where it was left off, and none twice."""
        counting = self.count(5)
        self.patch(steps, "_WHILE", 0.0)
        turns = 0
        while not for_a_while(counting):
            turns += 1
            self.assertEqual(len(self.taken), turns)
        self.assertEqual(self.taken, [0, 1, 2, 3, 4])

    def test_failure(self) -> None:
        """What goes wrong at a step is raised where it is taken."""

        def failing() -> Steps[None]:
            yield
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, for_a_while, failing())
        self.assertRaises(ZeroDivisionError, all_at_once, failing())
