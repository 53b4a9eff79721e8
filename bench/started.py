"""A process that a benchmark has started, and how it is ended: by its pidfd, so that no other is ever met."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Self

__all__ = ["PATIENCE", "Ends", "Program", "await_readable", "plain_environ"]

#: How long anything may take before it is given up, in seconds.
PATIENCE = 120.0


def plain_environ(**more: str) -> dict[str, str]:
    """This environment, but for what papa reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PAPA_")} | more


def await_readable(descriptor: int, what: str) -> None:
    """
    Wait until there is something to be read.

    @raise TimeoutError: if nothing comes.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(PATIENCE * 1000):
        raise TimeoutError(f"{what} did not happen within {PATIENCE:g} seconds")


class Ends:
    """The ends of processes that need not be children of this one; some may have ended, and be gone, before."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._handles: dict[int, int] = {}
        for pid in pids:
            with suppress(ProcessLookupError):
                self._handles[os.pidfd_open(pid)] = pid

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def kill(self) -> None:
        """Kill those that have not ended."""
        for handle in self._handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)

    def wait(self) -> None:
        """
        Wait for all.

        @raise TimeoutError: if one does not end.
        """
        for _ in self.each():
            pass

    def each(self) -> Iterable[int]:
        """The pids, as they end."""
        poll = select.poll()
        for handle in self._handles:
            poll.register(handle, select.POLLIN)
        waiting = len(self._handles)
        while waiting:
            ended = poll.poll(PATIENCE * 1000)
            if not ended:
                raise TimeoutError(f"{waiting} processes did not end within {PATIENCE:g} seconds")
            for handle, _ in ended:
                poll.unregister(handle)
                waiting -= 1
                yield self._handles[handle]

    def close(self) -> None:
        """Look no more."""
        while self._handles:
            os.close(self._handles.popitem()[0])


class Program:
    """A child of the benchmark itself; ended at the latest when the block is left that it is entered for."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        folder: str | None = None,
        log: str = os.devnull,
        descriptors: Sequence[int] = (),
        talks: bool = False,
    ) -> None:
        """
        @param log: the file for what it says that is not for the benchmark.
        @param talks: whether its standard input and output are for the benchmark.
        """
        with open(log, "ab") as file:
            stream: Any = subprocess.PIPE if talks else None
            self.process = subprocess.Popen(
                command,
                env=plain_environ() if environ is None else environ,
                cwd=folder,
                stdin=stream or subprocess.DEVNULL,
                stdout=stream or file,
                stderr=file,
                pass_fds=descriptors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def input(self) -> IO[bytes]:
        """Its standard input."""
        assert self.process.stdin is not None
        return self.process.stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Ask it to end, and kill it if it does not."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
