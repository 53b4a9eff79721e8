"""
What must be done inside a child between its birth and its program: limits, identity, handed-over sockets.

Most children need none of it and are started without a copy of papa's memory. For the others Python code runs in a
forked child; that is sound because papa has a single thread.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from papa.drivers.identity import become
from papa.errors import SpawnFailed
from papa.interfaces import ChildSpec

__all__ = ["Preparation"]

#: The first descriptor that systemd's protocol hands over: sd_listen_fds(3).
_LISTEN_FDS_START: Final = 3


_clearenv = getattr(ctypes.CDLL(None), "clearenv", None)


class Preparation:
    """
    The extra steps for one child; entered around its start.

    @ivar descriptors: what the child keeps open beyond its standard streams.
    @ivar env: the environment to start it with; L{None} where the child sets it itself.
    @ivar function: what to run in the child, if anything.
    """

    def __init__(self, spec: ChildSpec, env: Mapping[str, str]) -> None:
        self._spec = spec
        self._full_env = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
        self._fillers: list[int] = []
        self._copies: list[int] = []
        self._report: tuple[int, int] | None = None
        self._message = b""
        self.descriptors: tuple[int, ...] = spec.descriptors
        self.env: Mapping[str, str] | None = env
        self.function: Callable[[], None] | None = None
        self._first_free = _LISTEN_FDS_START + len(spec.listen)

    def __enter__(self) -> Preparation:
        try:
            self._reserve()
        except BaseException:
            self._give_back(failed=False)
            raise
        return self

    def _reserve(self) -> None:
        if self._spec.rlimits or self._spec.identity.changed or self._spec.listen:
            self._report = os.pipe()
            self.function = self._prepare
        if self._spec.listen:
            self.env = None
            self._occupy()
            self._copy()
            self.descriptors = (*range(_LISTEN_FDS_START, self._first_free), *self._spec.descriptors)

    def _occupy(self) -> None:
        """
        Leave none of the numbers that will be handed over free.

        The start needs a pipe of its own, which must not come to lie on one of them; and each number that is kept open
        in the child must be open here.
        """
        while True:
            descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            if descriptor >= self._first_free:
                os.close(descriptor)
                return
            self._fillers.append(descriptor)

    def _copy(self) -> None:
        """Copy the sockets, for one may lie where another's target is; here, since the child's limit may be short."""
        for _, descriptor in self._spec.listen:
            self._copies.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self._first_free))

    def _prepare(self) -> None:
        """Runs in the child. What goes wrong is written to papa, for Popen reports only that something did."""
        step = "set its limits"
        try:
            for name, limits in self._spec.rlimits.items():
                step = f"set rlimit {name}={limits[0]}:{limits[1]}"
                resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), limits)
            step = f"become uid {self._spec.identity.uid}"
            if self._spec.identity.changed:
                become(self._spec.identity)
            step = "take over its sockets"
            if self._spec.listen:
                self._hand_over()
        except BaseException as error:
            assert self._report is not None
            os.write(self._report[1], f"the process could not {step}: {error}".encode())
            raise

    def _hand_over(self) -> None:
        for target, copy in enumerate(self._copies, _LISTEN_FDS_START):
            os.dup2(copy, target)
        os.environ.clear()
        if _clearenv is not None:
            _clearenv()  # What libraries have set behind Python's back, as readline does.
        os.environb.update(self._full_env)
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(self._copies))
        os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in self._spec.listen)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back(failed=error is not None)

    def _give_back(self, *, failed: bool) -> None:
        for descriptor in (*self._fillers, *self._copies):
            os.close(descriptor)
        if self._report is not None:
            reading, writing = self._report
            os.close(writing)
            if failed:
                self._message = os.read(reading, 4096)
            os.close(reading)

    def failure(self) -> SpawnFailed:
        """Why it went wrong inside the child."""
        reason = self._message.decode(errors="replace") or "it could not be prepared"
        return SpawnFailed(f"Cannot start {self._spec.args[0]!r}: {reason}")
