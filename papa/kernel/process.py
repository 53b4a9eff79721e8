"""The life of one process that papa holds."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess
from papa.errors import BadRequest, LimitReached
from papa.interfaces import IChild, IChildDriver, IChildObserver
from papa.kernel.cursors import HeldCursor
from papa.kernel.journal import UNTOUCHED, Journal, Place, State
from papa.kernel.remembered import from_ledger, to_ledger
from papa.kernel.watch import Reader
from papa.records import Closed, Process

if TYPE_CHECKING:
    from papa.kernel.processes import Processes

__all__ = ["JOURNAL", "LEFT", "PROCESS", "HeldProcess", "spec_of"]

#: What part of a buffer may be dropped before that is noted and given back: a note takes as long as a read.
_UNNOTED: Final = 4

#: The kinds of entry in the ledger, each by key.
PROCESS: Final = "process"
JOURNAL: Final = "journal"
LEFT: Final = "left"


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
        self.readers: tuple[Reader, ...] = ()
        self.closed: Closed | None = None
        self.cursors: tuple[HeldCursor, ...] = ()
        self.removed = self.forgotten = self._let_go = False
        self._collected = False
        self._counted = self._noted = 0
        self._state = UNTOUCHED
        self.exit_code: int | None = None
        self._output_open = True
        self._paused = self._awaits_room = False
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
                self._registry.ledger.remove(PROCESS, self.key)
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
        process._child = driver.adopt(spec_of(key, request, process.identity), process)
        process.pid = process._child.pid
        process.started = entry["started"]
        process.invocation = f"{process.pid}@{process.started!r}"
        process.journal = Journal.restored(
            request.bufsize,
            state or UNTOUCHED,
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
        process._state = state or UNTOUCHED
        if entry["closed"] is not None:
            process._close(entry["closed"])
        return process

    def remember(self) -> None:
        """Have the ledger know how it is now, apart from its output; unless it is to know of it no more."""
        if self.forgotten or not self._registry.ledger.keeps:
            return  # Five times in a process's life, to say it in the ledger's words takes 30 microseconds in all.
        self._registry.ledger.put(
            PROCESS,
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
        if self.forgotten:
            return
        self.count()
        self._noted = self.journal.dropped
        ledger = self._registry.ledger
        try:
            state = self.journal.state()
            if ledger.keeps and (self.cursors or state != self._state):
                for cursor in self.cursors:
                    cursor.remember(self)
                ledger.put(JOURNAL, self.key, state)
                self._state = state
                self.journal.release_tape()
        finally:
            self._regulate()

    def count(self) -> None:
        """Have the budget know how much of its output is kept."""
        kept = 0 if self.forgotten else self.journal.tail - self.journal.head
        before, self._counted = self._counted, kept
        if kept != before:
            self._registry.budget.change(kept - before)

    def leave(self) -> None:
        """Have its output lie, and the ledger know of its input, as a papa of the first format would have it."""
        try:
            self.settle()
            self.journal.straighten_tape()
        except OSError as error:
            raise LimitReached(f"There is no memory for another copy of output: {error.strerror}") from error
        data, closes = self.child.unsent()
        if data or closes:
            self._registry.ledger.put(LEFT, self.key, {"data": b64encode(data).decode(), "closes": closes})

    def take_up_input(self, data: str, closes: bool) -> None:
        """Send what the papa before has left, unless one in between has begun to, and did not come to serve."""
        unsent, closed = self.child.unsent()
        with suppress(BadRequest):  # It has closed it meanwhile.
            if data and not unsent:
                self.child.write(b64decode(data))
            if closes and not closed:
                self.child.close_stdin()
        self._registry.ledger.remove(LEFT, self.key)

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
            self.count()
        if self.journal.dropped - self._noted > self.request.bufsize // _UNNOTED:
            # What is not noted, for want of memory too, is dropped anew by the next papa.
            with suppress(LimitReached):
                self.settle()
        self._regulate()
        self._wake()

    @property
    def _too_much(self) -> bool:
        """Whether a journal that loses nothing should be given no more for now."""
        return self.journal.full or (self._counted > 0 and self._registry.budget.excess > 0)

    def _regulate(self) -> None:
        """Have the child wait while a journal that loses nothing has no room, and no longer."""
        pause = self.journal.lossless and not self.journal.discarding and self._too_much
        if pause and not self._awaits_room and self._registry.budget.excess > 0:
            self._awaits_room = True
            self._registry.budget.await_room(self._room_made)
        if pause == self._paused:
            return
        self._paused = pause
        if pause:
            self.child.pause_output()
        else:
            self.child.resume_output()

    def _room_made(self) -> None:
        self._awaits_room = False
        self._regulate()

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
        self.journal.go_on()
        self.count()
        self._regulate()
        if self.removed and self.exit_code is not None:
            self._registry.forget(self)
        else:
            self.perhaps_forget()
            self.perhaps_finish()

    def _close(self, timestamp: float) -> None:
        assert self.exit_code is not None
        self.closed = Closed(name=self.name, timestamp=timestamp, exit_code=self.exit_code, invocation=self.invocation)

    def _wake(self) -> None:
        for reader in self.readers:
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

    def perhaps_let_go(self) -> None:
        """Have nobody hold what is left of it, once it is forgotten and nobody reads it any more."""
        if not self.readers and not self._let_go:
            self._let_go = True
            self.child.forget()

    def left(self, place: Place) -> None:
        """A reader has gone."""
        held_from = self.journal.head
        self.journal.leave(place)
        if self.forgotten:
            self.perhaps_let_go()
            return
        if self.journal.head > held_from:
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
        for cursor in self.cursors:
            cursor.drop(self)
        self.journal.discard()
        with suppress(LimitReached):
            self.settle()
        self.child.discard()
        if self.exit_code is not None:
            self._registry.forget(self)


def spec_of(key: str, request: MakeProcess, identity: Identity) -> ChildSpec:
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
