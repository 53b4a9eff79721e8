"""The process that keeps another, and ends all that it has left."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support import PATIENCE

#: Leaves a process that keeps its parent, one that has left it for a session of its own, and one that goes on in
#: another process again and again; all of them ignore what asks them to end. The word behind says how it ends itself.
PROGRAM = """
import os, signal, sys, time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(1000)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(1000)
if os.fork() == 0:
    for _ in range(100000):
        if os.fork():
            os._exit(0)
        time.sleep(0.001)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("begun", flush=True)
if sys.argv[1] == "stays":
    signal.sigwait([signal.SIGTERM])
    os._exit(7)
elif sys.argv[1] == "ends":
    os._exit(5)
os.kill(os.getpid(), signal.SIGKILL)
"""


class KeeperTests(SynchronousTestCase):
    """A keeper, and a program that leaves processes of every kind."""

    def keep(self, word: str) -> subprocess.Popen[bytes]:
        """A keeper of the program; what it has begun has C{stdout} open, as long as there is any of it."""
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "papa.torture.keeper", sys.executable, "-c", PROGRAM, word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        for each in (keeper.stdout, keeper.stdin):
            self.addCleanup(each.close)
        self.addCleanup(self.end, keeper)
        self.assertEqual(keeper.stdout.readline(), b"begun\n")
        return keeper

    def end(self, keeper: subprocess.Popen[bytes]) -> None:
        """Whatever the keeper has not ended, has its standard input closed."""
        assert keeper.stdin is not None
        keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(PATIENCE)

    def assert_alone(self, keeper: subprocess.Popen[bytes]) -> None:
        """Fail if anything of what it has begun is still there: that would keep the pipe open."""
        assert keeper.stdout is not None
        self.assertEqual(select.select([keeper.stdout], [], [], 0)[0], [keeper.stdout])
        self.assertEqual(os.read(keeper.stdout.fileno(), 1), b"")

    def test_hung_up(self) -> None:
        """As its standard input ends, it has the program end in order, then kills all that this has left."""
        keeper = self.keep("stays")
        assert keeper.stdin is not None
        keeper.stdin.close()
        self.assertEqual(keeper.wait(PATIENCE), 7)
        self.assert_alone(keeper)

    def test_ended(self) -> None:
        """When the program ends by itself, so does all that it has left; the exit code is its own."""
        keeper = self.keep("ends")
        self.assertEqual(keeper.wait(PATIENCE), 5)
        self.assert_alone(keeper)

    def test_killed(self) -> None:
        """A program that was killed has the exit code that a shell gives it."""
        keeper = self.keep("dies")
        self.assertEqual(keeper.wait(PATIENCE), 128 + signal.SIGKILL)
        self.assert_alone(keeper)
