"""Whether a process is alive, when it began, and how it is called."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from papa.daemon.identity import become
from papa.daemon.processes import is_alive, set_title, started_at
from tests.daemon.programs import DaemonTestCase, need_root
from tests.drivers.apart import apart
from tests.support import until

#: A user that no file knows.
UNKNOWN = 54321


class ProcessTestCase(DaemonTestCase):
    """Tests with a process that only sleeps."""

    def sleeper(self, name: str = "sleep") -> subprocess.Popen[bytes]:
        program = subprocess.Popen([name, "1000"], env=self.environ)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program


class AliveTests(ProcessTestCase):
    """Whether a process runs."""

    def test_runs(self) -> None:
        """This one does, and one that was started."""
        self.assertTrue(is_alive(os.getpid()))
        self.assertTrue(is_alive(self.sleeper().pid))

    def test_ended(self) -> None:
        """One that has ended does not, from before anybody has waited for it."""
        program = self.sleeper()
        program.kill()
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        os.kill(program.pid, 0)
        self.assertFalse(is_alive(program.pid))
        program.wait()
        self.assertFalse(is_alive(program.pid))

    def test_stopped(self) -> None:
        """One that was stopped does: it may go on."""
        program = self.sleeper()
        os.kill(program.pid, 19)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        self.assertTrue(is_alive(program.pid))

    def test_no_process(self) -> None:
        """What means several processes, or is no number of one at all, is not alive."""
        for pid in (0, -1, -os.getpgrp(), 2**31 - 1, 2**31, 2**63, 2**100):
            self.assertFalse(is_alive(pid))

    def test_not_ours(self) -> None:
        """Somebody else's runs, though we may not touch it."""
        need_root()
        self.assertIs(apart(is_alive_for_a_stranger, self.sleeper().pid), True)

    def test_odd_name(self) -> None:
        """A name may hold anything."""
        for name in ("a) Z (", "a) Z 1 1", "\n) X", "("):
            path = self.path(name.replace("/", ""))
            os.symlink("/bin/sleep", path)
            program = self.sleeper(path)
            until(lambda program=program: not is_alive(program.pid) or comm_of(program.pid) != "python")
            self.assertTrue(is_alive(program.pid))
            began = started_at(program.pid)
            assert began is not None
            self.assertLess(abs(began - time.time()), 60)


class StartTests(ProcessTestCase):
    """When a process began."""

    def test_just_now(self) -> None:
        """One that was just started began just now."""
        before = time.time()
        began = started_at(self.sleeper().pid)
        assert began is not None
        self.assertGreater(began, before - 2)
        self.assertLess(began, time.time() + 2)

    def test_always_the_same(self) -> None:
        """The answer does not change."""
        pid = self.sleeper().pid
        self.assertEqual(len({started_at(pid) for _ in range(20)}), 1)

    def test_order(self) -> None:
        """What this process has started is not older than it, and not younger than what it starts later."""
        first = started_at(self.sleeper().pid)
        second = started_at(self.sleeper().pid)
        own = started_at(os.getpid())
        assert first is not None
        assert second is not None
        assert own is not None
        self.assertLessEqual(own, first)
        self.assertLessEqual(first, second)

    def test_no_process(self) -> None:
        """Of what does not run it cannot be told."""
        program = subprocess.Popen(["true"])
        program.wait()
        for pid in (program.pid, 0, -1, 2**100):
            self.assertIsNone(started_at(pid))

    def test_no_list(self) -> None:
        """Where the system tells nothing of processes what can be signalled is alive, and its beginning unknown."""
        need_root()
        self.assertEqual(apart(without_list, self.folder), [True, False, True])


class TitleTests(ProcessTestCase):
    """How a process is called."""

    def test_title(self) -> None:
        """It is called as it wants to be, as far as the system shows that."""
        self.assertEqual(
            apart(titles, ["papa", "a longer name than that", "größer als das hier", "a b) (c"]),
            ["papa", "a longer name t", "größer als da", "a b) (c"],
        )


def comm_of(pid: int) -> str:
    """What the system calls a process."""
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read()[:-1]


# What runs in processes of its own.


def is_alive_for_a_stranger(pid: int) -> bool:
    become(UNKNOWN, UNKNOWN, init_groups=True)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return is_alive(pid)
    return False


def without_list(folder: str) -> Any:
    """Whether this process is alive, and another that is not, and whether the beginning is unknown."""
    own, program = os.getpid(), subprocess.Popen(["true"])
    program.wait()
    root = os.open("/", os.O_RDONLY)
    os.chroot(folder)
    found = [is_alive(own), is_alive(program.pid), started_at(own) is None]
    set_title("x")
    os.fchdir(root)
    os.chroot(".")
    return found


def titles(wanted: list[str]) -> list[str]:
    found = []
    for each in wanted:
        set_title(each)
        found.append(comm_of(os.getpid()))
    return found
