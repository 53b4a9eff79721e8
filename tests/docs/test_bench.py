"""The page of figures has what was measured, and how."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import FIGURES
from tests.docs.pages import built, source, writer


class FigureTests(SynchronousTestCase):
    """The page C{bench}."""

    def test_every_quantity(self) -> None:
        """Each that is measured is in the file that the page is made of, and in its table."""
        measured = [quantity.name for figure in FIGURES for quantity in figure.quantities]
        found = json.loads(source("bench.json"))["figures"]
        self.assertEqual([each["quantity"] for each in found], measured)
        cells = [line.removeprefix("   * - ") for line in writer("figures").figures() if line.startswith("   * - ")]
        self.assertEqual([each for each in cells[1:] if each], measured)

    def test_every_figure(self) -> None:
        """How each is taken is said."""
        page = built()["bench"]
        for figure in FIGURES:
            self.assertIn(f'\n"{figure.name}"\n', page)
