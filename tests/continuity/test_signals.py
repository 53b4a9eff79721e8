"""Signals as bytes in a pipe, in a program of its own."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support import PATIENCE

_PROGRAM = """
import os, select, signal, subprocess, sys
from papa.continuity.signals import reaped, signal_pipe
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
os.kill(os.getpid(), signal.SIGHUP)
pipe = signal_pipe([signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM], bytes([signal.SIGUSR1]))
os.kill(os.getpid(), signal.SIGTERM)
print(sorted(os.read(pipe, 100)) == sorted([signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM]))
print(list(reaped()))
children = [subprocess.Popen(["sh", "-c", words]) for words in ("exit 7", "kill -9 $$", "exec sleep 100")]
codes = {}
while len(codes) < 2:
    select.select([pipe], [], [])
    assert set(os.read(pipe, 100)) == {signal.SIGCHLD}
    codes.update(reaped())
print([codes.get(child.pid) for child in children], list(reaped()))
children[2].kill()
"""


class SignalTests(SynchronousTestCase):
    """What a program that sleeps is woken by."""

    def test_pipe(self) -> None:
        """Signals only wake it, those too that were held back; children that have ended are reaped, each once."""
        finished = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
        self.assertEqual(finished.stdout.decode().splitlines(), ["True", "[]", "[7, -9, None] []"])
