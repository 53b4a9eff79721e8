"""The processes that papa holds: making, listing and forgetting them, and the life of each."""

from __future__ import annotations

import dataclasses
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess, WatchProcesses
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotFound, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IChildObserver, IEventObserver, ILedger, IWatchObserver
from papa.kernel.budget import Budget
from papa.kernel.cursors import Cursors, HeldCursor
from papa.kernel.journal import Journal, Place, State
from papa.kernel.remembered import from_ledger, to_ledger
from papa.kernel.sameness import differences
from papa.kernel.sockets import Sockets
from papa.kernel.watch import Reader, Watch
from papa.names import Named, select
from papa.records import Closed, Event, Lent, Process

__all__ = ["HeldProcess", "Processes"]

#: How many there may be, running or not: more than a system has process ids by default.
_MOST: Final = 50_000

#: What part of a buffer may be dropped before that is noted and given back: a note takes as long as a read.
_UNNOTED: Final = 4

#: The kinds of entry in the ledger, each by key.
_PROCESS: Final = "process"
_JOURNAL: Final = "journal"
_LEFT: Final = "left"


@implementer(IChildObserver)
class HeldProcess:
    """
    One process, from its start until its end was acknowledged or it was removed and has exited.

    @ivar key: what no other process has had, whatever its name, in this papa or one before.
    @ivar pid: its process id, also after its end.
    @ivar invocation: a text that no other process has had, whatever its name.
    @ivar request: what was asked for, for comparison with another request.
    @ivar closed: its end, once it has exited and its output has ended.
    @ivar readers: the readers of its output; C{cursors}: the cursors that read it, with or without a reader now.
    @ivar removed: whether it is to be forgotten as soon as it exits; C{forgotten}: whether it was.
    """

    def __init__(
        self,
        key: str,
        request: MakeProcess,
        identity: Identity,
        *,
        wall: Callable[[], float],
        registry: Processes,
    ) -> None:
        self.key = key
        self.request = request
        self.name = request.name
        self.identity = identity
        self.journal = Journal(request.bufsize, lossless=self._lossless)
        self.readers: list[Reader] = []
        self.closed: Closed | None = None
        self.cursors: list[HeldCursor] = []
        self.removed = self.forgotten = False
        self._collected = False
        self._counted = self._noted = 0
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
        Start the program. That it is about to be is remembered first: else nobody would know of it.

        @raise Error: as L{IChildDriver.spawn} does.
        """
        self.remember()
        try:
            self._child = driver.spawn(spec, self)
        except BaseException:
            with suppress(LimitReached):  # Of what nobody has started the next papa knows as much.
                self._registry.ledger.remove(_PROCESS, self.key)
            raise
        self.pid = self._child.pid
        self.invocation = f"{self.pid}@{self.started!r}"
        if self._child.tape is not None:
            self.journal = Journal(self.request.bufsize, lossless=self._lossless, tape=self._child.tape)

    @classmethod
    def restored(
        cls,
        key: str,
        entry: Mapping[str, Any],
        state: State | None,
        driver: IChildDriver,
        *,
        wall: Callable[[], float],
        registry: Processes,
    ) -> HeldProcess:
        """
        The process that a papa before has held.

        @param entry: as L{remember} has put it.
        @param state: of its journal.
        @raise SpawnFailed: if it was never started.
        """
        request = from_ledger(MakeProcess, entry["request"])
        process = cls(key, request, from_ledger(Identity, entry["identity"]), wall=wall, registry=registry)
        process._child = driver.adopt(_spec_of(key, request, process.identity), process)
        process.pid = process._child.pid
        process.started = entry["started"]
        process.invocation = f"{process.pid}@{process.started!r}"
        process.journal = Journal.restored(
            request.bufsize,
            state or (0, 0, 0, None, 0, False),
            lossless=process._lossless,
            tape=process._child.tape,
        )
        process.removed, process._collected = entry["removed"], entry["collected"]
        process.exit_code = entry["exit_code"]
        if process.removed:
            process.journal.discard()
        if process.journal.discarding:
            process._child.discard()
        process._noted = process.journal.dropped
        if entry["closed"] is not None:
            process._close(entry["closed"])
        return process

    def remember(self) -> None:
        """Have the ledger know how it is now, apart from its output."""
        if not self._registry.ledger.keeps:
            return  # Five times in a process's life, to say it in the ledger's words takes 30 microseconds in all.
        self._registry.ledger.put(
            _PROCESS,
            self.key,
            {
                "request": to_ledger(self.request),
                "identity": to_ledger(self.identity),
                "started": self.started,
                "exit_code": self.exit_code,
                "closed": None if self.closed is None else self.closed.timestamp,
                "removed": self.removed,
                "collected": self._collected,
            },
        )

    def settle(self) -> None:
        """
        Have the ledger know how far its output was let go of; then the space can be given back, and used again.

        @raise LimitReached: if there is no room to note that; then only the space is not given back.
        """
        self.count()
        self._noted = self.journal.dropped
        ledger = self._registry.ledger
        try:
            if ledger.keeps:
                for cursor in self.cursors:
                    cursor.remember(self)
                ledger.put(_JOURNAL, self.key, self.journal.state())
                self.journal.release_tape()
        finally:
            if self._paused and (self.journal.discarding or not self._too_much):
                self._paused = False
                self.child.resume_output()

    def count(self, *, nothing: bool = False) -> None:
        """
        Have the budget know how much of its output is kept.

        @param nothing: that it is kept no more.
        """
        kept = 0 if nothing else self.journal.tail - self.journal.head
        self._registry.budget.kept += kept - self._counted
        self._counted = kept

    def leave(self) -> None:
        """Have its output lie, and the ledger know of its input, as a papa of the first format would have it."""
        try:
            self.settle()
            self.journal.straighten_tape()
        except OSError as error:
            raise LimitReached(f"There is no memory for another copy of output: {error.strerror}") from error
        data, closes = self.child.unsent()
        if data or closes:
            self._registry.ledger.put(_LEFT, self.key, {"data": b64encode(data).decode(), "closes": closes})

    def take_up_input(self, data: str, closes: bool) -> None:
        """Send what the papa before has left, unless one in between has begun to, and did not come to serve."""
        unsent, closed = self.child.unsent()
        with suppress(BadRequest):  # It has closed it meanwhile.
            if data and not unsent:
                self.child.write(b64decode(data))
            if closes and not closed:
                self.child.close_stdin()
        self._registry.ledger.remove(_LEFT, self.key)

    @property
    def _lossless(self) -> bool:
        return self.request.overflow == "block"

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
            buffered=self.journal.tail - self.journal.head,
            bufsize=self.request.bufsize,
        )

    def output_arrived(self, channel: int, data: bytes) -> None:
        """Keep it, and wake the readers."""
        self.journal.append(channel, data, self._wall())
        self._output_kept()

    def output_stored(self, channel: int, size: int) -> None:
        """Know that it is kept, and wake the readers."""
        self.journal.stored(channel, size, self._wall())
        self._output_kept()

    def _output_kept(self) -> None:
        self.count()
        excess = self._registry.budget.excess
        if excess > 0 and not self.journal.lossless:
            self.journal.let_go(excess)
        if self.journal.dropped - self._noted > self.request.bufsize // _UNNOTED:
            # What is not noted, for want of memory too, is dropped anew by the next papa.
            with suppress(LimitReached):
                self.settle()
        self._perhaps_pause()
        self._wake()

    @property
    def _too_much(self) -> bool:
        """Whether a journal that loses nothing should be given no more for now."""
        return self.journal.full or (self._counted > 0 and self._registry.budget.excess > 0)

    def _perhaps_pause(self) -> None:
        if self.journal.lossless and not self._paused and not self.journal.discarding and self._too_much:
            self._paused = True
            self.child.pause_output()

    def output_ended(self) -> None:
        """All channels have ended."""
        self._output_open = False
        self._perhaps_close()

    def exited(self, code: int) -> None:
        """It has exited; what others still hold open of its output is read on."""
        if self.exit_code is None:
            self.exit_code = code
            # An event that is told twice, should papa be killed in between, is better than one that is never told.
            self._registry.exited(self)
            self._note()
        self._perhaps_close()

    def _perhaps_close(self) -> None:
        if self.exit_code is not None and not self._output_open and self.closed is None:
            self._close(self._wall())
            self._registry.closed(self)
            self._note()
            self._wake()
            self.perhaps_finish()

    def perhaps_finish(self) -> None:
        """Let nobody be asked to acknowledge its end if it was made so, and nobody reads it any more."""
        if self.request.forget and self.closed is not None and not (self.readers or self._collected or self.removed):
            self._collected = True
            self._note()
            self.perhaps_forget()

    def _note(self) -> None:
        """
        Have the ledger know how it is now, if it has room: whatever has happened must not be stopped by that.

        Without, the next papa is told of the end by whoever tells this one.
        """
        if not self.removed:
            with suppress(LimitReached):
                self.remember()

    def go_on(self) -> None:
        """Do what the papa before was about to do."""
        self.journal.give_back()
        self.count()
        self._perhaps_pause()
        if self.removed and self.exit_code is not None:
            self._registry.forget(self)
        else:
            self.perhaps_forget()
            self.perhaps_finish()

    def _close(self, timestamp: float) -> None:
        assert self.exit_code is not None
        self.closed = Closed(name=self.name, timestamp=timestamp, exit_code=self.exit_code, invocation=self.invocation)

    def _wake(self) -> None:
        for reader in list(self.readers):
            if reader.pending:
                reader.watch.wake(reader)

    def acknowledged(self, mark: int, *, end: bool) -> None:
        """
        Somebody has stored the output up to C{mark}, and, if C{end}, knows how the process ended.

        @raise LimitReached: if there is no room to note that; it may be said again.
        """
        self.journal.acknowledge(mark)
        self.settle()
        if end:
            self._collected = True
            self.remember()
            self.perhaps_forget()

    def perhaps_forget(self) -> None:
        """Forget it if its end was acknowledged, by all cursors that read it as well."""
        if self._collected and not self.cursors:
            self._registry.forget(self)

    def left(self, place: Place) -> None:
        """A reader has gone."""
        self.journal.leave(place)
        if self.forgotten:
            return
        with suppress(LimitReached):
            self.settle()
        self.perhaps_finish()

    def remove(self) -> None:
        """
        Throw its output away from now on, and forget it when it has exited.

        @raise LimitReached: if there is no room to note that; nothing has changed then.
        """
        before, self.removed = self.removed, True
        try:
            self.remember()
        except LimitReached:
            self.removed = before
            raise
        for cursor in list(self.cursors):
            cursor.drop(self)
        self.journal.discard()
        with suppress(LimitReached):
            self.settle()
        self.child.discard()
        if self.exit_code is not None:
            self._registry.forget(self)


class Processes:
    """All held processes, by name."""

    def __init__(
        self,
        driver: IChildDriver,
        sockets: Sockets,
        *,
        wall: Callable[[], float],
        events: IEventObserver,
        ledger: ILedger,
        budget: Budget,
    ) -> None:
        self.budget = budget
        self.ledger = ledger
        self._serial = 0
        self._driver = driver
        self._sockets = sockets
        self._wall = wall
        self._events = events
        self._held: Named[HeldProcess] = Named()
        self.cursors = Cursors(ledger)

    def __len__(self) -> int:
        return len(self._held)

    def make(self, request: MakeProcess) -> Process:
        """Start a process, or give the one that was made with the same request, unless a new one is asked for."""
        identity = self._driver.identity(request)
        existing = self._held.get(request.name)
        if existing is not None:
            self._check_same(existing, request, identity)
            return existing.record()
        if len(self._held) >= _MOST:
            raise LimitReached(f"There are {_MOST} processes: remove some that have ended first")
        with self._sockets.loan() as loan:
            args = tuple(loan.substitute(arg) for arg in request.args)
            env = {variable: loan.substitute(value) for variable, value in request.env.items()}
            promised = loan.descriptors
            listen = tuple((name, loan.descriptor(name)) for name in request.listen)
            self._serial += 1
            process = HeldProcess(str(self._serial), request, identity, wall=self._wall, registry=self)
            spec = dataclasses.replace(
                _spec_of(process.key, request, identity),
                args=args,
                env=env,
                descriptors={number: number for number in promised},
                listen=listen,
            )
            process.start(self._driver, spec)
        self._held[request.name] = process
        self.cursors.made(process)
        self._events.happened(Event(kind="process-made", name=request.name, detail=process.pid))
        return process.record()

    def restore(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Hold again what the ledger knows of.

        @param entries: by kind and name.
        """
        states = entries.get(_JOURNAL, {})
        by_key = {}
        for key, entry in entries.get(_PROCESS, {}).items():
            self._serial = max(self._serial, int(key))
            try:
                process = HeldProcess.restored(
                    key, entry, states.get(key), self._driver, wall=self._wall, registry=self
                )
            except SpawnFailed:
                # The papa before was killed between its intention and the start, of which nobody was told.
                self._drop(_PROCESS, key)
                continue
            self._held[process.name] = by_key[key] = process
        for key in states.keys() - by_key.keys():
            self._drop(_JOURNAL, key)
        self.cursors.restore(entries, by_key)
        for key, left in list(entries.get(_LEFT, {}).items()):
            if key in by_key:
                by_key[key].take_up_input(left["data"], left["closes"])
        for process in by_key.values():
            process.go_on()

    def _drop(self, kind: str, key: str) -> None:
        """Have the ledger forget what is nobody's, if it has room to."""
        with suppress(LimitReached):
            self.ledger.remove(kind, key)

    @staticmethod
    def _check_same(existing: HeldProcess, request: MakeProcess, identity: Identity) -> None:
        if existing.removed:
            raise AlreadyDiffers(
                f"Process {request.name} was removed and still runs, with pid {existing.pid}: "
                "its name is free once it has exited; choose another until then"
            )
        if request.exclusive:
            raise AlreadyDiffers(
                f"Process {request.name} has already been created, with pid {existing.pid}: "
                "remove it first, or choose another name"
            )
        # Users are compared by what they are, not by how they are called.
        before, after = (
            dataclasses.replace(each, exclusive=False, watch=False, uid=None, gid=None, groups=None)
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

    def select(
        self, patterns: Sequence[str], *, required: bool = False, after: str = "", most: int = 0
    ) -> dict[str, HeldProcess]:
        """The processes that patterns select, sorted by name, from a name on and so many."""
        return select(
            self._held,
            patterns,
            kind="Process",
            required=required,
            number=lambda process: process.pid,
            after=after,
            most=most,
        )

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
            process.forgotten = True
            process.count(nothing=True)
            # It is known why it was to be forgotten: without room to note that it is, the next papa forgets it.
            with suppress(LimitReached):
                self.ledger.remove(_PROCESS, process.key)
                self.ledger.remove(_JOURNAL, process.key)
            process.child.forget()
            self._events.happened(Event(kind="process-removed", name=process.name, detail=process.pid))

    def leave(self) -> None:
        """Have the ledger know what lies elsewhere, for a papa that would not find it there."""
        for process in self._held.values():
            process.leave()

    def remaining(self) -> list[Process]:
        """The processes that still run."""
        return [process.record() for process in self._held.values() if process.exit_code is None]


def _spec_of(key: str, request: MakeProcess, identity: Identity) -> ChildSpec:
    """What a driver needs to know of a child, but for what sockets put in."""
    return ChildSpec(
        key=key,
        args=request.args,
        env=request.env,
        inherit_env=request.inherit_env,
        working_dir=request.working_dir,
        identity=identity,
        rlimits=request.rlimits,
        umask=request.umask,
        stdin=request.stdin,
        stdout=request.stdout,
        stderr=request.stderr,
        captured=request.bufsize > 0,
    )
