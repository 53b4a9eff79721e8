"""The next kernel of an anchor: of which version it is, when it begins, and whether one waits already."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

from papa.continuity.kernels import READY_WITHIN, KernelProcess
from papa.drivers.inheritance import DescriptorLimit

__all__ = ["Succession"]

#: The pause before the next start doubles with each kernel that did not come to serve, up to this many seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
#: How long a kernel has served that leaves no copy of itself waiting when another one is got ready, in seconds.
_QUIET: Final = 3.0
#: After so many such kernels in a row the other version is tried.
_GIVE_UP_AFTER: Final = 3


class Succession:
    """
    Who is next.

    @ivar argv: how a kernel of the version in force is started; C{previous}: of the one before it, if there was one.
    @ivar spare: a kernel that has begun, and waits to be told what is held: it need not be waited for when it counts.
    @ivar start_at: when the next may begin; C{spare_at}: when one is got ready to wait, L{None} if none is to be.
    @ivar failures: how many kernels in a row did not come to serve.
    """

    def __init__(self, argv: Sequence[str], previous: Sequence[str] | None = None) -> None:
        self.argv = list(argv)
        self.previous = None if previous is None else list(previous)
        self.spare: KernelProcess | None = None
        self.spare_at: float | None = None
        self.start_at = 0.0
        self.failures = 0
        self._spare_of_previous: KernelProcess | None = None

    def next(self, words: Sequence[str], limit: DescriptorLimit) -> KernelProcess:
        """
        The kernel that waits, or else a new one.

        @param words: what a new one is told besides; of C{--OPTION=NUMBER} the number is a descriptor for it alone.
        @raise OSError: if none can be started.
        """
        if self.spare is not None:
            kernel, self.spare = self.spare, None
            kernel.deadline = time.monotonic() + READY_WITHIN
            return kernel
        descriptors = [int(number) for _, _, number in (word.partition("=") for word in words) if number.isdecimal()]
        try:
            return KernelProcess.started(self.argv, words, descriptors, limit)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def prepare(self, limit: DescriptorLimit) -> None:
        """
        Have one wait, if it is time for that.

        @raise OSError: if it cannot be started; it is not tried again.
        """
        if self.spare is None and self.spare_at is not None and time.monotonic() >= self.spare_at:
            self.spare_at = None
            self.spare = KernelProcess.started(self.argv, (), (), limit)

    def times(self, *, running: bool) -> list[float]:
        """
        When there is something to do next, by the monotonic clock; none if there is nothing.

        @param running: whether there is a kernel.
        """
        if not running:
            return [self.start_at]
        return [self.spare_at] if self.spare is None and self.spare_at is not None else []

    def dismiss(self) -> None:
        """Have none wait any more; it ends as its line does."""
        _dismiss(self.spare)
        self.spare = None

    def ended(self, kernel: KernelProcess) -> None:
        """A kernel has ended: the copy that it has left is the next one, if none waits."""
        if self.spare is None and kernel.spare is not None and kernel.spare.lives:
            self.spare = kernel.spare

    def served(self, kernel: KernelProcess) -> None:
        """A kernel serves: so its version can."""
        self.failures = 0
        _dismiss(self._spare_of_previous)
        self._spare_of_previous = None
        if kernel.spare is None:
            self.spare_at = time.monotonic() + _QUIET

    def failed(self) -> bool:
        """
        A kernel did not come to serve.

        @return: whether so many did not that it is time to give up on their version.
        """
        self.start_at = time.monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.failures, 16))
        self.failures += 1
        return self.failures % _GIVE_UP_AFTER == 0

    def promote(self, successor: KernelProcess) -> None:
        """A successor is the kernel: what waits is of the version before it, and stays until this one has served."""
        _dismiss(self._spare_of_previous)
        self._spare_of_previous, self.spare = self.spare, None
        self.previous, self.argv = self.argv, successor.argv
        successor.deadline = time.monotonic() + READY_WITHIN

    def go_back(self) -> bool:
        """
        Have the next be of the other version; should that fail, too, it is this one's turn again.

        @return: whether there is another: a version that was installed in place of the one before has left nothing of
            it but what waits.
        """
        waiting, self._spare_of_previous = self._spare_of_previous, None
        if waiting is not None and not waiting.lives:
            _dismiss(waiting)
            waiting = None
        if self.previous is None or (self.previous == self.argv and waiting is None):
            return False
        self.dismiss()
        self.spare = waiting
        self.argv, self.previous = self.previous, self.argv
        return True


def _dismiss(kernel: KernelProcess | None) -> None:
    """It ends as its line does."""
    if kernel is not None:
        kernel.hang_up()
