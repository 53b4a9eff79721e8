"""The kernel as a service: prepared, listening, and ended without a trace but its children."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from papa import places
from papa.errors import Error, SocketFailed
from papa.interfaces import ILine
from papa.kernel.core import Kernel
from papa.server.attendance import Attendance
from papa.server.listening import Listening

__all__ = ["KernelService"]


class KernelService(MultiService):
    """
    Starts listening when it is started; ends connections, sockets and their files when it is stopped.

    @ivar listeners: where the kernel was asked to listen.
    """

    _log = Logger()

    def __init__(
        self,
        kernel: Kernel,
        attendance: Attendance,
        listeners: list[Listening],
        *,
        folder: str,
        started: Callable[[list[str]], None],
        line: ILine | None = None,
        goes_on: bool = False,
    ) -> None:
        """
        @param folder: papa's runtime folder.
        @param started: called once it listens, with where.
        @param line: to who goes on when it ends; nobody does by default.
        @param goes_on: whether another kernel has served before it, whose sockets are held.
        """
        super().__init__()
        self._kernel = kernel
        self._attendance = attendance
        self._folder = folder
        self._started = started
        self._line = line
        self._goes_on = goes_on
        self.listeners = listeners

    def privilegedStartService(self) -> None:
        """
        Listen everywhere, or nowhere.

        @raise SystemExit: if it cannot listen where it must, or anywhere at all; with the reason for the operator.
        """
        try:
            self._prepare_folder()
            for listener in self.listeners:
                listener.privilegedStartService()
            if not any(listener.where for listener in self.listeners):
                raise SocketFailed("There is no place left to listen at")
        except Error as error:
            for listener in self.listeners:
                listener.stopService()
            raise SystemExit(f"papa: {error}") from error
        for listener in self.listeners:
            listener.setServiceParent(self)

    def _prepare_folder(self) -> None:
        try:
            places.prepare(self._folder)
        except Error as error:
            # What is held is in it already, and would be out of reach for ever.
            if not self._goes_on:
                raise
            self._log.error("going on all the same: {reason}", reason=error)

    def startService(self) -> None:
        """Serve."""
        super().startService()
        if self._line is not None:
            self._line.serve()
        self._log.info("papa is home, pid {pid}, uid {uid}", pid=os.getpid(), uid=os.geteuid())
        self._started([str(listener.where) for listener in self.listeners if listener.where is not None])

    def give_way(self) -> None:
        """Another kernel goes on with what is held: whoever comes now waits for that one."""
        for listener in self.listeners:
            listener.leave_held()
            listener.stopService()

    def stopService(self) -> Any:
        """End, without touching a child."""
        if self._line is not None:
            self._line.goodbye()
        for process in self._kernel.remaining():
            self._log.warn(
                "process {name}, pid {pid}, is left running; nobody reads what it prints from now on",
                name=process.name,
                pid=process.pid,
            )
        self._attendance.dismiss_all()
        self._kernel.release_sockets()
        return super().stopService()
