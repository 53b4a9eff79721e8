"""How papa ends: on a signal, when whoever it was started for has gone, or because it was asked to."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure

from papa.daemon.systemd import notify

__all__ = ["Ending", "Lifeline"]


class Ending:
    """Ends papa, in a turn of its own: whatever led to it is finished first."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._asked = False

    def end_on(self, signals: set[signal.Signals]) -> None:
        """
        End on these signals, with exit code 0: to be ended is no failure.

        The reactor has handlers of its own by then, which make twistd end as if the signal had killed it.
        """
        for number in signals:
            signal.signal(number, self._sent)

    def _sent(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.end, f"it was sent {signal.Signals(number).name}")

    def end(self, reason: str) -> None:
        """End, for that reason, which is logged."""
        if not self._asked:
            self._asked = True
            self._log.info("papa ends: {reason}", reason=reason)
            notify(STOPPING=1)
            self._reactor.callLater(0, self._reactor.stop)


class Lifeline(FileDescriptor):
    """A descriptor whose other end is held by the process that papa was started for."""

    def __init__(self, reactor: Any, descriptor: int, ending: Ending) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._ending = ending
        os.set_inheritable(descriptor, False)

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Exception | None:
        return None if os.read(self._descriptor, 1) else CONNECTION_DONE

    def readConnectionLost(self, reason: Failure) -> None:
        # Called for a hang-up too, which epoll tells instead of an end of file.
        super().readConnectionLost(reason)
        self._ending.end("the process it was started for has gone")
