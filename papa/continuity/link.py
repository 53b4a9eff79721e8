"""What the anchor of a kernel holds for it, and does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from papa import errors
from papa.childspec import ChildSpec
from papa.continuity.anchorage import Anchorage, Message
from papa.continuity.channel import Channel
from papa.continuity.door import KEY, Door
from papa.continuity.errands import spawn_request
from papa.continuity.holdings import Holdings
from papa.continuity.migrations import FORMAT as NEWEST_READ
from papa.continuity.migrations import OLDEST_READ
from papa.continuity.replacement import own_anchor
from papa.continuity.strays import end_strays
from papa.daemon.systemd import store_size
from papa.drivers.numbering import moved, reserved
from papa.drivers.starting import explain
from papa.errors import LimitReached, SpawnFailed
from papa.interfaces import IHolder

__all__ = ["AnchorLink", "CannotGoOn"]

#: How many descriptors are left for clients when no child can be started any more.
_FOR_CLIENTS: Final = 4


class CannotGoOn(Exception):
    """
    Another kernel cannot go on.

    @ivar reads: the oldest and the newest format of the state that it reads; empty if it has not said so.
    """

    def __init__(self, reason: str, reads: Sequence[int] = ()) -> None:
        super().__init__(reason)
        self.reads = reads


@implementer(IHolder)
class AnchorLink:
    """
    What the anchor holds, and what it tells.

    @ivar kernels: how many kernels the anchor has had, with this one.
    @ivar anchor: its pid; C{moved} is called when there is another.
    @ivar retire: called when this kernel is to give way to another.
    """

    _log = Logger()

    def __init__(self, channel: Channel, reactor: Any, start: Callable[[int], Channel]) -> None:
        """
        @param start: starts another anchor; is given how many kernels there have been.
        """
        self._anchorage = Anchorage(
            channel, reactor, start=lambda: start(self.kernels), held=self._all, told=self._told, moved=self._moved_to
        )
        self._holdings = Holdings()
        self._codes: dict[str, int] = {}
        self._held: dict[str, list[int]] = {}
        self._pids: dict[str, int] = {}
        self._exits: dict[str, Callable[[int], object]] = {}
        self._upgraded: Deferred[None] | None = None
        self.kernels = self.anchor = 0
        self.retire: Callable[[], object] = lambda: None
        self.moved: Callable[[], object] = lambda: None

    def receive_all(self, rehearse: Callable[[int], object]) -> None:
        """
        Wait for all that is held.

        @param rehearse: shows that this kernel could go on from the state in the ledger of this descriptor.
        @raise ConnectionError: if the anchor has gone.
        """
        while not self.kernels:
            message, descriptors = self._anchorage.receive()
            if "held" in message:
                self._held[message["held"]] = descriptors
                if message["pid"] is not None:
                    self._pids[message["held"]] = message["pid"]
            elif "rehearse" in message:
                error = _why_not(rehearse, descriptors[0])
                reads = [OLDEST_READ, NEWEST_READ]
                self._anchorage.tell({"do": "rehearsed", "error": error, "reads": reads, **own_anchor()})
            elif "welcome" in message:
                self.kernels, self.anchor = message["welcome"], message["anchor"]

    def serve(self) -> None:
        """Tell the anchor that this kernel serves, and hear from it from now on; what nobody took is let go of."""
        door = self._door()
        self.drop(*self._held)
        for descriptors in self._held.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._held.clear()
        self._anchorage.serve(door)
        self._anchorage.tell({"do": "ready"})

    def _door(self) -> Door | None:
        """For an anchor that this kernel has not started, where there will be one if this one is killed."""
        for descriptor in self._held.pop(KEY, []):
            os.close(descriptor)
        if not store_size(self.anchor):
            return None
        door = Door()
        self.hold(KEY, [door.outside], stays=True)
        return door

    def goodbye(self) -> None:
        """This kernel ends because it was told to: there shall be no other."""
        self._anchorage.tell({"do": "goodbye"})

    def hold(self, key: str, descriptors: Sequence[int], *, stays: bool = False) -> None:
        """
        Hold these; C{stays} as L{Holdings.held} has it.

        @raise LimitReached: if they cannot be held now; what was held under the key is still.
        """
        try:
            with self._holdings.held(key, descriptors, stays=stays):
                self._anchorage.give({"do": "hold", "key": key}, descriptors)
        except OSError as error:
            raise LimitReached(f"The anchor cannot be given {key} now: {error.strerror}") from error

    def empty(self, key: str) -> None:
        """Go on holding something of which no descriptor is left."""
        self._holdings.hold(key, [])
        self._anchorage.tell({"do": "hold", "key": key})

    def place(self, numbers: Mapping[str, int]) -> None:
        """Have the first of what is held under each of these keys lie under that number, whatever lies there now."""
        wanted = set(numbers.values())
        for descriptors in self._held.values():
            for place, descriptor in enumerate(descriptors):
                if descriptor in wanted:
                    descriptors[place] = moved(descriptor, max(wanted) + 1)
        for key, number in numbers.items():
            if descriptors := self._held.get(key, []):
                descriptors[0] = moved(descriptors[0], number)

    def take(self, key: str, *, stays: bool = False) -> Sequence[int]:
        """Those that the kernel before had; C{stays} as L{Holdings.held} has it."""
        taken = self._held.pop(key, ())
        if taken:
            self._holdings.hold(key, taken, stays=stays)
        return taken

    def drop(self, *keys: str) -> None:
        """Hold these no more."""
        for key in keys:
            self._exits.pop(key, None)
            self._holdings.drop(key)
            self._pids.pop(key, None)
            self._codes.pop(key, None)
        if keys:
            self._anchorage.tell({"do": "drop", "keys": keys})

    def pid_of(self, key: str) -> int | None:
        """The process id of a child that was started under a key; L{None} if none was."""
        return self._pids.get(key)

    def when_exited(self, key: str, then: Callable[[int], object]) -> None:
        """Be told once of the end of the child that was started under a key, now or before."""
        self._exits[key] = then

    def spawn(
        self, key: str, spec: ChildSpec, streams: Mapping[int, int], kept: Sequence[int]
    ) -> tuple[int, int | None]:
        """
        Have the anchor start a child.

        @param streams: its ends of the pipes; C{kept}: the other ends.
        @return: its process id, and a pidfd of it if there is one to be had.
        @raise Error: as L{papa.drivers.starting.start} does.
        @raise SpawnFailed: too if there is no anchor to start it.
        """
        request, beside = spawn_request(key, spec, streams, kept)
        try:
            try:
                message, descriptors = self._answer(key, request, beside, len(kept))
            except ConnectionResetError:
                # The anchor went without having heard it, so it was not done.
                message, descriptors = self._answer(key, request, beside, len(kept))
        except ConnectionError as error:
            # It may have been started all the same, and nobody would know of it.
            for pid in end_strays(streams.values()):
                self._log.warn("process {pid} was started as the anchor went: it is killed", pid=pid)
            raise SpawnFailed(f"Cannot start {spec.args[0]!r}: {error}") from error
        except OSError as error:
            raise explain(error, spec) from error
        if "failed" in message:
            raise getattr(errors, message["error"], SpawnFailed)(message["message"])
        self._pids[key] = message["pid"]
        self._holdings.hold(key, [*kept, *descriptors])
        return message["pid"], descriptors[0] if descriptors else None

    def _answer(self, key: str, request: Message, beside: Sequence[int], kept: int) -> tuple[Message, list[int]]:
        """What comes of asking for a child."""
        # Once it was started it is too late to find that there is no number left for its pidfd, and for duplicates of
        # that and of what is kept; nor should there be none for those who want to know of it.
        with reserved(1 + kept + 1 + _FOR_CLIENTS):
            self._anchorage.ask(request, beside)
        while True:
            message, descriptors = self._anchorage.receive()
            if key in (message.get("spawned"), message.get("failed")):
                return message, descriptors
            self._anchorage.put_off(message)

    def upgrade(self, argv: Sequence[str], state: int) -> Deferred[None]:
        """
        Have another kernel started, to which this one gives way once it has read a copy of the state.

        @param state: descriptor of a file with that.
        @return: fires just before C{retire} is called; fails with L{CannotGoOn} if nothing comes of it.
        """
        try:
            self._anchorage.ask({"do": "upgrade", "argv": list(argv)}, [state])
        except OSError as error:
            return fail(CannotGoOn(str(error)))
        self._upgraded = Deferred()
        return self._upgraded

    def secure(self) -> None:
        """
        Have an anchor that holds everything, now.

        @raise OSError: if there is none to be had.
        """
        self._anchorage.secure()

    def _all(self) -> Iterator[tuple[str, Message, Sequence[int]]]:
        """In order: what was held first is handed over first, and gets the lowest numbers."""
        for key in dict.fromkeys([*self._holdings, *self._pids]):
            yield key, {"pid": self._pids.get(key), "code": self._codes.get(key)}, self._holdings.get(key)

    def _moved_to(self, anchor: int) -> None:
        self.anchor = anchor
        self.moved()

    def _told(self, message: Message) -> None:
        if "exited" in message:
            if message["exited"] in self._pids:
                self._codes.setdefault(message["exited"], message["code"])
            then = self._exits.pop(message["exited"], None)
            if then is not None:
                then(message["code"])
        elif "refused" in message and self._upgraded is not None:
            refused, self._upgraded = self._upgraded, None
            refused.errback(CannotGoOn(message["refused"], message.get("reads") or ()))
        elif "retire" in message:
            if self._upgraded is not None:
                done, self._upgraded = self._upgraded, None
                done.callback(None)
            self.retire()


def _why_not(rehearse: Callable[[int], object], descriptor: int) -> str | None:
    try:
        rehearse(descriptor)
    except Exception as error:  # noqa: BLE001 - whatever it is, the kernel that serves had better go on serving
        return f"{type(error).__name__}: {error}"
    finally:
        os.close(descriptor)
    return None
