"""What the commands that are typed most do not load: a time cannot be asserted, but what costs it can."""

from __future__ import annotations

import subprocess
import sys

import papa
from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE

#: What takes long to import, and is not needed to ask a kernel something.
HEAVY = {
    "asyncio",
    "email",
    "http",
    "random",
    "rich",
    "subprocess",
    "tempfile",
    "tomllib",
    "twisted",
    "unittest",
    "zope",
}


class ImportTests(SharedKernelTestCase):
    """Imports of the command."""

    def loaded(self, *arguments: str) -> set[str]:
        """The packages that a command imports."""
        finished = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "papa", *arguments],
            env={name: value for name, value in self.environ.items() if not name.startswith("COVERAGE")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        lines = [line.rpartition("|")[2].strip() for line in finished.stderr.splitlines() if line.startswith("import")]
        return {line.partition(".")[0] for line in lines}

    def test_asking(self) -> None:
        """Status, values and signals load nothing heavy."""
        with self.connect_papa() as client:
            client.set("x", "1")
            client.make_process("job", "sleep", ["1000"])
        for arguments in (
            ("status",),
            ("status", "--json"),
            ("value", "get", "x"),
            ("show", "job"),
            ("wait", "--help"),
        ):
            self.assertEqual(self.loaded(*arguments) & HEAVY, set(), arguments)

    def test_streams(self) -> None:
        """What stands for a stream is by the numbers that subprocess has, without loading that."""
        self.assertEqual(
            (papa.PIPE, papa.STDOUT, papa.DEVNULL), (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL)
        )
