"""The short form of the soak: two minutes of churn, beside which other tests may run."""

from __future__ import annotations

import subprocess
import sys

from tests.support import PATIENCE, KernelTestCase


class SoakTests(KernelTestCase):
    """C{python -m bench.soak}."""

    def test_nothing_grows(self) -> None:
        """After two minutes of churn neither a kernel nor an anchor has more than after the first."""
        finished = subprocess.run(
            [sys.executable, "-m", "bench.soak", "--minutes", "2"],
            env={**self.environ, "TMPDIR": self.folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120 + 4 * PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 0, finished.stdout)
        self.assertIn("nothing has grown", finished.stdout)
