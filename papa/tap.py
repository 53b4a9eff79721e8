"""The wiring: options, and the service that C{twistd papa} and C{papa serve} run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.abstract import FileDescriptor
from twisted.logger import Logger
from twisted.python import usage

from papa import endpoints, places
from papa.drivers.children import SystemChildren
from papa.drivers.inheritance import DescriptorLimit, reset_signals
from papa.drivers.sockets import SystemSockets
from papa.errors import Error
from papa.kernel.core import Kernel
from papa.server.access import Access
from papa.server.attendance import Attendance
from papa.server.console import ConsoleFactory
from papa.server.eventlog import EventLog
from papa.server.listening import Listening
from papa.server.service import KernelService

__all__ = ["Options", "makeService"]


class Options(usage.Options):
    """What a kernel can be told when it starts."""

    synopsis = "[options]"
    longdesc = (
        "papa holds sockets, values and processes for programs that come and go. Without options it serves its "
        f"console at 127.0.0.1:{places.DEFAULT_PORT}, if that is free, and at {places.CONSOLE} in its runtime folder "
        "($PAPA_RUNTIME_DIR, /run/papa, $XDG_RUNTIME_DIR/papa or /tmp/papa-UID)."
    )
    optParameters: ClassVar = [
        ["port", "p", None, "Serve the console at this port of 127.0.0.1.", int],
        ["unix-socket", "u", None, "Serve the console at this Unix path."],
        ["ready-fd", None, None, "Write where the kernel listens to this descriptor, once it does.", int],
        ["lifeline-fd", None, None, "End when this descriptor is closed at its other end.", int],
    ]
    optFlags: ClassVar = [["until-last-client", None, "End when the last connection has gone."]]

    def __init__(self) -> None:
        super().__init__()
        self["console"] = []

    def opt_console(self, description: str) -> None:
        """Serve the console at this endpoint, tcp:PORT[:interface=ADDRESS] or unix:PATH; may be repeated."""
        self["console"].append(description)

    def postOptions(self) -> None:
        """
        Read the endpoints.

        @raise usage.UsageError: if one is none, or would let other machines in.
        """
        descriptions = list(self["console"])
        if self["port"] is not None:
            descriptions.append(f"tcp:{self['port']}")
        if self["unix-socket"] is not None:
            descriptions.append(f"unix:{os.path.abspath(self['unix-socket'])}")
        try:
            self["endpoints"] = [endpoints.parse(description) for description in descriptions]
        except Error as error:
            raise usage.UsageError(str(error)) from error


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The kernel, ready to be started.

    @param options: parsed options.
    @param reactor: the reactor to serve with; the global one by default.
    """
    if reactor is None:
        from twisted.internet import reactor
    limit = DescriptorLimit()
    most = limit.raise_to_most()
    ignored = reset_signals()
    kernel = Kernel(
        sockets=SystemSockets(),
        children=SystemChildren(reactor, limit),
        wall=time.time,
        events=EventLog(),
    )
    ending = _Ending(reactor)
    reactor.callWhenRunning(ending.end_on, {signal.SIGTERM, signal.SIGINT} - ignored)
    attendance = Attendance(
        kernel,
        ending,
        most=max(most // 2, most - 512),
        ends_with_last=bool(options["until-last-client"]),
    )
    factory = ConsoleFactory(kernel, attendance, Access(os.geteuid()))
    folder = places.runtime_folder()
    asked = options["endpoints"]
    wanted: list[tuple[endpoints.Endpoint, bool]] = [(endpoint, False) for endpoint in asked]
    if not asked:
        wanted.append((endpoints.TcpEndpoint(port=places.DEFAULT_PORT), True))
    own = endpoints.UnixEndpoint(path=places.console_path(folder))
    if own not in asked:
        wanted.append((own, bool(asked)))
    listeners = [Listening(reactor, endpoint, factory, optional=optional) for endpoint, optional in wanted]
    if options["lifeline-fd"] is not None:
        _Lifeline(reactor, options["lifeline-fd"], ending).startReading()
    return KernelService(
        kernel, attendance, listeners, folder=folder, started=_Readiness(reactor, options["ready-fd"]).announce
    )


class _Ending:
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
        self._reactor.callFromThread(self, f"it was sent {signal.Signals(number).name}")

    def __call__(self, reason: str) -> None:
        if not self._asked:
            self._asked = True
            self._log.info("papa ends: {reason}", reason=reason)
            self._reactor.callLater(0, self._reactor.stop)


class _Readiness:
    """Tells whoever started papa that it serves."""

    def __init__(self, reactor: Any, descriptor: int | None) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def announce(self, where: list[str]) -> None:
        """Say where, and close; but not before a signal would find the reactor ready to end in order."""
        if self._descriptor is not None:
            self._reactor.callLater(0, self._write, "".join(f"ready {each}\n" for each in where))

    def _write(self, text: str) -> None:
        assert self._descriptor is not None
        with suppress(OSError), open(self._descriptor, "w", encoding="utf-8") as pipe:
            pipe.write(text)
        self._descriptor = None


class _Lifeline(FileDescriptor):
    """A descriptor whose other end is held by the process that papa was started for."""

    def __init__(self, reactor: Any, descriptor: int, ending: _Ending) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._end = ending
        os.set_inheritable(descriptor, False)

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        if not os.read(self._descriptor, 1):
            self.stopReading()
            self._end("the process it was started for has gone")
