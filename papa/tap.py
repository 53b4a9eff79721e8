"""The wiring: options, and the service that C{twistd papa} and C{papa serve} run."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogPublisher
from twisted.python import usage
from twisted.python.failure import Failure

from papa import endpoints, places
from papa.continuity.fuse import Fuse
from papa.continuity.mooring import Mooring
from papa.continuity.twistd import become_anchor, check_anchor, check_twistd
from papa.daemon.systemd import notify, watchdog_interval
from papa.drivers.children import SystemChildren
from papa.drivers.garbage import pass_over_what_stays
from papa.drivers.inheritance import DescriptorLimit, reset_signals, shut_descriptors
from papa.drivers.machine import output_bound
from papa.drivers.peers import TELLS_OF_TCP
from papa.drivers.sockets import SystemSockets
from papa.drivers.steady import go_by_steady_clock
from papa.errors import BadRequest, Error, GivesWay
from papa.kernel.core import Kernel
from papa.server.access import Access
from papa.server.attendance import Attendance
from papa.server.console import ConsoleFactory
from papa.server.eventlog import EventLog
from papa.server.listening import Listening
from papa.server.program import ProgramFactory
from papa.server.service import KernelService
from papa.wire.messages import PROTOCOL_VERSION, Greeting

__all__ = ["Options", "makeService"]

#: How long clients have for hearing the last answers when papa gives way, in seconds: all others wait for the slowest.
_FAREWELL: Final = 0.3

#: So many descriptors fewer a kernel may have than its anchor, which has to hold what the kernel has, and than the
#: next kernel while it takes all of that over.
_FOR_OTHERS: Final = 64


class Options(usage.Options):
    """What a kernel can be told when it starts."""

    synopsis = "[options]"
    longdesc = (
        "papa holds sockets, values and processes for programs that come and go. Without options it serves its "
        f"console at 127.0.0.1:{places.DEFAULT_PORT}, if that is free, and at {places.CONSOLE} in its runtime folder; "
        f"programs it serves at {places.CONTROL} there. The folder is $PAPA_RUNTIME_DIR, /run/papa for root, "
        "$XDG_RUNTIME_DIR/papa, or /tmp/papa-UID."
    )
    optParameters: ClassVar = [
        ["port", "p", None, "Serve the console at this port of 127.0.0.1.", int],
        ["unix-socket", "u", None, "Serve the console at this Unix path."],
        ["ready-fd", None, None, "Write where the kernel listens to this descriptor, once it does.", int],
        ["anchor-fd", None, None, "Go on with what an anchor holds, to which this descriptor leads.", int],
        ["lifeline-fd", None, None, "End when this descriptor is closed at its other end.", int],
    ]
    optFlags: ClassVar = [
        ["anchor", None, "Have another kernel go on with all that is held if this one dies; with twistd --nodaemon."],
        ["until-last-client", None, "End when the last connection has gone."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["console"] = []
        self["control"] = []
        self.words = 0

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and remember of how many words."""
        self.words = len(options or ())
        super().parseOptions(options)

    def opt_console(self, description: str) -> None:
        """Serve the console there: tcp:PORT[:interface=ADDRESS], unix:PATH or ssl:PORT:…; may be repeated."""
        self["console"].append(description)

    def opt_control(self, description: str) -> None:
        """Serve programs (AMP) there, written likewise; may be repeated."""
        self["control"].append(description)

    def postOptions(self) -> None:
        """
        Read the endpoints.

        @raise usage.UsageError: if one is none, or would let other machines in.
        """
        check_twistd(self.parent)
        if self["anchor"]:
            check_anchor(self.parent)
        descriptions = list(self["console"])
        if self["port"] is not None:
            descriptions.append(f"tcp:{self['port']}")
        if self["unix-socket"] is not None:
            descriptions.append(f"unix:{os.path.abspath(self['unix-socket'])}")
        try:
            self["consoles"] = [endpoints.parse(description) for description in descriptions]
            self["controls"] = [endpoints.parse(description) for description in self["control"]]
            _check_reachable(self["consoles"] + self["controls"])
        except Error as error:
            raise usage.UsageError(str(error)) from error


def _check_reachable(asked: Iterable[endpoints.Endpoint]) -> None:
    """
    Whether anybody would get in at these.

    @raise BadRequest: if not.
    """
    for endpoint in asked:
        if isinstance(endpoint, endpoints.TcpEndpoint) and not TELLS_OF_TCP:
            raise BadRequest(
                f"{endpoint}: this system does not tell whose a TCP connection is, so nobody would get in; serve at a "
                "Unix path, as with -u"
            )


class _ServiceManager:
    """What systemd is told, if it has started papa."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._where = ""

    def serves(self, where: str, anchor: int) -> None:
        """papa serves there, and does not hang from now on."""
        self._where = where
        self.serves_still()
        interval = watchdog_interval(anchor)
        if interval is not None:
            barking = LoopingCall(notify, WATCHDOG=1)
            barking.clock = self._reactor
            barking.start(interval)

    def serves_still(self) -> None:
        """It waits for that again if it has started another anchor for the kernel that serves."""
        notify(READY=1, STATUS=f"serving at {self._where}")


def makeService(options: Options, reactor: Any = None, ready: Callable[[str], object] | None = None) -> IService:
    """
    The kernel, ready to be started.

    @param options: parsed options.
    @param reactor: the reactor to serve with; the global one by default.
    @param ready: is told where the kernel serves, once it does; by default, systemd is.
    """
    if reactor is None:
        from twisted.internet import reactor
    go_by_steady_clock(reactor)
    if options["anchor"]:
        become_anchor(options.words, options["ready-fd"])
    limit = DescriptorLimit()
    most = limit.raise_to_most()
    ignored = reset_signals()
    shut_descriptors()
    mooring = None if options["anchor-fd"] is None else _moored(options["anchor-fd"], reactor, limit)
    kernel = _plain(reactor, limit) if mooring is None else mooring.kernel(EventLog())
    ending = _Ending(reactor)
    reactor.callWhenRunning(ending.end_on, {signal.SIGTERM, signal.SIGINT} - ignored)
    attendance = Attendance(
        kernel,
        ending,
        most=max(most // 2, most - 512),
        ends_with_last=bool(options["until-last-client"]),
    )
    access = Access(os.geteuid())
    greeting = Greeting(
        version=PROTOCOL_VERSION,
        kernel=uuid.uuid4().hex if mooring is None else mooring.identity,
        pid=os.getpid(),
        anchor=0 if mooring is None else mooring.link.anchor,
        kernels=1 if mooring is None else mooring.link.kernels,
    )
    programs = ProgramFactory(kernel, attendance, access, greeting, reactor)
    manager = _ServiceManager(reactor)
    if mooring is not None:
        _follow_anchor(mooring, programs, manager)
    consoles = ConsoleFactory(kernel, attendance, access, reactor, programs.successor)
    folder = places.runtime_folder()
    holder = None if mooring is None else mooring.link
    listeners = [
        Listening(reactor, endpoint, consoles, optional=optional, holder=holder)
        for endpoint, optional in _wanted(
            options["consoles"],
            places.console_path(folder),
            endpoints.TcpEndpoint(port=places.DEFAULT_PORT) if TELLS_OF_TCP else None,
        )
    ] + [
        Listening(reactor, endpoint, programs, optional=optional, holder=holder)
        for endpoint, optional in _wanted(options["controls"], places.control_path(folder), None, options["consoles"])
    ]
    service = KernelService(
        kernel,
        attendance,
        listeners,
        folder=folder,
        started=_Readiness(
            reactor, options["ready-fd"], ready or (lambda where: manager.serves(where, greeting.anchor))
        ).announce,
        line=mooring,
        goes_on=greeting.kernels > 1,
    )
    if mooring is not None:
        way = _GivingWay(reactor, mooring, attendance, service)
        mooring.link.retire = way.leave
        attendance.give_way = way
        reactor.callWhenRunning(way.on_signal, ignored)
        reactor.callWhenRunning(limit.keep_back, _FOR_OTHERS)
    reactor.callWhenRunning(pass_over_what_stays, reactor)
    if options["lifeline-fd"] is not None:
        _Lifeline(reactor, options["lifeline-fd"], ending).startReading()
    return service


def _follow_anchor(mooring: Mooring, programs: ProgramFactory, manager: _ServiceManager) -> None:
    """Tell clients of another anchor once there is one."""

    def moved() -> None:
        programs.greeting = replace(programs.greeting, anchor=mooring.link.anchor)
        manager.serves_still()

    mooring.link.moved = moved


def _plain(reactor: Any, limit: DescriptorLimit) -> Kernel:
    """A kernel that nobody goes on from."""
    return Kernel(
        sockets=SystemSockets(),
        children=SystemChildren(reactor, limit),
        wall=time.time,
        events=EventLog(),
        most_output=output_bound(),
    )


def _moored(descriptor: int, reactor: Any, limit: DescriptorLimit) -> Mooring:
    os.set_inheritable(descriptor, False)
    globalLogPublisher.addObserver(Fuse())
    try:
        return Mooring(descriptor, reactor, time.time, limit)
    except ConnectionError:
        raise SystemExit(0) from None  # It is not needed: another goes on, or the anchor has ended.
    except Error as error:
        raise SystemExit(f"papa: {error}") from error


def _wanted(
    asked: list[endpoints.Endpoint],
    own_path: str,
    tried: endpoints.Endpoint | None,
    also_asked: Sequence[endpoints.Endpoint] = (),
) -> Iterator[tuple[endpoints.Endpoint, bool]]:
    """
    Where to listen, and whether papa goes on without it.

    A kernel that was told where to serve must serve there, and serves in the runtime folder too if that is free; a
    kernel that was not must serve in the runtime folder, and there is only one of that kind.
    """
    for endpoint in asked:
        yield endpoint, False
    if tried is not None and not asked:
        yield tried, True
    own = endpoints.UnixEndpoint(path=own_path)
    if own not in asked:
        yield own, bool(asked or also_asked)


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
            notify(STOPPING=1)
            self._reactor.callLater(0, self._reactor.stop)


class _GivingWay:
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
            signal.signal(
                signal.SIGUSR2, lambda number, frame: self._reactor.callFromThread(self, "", lambda why: None)
            )

    def __call__(self, python: str, done: Callable[[Error | None], object]) -> None:
        self._log.info("papa is asked to give way to another kernel")
        self._mooring.give_way(python, done, self.leave)

    def leave(self) -> None:
        """Everything is written down already: let clients hear what was done for them, and end."""
        self._service.give_way()
        late = self._reactor.callLater(_FAREWELL, self._end)
        reason = GivesWay("The kernel gives way to another: go on with that")
        self._attendance.dismiss_all(reason, lambda: late.active() and late.reset(0))

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


class _Readiness:
    """Tells whoever started papa that it serves."""

    def __init__(self, reactor: Any, descriptor: int | None, ready: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._ready = ready
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def announce(self, where: list[str]) -> None:
        """Say where, and close; but not before a signal would find the reactor ready to end in order."""
        self._reactor.callLater(0, self._tell, where)

    def _tell(self, where: list[str]) -> None:
        self._ready(" and ".join(where))
        if self._descriptor is not None:
            with suppress(OSError), open(self._descriptor, "w", encoding="utf-8") as pipe:
                pipe.writelines(f"ready {each}\n" for each in where)
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

    def doRead(self) -> Exception | None:
        return None if os.read(self._descriptor, 1) else CONNECTION_DONE

    def readConnectionLost(self, reason: Failure) -> None:
        # Called for a hang-up too, which epoll tells instead of an end of file.
        super().readConnectionLost(reason)
        self._end("the process it was started for has gone")
