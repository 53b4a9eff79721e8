"""What takes long, in turns."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papa import steps
from papa.server.turns import Turns
from papa.steps import Steps


class TurnsTests(SynchronousTestCase):
    """Each step here takes as long as others may wait."""

    def setUp(self) -> None:
        self.patch(steps, "_WHILE", 0.0)
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.taken: list[str] = []

    def take(self, many: int) -> None:
        """Begin with so many steps."""
        self.turns.take(self.steps(many), lambda: self.taken.append("then"))

    def steps(self, many: int) -> Steps[None]:
        """Each says that it was taken, and whether there was something left before."""
        for number in range(many):
            self.taken.append(f"{number}{' left' * self.turns.left}")
            yield

    def test_in_one_turn(self) -> None:
        """Where there is nothing left, there is nothing to call and nobody to wait for."""
        self.take(0)
        self.assertEqual((self.taken, self.turns.left, self.clock.getDelayedCalls()), ([], False, []))

    def test_in_many_turns(self) -> None:
        """A step in each, with others in between; behind the last one it is said."""
        self.take(3)
        self.clock.callLater(0, self.taken.append, "another")
        self.assertEqual((self.taken, self.turns.left), (["0"], True))
        self.clock.advance(0)
        self.assertEqual(self.taken, ["0", "another", "1 left", "2 left", "then"])
        self.assertEqual((self.turns.left, self.clock.getDelayedCalls()), (False, []))

    def test_others_are_answered(self) -> None:
        """Whoever asks in a turn has the answer in the next, before there is another step."""
        self.take(3)
        turns = 0
        while self.turns.left:
            calls, self.clock.calls = self.clock.calls, []
            for call in calls:
                call.func(*call.args, **call.kw)
            turns += 1
            self.taken.append(f"turn {turns}")
        self.assertEqual(
            self.taken, ["0", "turn 1", "1 left", "turn 2", "turn 3", "2 left", "turn 4", "turn 5", "then", "turn 6"]
        )

    def test_more_then(self) -> None:
        """When it is said, more may be taken."""
        self.turns.take(self.steps(2), lambda: self.take(2))
        self.clock.advance(0)
        self.assertEqual(self.taken, ["0", "1 left", "0", "1 left", "then"])
        self.assertFalse(self.turns.left)

    def test_finished(self) -> None:
        """All that is left is done at once, and nothing is called, neither then nor later."""
        self.take(3)
        self.turns.finish()
        self.assertEqual((self.taken, self.turns.left), (["0", "1", "2"], False))
        self.clock.advance(0)
        self.assertEqual(self.taken, ["0", "1", "2"])

    def test_nothing_to_finish(self) -> None:
        """If nothing is left, that is done."""
        self.turns.finish()
        self.assertFalse(self.turns.left)
