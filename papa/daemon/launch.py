"""
Leaving the launcher: fork, session, fork again; and what the daemon tells the launcher until it is on its own.

Three pipes lead back: what the daemon prints, what it complains of, and a I{word}: that it is ready, or why it failed.
The word decides; that something was printed on standard error is no failure.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from papa.daemon.control import await_end, process
from papa.daemon.control import end as end_process
from papa.daemon.descriptors import (
    flush_streams,
    is_open,
    pipe_above,
    redirect,
    renew_streams,
)

__all__ = ["Launch", "Outcome"]

_READ_SIZE: Final = 65536
#: How much of a failure is told, in characters.
_LONGEST: Final = 10_000
#: How long a daemon that comes up too late may take to end, in seconds, before it is killed.
_DYING: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What has become of a start.

    @ivar pid: the daemon, if it got so far.
    @ivar output: what it printed on its way; C{warnings}: what it complained of.
    @ivar failure: why it failed; empty if it is ready.
    @ivar code: the exit code that it failed with.
    @ivar status: what it said of itself when it was ready.
    """

    pid: int | None
    output: str
    warnings: str
    failure: str = ""
    code: int = 0
    status: str = ""


class Launch:
    """One start of a daemon."""

    def __init__(self) -> None:
        self._word: int | None = None
        self._ends: tuple[int, int, int] = (-1, -1, -1)
        self._heard = {1: b"", 2: b""}
        self._said = b""

    @property
    def descriptors(self) -> set[int]:
        """In the daemon: what it must not close until it has given its word."""
        return set() if self._word is None else {self._word}

    def fork(self) -> bool:
        """
        Go on twice.

        @return: whether this is the daemon.
        @raise OSError: in the launcher, if the system has no process or pipe left.
        """
        flush_streams()
        pipes: list[tuple[int, int]] = []
        try:
            for _ in range(3):
                pipes.append(pipe_above())  # noqa: PERF401 - those that were made must be closed
            first = os.fork()
        except OSError:
            for end in (each for pipe in pipes for each in pipe):
                os.close(end)
            raise
        if first:
            for _, writing in pipes:
                os.close(writing)
            out, err, word = (reading for reading, _ in pipes)
            self._ends = (out, err, word)
            with suppress(ChildProcessError):
                os.waitpid(first, 0)
            return False
        for reading, _ in pipes:
            os.close(reading)
        self._become_daemon(*(writing for _, writing in pipes))
        return True

    def _become_daemon(self, out: int, err: int, word: int) -> None:
        self._word = word
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            signal.set_wakeup_fd(-1)
            for number, pipe in ((1, out), (2, err)):
                redirect(number, pipe)
                os.close(pipe)
            if not is_open(0):
                redirect(0, None)
            renew_streams()
        except BaseException as error:  # noqa: BLE001 - nothing of the launcher's may run here
            self.report_failure(str(error), 1)
            os._exit(1)
        self._tell(pid=os.getpid())

    def _tell(self, **said: object) -> None:
        if self._word is not None:
            # A launcher that has gone needs no word.
            with suppress(OSError):
                os.write(self._word, json.dumps(said).encode() + b"\n")

    @property
    def awaited(self) -> bool:
        """In the daemon: whether the launcher still waits for the word."""
        return self._word is not None

    def succeed(self, status: str = "") -> None:
        """In the daemon: give the word that it is ready."""
        self._tell(ready=True, status=status)
        self._hang_up()

    def report_failure(self, error: str, code: int) -> None:
        """In the daemon: give the word that it failed, and will end."""
        flush_streams()
        # All that a pipe takes at once, so that it does not wait for a launcher that does not read.
        self._tell(error=error[-_LONGEST:], code=code or 1)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._word is not None:
            os.close(self._word)
            self._word = None

    def follow(self, monitor: Callable[[Any, int, int], object], timeout: float | None) -> Outcome:
        """
        In the launcher: see the daemon off.

        @param monitor: is called with a queue and the descriptors of the daemon's output and errors; it may read them
            to the end, or call L{listen}.
        @param timeout: how long to wait for the word, in seconds. Then the daemon is ended.
        """
        failure = ""
        try:
            monitor(queue.SimpleQueue(), *self._ends[:2])
            self.listen(timeout)
        except TimeoutError:
            failure = f"the daemon was not ready within {timeout:g} seconds"
        finally:
            for end in self._ends:
                os.close(end)
        said: dict[str, Any] = {}
        for line in self._said.splitlines():
            said |= json.loads(line)
        pid = said.get("pid")
        if failure and pid is not None:
            # It must not come up when nobody counts on it any more.
            with process(pid) as handle:
                end_process(pid, handle, _DYING, signal.SIGTERM)
        elif not said.get("ready"):
            failure = said.get("error", "the daemon ended before it was ready")
            if pid is not None:
                # Whoever starts another at once is not to find its lock.
                with process(pid) as handle:
                    await_end(pid, handle, _DYING)
        return Outcome(
            pid=pid,
            output=self._heard[1].decode(errors="replace"),
            warnings=self._heard[2].decode(errors="replace"),
            failure=failure,
            code=said.get("code", 1) if failure else 0,
            status=said.get("status", ""),
        )

    def listen(self, timeout: float | None) -> None:
        """
        In the launcher: hear what the daemon says until its word has come, or it has ended.

        @raise TimeoutError: if nothing was decided by then.
        """
        out, err, word = self._ends
        poll = select.poll()
        for end in self._ends:
            os.set_blocking(end, False)
            poll.register(end, select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        left: float | None = None
        ended: set[int] = set()
        # The first line is who it is, the second is the word.
        while word not in ended and self._said.count(b"\n") < 2:
            # Whatever else it says meanwhile.
            if left == 0:
                raise TimeoutError
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            for end, _ in poll.poll(None if left is None else left * 1000):
                if self._hear(end) == b"":
                    poll.unregister(end)
                    ended.add(end)
        # What was printed before the word was given is in the pipes.
        for end in {out, err} - ended:
            while self._hear(end):
                pass

    def _hear(self, end: int) -> bytes | None:
        """Some bytes; none at the end; L{None} if there are none yet."""
        try:
            data = os.read(end, _READ_SIZE)
        except BlockingIOError:
            return None
        if end == self._ends[2]:
            self._said += data
        else:
            self._heard[1 if end == self._ends[0] else 2] += data
        return data
