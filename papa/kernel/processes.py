"""The processes that papa holds: making, listing and forgetting them, and the life of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess, WatchProcesses
from papa.errors import AlreadyDiffers, BadRequest, NotFound
from papa.interfaces import IChild, IChildDriver, IChildObserver, IEventObserver, IWatchObserver
from papa.kernel.cursors import Cursors, HeldCursor
from papa.kernel.journal import Journal, Place
from papa.kernel.sameness import differences
from papa.kernel.sockets import Sockets
from papa.kernel.watch import Reader, Watch
from papa.names import select
from papa.records import Closed, Event, Lent, Process

__all__ = ["HeldProcess", "Processes"]


@implementer(IChildObserver)
class HeldProcess:
    """
    One process, from its start until its end was acknowledged or it was removed and has exited.

    @ivar pid: its process id, also after its end.
    @ivar invocation: a text that no other process has had, whatever its name.
    @ivar request: what was asked for, for comparison with another request.
    @ivar closed: its end, once it has exited and its output has ended.
    @ivar readers: the readers of its output; C{cursors}: the cursors that read it, with or without a reader now.
    @ivar removed: whether it is to be forgotten as soon as it exits.
    """

    def __init__(
        self,
        request: MakeProcess,
        identity: Identity,
        *,
        wall: Callable[[], float],
        registry: Processes,
    ) -> None:
        self.request = request
        self.name = request.name
        self.identity = identity
        self.journal = Journal(request.bufsize, lossless=request.overflow == "block")
        self.readers: list[Reader] = []
        self.closed: Closed | None = None
        self.cursors: list[HeldCursor] = []
        self.removed = False
        self._collected = False
        self.exit_code: int | None = None
        self._output_open = True
        self._paused = False
        self._wall = wall
        self._registry = registry
        self.started = wall()
        self.pid = 0
        self.invocation = ""
        self._child: IChild | None = None

    def start(self, driver: IChildDriver, spec: ChildSpec) -> None:
        """
        Start the program.

        @raise Error: as L{IChildDriver.spawn} does.
        """
        self._child = driver.spawn(spec, self)
        self.pid = self._child.pid
        self.started = self._wall()
        self.invocation = f"{self.pid}@{self.started!r}"

    @property
    def child(self) -> IChild:
        """The started program."""
        assert self._child is not None
        return self._child

    def record(self) -> Process:
        """How it is now."""
        return Process(
            name=self.name,
            args=self.request.args,
            pid=self.pid,
            running=self.exit_code is None,
            started=self.started,
            uid=self.identity.uid,
            gid=self.identity.gid,
            exit_code=self.exit_code,
            captured=self.journal.tail,
            dropped=self.journal.dropped,
        )

    def output_arrived(self, channel: int, data: bytes) -> None:
        """Keep it, and wake the readers."""
        self.journal.append(channel, data, self._wall())
        if self.journal.lossless and not self._paused and not self.journal.discarding and self.journal.full:
            self._paused = True
            self.child.pause_output()
        self._wake()

    def output_ended(self) -> None:
        """All channels have ended."""
        self._output_open = False
        self._perhaps_close()

    def exited(self, code: int) -> None:
        """It has exited; what others still hold open of its output is read on."""
        self.exit_code = code
        self._registry.exited(self)
        self._perhaps_close()

    def _perhaps_close(self) -> None:
        if self.exit_code is not None and not self._output_open:
            self.closed = Closed(
                name=self.name, timestamp=self._wall(), exit_code=self.exit_code, invocation=self.invocation
            )
            self._registry.closed(self)
            self._wake()

    def _wake(self) -> None:
        for reader in list(self.readers):
            if reader.pending:
                reader.watch.wake(reader)

    def acknowledged(self, mark: int, *, end: bool) -> None:
        """Somebody has stored the output up to C{mark}, and, if C{end}, knows how the process ended."""
        self.journal.acknowledge(mark)
        self._perhaps_resume()
        if end:
            self._collected = True
            self.perhaps_forget()

    def perhaps_forget(self) -> None:
        """Forget it if its end was acknowledged, by all cursors that read it as well."""
        if self._collected and not self.cursors:
            self._registry.forget(self)

    def left(self, place: Place) -> None:
        """A reader has gone."""
        self.journal.leave(place)
        self._perhaps_resume()

    def remove(self) -> None:
        """Throw its output away from now on, and forget it when it has exited."""
        self.removed = True
        for cursor in list(self.cursors):
            cursor.drop(self)
        self.journal.discard()
        self._perhaps_resume()
        if self.exit_code is not None:
            self._registry.forget(self)

    def _perhaps_resume(self) -> None:
        if self._paused and (self.journal.discarding or not self.journal.full):
            self._paused = False
            self.child.resume_output()


class Processes:
    """All held processes, by name."""

    def __init__(
        self,
        driver: IChildDriver,
        sockets: Sockets,
        *,
        wall: Callable[[], float],
        events: IEventObserver,
    ) -> None:
        self._driver = driver
        self._sockets = sockets
        self._wall = wall
        self._events = events
        self._held: dict[str, HeldProcess] = {}
        self.cursors = Cursors()

    def __len__(self) -> int:
        return len(self._held)

    def make(self, request: MakeProcess) -> Process:
        """Start a process, or give the one that was made with the same request."""
        identity = self._driver.identity(request)
        existing = self._held.get(request.name)
        if existing is not None:
            self._check_same(existing, request, identity)
            return existing.record()
        with self._sockets.loan() as loan:
            args = tuple(loan.substitute(arg) for arg in request.args)
            env = {variable: loan.substitute(value) for variable, value in request.env.items()}
            promised = loan.descriptors
            listen = tuple((name, loan.descriptor(name)) for name in request.listen)
            process = HeldProcess(request, identity, wall=self._wall, registry=self)
            spec = ChildSpec(
                args=args,
                env=env,
                inherit_env=request.inherit_env,
                working_dir=request.working_dir,
                identity=identity,
                rlimits=request.rlimits,
                umask=request.umask,
                stdin=request.stdin,
                stdout=request.stdout,
                stderr=request.stderr,
                descriptors={number: number for number in promised},
                listen=listen,
            )
            process.start(self._driver, spec)
        self._held[request.name] = process
        self.cursors.made(process)
        self._events.happened(Event(kind="process-made", name=request.name, detail=process.pid))
        return process.record()

    @staticmethod
    def _check_same(existing: HeldProcess, request: MakeProcess, identity: Identity) -> None:
        if existing.removed:
            raise AlreadyDiffers(
                f"Process {request.name} was removed and still runs, with pid {existing.pid}: "
                "its name is free once it has exited; choose another until then"
            )
        # Users are compared by what they are, not by how they are called.
        before, after = (
            dataclasses.replace(each, watch=False, uid=None, gid=None, groups=None)
            for each in (existing.request, request)
        )
        different = list(differences(before, after))
        if existing.identity != identity:
            different.append("uid, gid or groups")
        if different:
            raise AlreadyDiffers(
                f"Process {request.name} has already been created with another {', '.join(different)}: "
                "remove it first, or choose another name"
            )

    def get(self, name: str) -> HeldProcess:
        """
        The process of that very name.

        @raise NotFound: if there is none.
        """
        return next(iter(self.select([name], required=True).values()))

    def select(self, patterns: Sequence[str], *, required: bool) -> Mapping[str, HeldProcess]:
        """The processes that patterns select, sorted by name."""
        return select(self._held, patterns, kind="Process", required=required, number=lambda process: process.pid)

    def write(self, name: str, data: bytes) -> None:
        """Send bytes to a process's standard input."""
        self._with_stdin(name).write(data)

    def close_stdin(self, name: str) -> None:
        """End a process's standard input."""
        self._with_stdin(name).close_stdin()

    def lend(self, name: str) -> Lent:
        """A pidfd of a process."""
        process = self.get(name)
        return Lent(descriptor=process.child.lend(), record=process.record())

    def _with_stdin(self, name: str) -> IChild:
        process = self.get(name)
        if process.request.stdin != "pipe":
            raise BadRequest(f"Process {name} has no standard input to write to: it was not made with stdin=pipe")
        if process.exit_code is not None:
            raise BadRequest(f"Process {name} has exited with {process.exit_code}")
        return process.child

    def watch(self, request: WatchProcesses, observer: IWatchObserver) -> Watch:
        """Start watching."""
        processes = list(self.select(request.names, required=True).values())
        # With a cursor, processes that are made later and match a wildcard are read, too.
        endless = bool(request.cursor) and not (request.names and all(not name.endswith("*") for name in request.names))
        if not processes and not endless:
            raise NotFound("Nothing to watch: no process matches")
        watch = Watch(observer, endless=endless)
        if request.cursor:
            self.cursors.read(request.cursor, watch, request.names, processes)
            return watch
        for process in processes:
            place = process.journal.join(holding=not request.observe)
            watch.add(Reader(process, place, None if request.observe else process.acknowledged))
        return watch

    def exited(self, process: HeldProcess) -> None:
        """A process has exited."""
        self._events.happened(Event(kind="process-exited", name=process.name, detail=process.exit_code))
        if process.removed:
            self.forget(process)

    def closed(self, process: HeldProcess) -> None:
        """A process's output has ended too."""
        self._events.happened(Event(kind="process-closed", name=process.name))

    def forget(self, process: HeldProcess) -> None:
        """Free a process's name, unless it is another's by now."""
        if self._held.get(process.name) is process:
            del self._held[process.name]
            self._events.happened(Event(kind="process-removed", name=process.name, detail=process.pid))

    def remaining(self) -> list[Process]:
        """The processes that still run."""
        return [process.record() for process in self._held.values() if process.exit_code is None]
