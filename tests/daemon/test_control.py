"""Looking after a daemon from outside: how it is, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Any

from papa.daemon import AlreadyLocked, DaemonError, LockError, PidLockFile, Status, status, stop
from papa.daemon.identity import become
from tests.daemon.programs import DaemonTestCase, need_root, runs
from tests.daemon.test_pidfile import forked, leave
from tests.drivers.apart import apart, forbid
from tests.support import PATIENCE

#: Has the lock, and does what a signal does to a program that does not care.
PLAIN = """
lock = PidLockFile(path("x.pid"))
lock.seal()
print("held", flush=True)
stay()
"""
#: Has the lock, and ends in order.
ORDERLY = f"""
def end(number, frame):
    note(f"ends by {{number}}")
    lock.release()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
{PLAIN}
"""
#: Has the lock, and does not want to end.
STUBBORN = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{PLAIN}
"""
#: Has the lock, and does not say who it is.
SILENT = """
lock = PidLockFile(path("x.pid"))
lock.acquire()
print("held", flush=True)
stay()
"""
#: A user that no file knows.
STRANGER = 54321


class ControlTestCase(DaemonTestCase):
    """Tests with one pid file."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.path("x.pid")

    def held(self, source: str) -> subprocess.Popen[str]:
        """A process that has the lock."""
        program = self.begin(source)
        assert program.stdout is not None
        self.assertEqual(program.stdout.readline(), "held\n")
        return program

    def write(self, content: str) -> None:
        with open(self.file, "w", encoding="ascii") as file:
            file.write(content)


class StatusTests(ControlTestCase):
    """What can be known of a daemon."""

    def test_none(self) -> None:
        """Where there is no pid file no daemon runs."""
        self.assertEqual(status(self.file), Status(running=False))

    def test_stale(self) -> None:
        """Where a daemon has left its file behind none runs."""
        program = self.held(PLAIN)
        program.kill()
        program.wait()
        self.assertTrue(os.path.exists(self.file))
        self.assertEqual(status(self.file), Status(running=False))

    def test_running(self) -> None:
        """A daemon that runs has a pid and a beginning."""
        before = time.time()
        program = self.held(PLAIN)
        found = status(self.file)
        self.assertEqual((found.running, found.pid), (True, program.pid))
        assert found.since is not None
        self.assertGreater(found.since, before - 2)
        self.assertLess(found.since, time.time() + 2)

    def test_not_said(self) -> None:
        """A daemon that has the lock and has not said who it is runs all the same."""
        self.held(SILENT)
        self.assertEqual(status(self.file), Status(running=True))

    def test_relative(self) -> None:
        """A relative path is refused, since nobody knows what the daemon would have made of it."""
        self.assertRaises(LockError, status, "x.pid")


class StopTests(ControlTestCase):
    """Ending a daemon."""

    def test_none(self) -> None:
        """Where there is no daemon there is none to end."""
        self.assertIs(stop(self.file), False)

    def test_ended_before(self) -> None:
        """Where there was one there is none to end either, and what it left stays."""
        program = self.held(PLAIN)
        program.kill()
        program.wait()
        self.assertIs(stop(self.file), False)

    def test_zombie(self) -> None:
        """A daemon that has ended, and that nobody has waited for, needs no ending."""
        program = self.held(PLAIN)
        program.kill()
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        self.assertIs(stop(self.file), False)

    def test_terminated(self) -> None:
        """A daemon is asked to end, and has ended when that returns."""
        program = self.held(ORDERLY)
        self.assertIs(stop(self.file), True)
        self.assertFalse(runs(program.pid))
        self.assertEqual(program.wait(), 0)
        self.assertEqual(self.notes(), [(program.pid, f"ends by {int(signal.SIGTERM)}")])
        self.assertFalse(os.path.exists(self.file))
        self.assertIs(stop(self.file), False)

    def test_plain(self) -> None:
        """So is one that does nothing about signals."""
        program = self.held(PLAIN)
        self.assertIs(stop(self.file), True)
        self.assertEqual(program.wait(), -signal.SIGTERM)
        self.assertFalse(status(self.file).running)

    def test_other_signal(self) -> None:
        """It may be asked by another signal."""
        program = self.held(ORDERLY)
        self.assertIs(stop(self.file, number=signal.SIGINT), True)
        self.assertEqual(self.notes(), [(program.pid, f"ends by {int(signal.SIGINT)}")])

    def test_killed(self) -> None:
        """A daemon that does not end in time is killed."""
        program = self.held(STUBBORN)
        began = time.monotonic()
        self.assertIs(stop(self.file, 0.2), True)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        self.assertLess(time.monotonic() - began, PATIENCE / 2)
        self.assertEqual(program.wait(), -signal.SIGKILL)

    def test_not_killed(self) -> None:
        """A daemon that is not to be killed goes on, and the message says so."""
        program = self.held(STUBBORN)
        error = self.assertRaises(DaemonError, stop, self.file, 0.2, kill=False)
        self.assertIn(f"Process {program.pid} goes on 0.2 seconds", str(error))
        self.assertTrue(runs(program.pid))
        self.assertEqual(status(self.file).pid, program.pid)

    def test_not_said(self) -> None:
        """A daemon that has not said who it is cannot be ended."""
        program = self.held(SILENT)
        error = self.assertRaises(DaemonError, stop, self.file)
        self.assertIn("has not said which it is", str(error))
        self.assertTrue(runs(program.pid))

    def test_number_of_another(self) -> None:
        """A process that has only got the number in a file that was left behind is not touched."""
        innocent = subprocess.Popen(["sleep", "1000"], env=self.environ)
        self.addCleanup(innocent.wait)
        self.addCleanup(innocent.kill)
        leave(self.file, innocent.pid)
        self.assertIs(stop(self.file), False)
        self.write(f"{innocent.pid}\n")
        os.utime(self.file, (1e9, 1e9))
        self.assertIs(stop(self.file), False)
        self.assertTrue(runs(innocent.pid))

    def test_number_of_another_and_a_lock(self) -> None:
        """Nor is it touched while something that the daemon has forked keeps the lock."""
        innocent = subprocess.Popen(["sleep", "1000"], env=self.environ)
        self.addCleanup(innocent.wait)
        self.addCleanup(innocent.kill)
        lock = PidLockFile(self.file)
        self.addCleanup(lock.forget)
        lock.seal(innocent.pid)
        os.utime(self.file, (1e9, 1e9))
        self.assertEqual(status(self.file), Status(running=True))
        self.assertRaises(DaemonError, stop, self.file)
        self.assertTrue(runs(innocent.pid))
        self.assertRaisesRegex(AlreadyLocked, "has not said which it is", PidLockFile(self.file).acquire)

    def test_clock_was_moved(self) -> None:
        """A daemon that seems to have begun after it wrote its file, for the clock was set forward, can be ended."""
        program = self.held(PLAIN)
        os.utime(self.file, (1e9, 1e9))
        self.assertEqual(status(self.file).pid, program.pid)
        self.assertIs(stop(self.file), True)

    def test_program_that_does_not_lock(self) -> None:
        """A program that has written its pid file without locking it can be ended, too."""
        program = subprocess.Popen(["sleep", "1000"], env=self.environ)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        self.write(f"{program.pid}\n")
        self.assertEqual(status(self.file).pid, program.pid)
        self.assertIs(stop(self.file), True)
        self.assertEqual(program.wait(), -signal.SIGTERM)

    def test_what_it_left_behind(self) -> None:
        """A daemon that has ended is no failure, though something that it has forked keeps its lock."""
        program = self.held("""
            lock = PidLockFile(path("x.pid"))
            lock.seal()
            if os.fork():
                stay()
            print("held", flush=True)
            stay()
        """)
        program.kill()
        program.wait()
        stop(self.file)
        self.assertIsNone(status(self.file).since)

    def test_ends_meanwhile(self) -> None:
        """A daemon that ends just as it is to be ended is no failure."""
        self.assertEqual(apart(stop_while_ending, self.folder, 30), [])

    def test_without_handles(self) -> None:
        """The same holds where the system has no handles of processes."""
        self.assertEqual(
            apart(stop_without_handles, self.folder),
            {"plain": -signal.SIGTERM, "stubborn": -signal.SIGKILL, "patient": "goes on", "dead": False},
        )

    def test_not_ours(self) -> None:
        """Who may not signal the daemon is told so."""
        need_root()
        program = self.held(PLAIN)
        os.chmod(self.folder, 0o755)
        said = apart(stop_as_a_stranger, self.folder)
        self.assertEqual(said, f"Cannot signal process {program.pid}: Operation not permitted")
        self.assertTrue(runs(program.pid))


# What runs in processes of its own.


def ended(pid: int) -> int:
    """What a child has ended with."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def stop_while_ending(folder: str, count: int) -> list[str]:
    """Stop daemons that end by themselves at the same time; how that failed."""
    path = os.path.join(folder, "x.pid")
    (told, tell), (heard, say) = os.pipe(), os.pipe()
    failures = []

    def live() -> None:
        lock = PidLockFile(path)
        lock.seal()
        os.write(say, b".")
        os.read(told, 1)
        lock.release()

    for _ in range(count):
        with forked(live) as pid:
            os.read(heard, 1)
            os.write(tell, b".")
            try:
                stop(path, PATIENCE)
            except Exception as error:  # noqa: BLE001 - shown
                failures.append(repr(error))
            if ended(pid):
                # It was ended before it could read what it was told.
                os.set_blocking(told, False)
                with contextlib.suppress(BlockingIOError):
                    os.read(told, 1)
                os.set_blocking(told, True)
    return failures


def stop_without_handles(folder: str) -> dict[str, Any]:
    """End daemons by their numbers alone: what each ended with."""
    forbid("pidfd_open")
    path = os.path.join(folder, "x.pid")
    heard, say = os.pipe()

    def plain() -> None:
        PidLockFile(path).seal()
        os.write(say, b".")
        signal.pause()

    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        plain()

    found: dict[str, Any] = {}
    for name, daemon in (("plain", plain), ("stubborn", stubborn)):
        with forked(daemon) as pid:
            os.read(heard, 1)
            stop(path, 0.2)
            found[name] = ended(pid)
    with forked(stubborn):
        os.read(heard, 1)
        try:
            stop(path, 0.1, kill=False)
        except DaemonError as error:
            found["patient"] = "goes on" if "goes on" in str(error) else str(error)
    found["dead"] = stop(path)
    return found


def stop_as_a_stranger(folder: str) -> str:
    """What somebody is told that may not signal the daemon."""
    become(STRANGER, STRANGER, init_groups=True)
    try:
        stop(os.path.join(folder, "x.pid"))
    except DaemonError as error:
        return str(error)
    return "nothing"
