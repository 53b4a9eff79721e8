"""A daemon: started, running, and ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from papa.daemon import control, systemd
from papa.daemon.errors import DaemonError, Parent
from papa.daemon.pidfile import PidLockFile
from papa.daemon.staged import LAST_STAGE, StagedDaemon

__all__ = ["Daemon"]

_log = logging.getLogger("papa.daemon.Daemon")


class Daemon(StagedDaemon):
    """A program that goes into the background, or that is started there by something that looks after it."""

    def run(self) -> object:
        """
        What the daemon does; by default, call its target.

        @raise DaemonError: if there is none.
        """
        if self.target is None:
            raise DaemonError("Nothing to do: give a target, or override run")
        return self.target(*self.args, **self.kwargs)

    def start(self) -> None:
        """
        Become a daemon, and run.

        In the launcher this returns once the daemon is on its own. The daemon runs in it, and ends with it; in the
        foreground by L{SystemExit}, in the background without ever coming back into what has called this.

        @raise DaemonError: in the launcher, if the daemon failed; C{output} and C{error} tell more.
        """
        again, self._returns = self.i_am == "parent", self._stage_completed > 0
        try:
            self._run_stages()
        except Parent:
            _write(sys.stderr, self.error)
            return
        except DaemonError:
            if self.i_am == "parent" and not again:
                _write(sys.stdout, self.output)
            raise
        code = self._live()
        if not self._detached:
            self._finish()
            raise SystemExit(code)
        self._finish()
        threading._shutdown()  # type: ignore[attr-defined]
        logging.shutdown()
        self._exit(code)

    def activate(self) -> None:
        """
        Become a daemon, and return there. The launcher ends in here: with 0, or with 1 or what the daemon failed with.
        """
        again = self.i_am == "parent"
        try:
            self._run_stages()
        except Parent:
            self._leave_launcher(0)
        except DaemonError:
            if self.i_am == "parent" and not again:
                self._leave_launcher(self.exit_code or 1)
            raise
        self._stage_completed = LAST_STAGE + 1

    def _leave_launcher(self, code: int) -> NoReturn:
        _write(sys.stdout, self.output)
        _write(sys.stderr, self.error)
        # What the launcher was to do at its exit is the daemon's to do.
        os._exit(code)

    def report(self) -> NoReturn:
        """In the launcher: print what the daemon has printed, and end."""
        print(self.output)  # noqa: T201 - that is what it is for
        raise SystemExit

    def ready(self, status: str | None = None) -> None:
        """
        Say that the daemon serves: to the launcher, if it waits for that, and to systemd.

        @param status: what it does, for people who ask systemd, and for the launcher: C{ready_status}.
        """
        if self._awaited:
            assert self._launch is not None
            self._launch.succeed(status or "")
        systemd.notify(READY=1, MAINPID=os.getpid(), **({} if status is None else {"STATUS": status}))

    def _live(self) -> int:
        """Run, to the end; with what exit code."""
        self._stage_completed = LAST_STAGE + 1
        _log.debug("running %r", self.target)
        ending: BaseException = SystemExit(0)
        try:
            self.run()
        except BaseException as error:
            if not (self._detached or isinstance(error, SystemExit)):
                self._finish()
                raise
            ending = error
        if self._awaited:
            self._report(ending)
        elif not isinstance(ending, SystemExit):
            _log.critical("the daemon failed", exc_info=ending)
            traceback.print_exception(ending)
        if not isinstance(ending, SystemExit):
            return 1
        if isinstance(ending.code, int | None):
            return (ending.code or 0) & 0xFF
        _write(sys.stderr, f"{ending.code}\n")
        return 1

    # From outside.

    def _path(self) -> str | os.PathLike[str]:
        if self.pid_file is None:
            raise DaemonError("Without a pid file the daemon cannot be found")
        return self.pid_file.file_name if isinstance(self.pid_file, PidLockFile) else self.pid_file

    def status(self) -> control.Status:
        """Whether the daemon of this pid file runs, whoever has started it."""
        return control.status(self._path())

    def stop(self, timeout: float = 10.0) -> bool:
        """
        End the daemon of this pid file, whoever has started it; with force if it takes longer.

        @param timeout: in seconds.
        @return: whether there was one.
        @raise DaemonError: if it is not ours to end.
        """
        return control.stop(self._path(), timeout)

    def restart(self, timeout: float = 10.0) -> None:
        """L{stop} it if it runs, and L{start} this one."""
        self.stop(timeout)
        if self.i_am == "parent":
            self._reset()
        self.start()

    def __enter__(self) -> Self:
        """Start it in the background, for as long as the launcher needs it: for tests."""
        self.detach = True
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.pid is not None
        with control.process(self.pid) as handle:
            control.end(self.pid, handle, 10.0, signal.SIGTERM)


def _write(stream: Any, text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):
        stream.write(text)
        stream.flush()
