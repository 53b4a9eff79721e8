"""Read along with a program as if it ran in the foreground: its end, and what the interrupt key does to it."""

from __future__ import annotations

import errno
import os
import select
import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final

import click

from papa.cli.failures import exit_status, fail
from papa.cli.locality import is_local
from papa.client.blocking import Papa, Watcher
from papa.errors import Error, SpawnFailed

if TYPE_CHECKING:
    from papa.cli.printing import Printer

__all__ = ["Program", "read_along"]

#: How long after its program's end a reader waits for that of its output before it says for what, in seconds.
_UNEXPLAINED: Final = 1.0
#: From linux/pidfd.h, since Linux 6.9: a signal is for the whole process group.
_PROCESS_GROUP: Final = 1 << 2


class Program:
    """What is read along with, as far as it can be reached from here."""

    def __init__(self, papa: Papa, name: str, pid: int) -> None:
        """
        @param pid: its process id, as the kernel tells it.
        """
        self.name = name
        self._pid = pid
        self._exited = self._explained = False
        self._handle: int | None = None
        try:
            self._handle = papa.lend_process(name)
        except SpawnFailed:
            # It was quick, or the system has no such thing.
            self._exited = not papa.list_processes(name).get(name, {}).get("running")
        except Error:
            pass  # This is no Unix socket.

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def signal(self, number: int, watcher: Watcher) -> None:
        """
        Send a signal to all of its process group.

        @param watcher: reads it.
        @raise OSError: if that cannot be done.
        """
        if self._handle is not None:
            try:
                signal.pidfd_send_signal(self._handle, number, None, _PROCESS_GROUP)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            else:
                return
        # A handle comes only from a kernel of this machine.
        elif watcher.connection is None or not is_local(watcher.connection):
            raise OSError(errno.EXDEV, "its kernel is not on this machine")
        os.killpg(self._pid, number)

    def await_output(self, watcher: Watcher) -> None:
        """Wait until there is something to read; if there is not though the program has exited, say once why."""
        if self._explained or watcher.ready or not watcher:
            return
        if self._handle is not None:
            self._exited = self._handle in _readable(watcher, self._handle)
        if self._exited and not _readable(watcher, timeout=_UNEXPLAINED):
            self._explained = True
            click.echo(
                f"papa: {self.name} has exited; what it has started holds its output open, and is read on", err=True
            )


def read_along(watcher: Watcher, program: Program, shown: Printer) -> int:
    """
    Show everything until the end; the exit code to end with.

    @param watcher: watches this program only.
    @raise KeyboardInterrupt: if the program is to be left running.
    """
    interruption = _Interruption(program, watcher)
    before = {number: signal.signal(number, interruption) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        program.await_output(watcher)
        while (items := watcher.read_items()) is not None:
            shown.show(items)
            watcher.acknowledge()
            program.await_output(watcher)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shown.finish()
    code = watcher.exit_code.get(program.name)
    if code is None:
        fail(f"{program.name} has ended, and somebody else has collected how")
    return exit_status(code)


def _readable(*waited_for: Watcher | int, timeout: float | None = None) -> list[Watcher | int]:
    return select.select(waited_for, [], [], timeout)[0]


class _Interruption:
    """What the interrupt key does, each time it is pressed; or SIGTERM, as if it had been pressed once before."""

    def __init__(self, program: Program, watcher: Watcher) -> None:
        self._program = program
        self._watcher = watcher
        self._presses = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._presses += 1 if number == signal.SIGINT or self._presses else 2
        if self._presses > 2:
            raise KeyboardInterrupt(number)
        passed_on = signal.SIGINT if self._presses == 1 else signal.SIGTERM
        try:
            self._program.signal(passed_on, self._watcher)
        except OSError as error:
            said = f"{self._program.name} cannot be sent a signal: {error.strerror}"
            self._presses = 2
        else:
            said = f"sent {passed_on.name} to {self._program.name}"
        then = "terminate it" if self._presses == 1 else "leave it running"
        click.echo(f"papa: {said}; press Ctrl-C again to {then}", err=True)
