"""What the commands that are typed most do not load: a time cannot be asserted, but what costs it can."""

from __future__ import annotations

import subprocess
import sys

import papa
from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE, unmeasured

#: What takes long to import, and is not needed to ask a kernel something.
HEAVY = {
    "asyncio",
    "bz2",
    "difflib",
    "email",
    "http",
    "random",
    "rich",
    "shutil",
    "subprocess",
    "tempfile",
    "tomllib",
    "twisted",
    "unittest",
    "zope",
}
#: Of papa, what has much in it that a question does not need.
LARGE = {
    "papa.asked.processes",
    "papa.asked.sockets",
    "papa.cli.printing",
    "papa.client.blocking",
    "papa.client.watcher",
    "papa.commands",
    "papa.daemon",
    "papa.drivers.peers",
    "papa.kernel",
    "papa.wire.grammar",
    "papa.wire.text",
}


class ImportTests(SharedKernelTestCase):
    """Imports of the command."""

    def loaded(self, *arguments: str) -> set[str]:
        """The packages that a command imports, and papa's modules."""
        finished = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "papa", *arguments],
            env=unmeasured(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        lines = [line.rpartition("|")[2].strip() for line in finished.stderr.splitlines() if line.startswith("import")]
        return {line if line.startswith("papa.") else line.partition(".")[0] for line in lines}

    def test_asking(self) -> None:
        """Status, values and signals load nothing heavy."""
        with self.connect_papa() as client:
            client.set("x", "1")
            client.make_process("job", "sleep", ["1000"])
        for arguments in (
            ("status",),
            ("status", "--json"),
            ("--color", "always", "status"),
            ("value", "get", "x"),
            ("value", "ls"),
            ("show", "job"),
        ):
            self.assertEqual(self.loaded(*arguments) & (HEAVY | LARGE), set(), arguments)
        for verb in ("logs", "wait", "run", "top", "events"):
            # Help itself asks for the width of the terminal.
            self.assertEqual(self.loaded(verb, "--help") & (HEAVY - {"bz2", "shutil"}), set(), verb)

    def test_papa_itself(self) -> None:
        """To import papa loads nothing of it; what it has to offer is there when it is used."""
        program = "import sys, papa; print(*sorted(name for name in sys.modules if name.startswith('papa.')))"
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, "\n")
        self.assertEqual([name for name in papa.__all__ if getattr(papa, name, None) is None], [])
        self.assertTrue({*papa.__all__} <= {*dir(papa)})
        self.assertRaises(AttributeError, getattr, papa, "nothing")

    def test_streams(self) -> None:
        """What stands for a stream is by the numbers that subprocess has, without loading that."""
        self.assertEqual(
            (papa.PIPE, papa.STDOUT, papa.DEVNULL), (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL)
        )
