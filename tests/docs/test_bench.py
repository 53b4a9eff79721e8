"""The page of figures has what was measured, and how."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import FIGURES
from tests.docs.pages import built, source, words


class FigureTests(SynchronousTestCase):
    """The page C{bench}."""

    def test_every_quantity(self) -> None:
        """Each that is measured is in the file that the page is made of, and on the page."""
        measured = [quantity.name for figure in FIGURES for quantity in figure.quantities]
        found = [each["quantity"] for each in json.loads(source("bench.json"))["figures"]]
        self.assertEqual(found, measured)
        page = words(built()["bench"])
        for name in measured:
            self.assertIn(words(name), page)

    def test_every_figure(self) -> None:
        """How each is taken is said."""
        page = built()["bench"]
        for figure in FIGURES:
            self.assertIn(f'\n"{figure.name}"\n', page)
