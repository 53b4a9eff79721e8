"""C{papa torture}."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from twisted.trial.unittest import SkipTest

from papa.torture.peers.worker import LINES
from tests.support import PATIENCE, KernelTestCase, script, until

#: What is zero with papa.
_WRONG = (
    "not_again",
    "lines_lost",
    "lines_repeated",
    "lines_mangled",
    "cut_off",
    "codes_unknown",
    "doubled",
    "orphans",
    "connections_failed",
)


class TortureTests(KernelTestCase):
    """The verb; what it does is seen in L{tests.functional.test_continuity}."""

    def test_told_to_end(self) -> None:
        """SIGTERM and the interrupt key end it, and all that it has started."""
        for number in (signal.SIGTERM, signal.SIGINT):
            torture = self.torture()
            torture.send_signal(number)
            self.assertEqual(torture.wait(PATIENCE), 128 + number)
            self.assertEqual(self.started(), [])

    def test_killed(self) -> None:
        """When it is killed, what it has started ends, too."""
        self.torture().kill()
        until(lambda: not self.started(), "the end of all of it")

    def test_comparison(self) -> None:
        """papa in the scenario that other managers are given; nothing is lost, and nothing stays behind."""
        finished = self.papa("torture", "--peer", "papa", "--kills", "2", "--printers", "2", "--json")
        found = json.loads(finished.stdout)
        self.assertEqual({name: found[name] for name in _WRONG}, dict.fromkeys(_WRONG, 0))
        self.assertEqual(found["kills"], 2)
        self.assertGreater(found["codes"], 2)
        self.assertGreater(found["lines"], 2 * LINES)
        self.assertGreater(found["connections"], 0)

    def test_manager_that_is_not_here(self) -> None:
        """A manager that is not installed is not compared, and it is said how it would be."""
        if os.path.exists(script("supervisord")):
            raise SkipTest("supervisord is installed here")
        self.environ["PATH"] = self.folder
        said = self.papa("torture", "--peer", "supervisor", code=1).stderr
        self.assertIn("supervisord is not installed here: pip install supervisor", said)

    def torture(self) -> subprocess.Popen[bytes]:
        """An ordeal in its midst."""
        environ = {**self.environ, "TMPDIR": self.folder}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        torture = self.begin_papa("torture", "--minutes", "5", "--printers", "4", env=environ, **silent)
        until(lambda: len(self.started()) > 3, "its keeper, an anchor, a kernel and its copy")
        return torture

    def started(self) -> list[int]:
        """The pids of what the ordeal has started, by the folder that is its own."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    if f"PAPA_RUNTIME_DIR={self.folder}/papa-torture-".encode() in environ.read():
                        found.append(int(entry))
            except OSError:
                continue
        return found
