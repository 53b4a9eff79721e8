"""C{papa torture}."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.support import PATIENCE, KernelTestCase, script, until


class TortureTests(KernelTestCase):
    """The verb; what it does is seen in L{tests.functional.test_continuity}."""

    def test_told_to_end(self) -> None:
        """SIGTERM and the interrupt key end it, and all that it has started."""
        for number in (signal.SIGTERM, signal.SIGINT):
            torture = self.torture()
            torture.send_signal(number)
            self.assertEqual(torture.wait(PATIENCE), 130)
            self.assertEqual(self.started(), [])

    def test_killed(self) -> None:
        """When it is killed, what it has started ends, too."""
        self.torture().kill()
        until(lambda: not self.started(), "the end of all of it")

    def torture(self) -> subprocess.Popen[bytes]:
        """An ordeal in its midst."""
        torture = subprocess.Popen(
            [script("papa"), "torture", "--minutes", "5", "--printers", "4"],
            env={**self.environ, "TMPDIR": self.folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(torture.wait)
        self.addCleanup(torture.kill)
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
