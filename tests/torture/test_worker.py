"""What the printers of the comparison note, and what is counted from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from papa.torture.peers import worker


class WorkerTests(SynchronousTestCase):
    """A printer."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self) -> subprocess.Popen[bytes]:
        """One that can be read."""
        words = [sys.executable, "-S", "-E", worker.__file__, self.folder, "one"]
        started = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert started.stdout is not None
        self.addCleanup(started.wait)
        self.addCleanup(started.stdout.close)
        return started

    def test_to_the_end(self) -> None:
        """All lines come, each says whose it is, and what it exits with is noted."""
        printer = self.start()
        assert printer.stdout is not None
        found = [worker.read_line(line) for line in printer.stdout]
        self.assertEqual(found, [(printer.pid, number) for number in range(worker.LINES)])
        (run,) = worker.runs(self.folder)
        self.assertEqual(run, worker.Run("one", printer.pid, worker.LINES, printer.wait()))

    def test_cut_off(self) -> None:
        """One whose output nobody reads any more notes that."""
        printer = self.start()
        assert printer.stdout is not None
        printer.stdout.readline()
        printer.stdout.close()
        self.assertEqual(printer.wait(), worker.CUT_OFF_CODE)
        (run,) = worker.runs(self.folder)
        self.assertEqual(run.code, worker.CUT_OFF)
        self.assertLess(run.printed, worker.LINES)

    def test_mangled(self) -> None:
        """A line that is not as it was printed is told from all others."""
        line = worker.line(12, 3)
        self.assertEqual(worker.read_line(line), (12, 3))
        for mangled in (line[1:], line[:-2] + b"\n", line.replace(b" 3 ", b" 4 "), b"\n", line + line):
            self.assertIsNone(worker.read_line(mangled), mangled)

    def test_just_begun(self) -> None:
        """One that has noted nothing yet is none."""
        with open(os.path.join(self.folder, "one.5"), "wb"):
            self.assertEqual(worker.runs(self.folder), [])
