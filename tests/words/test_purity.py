"""What is loaded, and so paid for, by a program that only imports papa."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support import PATIENCE

#: Prints the packages that an import brings in, beyond the standard library and papa itself.
FOREIGN = """
import sys
before = set(sys.modules)
import {module}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(new - sys.stdlib_module_names - {{"papa"}}))
"""


def foreign(module: str) -> list[str]:
    """What a fresh interpreter loads for a module that is neither of the standard library nor of papa."""
    finished = subprocess.run(
        [sys.executable, "-c", FOREIGN.format(module=module)],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return finished.stdout.split()


class PurityTests(SynchronousTestCase):
    """Imports in a fresh interpreter."""

    def test_papa_is_of_the_standard_library(self) -> None:
        """C{import papa} loads the standard library only: no twisted, zope, click or rich."""
        self.assertEqual(foreign("papa"), [])

    def test_words_are_of_the_standard_library(self) -> None:
        """So do the commands and the text wire, which any client can build on."""
        self.assertEqual(foreign("papa.commands, papa.endpoints, papa.places, papa.wire.text"), [])

    def test_kernel_knows_no_twisted(self) -> None:
        """The kernel needs the interfaces and nothing more."""
        self.assertEqual(foreign("papa.kernel.core"), ["zope"])
