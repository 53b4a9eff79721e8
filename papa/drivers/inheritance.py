"""
What a child would inherit from papa itself, and how papa sees to it that it does not.

Papa needs many descriptors; a program that uses select must not be started with papa's own high limit. Papa must not
die of a hangup; its children are to find every signal at its default.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["DescriptorLimit", "handed_over", "inheritable_environment", "reset_signals", "shut_descriptors"]

#: More descriptors than this papa does not ask for, whatever the system would allow.
_MOST: Final = 1 << 20
#: So many may be asked for where the system has a bound that it does not tell: OPEN_MAX of macOS.
_MOST_ELSEWHERE: Final = 10240
#: The spare descriptors keep clear of the lowest numbers, which L{papa.drivers.preparation} may need.
_LOWEST_SPARE: Final = 32

#: The first descriptor that is no standard stream.
_FIRST_OTHER: Final = 3
#: Of close_range(2): the last number, and to close what is there only when another program begins.
_LAST: Final = (1 << 32) - 1
_CLOSE_RANGE_CLOEXEC: Final = 4
_close_range = getattr(ctypes.CDLL(None), "close_range", None)
if _close_range is not None:
    _close_range.argtypes = (ctypes.c_uint, ctypes.c_uint, ctypes.c_int)

#: Said to papa alone, or said anew to each child.
_PRIVATE: Final = (
    "FDSTORE",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_PIDFDID",
    "WATCHDOG_USEC",
)


class DescriptorLimit:
    """
    Papa's own limit of open files, and the one it was started with.

    Starting a child takes two new descriptors for a moment. When papa has more open than the lower limit allows, there
    would be none; and papa is told that the program has begun only when the system has closed one of them, and all of
    papa's with a lower number before it. So two low ones are kept in reserve.
    """

    def __init__(self, started_with: int | None = None) -> None:
        """
        @param started_with: the soft limit that papa was started with; by default the one that there is.
        """
        self._own, self._hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._started_with = self._own if started_with is None else started_with
        self._keeps_spare = False
        self._spare: list[int] = []

    @property
    def started_with(self) -> int:
        """The soft limit that papa was started with."""
        return self._started_with

    def raise_to_most(self) -> int:
        """Take as many descriptors as the system allows, and tell how many."""
        most = _MOST if self._hard == resource.RLIM_INFINITY else min(self._hard, _MOST)
        for wanted in (most, min(most, _MOST_ELSEWHERE)):
            if wanted > self._own != resource.RLIM_INFINITY:
                with suppress(ValueError, OSError):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, self._hard))
                    self._own = wanted
        self._keeps_spare = True
        self._fill()
        return self._own

    def keep_back(self, count: int) -> None:
        """Do with so many descriptors less, or half as many as there may be."""
        own = self._own - min(count, self._own // 2)
        if own > self._started_with != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_NOFILE, (own, self._hard))
            self._own = own

    @contextmanager
    def as_started(self) -> Iterator[None]:
        """A moment under the limit that papa was started with."""
        self._release()
        if self._own != self._started_with:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._started_with, self._hard))
        try:
            yield
        finally:
            if self._own != self._started_with:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._own, self._hard))
            self._fill()

    def _fill(self) -> None:
        try:
            while self._keeps_spare and len(self._spare) < 2:
                self._spare.append(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, _LOWEST_SPARE))
        except OSError:
            pass  # None to be had now: the next child tries again, or fails with a clear error.

    def _release(self) -> None:
        while self._spare:
            os.close(self._spare.pop())


def shut_descriptors() -> None:
    """
    Keep the descriptors that papa was started with from children.

    Those of its own are kept from them anyway. The start of a child closes what it is not promised, but where
    L{handed_over} cannot see to that and the child's limit is low, it does not find all of it.
    """
    with suppress(FileNotFoundError):
        for name in os.listdir("/dev/fd"):
            with suppress(OSError):
                if int(name) >= _FIRST_OTHER:
                    os.set_inheritable(int(name), False)


@contextmanager
def handed_over(descriptors: Iterable[int]) -> Iterator[bool]:
    """
    A moment in which a program that begins gets these descriptors and the first three, and no others.

    The system then closes the others as the program begins, when papa has been let go of already. If that is left to
    the child, it closes one after the other and papa waits: 2 ms for 10 000 of them.

    @return: whether the system does; before Linux 5.11 it does not.
    """
    if _close_range is None or _close_range(_FIRST_OTHER, _LAST, _CLOSE_RANGE_CLOEXEC):
        yield False
        return
    given = list(descriptors)
    for descriptor in given:
        os.set_inheritable(descriptor, True)
    try:
        yield True
    finally:
        for descriptor in given:
            os.set_inheritable(descriptor, False)


def reset_signals() -> set[signal.Signals]:
    """
    Make papa deaf to the signals that must not end it, without children becoming deaf too.

    An ignored signal stays ignored in a child, and a blocked one blocked; one with a handler does not. So papa ignores
    nothing by C{SIG_IGN}, but for those that L{subprocess} sets back itself. A child's end must never be ignored: its
    exit code would be lost.

    @return: the signals that papa was started to ignore, and goes on ignoring in effect.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    set_back = {signal.SIGPIPE, getattr(signal, "SIGXFSZ", signal.SIGPIPE)}
    ignored = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
    if signal.SIGCHLD in ignored:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    deadly = {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
    # Whoever has a handler already, as for a log that is to be opened again, keeps it.
    ends_papa = {number for number in deadly if signal.getsignal(number) == signal.SIG_DFL}
    for number in (ignored - set_back - {signal.SIGCHLD}) | ends_papa:
        signal.signal(number, lambda *_: None)
    return ignored


def inheritable_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Papa's environment without what is meant for papa only."""
    return {name: value for name, value in environ.items() if name not in _PRIVATE and not name.startswith("PAPA_")}
