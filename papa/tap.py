"""The wiring: options, and the service that C{twistd papa} and C{papa serve} run."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.logger import globalLogPublisher
from twisted.python import usage

from papa import endpoints, places
from papa.continuity.fuse import Fuse
from papa.continuity.mooring import Mooring
from papa.continuity.twistd import become_anchor, check_anchor, check_twistd
from papa.drivers.children import SystemChildren
from papa.drivers.garbage import pass_over_what_stays
from papa.drivers.inheritance import DescriptorLimit, reset_signals, shut_descriptors
from papa.drivers.machine import output_bound
from papa.drivers.peers import TELLS_OF_TCP
from papa.drivers.sockets import SystemSockets
from papa.drivers.steady import go_by_steady_clock
from papa.errors import BadRequest, Error
from papa.interfaces import IHolder
from papa.kernel.core import Kernel
from papa.server.access import Access
from papa.server.attendance import Attendance
from papa.server.console import ConsoleFactory
from papa.server.ending import Ending, Lifeline
from papa.server.eventlog import EventLog
from papa.server.giving_way import GivingWay
from papa.server.listening import Listening
from papa.server.program import ProgramFactory
from papa.server.readiness import Readiness, ServiceManager
from papa.server.service import KernelService
from papa.wire.messages import PROTOCOL_VERSION, Greeting

__all__ = ["Options", "makeService"]

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
    ending = Ending(reactor)
    reactor.callWhenRunning(ending.end_on, {signal.SIGTERM, signal.SIGINT} - ignored)
    attendance = Attendance(
        kernel,
        ending.end,
        most=max(most // 2, most - 512),
        ends_with_last=bool(options["until-last-client"]),
    )
    access = Access(os.geteuid())
    programs = ProgramFactory(kernel, attendance, access, _greeting(mooring), reactor)
    consoles = ConsoleFactory(kernel, attendance, access, reactor, programs.successor)
    folder = places.runtime_folder()
    manager = ServiceManager(reactor)
    service = KernelService(
        kernel,
        attendance,
        _listeners(options, folder, reactor, consoles, programs, None if mooring is None else mooring.link),
        folder=folder,
        started=Readiness(
            reactor, options["ready-fd"], ready or (lambda where: manager.serves(where, programs.greeting.anchor))
        ).announce,
        line=mooring,
        goes_on=programs.greeting.kernels > 1,
    )
    if mooring is not None:
        _follow_anchor(mooring, programs, manager)
        way = GivingWay(reactor, mooring, attendance, service)
        mooring.link.retire = way.leave
        attendance.give_way = way.give_way
        reactor.callWhenRunning(way.on_signal, ignored)
        reactor.callWhenRunning(limit.keep_back, _FOR_OTHERS)
    reactor.callWhenRunning(pass_over_what_stays, reactor)
    if options["lifeline-fd"] is not None:
        Lifeline(reactor, options["lifeline-fd"], ending).startReading()
    return service


def _follow_anchor(mooring: Mooring, programs: ProgramFactory, manager: ServiceManager) -> None:
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


def _greeting(mooring: Mooring | None) -> Greeting:
    """What clients are told first; the pid is known once the kernel listens."""
    return Greeting(
        version=PROTOCOL_VERSION,
        kernel=uuid.uuid4().hex if mooring is None else mooring.identity,
        pid=os.getpid(),
        anchor=0 if mooring is None else mooring.link.anchor,
        kernels=1 if mooring is None else mooring.link.kernels,
    )


def _listeners(
    options: Options,
    folder: str,
    reactor: Any,
    consoles: ConsoleFactory,
    programs: ProgramFactory,
    holder: IHolder | None,
) -> list[Listening]:
    """Everything that listens."""
    tried = endpoints.TcpEndpoint(port=places.DEFAULT_PORT) if TELLS_OF_TCP else None
    return [
        Listening(reactor, endpoint, factory, optional=optional, holder=holder)
        for factory, wanted in (
            (consoles, _wanted(options["consoles"], places.console_path(folder), tried)),
            (programs, _wanted(options["controls"], places.control_path(folder), None, options["consoles"])),
        )
        for endpoint, optional in wanted
    ]


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
