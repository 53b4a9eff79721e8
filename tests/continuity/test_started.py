"""A process at the other end of a line."""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.started import start_at_line
from papa.drivers.inheritance import DescriptorLimit

_PROGRAM = """
import os, sys
from papa.continuity.channel import Channel
line = Channel(int(sys.argv[1]))
told, descriptors = line.receive()
os.write(int(sys.argv[2]), b"heard " + told["word"].encode())
line.send({"open": sorted(map(int, os.listdir("/dev/fd")))[:-1], "input": os.read(0, 10).decode()})
"""


class StartedTests(SynchronousTestCase):
    """What is started so."""

    def open_now(self) -> set[str]:
        """The descriptors that this process has open."""
        return set(os.listdir("/dev/fd"))

    def test_talks(self) -> None:
        """It has its end of the line, the descriptors that it is given, and no input; and is the caller's to reap."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        pid, line = start_at_line(
            lambda end: [sys.executable, "-c", _PROGRAM, str(end), str(writing)], DescriptorLimit(), [writing]
        )
        self.addCleanup(line.close)
        line.send({"word": "hello"})
        told = line.receive()
        assert told is not None
        self.assertEqual(os.read(reading, 100), b"heard hello")
        self.assertEqual(told[0]["input"], "")
        self.assertEqual(len(set(told[0]["open"]) - {0, 1, 2, writing}), 1)
        self.assertIsNone(line.receive())
        self.assertEqual(os.waitpid(pid, 0), (pid, 0))

    def test_does_not_start(self) -> None:
        """If it does not start, nothing is left of the line."""
        before = self.open_now()
        self.assertRaises(FileNotFoundError, start_at_line, lambda end: ["/nowhere/program"], DescriptorLimit())
        self.assertEqual(self.open_now(), before)
