"""Points in time as people write them."""

from __future__ import annotations

import time
from datetime import datetime

import click
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.cli.times import PAST


def read(word: str) -> float:
    return PAST.convert(word, None, None)


class PastTests(SynchronousTestCase):
    """Reading them."""

    def test_ago(self) -> None:
        """A number and a unit are so long ago."""
        for word, seconds in (("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172800)):
            self.assertLess(abs(time.time() - read(word) - seconds), 30)

    def test_today(self) -> None:
        """An hour is one of today, in this place's time."""
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        self.assertIn(read("00:00"), (midnight, midnight + 86400))
        self.assertEqual(read("14:30:05") - read("00:00"), 14 * 3600 + 30 * 60 + 5)

    def test_iso(self) -> None:
        """ISO 8601 is understood, with and without a zone."""
        self.assertEqual(read("2026-11-21T14:30:00+00:00"), 1795271400)
        self.assertEqual(read("2026-11-21 14:30"), datetime(2026, 11, 21, 14, 30).astimezone().timestamp())

    @given(st.text(max_size=12))
    def test_anything_else(self, word: str) -> None:
        """Whatever is written is a time, or refused with how to write one."""
        try:
            self.assertIsInstance(read(word), float)
        except click.BadParameter as error:
            self.assertIn("is no time: write 10m", str(error))
