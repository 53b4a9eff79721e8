"""How a kernel gives way to another, which goes on with all that is held."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from papa.continuity.mooring import Mooring
from papa.errors import Error, GivesWay
from papa.server.attendance import Attendance
from papa.server.service import KernelService

__all__ = ["GivingWay"]

#: How long clients have for hearing the last answers when papa gives way, in seconds: all others wait for the slowest.
_FAREWELL: Final = 0.3


class GivingWay:
    """Gives way to another kernel, when a client or SIGUSR2 asks for it."""

    _log = Logger()

    def __init__(self, reactor: Any, mooring: Mooring, attendance: Attendance, service: KernelService) -> None:
        self._reactor = reactor
        self._mooring = mooring
        self._attendance = attendance
        self._service = service

    def on_signal(self, ignored: set[signal.Signals]) -> None:
        """Do so on SIGUSR2, unless papa was started to ignore it."""
        if signal.SIGUSR2 not in ignored:
            signal.signal(signal.SIGUSR2, lambda number, frame: self._reactor.callFromThread(self._signalled))

    def _signalled(self) -> None:
        self.give_way("").addErrback(lambda refusal: refusal.trap(Error))  # The log has it.

    def give_way(self, python: str) -> Deferred[None]:
        """
        Have another kernel go on.

        @param python: the path of the Python to run it with; empty for the same.
        @return: fires just before L{leave}; fails with an L{Error} that says why this kernel goes on.
        """
        self._log.info("papa is asked to give way to another kernel")
        return self._mooring.give_way(python)

    def leave(self) -> None:
        """Everything is written down already: let clients hear what was done for them, and end."""
        self._service.give_way()
        gone = self._attendance.dismiss_all(GivesWay("The kernel gives way to another: go on with that"))
        gone.addTimeout(_FAREWELL, self._reactor).addBoth(lambda gone: self._reactor.callLater(0, self._end))

    def _end(self) -> None:
        """End as if killed: an orderly end would close pipes, and take that for their children's doing."""
        try:
            self._mooring.leave()
            self._mooring.link.secure()
        except Error as error:
            self._log.error("the state stays as this version writes it: {error}", error=error)
        except OSError as error:
            self._log.error("nobody goes on: {error}", error=error)
        self._log.info("papa ends: another kernel goes on")
        sys.stderr.flush()
        os._exit(0)
