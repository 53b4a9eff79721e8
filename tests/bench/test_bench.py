"""The benchmark itself: figures are taken of real kernels, and nothing is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from bench.soak import Footprint, growth
from tests.support import PATIENCE, KernelTestCase


class BenchTests(KernelTestCase):
    """C{python -m bench}."""

    def test_figure(self) -> None:
        """A figure is taken in both modes, printed as a table and written as JSON; no file of it is left."""
        found = os.path.join(self.folder, "found.json")
        finished = subprocess.run(
            [sys.executable, "-m", "bench", "--quick", "--rounds", "2", "--json", found, "status"],
            env={**self.environ, "TMPDIR": self.folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 0, finished.stderr)
        self.assertIn("papa status, start to end", finished.stdout)
        with open(found, encoding="utf-8") as file:
            (figure,) = json.load(file)["figures"]
        self.assertEqual(
            {side: len(each["rounds"]) for side, each in figure["sides"].items()},
            dict.fromkeys(("papa", "papa, anchored", "python -c pass"), 2),
        )
        self.assertEqual(os.listdir(self.folder), ["found.json"])

    def test_unknown_figure(self) -> None:
        """It is refused, and the known ones are named."""
        finished = subprocess.run(
            [sys.executable, "-m", "bench", "speed"], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        self.assertEqual(finished.returncode, 2)
        self.assertIn("no figure speed: there are capture, ", finished.stderr)


class SoakTests(SynchronousTestCase):
    """What a soak takes for growth."""

    def test_growth(self) -> None:
        """One descriptor, one thread, and more memory than gaps take."""
        before = Footprint(memory=40_000_000, descriptors=8, threads=1)
        self.assertEqual(growth(before, Footprint(47_900_000, 7, 1)), [])
        self.assertEqual(
            growth(before, Footprint(48_100_000, 9, 2)),
            ["descriptors from 8 to 9", "threads from 1 to 2", "memory from 40.00 to 48.10 MB"],
        )
