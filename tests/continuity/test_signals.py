"""Signals as bytes in a pipe, in a program of its own."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support import PATIENCE

_PROGRAM = """
import os, signal
from papa.continuity.signals import signal_pipe
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
os.kill(os.getpid(), signal.SIGHUP)
pipe = signal_pipe([signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM], bytes([signal.SIGUSR1]))
os.kill(os.getpid(), signal.SIGTERM)
print(sorted(os.read(pipe, 100)) == sorted([signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM]))
"""


class SignalTests(SynchronousTestCase):
    """What a program that sleeps is woken by."""

    def test_pipe(self) -> None:
        """Signals only wake it, those too that were held back."""
        finished = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
        self.assertEqual(finished.stdout.decode().splitlines(), ["True"])
