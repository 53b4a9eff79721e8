"""Looking after a daemon from outside, by its pid file."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from papa.daemon.errors import DaemonError
from papa.daemon.pidfile import PidLockFile
from papa.daemon.processes import is_alive, started_at

__all__ = ["Status", "await_end", "end", "process", "status", "stop"]

#: How long a daemon that was killed may take to be gone, in seconds.
_DYING: Final = 10.0
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Status:
    """
    How a daemon is.

    @ivar pid: its pid, if it runs.
    @ivar since: when it began, in seconds since the epoch, if that is known.
    """

    running: bool
    pid: int | None = None
    since: float | None = None


def status(pid_file: str | os.PathLike[str]) -> Status:
    """Whether the daemon of a pid file runs."""
    pid = PidLockFile(pid_file).owner()
    if pid is None:
        return Status(running=False)
    return Status(running=True, pid=pid or None, since=started_at(pid) if pid else None)


def stop(
    pid_file: str | os.PathLike[str],
    timeout: float = 10.0,
    *,
    number: int = signal.SIGTERM,
    kill: bool = True,
) -> bool:
    """
    End the daemon of a pid file, and wait until it has ended.

    @param timeout: how long it may take, in seconds.
    @param number: the signal that asks it to.
    @param kill: whether to kill it if it takes longer.
    @return: whether there was one.
    @raise DaemonError: if it goes on, or may not be signalled.
    """
    lock = PidLockFile(pid_file)
    pid = lock.owner()
    if pid is None:
        return False
    if not pid:
        raise DaemonError(f"{lock.file_name} is locked by a process that has not said which it is")
    with process(pid) as handle:
        # Between our reading and our handle the daemon may have ended, and its number have gone to another.
        if lock.owner() != pid:
            return True
        end(pid, handle, timeout, number, kill=kill)
    return True


def end(pid: int, handle: int | None, timeout: float, number: int, *, kill: bool = True) -> None:
    """
    Send a signal and wait, and kill if that takes longer.

    @raise DaemonError: if the process goes on, or may not be signalled.
    """
    _signal(pid, handle, number)
    if await_end(pid, handle, timeout):
        return
    if not kill:
        raise DaemonError(f"Process {pid} goes on {timeout:g} seconds after signal {number}")
    _signal(pid, handle, signal.SIGKILL)
    if not await_end(pid, handle, _DYING):
        raise DaemonError(f"Process {pid} was killed, and goes on")


@contextmanager
def process(pid: int) -> Iterator[int | None]:
    """A handle of a process, by which no other in its place is meant; L{None} where the system has none."""
    handle = None
    with suppress(OSError, AttributeError):
        handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _signal(pid: int, handle: int | None, number: int) -> None:
    """
    Send a signal; that a process has ended is no failure.

    @raise DaemonError: if it is not ours to signal.
    """
    try:
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    except OSError as error:
        raise DaemonError(f"Cannot signal process {pid}: {error.strerror}") from error


def await_end(pid: int, handle: int | None, timeout: float) -> bool:
    """Wait until a process has ended; whether it has, within so many seconds."""
    deadline = time.monotonic() + timeout
    if handle is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout) * 1000))
    while is_alive(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True
