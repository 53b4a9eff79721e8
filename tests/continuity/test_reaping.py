"""Children that are reaped; each test in a program of its own, which has no others."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support import PATIENCE

_BEGIN = """
import os, select, signal, subprocess, time
from papa.continuity import reaping
from papa.continuity.reaping import Reaper

def child(words):
    return subprocess.Popen(["/bin/sh", "-c", "read x; " + words], stdin=subprocess.PIPE)

def end(child):
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

reaper = Reaper()
ended = lambda urgent: list(reaper.ended(urgent))
one, two = child("exit 7"), child("kill -9 $$")
"""


class ReapingTests(SynchronousTestCase):
    """How children have ended."""

    def told(self, program: str) -> list[str]:
        """What such a program prints."""
        finished = subprocess.run(
            [sys.executable, "-c", _BEGIN + program],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
        )
        return finished.stdout.decode().splitlines()

    def test_by_pidfd(self) -> None:
        """A child with a pidfd is reaped as soon as it has ended, whether or not there was a signal; each once."""
        program = """
for each in (one, two):
    reaper.watch(each.pid, os.pidfd_open(each.pid))
print(ended([]))
for each in (two, one):
    end(each)
    select.select([reaper], [], [])
    print(ended([]) == [(each.pid, {one: 7, two: -9}[each])], select.select([reaper], [], [], 0)[0])
print(reaper.due)
"""
        self.assertEqual(self.told(program), ["[]", "True []", "True []", "None"])

    def test_urgent(self) -> None:
        """One without, which somebody waits for, is reaped when there was a signal; another some time later."""
        program = """
end(one)
end(two)
print(ended([two.pid]))
reaper.signalled()
print(ended([two.pid]) == [(two.pid, -9)])
print(0 < reaper.due - time.monotonic() <= 1)
reaping.time.monotonic = lambda: reaper.due
print(ended([]) == [(one.pid, 7)], reaper.due, ended([]))
"""
        self.assertEqual(self.told(program), ["[]", "True", "True", "True None []"])

    def test_no_pidfd(self) -> None:
        """As long as there is a child that no pidfd was to be had of, all are looked at with each signal."""
        program = """
reaper.watch(one.pid, None)
end(two)
reaper.signalled()
print(ended([]) == [(two.pid, -9)])
end(one)
reaper.signalled()
print(ended([]) == [(one.pid, 7)])
reaper.forget(one.pid)
reaper.signalled()
print(reaper.due > time.monotonic())
"""
        self.assertEqual(self.told(program), ["True", "True", "True"])

    def test_let_go(self) -> None:
        """Of a descriptor that was let go of it knows nothing, though it stays open elsewhere, and is another's now."""
        program = """
handle = os.pidfd_open(one.pid)
reaper.watch(one.pid, handle)
elsewhere = os.dup(handle)
reaper.let_go(handle)
reaper.let_go(handle)
os.close(handle)
end(one)
print(ended([]), select.select([reaper], [], [], 0)[0])
"""
        self.assertEqual(self.told(program), ["[] []"])

    def test_let_go_meanwhile(self) -> None:
        """One that is let go of while another's end is told is not asked about; nor is what has its number then."""
        program = """
handles = {each: os.pidfd_open(each.pid) for each in (one, two)}
for each, handle in handles.items():
    reaper.watch(each.pid, handle)
    end(each)
telling = reaper.ended([])
first, _ = next(telling)
other = two if first == one.pid else one
reaper.let_go(handles[other])
os.close(handles[other])
print(list(telling), ended([]))
third = child("exit 1")
reaper.watch(third.pid, os.pidfd_open(third.pid))
print(ended([]), len(reaper._pids))
end(third)
print(ended([]) == [(third.pid, 1)])
"""
        self.assertEqual(self.told(program), ["[] []", "[] 1", "True"])

    def test_not_its_own(self) -> None:
        """What another program reaps is not told of here."""
        program = """
handle = os.pidfd_open(one.pid)
reaper.watch(one.pid, handle)
one.communicate()
select.select([reaper], [], [])
print(ended([]), select.select([reaper], [], [], 0)[0])
"""
        self.assertEqual(self.told(program), ["[] []"])
