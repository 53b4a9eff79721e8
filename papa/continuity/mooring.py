"""What ties a kernel to its anchor: the line, and what it needs to go on from the kernel before."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from papa.continuity.channel import Channel
from papa.continuity.children import AnchoredChildren
from papa.continuity.dump import STATE
from papa.continuity.ledger import Ledger, read_ledger, write_ledger
from papa.continuity.link import AnchorLink, CannotGoOn
from papa.continuity.migrations import FORMAT, OLDEST_WRITTEN
from papa.continuity.rehearsal import rehearse
from papa.continuity.replacement import Replacement
from papa.continuity.tape import Scratch
from papa.drivers.inheritance import DescriptorLimit
from papa.drivers.machine import output_bound
from papa.drivers.sockets import SystemSockets, holder_key
from papa.errors import Error, NotAllowed
from papa.interfaces import IEventObserver, ILine
from papa.kernel.core import Kernel

__all__ = ["Mooring"]

#: The keys of what the anchor holds for the kernel as a whole.
_SCRATCH: Final = "scratch"


@implementer(ILine)
class Mooring:
    """
    A kernel at its anchor.

    @ivar link: the line.
    @ivar ledger: what is remembered.
    @ivar identity: what tells this kernel, and those that it goes on from, from any other.
    """

    _log = Logger()

    def __init__(self, descriptor: int, reactor: Any, wall: Callable[[], float], limit: DescriptorLimit) -> None:
        """
        Receive everything from the anchor.

        @param descriptor: of the line to it.
        @param limit: gives another anchor the limit of open files that papa was started with.
        @raise NotAllowed: if the state is of a version that this papa does not know.
        @raise ConnectionError: if the anchor has gone.
        """
        self._reactor = reactor
        self._wall = wall
        self._gives_way = False
        self._format = FORMAT
        self._kernel: Kernel | None = None
        self.link = AnchorLink(Channel(descriptor), reactor, Replacement(_next_command(""), limit, reactor).start)
        self.link.receive_all(rehearse)
        self.ledger = Ledger(lambda file: self.link.hold(STATE, [file]), *self.link.take(STATE))
        self.link.place(self._numbers())
        taken = self.link.take(_SCRATCH)
        self._scratch = Scratch(*taken)
        if not taken:
            self.link.hold(_SCRATCH, [self._scratch.descriptor])
        found = self.ledger.entries.get("kernel", {}).get("identity")
        self.identity: str = found or uuid.uuid4().hex
        if not found:
            self.ledger.put("kernel", "identity", self.identity)

    def _numbers(self) -> dict[str, int]:
        """By what number children know each socket: it is to lie there before anything else does."""
        entries = self.ledger.entries.get("socket", {}).items()
        return {holder_key(name): entry["fileno"] for name, entry in entries if entry["fileno"] is not None}

    def serve(self) -> None:
        """This kernel serves: from now on the next one begins with what this one knows."""
        self.link.serve()
        self.ledger.serve()

    def goodbye(self) -> None:
        """This kernel ends because it was told to: there shall be no other."""
        self.link.goodbye()

    def give_way(self, python: str) -> Deferred[None]:
        """
        Have another kernel started, to give way to once it has shown that it can go on.

        @param python: to run it with; the same by default.
        @return: fires just before the line has this kernel retire; fails with L{NotAllowed} if nothing comes of it.
        """
        return Deferred.fromCoroutine(self._give_way(_next_command(python)))

    async def _give_way(self, command: Sequence[str]) -> None:
        if self._gives_way:
            raise NotAllowed("An upgrade is under way already")
        self._gives_way = True
        try:
            self._format = await self._begin_next(command)
        except BaseException as error:
            self._gives_way = False
            if not isinstance(error, CannotGoOn | Error):
                raise
            self._log.error("papa goes on, for the next cannot: {reason}", reason=str(error))
            raise NotAllowed(f"The next kernel cannot go on: {error}") from error

    async def _begin_next(self, command: Sequence[str]) -> int:
        """Have another kernel started, be it one that reads only an older state; the format that it reads."""
        wanted = FORMAT
        while True:
            state = self._written(wanted)
            try:
                upgraded = self.link.upgrade(command, state)
            finally:
                if state != self.ledger.descriptor:
                    os.close(state)
            try:
                await upgraded
                return wanted
            except CannotGoOn as error:
                oldest, newest = error.reads or (FORMAT, FORMAT)
                if newest < OLDEST_WRITTEN or oldest > FORMAT:
                    reads = f"it reads formats {oldest} to {newest}; this papa writes {OLDEST_WRITTEN} to {FORMAT}"
                    raise CannotGoOn(f"{error} ({reads})") from error
                if not max(oldest, OLDEST_WRITTEN) <= newest < wanted:
                    raise
                wanted = newest

    def _written(self, wanted: int) -> int:
        """The descriptor of the state in a format: of a new file if that is not the newest."""
        if wanted == FORMAT:
            return self.ledger.descriptor
        return write_ledger(read_ledger(self.ledger.descriptor), wanted)

    def leave(self) -> None:
        """
        Nothing more is asked of this kernel: have the state as the next one reads it.

        @raise LimitReached: if there is no memory for that; it stays as it is.
        """
        if self._format != FORMAT:
            assert self._kernel is not None
            self._kernel.leave()
            self.link.hold(STATE, [self._written(self._format)])

    def kernel(self, events: IEventObserver) -> Kernel:
        """A kernel that holds what the one before has held."""
        kernel = self._kernel = Kernel(
            sockets=SystemSockets(self.link),
            children=AnchoredChildren(self._reactor, self.link, self._scratch, self._wall),
            wall=self._wall,
            events=events,
            ledger=self.ledger,
            most_output=output_bound(),
        )
        kernel.restore(self.ledger.entries)
        self.ledger.entries.clear()
        return kernel


def _next_command(python: str) -> list[str]:
    """How this kernel was started, without what only the anchor says."""
    interpreter, *words = sys.orig_argv
    return [python or interpreter, *(word for word in words if not word.startswith(("--anchor-fd=", "--ready-fd=")))]
