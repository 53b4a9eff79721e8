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

from papa.childspec import ChildSpec
from papa.drivers.identity import become
from papa.errors import SpawnFailed

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
        self._placed: list[int] = []
        self._copies: dict[int, int] = {}
        self._report: tuple[int, int] | None = None
        self._message = b""
        listen = {number: descriptor for number, (_, descriptor) in enumerate(spec.listen, _LISTEN_FDS_START)}
        self._moved = listen | {to: here for to, here in spec.descriptors.items() if to != here}
        self.descriptors: tuple[int, ...] = (*listen, *spec.descriptors)
        self.env: Mapping[str, str] | None = env
        self.function: Callable[[], None] | None = None

    @property
    def in_place(self) -> list[int]:
        """Those of the descriptors that lie here at the very numbers where the child is to find them."""
        return [number for number in self.descriptors if number not in self._copies]

    def __enter__(self) -> Preparation:
        try:
            self._reserve()
        except BaseException:
            self._give_back(failed=False)
            raise
        return self

    def _reserve(self) -> None:
        for number, descriptor in self._moved.items():
            self._place(number, descriptor)
        if self._spec.listen:
            self.env = None
        if self._spec.rlimits or self._spec.identity.changed or self._spec.listen or self._copies:
            self._report = os.pipe()
            self.function = self._prepare

    def _place(self, number: int, descriptor: int) -> None:
        """
        Have a descriptor lie at the number that the child is to find it at, or be ready to be put there.

        A number that is in use here can be changed in the child only; from a copy, for what is there may be handed over
        itself, and a copy made here, since the child's limit may be short. One that is free must not stay so: the start
        needs a pipe of its own, and each number that is kept open in the child must be open here.
        """
        try:
            fcntl.fcntl(number, fcntl.F_GETFD)
        except OSError:
            self._placed.append(os.dup2(descriptor, number, inheritable=False))
        else:
            self._copies[number] = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LISTEN_FDS_START)

    def _prepare(self) -> None:
        """Runs in the child. What goes wrong is written to papa, for Popen reports only that something did."""
        step = "take over its sockets"
        try:
            self._take_over()
            for name, limits in self._spec.rlimits.items():
                step = f"set rlimit {name}={limits[0]}:{limits[1]}"
                resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), limits)
            step = f"become uid {self._spec.identity.uid}"
            if self._spec.identity.changed:
                become(self._spec.identity)
            step = "be told of its sockets"
            if self._spec.listen:
                self._introduce()
        except BaseException as error:
            assert self._report is not None
            os.write(self._report[1], f"the process could not {step}: {error}".encode())
            raise

    def _take_over(self) -> None:
        """Have its sockets lie where it is to find them, which may be beyond the limit that it begins with."""
        if not self._copies:
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        beyond = max(self._copies) + 1
        if beyond > soft != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_NOFILE, (beyond, hard))
        for target, copy in self._copies.items():
            os.dup2(copy, target)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def _introduce(self) -> None:
        """Tell the child what it finds at which number."""
        os.environ.clear()
        if _clearenv is not None:
            _clearenv()  # What libraries have set behind Python's back, as readline does.
        os.environb.update(self._full_env)
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(self._spec.listen))
        os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in self._spec.listen)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back(failed=error is not None)

    def _give_back(self, *, failed: bool) -> None:
        for descriptor in (*self._placed, *self._copies.values()):
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
