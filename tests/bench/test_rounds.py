"""What is made of the values of rounds: ratios, verdicts, and the table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench import report
from bench.rounds import Finding, Quantity, Target


def reported(target: Target, missing: dict[str, str] | None = None, **rounds: list[float]) -> dict[str, object]:
    """What a figure with one quantity comes to."""
    quantity = Quantity(name="speed", unit="MB/s", targets=(target,))
    finding = Finding(figure="figure", quantity=quantity, rounds=rounds, missing=missing or {})
    found = report.as_json([finding], {"system": "any"}, 3, quick=True)
    return found["figures"][0]["targets"][0] | {"table": report.table(found)}


class VerdictTests(SynchronousTestCase):
    """Whether a target is reached."""

    def test_ratio_of_each_round(self) -> None:
        """The median of the ratios counts, not the ratio of the medians."""
        found = reported(Target(side="ours", against="theirs", least=2), ours=[2.0, 30.0, 8.0], theirs=[1.0, 10.0, 8.0])
        self.assertEqual((found["ratios"], found["median"], found["verdict"]), ([2.0, 3.0, 1.0], 2.0, "reached"))

    def test_missed(self) -> None:
        """A value that is to be small, and is not."""
        found = reported(Target(side="ours", most=1), ours=[0.5, 1.5, 1.2])
        self.assertEqual((found["median"], found["verdict"], found["reach"]), (1.2, "MISSED", "≤ 1 MB/s"))
        self.assertIn("MISSED", str(found["table"]))

    def test_peer_that_cannot_run(self) -> None:
        """It is said, with the reason, and nothing is made of it."""
        found = reported(Target(side="ours", against="theirs", least=2), {"theirs": "no compiler"}, ours=[1.0])
        self.assertEqual((found["median"], found["verdict"]), (None, "not measured"))
        self.assertIn("cannot run: no compiler", str(found["table"]))
