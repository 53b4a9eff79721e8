"""The kernels of an anchor, as processes at the other end of a line."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from papa.continuity.channel import Channel, DescriptorsLost
from papa.continuity.door import knock
from papa.continuity.started import start_at_line
from papa.drivers.inheritance import DescriptorLimit
from papa.records import UNKNOWN_EXIT

__all__ = ["READY_WITHIN", "KernelProcess", "how"]

#: How long a kernel may take until it serves, in seconds.
READY_WITHIN: Final = 60.0

#: What passes: no room, no memory, or too many descriptors of this user on their way.
_LATER: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)


class KernelProcess:
    """
    A kernel process and the line to it; what it cannot be sent at once waits.

    @ivar told: the keys of what it has told of, if it is one that another anchor has started.
    """

    def __init__(self, argv: Sequence[str], pid: int, channel: Channel) -> None:
        self.argv = list(argv)
        self.pid = pid
        self.channel = channel
        self.spare: KernelProcess | None = None
        self.anchor: list[str] = []
        self.deadline: float | None = None
        self.served = self.leaving = self.rehearsed = False
        self.told: set[str] = set()
        self.waiting: deque[tuple[Mapping[str, Any], Sequence[int], bool]] = deque()
        self.open = True

    @classmethod
    def started(
        cls, argv: Sequence[str], words: Sequence[str], descriptors: Iterable[int], limit: DescriptorLimit
    ) -> KernelProcess:
        """A new one."""
        pid, line = start_at_line(lambda end: [*argv, *words, f"--anchor-fd={end}"], limit, descriptors)
        kernel = cls(argv, pid, line)
        kernel.deadline = time.monotonic() + READY_WITHIN
        return kernel

    @classmethod
    def copied(cls, argv: Sequence[str], pid: int, line: int) -> KernelProcess:
        """A copy that a kernel has left waiting, and the line to it: see L{papa.continuity.turn}."""
        return cls(argv, pid, Channel(line))

    @classmethod
    def behind(cls, argv: Sequence[str], doors: Sequence[int]) -> KernelProcess | None:
        """The kernel behind one of these doors, if it lives: see L{papa.continuity.door}."""
        for answered in filter(None, map(knock, doors)):
            kernel = cls(argv, *answered)
            kernel.deadline = time.monotonic() + READY_WITHIN
            return kernel
        return None

    @classmethod
    def serving(cls, argv: Sequence[str], pid: int, line: int, spare: tuple[int, int] | None) -> KernelProcess:
        """
        One that has been serving.

        @param spare: pid of, and line to, the copy that it has left waiting.
        """
        kernel = cls(argv, pid, Channel(line))
        kernel.served = True
        if spare is not None:
            kernel.spare = cls.copied(argv, *spare)
        return kernel

    def state(self) -> dict[str, Any]:
        """What L{serving} is to be told."""
        spare = self.spare
        return {
            "pid": self.pid,
            "line": self.channel.fileno(),
            "spare": None if spare is None else (spare.pid, spare.channel.fileno()),
        }

    def lines(self) -> list[int]:
        """Descriptors of the lines to it and to its copy."""
        return [each.channel.fileno() for each in (self, self.spare) if each is not None]

    @property
    def lives(self) -> bool:
        """Whether it has not ended; it must be a child by now."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def say(self, message: Mapping[str, Any], descriptors: Sequence[int] = (), *, given: bool = False) -> None:
        """
        Send a message as soon as there is room.

        @param given: close the descriptors once they are sent; others are held, and are so until the kernel drops them.
        """
        self.waiting.append((message, descriptors, given))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self.waiting:
            message, descriptors, given = self.waiting[0]
            try:
                if self.open:
                    self.channel.send(message, descriptors, wait=False)
            except OSError as error:
                if error.errno in _LATER:
                    return
                # It has gone, which its end will tell.
            self.waiting.popleft()
            if given:
                for descriptor in descriptors:
                    os.close(descriptor)

    def received(self) -> tuple[dict[str, Any], list[int]] | None:
        """
        What it says next, with descriptors; that a child cannot be started for want of them it is told at once.

        @raise BlockingIOError: if it says nothing now.
        """
        while True:
            try:
                return self.channel.receive(wait=False)
            except DescriptorsLost as lost:
                if lost.message.get("do") != "spawn":
                    raise
                self.say(
                    {"failed": lost.message["key"], "error": "LimitReached", "message": f"Cannot start it now: {lost}"}
                )

    def signal(self, number: int) -> None:
        """Send it a signal; one that is not our child may have gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end_if_late(self) -> bool:
        """Kill it if it had to serve by now; whether that is so."""
        if self.deadline is None or time.monotonic() < self.deadline:
            return False
        self.deadline = None
        self.signal(signal.SIGKILL)
        return True

    def hang_up(self) -> None:
        """Hear nothing from it any more, nor say anything."""
        if self.open:
            self.open = False
            self.channel.close()
            self.flush()


def how(code: int) -> str:
    """How a process has ended, in words."""
    if code == UNKNOWN_EXIT:
        return "ended, nobody knows how"
    return f"ended with {code}" if code >= 0 else f"was killed by signal {-code}"
