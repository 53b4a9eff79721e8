"""The processes that papa holds: making, listing and forgetting them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from papa.childspec import Identity
from papa.commands import MakeProcess, WatchProcesses
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotFound, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IEventObserver, ILedger, IWatchObserver
from papa.kernel.budget import Budget
from papa.kernel.cursors import Cursors
from papa.kernel.process import JOURNAL, LEFT, PROCESS, HeldProcess, spec_of
from papa.kernel.sockets import Sockets
from papa.kernel.watch import Reader, Watch
from papa.names import Named, select
from papa.records import Event, Lent, Process
from papa.steps import Steps

__all__ = ["Processes"]

#: How many there may be, running or not: more than a system has process ids by default.
_MOST: Final = 50_000


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
                spec_of(process.key, request, identity),
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
        states = entries.get(JOURNAL, {})
        by_key = {}
        # In the order in which they were made: of two with one name the first is just about to be forgotten.
        for key, entry in sorted(entries.get(PROCESS, {}).items(), key=lambda item: int(item[0])):
            self._serial = max(self._serial, int(key))
            try:
                process = HeldProcess.restored(
                    key, entry, states.get(key), self._driver, wall=self._wall, registry=self
                )
            except SpawnFailed:
                # The papa before was killed between its intention and the start, of which nobody was told.
                self._drop(PROCESS, key)
                continue
            self._held[process.name] = by_key[key] = process
        for key in states.keys() - by_key.keys():
            self._drop(JOURNAL, key)
        self.cursors.restore(entries, by_key)
        for key, left in list(entries.get(LEFT, {}).items()):
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
        different = list(before.differences(after))
        if existing.identity != identity:
            different.append("uid, gid or groups")
        if different:
            raise AlreadyDiffers(
                f"Process {request.name} has already been created with another {', '.join(different)}: "
                "remove it first, or choose another name"
            )

    def get(self, name: str) -> HeldProcess:
        """
        The process of that very name or pid.

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

    def removal(self, patterns: Sequence[str]) -> Steps[None]:
        """
        Throw the output of processes away, one after the other, and forget each when it exits.

        @raise NotFound: before anything else, for a plain name that is not held.
        """
        selected = deque(self.select(patterns, required=True).values())
        while selected:
            # Not held any longer than that: to let go of thousands at once takes 20 ms.
            process = selected.popleft()
            if not process.forgotten:
                process.remove()
            yield

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

    def watch(self, request: WatchProcesses, observer: IWatchObserver) -> Steps[Watch]:
        """Start watching, one process after the other; what is forgotten meanwhile is passed over."""
        processes = list(self.select(request.names, required=True).values())
        # With a cursor, processes that are made later and match a wildcard are read, too.
        endless = bool(request.cursor) and not (request.names and all(not name.endswith("*") for name in request.names))
        if not processes and not endless:
            raise NotFound("Nothing to watch: no process matches")
        watch = Watch(observer, endless=endless)
        try:
            if request.cursor:
                yield from self.cursors.read(request.cursor, watch, request.names, processes)
            else:
                yield from self._read(watch, processes, holding=not request.observe)
        except BaseException:
            watch.stop()  # Nobody would, and output would wait for it.
            raise
        return watch

    @staticmethod
    def _read(watch: Watch, processes: Iterable[HeldProcess], *, holding: bool) -> Steps[None]:
        for process in processes:
            if not process.forgotten:
                place = process.journal.join(holding=holding)
                watch.add(Reader(process, place, process.acknowledged if holding else None))
            yield

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
            process.count()
            # It is known why it was to be forgotten: without room to note that it is, the next papa forgets it.
            with suppress(LimitReached):
                self.ledger.remove(PROCESS, process.key)
                self.ledger.remove(JOURNAL, process.key)
            # After that: a process without a place would be new to the cursors of the next papa.
            self.cursors.forgotten(process)
            process.perhaps_let_go()
            self._events.happened(Event(kind="process-removed", name=process.name, detail=process.pid))

    def leave(self) -> None:
        """Have the ledger know what lies elsewhere, for a papa that would not find it there."""
        for process in self._held.values():
            process.leave()

    def remaining(self) -> list[Process]:
        """The processes that still run."""
        return [process.record() for process in self._held.values() if process.exit_code is None]
