"""How processes ended that are somebody else's to reap."""

from __future__ import annotations

import os
import select
import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.handles import exit_code, handle_of
from papa.records import UNKNOWN_EXIT
from tests.drivers.apart import apart, forbid

_ENDS = {"exit 0": 0, "exit 7": 7, "kill -9 $$": -9}


class ExitCodeTests(SynchronousTestCase):
    """A program that has ended."""

    def ended(self, script: str) -> tuple[subprocess.Popen[bytes], int]:
        """A program that has, and was not reaped; a pidfd of it."""
        program = subprocess.Popen(["/bin/sh", "-c", f"read x; {script}"], stdin=subprocess.PIPE)
        self.addCleanup(program.wait)
        handle = os.pidfd_open(program.pid)
        self.addCleanup(os.close, handle)
        assert program.stdin is not None
        program.stdin.close()
        select.select([handle], [], [])
        return program, handle

    def test_not_reaped(self) -> None:
        """As long as it was not reaped everybody who may look at it can know."""
        for script, code in _ENDS.items():
            program, handle = self.ended(script)
            self.assertEqual(exit_code(program.pid, handle), code)

    def test_reaped(self) -> None:
        """Once it was, its code is told by systems that keep it, and unknown elsewhere; never another's."""
        for script, code in _ENDS.items():
            program, handle = self.ended(script)
            program.wait()
            self.assertIn(exit_code(program.pid, handle), (code, UNKNOWN_EXIT))

    def test_another_has_its_number(self) -> None:
        """What the system says of a number is not believed of a process that had it before."""
        program, handle = self.ended("exit 7")
        program.wait()
        other, _ = self.ended("exit 3")
        self.assertIn(exit_code(other.pid, handle), (7, UNKNOWN_EXIT))

    def test_not_told(self) -> None:
        """Where the system does not tell, it is unknown."""
        self.assertEqual(apart(_without_info), UNKNOWN_EXIT)

    def test_ends_with_no_success(self) -> None:
        """Whoever passes an unknown code on does not end with 0."""
        program = subprocess.Popen(["/bin/sh", "-c", f"exit {UNKNOWN_EXIT}"])
        self.assertEqual(program.wait(), 255)

    def test_handles(self) -> None:
        """There is a handle of a process that is there, and none of another."""
        for handle in handle_of(os.getpid()):
            os.close(handle)
        self.assertEqual(handle_of(1 << 30), [])


def _without_info() -> Any:
    program = subprocess.Popen(["true"])
    handle = os.pidfd_open(program.pid)
    program.wait()
    forbid("ioctl")
    return exit_code(program.pid, handle)
