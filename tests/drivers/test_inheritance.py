"""What children would inherit from papa itself."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers import inheritance
from papa.drivers.inheritance import (
    DescriptorLimit,
    handed_over,
    inheritable_environment,
    reset_signals,
    shut_descriptors,
)
from tests.drivers.apart import apart, not_here, signal_set

#: What a child's signal masks are when it ignores and blocks none.
_NONE = [0, 0]


class EnvironmentTests(SynchronousTestCase):
    """The environment."""

    def test_private_variables_stay(self) -> None:
        """What was said to papa alone is not passed on; everything else is."""
        private = [
            "PAPA_RUNTIME_DIR",
            "PAPA_",
            "LISTEN_PID",
            "LISTEN_FDS",
            "LISTEN_FDNAMES",
            "NOTIFY_SOCKET",
            "FDSTORE",
        ]
        private += ["WATCHDOG_PID", "WATCHDOG_PIDFDID", "WATCHDOG_USEC", "LISTEN_PIDFDID", "SYSTEMD_EXEC_PID"]
        common = {"PATH": "/bin", "PAPAYA": "fruit", "LISTEN": "x", "EMPTY": ""}
        given = {**dict.fromkeys(private, "x"), **common}
        self.assertEqual(inheritable_environment(given), common)

    def test_is_a_copy(self) -> None:
        """What becomes of the environment of a child does not become of papa's."""
        given = {"A": "1"}
        inheritable_environment(given)["B"] = "2"
        self.assertEqual(given, {"A": "1"})


class DescriptorLimitTests(SynchronousTestCase):
    """The limit of open files."""

    def test_raised(self) -> None:
        """It is raised to what the system allows, and lowered for a moment."""
        self.assertEqual(
            apart(_limits, 100, 500),
            {"told": 500, "raised": [500, 500], "inside": [100, 500], "after": [500, 500]},
        )

    def test_nothing_to_raise(self) -> None:
        """Where the limit is at its highest already, it stays."""
        same = [300, 300]
        expected = {"told": 300, "raised": same, "inside": same, "after": same}
        self.assertEqual(apart(_limits, 300, 300), expected)

    def test_not_raised_without_being_told(self) -> None:
        """A limit that was never raised is not touched, and takes no descriptor."""
        before, files = resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))
        limit = DescriptorLimit()
        with limit.as_started():
            self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), before)
        self.assertEqual(
            (resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))), (before, files)
        )

    def test_restored_after_an_error(self) -> None:
        """What goes wrong under the lower limit does not leave papa with it."""
        self.assertEqual(apart(_limit_after_error), [500, 500])

    def test_room_under_the_lower_limit(self) -> None:
        """However much papa has open, there is room for two descriptors under the lower limit, time after time."""
        self.assertEqual(apart(_room_under_lower_limit), [2, 2, 2])

    def test_low_numbers(self) -> None:
        """The two are below what papa opens later, be the limit raised or not: the system closes them first."""
        for soft in (100, 500):
            self.assertEqual(apart(_numbers, soft), [True, True])

    def test_room_comes_back(self) -> None:
        """When there was no descriptor left to keep in reserve, one is taken as soon as there is."""
        self.assertEqual(apart(_room_after_shortage), [0, 2])

    def test_kept_back(self) -> None:
        """Papa can do with fewer than the system allows, but never with fewer than it was started with."""
        self.assertEqual(apart(_kept_back, 100, 500, 64), [436, 100, 436])
        self.assertEqual(apart(_kept_back, 10, 80, 64), [40, 10, 40])
        self.assertEqual(apart(_kept_back, 450, 500, 64), [500, 450, 500])

    def test_no_limit_at_all(self) -> None:
        """A papa that may have any number of files does not ask for all of them, and keeps what it had."""
        told, soft = apart(_unlimited)
        self.assertTrue(0 < told <= 1 << 20)
        self.assertEqual(soft, told)


class SignalTests(SynchronousTestCase):
    """Signals."""

    def test_deaf_but_children_are_not(self) -> None:
        """Papa survives the signals that must not end it, and its children find all at their default."""
        found = apart(_signals, [], [])
        self.assertEqual(found["child"], _NONE)
        self.assertNotIn(signal.SIGTERM, found["ignored"])
        self.assertNotIn(signal.SIGINT, found["ignored"])

    def test_what_papa_was_started_to_ignore(self) -> None:
        """What papa was started to ignore it goes on ignoring, and says so; children do not."""
        ignored = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
        found = apart(_signals, ignored, [])
        self.assertEqual(found["child"], _NONE)
        self.assertTrue(set(ignored) <= set(found["ignored"]))

    def test_signal_without_name(self) -> None:
        """A realtime signal, which has no name of its own, is a signal too."""
        number = signal.SIGRTMIN + 1
        found = apart(_signals, [number], [])
        self.assertIn(number, found["ignored"])
        self.assertEqual(found["child"], _NONE)

    def test_blocked(self) -> None:
        """What papa was started with blocked is blocked neither in papa nor in children."""
        blocked = [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGRTMIN]
        found = apart(_signals, [], blocked)
        self.assertEqual((found["child"], found["blocked"]), (_NONE, []))

    def test_ends_of_children_are_never_ignored(self) -> None:
        """A papa that was started to ignore the ends of children learns their exit codes all the same."""
        found = apart(_signals, [signal.SIGCHLD], [])
        self.assertEqual(found["code"], 7)


class DescriptorTests(SynchronousTestCase):
    """Descriptors that papa was started with."""

    def test_shut(self) -> None:
        """None but the standard streams would reach a child by itself."""
        self.assertEqual(apart(_shut), {"before": [0, 1, 2, 50, 60], "after": [0, 1, 2]})

    def test_handed_over(self) -> None:
        """For a moment a program would get what it is given, and nothing else; also when something fails in it."""
        self.assertEqual(apart(_handed_over), [[0, 1, 2, 70], [0, 1, 2]])

    def test_not_to_be_had(self) -> None:
        """Where the system does not shut the others nothing is changed, and that is said."""
        for close_range in (None, lambda *_: -1):
            self.patch(inheritance, "_close_range", close_range)
            with open(os.devnull, "rb") as given, handed_over([given.fileno()]) as others_shut:
                self.assertFalse(others_shut)
                self.assertFalse(os.get_inheritable(given.fileno()))


def _kept_back(soft: int, hard: int, count: int) -> list[int]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limit = DescriptorLimit()
    limit.raise_to_most()
    limit.keep_back(count)
    found = [resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    with limit.as_started():
        found.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return [*found, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]


def _limits(soft: int, hard: int) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limit = DescriptorLimit()
    found: dict[str, Any] = {"told": limit.raise_to_most()}
    found["raised"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    with limit.as_started():
        found["inside"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    found["after"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    return found


def _limit_after_error() -> tuple[int, int]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))
    limit = DescriptorLimit()
    limit.raise_to_most()
    try:
        with limit.as_started():
            raise ValueError
    except ValueError:
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _room() -> int:
    """How many descriptors can still be opened; they are closed again."""
    opened: list[int] = []
    try:
        while True:
            opened.append(os.dup(0))
    except OSError:
        return len(opened)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _numbers(soft: int) -> list[bool]:
    """Whether each of the two is below what was opened first."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, 500))
    limit = DescriptorLimit()
    limit.raise_to_most()
    first = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 34)
    while os.dup(0) < first:
        pass
    with limit.as_started():
        return [os.dup(0) < first, os.dup(0) < first]


def _room_under_lower_limit() -> list[int]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))
    limit = DescriptorLimit()
    limit.raise_to_most()
    for _ in range(200):
        os.dup(0)
    found = []
    for _ in range(3):
        with limit.as_started():
            found.append(_room())
    return found


def _room_after_shortage() -> list[int]:
    """Rooms under the lower limit: when papa took all descriptors before any was kept, and after it gave some back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))
    limit = DescriptorLimit()
    limit.raise_to_most()
    opened: list[int] = []
    with limit.as_started():
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))
        opened.extend(os.dup(0) for _ in range(_room()))
    with limit.as_started():
        found = [_room()]
        for descriptor in opened[:2]:
            os.close(descriptor)
    with limit.as_started():
        found.append(_room())
    return found


def _unlimited() -> tuple[int, int]:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    told = DescriptorLimit().raise_to_most()
    return told, resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _signals(ignored: list[int], blocked: list[int]) -> dict[str, Any]:
    """What becomes of a papa, and of its child, that was started to ignore some signals and with some blocked."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    told = reset_signals()
    for number in {*ignored, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE} - {signal.SIGCHLD}:
        os.kill(os.getpid(), number)
    child = subprocess.run(["cat", "/proc/self/status"], check=True, capture_output=True, text=True)
    status = dict(line.split(":", 1) for line in child.stdout.splitlines())
    return {
        "ignored": sorted(int(number) for number in told),
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "child": [signal_set(status["SigIgn"]), signal_set(status["SigBlk"])],
        "code": subprocess.run(["sh", "-c", "exit 7"], check=False).returncode,
    }


def _shut() -> dict[str, list[int]]:
    if not os.path.isdir("/dev/fd"):
        not_here("no /dev/fd")
    # Whatever the tests themselves were started with.
    os.closerange(3, 1000)
    for number in (50, 60):
        os.dup2(0, number, inheritable=True)
    os.dup2(0, 70, inheritable=False)
    before = _inheritable()
    shut_descriptors()
    return {"before": before, "after": _inheritable()}


def _handed_over() -> list[list[int]]:
    os.closerange(3, 1000)
    os.dup2(0, 50, inheritable=True)
    os.dup2(0, 70, inheritable=False)
    inside = []
    try:
        with handed_over([70]) as others_shut:
            if not others_shut:
                not_here("no close_range")
            inside = _inheritable()
            raise ValueError
    except ValueError:
        return [inside, _inheritable()]


def _inheritable() -> list[int]:
    found = []
    for number in range(1000):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:
            continue
    return found
