"""A kernel for the calling process alone, for tests: it ends when the process does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from typing import Final

from papa import places
from papa.client.autostart import arguments_for, launch
from papa.client.location import Location

__all__ = ["PrivateKernel"]

_END_TIMEOUT: Final = 10.0


class PrivateKernel:
    """
    A started kernel with a runtime folder of its own.

    @ivar location: where it serves.
    """

    def __init__(self, location: Location, timeout: float, *, ends_with_last: bool) -> None:
        """
        Start it.

        @param location: where it is to serve; one that nobody chose becomes a path in its folder.
        @param ends_with_last: whether it ends with its last connection.
        @raise Unreachable: if it does not come up.
        """
        self._owner = os.getpid()
        self._folder = tempfile.mkdtemp(prefix="papa-")
        self.location = location if location.chosen else Location(path=places.console_path(self._folder))
        self._ends_with_last = ends_with_last
        self._lock = threading.Lock()
        self._connections = 0
        reading, self._lifeline = os.pipe()
        arguments = ["--lifeline-fd", str(reading), *arguments_for(self.location)]
        if ends_with_last:
            arguments.append("--until-last-client")
        try:
            self._process, _ = launch(
                arguments,
                timeout=timeout,
                environ={**os.environ, "PAPA_RUNTIME_DIR": self._folder},
                log=places.log_path(self._folder),
                descriptors=[reading],
            )
        except BaseException:
            os.close(self._lifeline)
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            os.close(reading)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def connected(self) -> None:
        """A connection to it was made."""
        with self._lock:
            self._connections += 1

    def disconnected(self) -> None:
        """A connection to it was closed; if it was the last of a kernel that ends with it, wait for that."""
        with self._lock:
            self._connections -= 1
            if self._connections or not self._ends_with_last:
                return
        self.end()

    def end(self) -> None:
        """Let it end, and clear its folder away; but not from a forked copy of the process that it belongs to."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
        self._process.terminate()  # A forked copy of this process may hold its lifeline open.
        try:
            self._process.wait(timeout=_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
