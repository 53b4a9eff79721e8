"""The kernel's end of the line to its anchor."""

from __future__ import annotations

import errno
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa import errors
from papa.childspec import ChildSpec
from papa.continuity.channel import Channel
from papa.continuity.door import KEY, Door
from papa.continuity.errands import spawn_request
from papa.continuity.holdings import Holdings
from papa.continuity.knocking import AWAITED, Knocking
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

#: The pause before another anchor is started doubles with each that does not hold for so long, in seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_HOLDS: Final = 60.0
#: How many descriptors are left for clients when no child can be started any more.
_FOR_CLIENTS: Final = 4
#: How much is heard before clients have their turn: each may be an end, which takes 0.2 ms.
_TURN: Final = 16
#: How long descriptors that are on their way take at most to arrive, about, in seconds.
_SHORTLY: Final = 0.001
#: How long all others wait for that when something is to be held, in seconds.
_PATIENCE: Final = 0.1


class CannotGoOn(Exception):
    """
    Another kernel cannot go on.

    @ivar reads: the oldest and the newest format of the state that it reads; empty if it has not said so.
    """

    def __init__(self, reason: str, reads: Sequence[int] = ()) -> None:
        super().__init__(reason)
        self.reads = reads


@implementer(IHolder, IReadDescriptor)
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
        self._channel: Channel | None = channel
        self._start = start
        self._hears = True
        self._pause = 0.0
        self._again: Any = None
        self._holdings = Holdings()
        self._codes: dict[str, int] = {}
        self._reactor = reactor
        self._held: dict[str, list[int]] = {}
        self._pids: dict[str, int] = {}
        self._exits: dict[str, Callable[[int], object]] = {}
        self._later: deque[Mapping[str, Any]] = deque()
        # Where a service manager would start an anchor in place of this one.
        self._knocking: Knocking | None = None
        self._is_managed = False
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
            message, descriptors = self._next()
            if "held" in message:
                self._held[message["held"]] = descriptors
                if message["pid"] is not None:
                    self._pids[message["held"]] = message["pid"]
            elif "rehearse" in message:
                error = _why_not(rehearse, descriptors[0])
                self._send({"do": "rehearsed", "error": error, "reads": [OLDEST_READ, NEWEST_READ], **own_anchor()})
            elif "welcome" in message:
                self.kernels, self.anchor = message["welcome"], message["anchor"]

    def _next(self) -> tuple[Mapping[str, Any], list[int]]:
        told = None if self._channel is None else self._channel.receive()
        if told is None:
            unheard = self._channel is not None and self._channel.unheard
            raise (ConnectionResetError if unheard else ConnectionError)("the anchor has gone")
        return told

    def serve(self) -> None:
        """Tell the anchor that this kernel serves, and hear from it from now on; what nobody took is let go of."""
        self._have_door()
        self.drop(*self._held)
        for descriptors in self._held.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._held.clear()
        self._reactor.addReader(self)
        self._send({"do": "ready"})

    def _have_door(self) -> None:
        """Let an anchor in that this kernel has not started, where there will be one if this one is killed."""
        for descriptor in self._held.pop(KEY, []):
            os.close(descriptor)
        if store_size(self.anchor):
            door = Door()
            self.hold(KEY, [door.outside], stays=True)
            self._knocking = Knocking(self._reactor, door, self._turn_to)
            self._is_managed = True

    def goodbye(self) -> None:
        """This kernel ends because it was told to: there shall be no other."""
        self._send({"do": "goodbye"})

    def hold(self, key: str, descriptors: Sequence[int], *, stays: bool = False) -> None:
        """
        Hold these; C{stays} as L{Holdings.held} has it.

        @raise LimitReached: if they cannot be held now; what was held under the key is still.
        """
        try:
            with self._holdings.held(key, descriptors, stays=stays):
                if self._channel is not None and self._hears:
                    with suppress(ConnectionError):  # Its end will tell.
                        _send_when_possible(self._channel, {"do": "hold", "key": key}, descriptors, _PATIENCE)
        except OSError as error:
            raise LimitReached(f"The anchor cannot be given {key} now: {error.strerror}") from error

    def empty(self, key: str) -> None:
        """Go on holding something of which no descriptor is left."""
        self._holdings.hold(key, [])
        self._send({"do": "hold", "key": key})

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
            self._send({"do": "drop", "keys": keys})

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

    def _answer(
        self, key: str, request: Mapping[str, Any], beside: Sequence[int], kept: int
    ) -> tuple[Mapping[str, Any], list[int]]:
        """What comes of asking for a child."""
        # Once it was started it is too late to find that there is no number left for its pidfd, and for duplicates of
        # that and of what is kept; nor should there be none for those who want to know of it.
        with reserved(1 + kept + 1 + _FOR_CLIENTS):
            self._ask(request, beside)
        while True:
            message, descriptors = self._next()
            if key in (message.get("spawned"), message.get("failed")):
                return message, descriptors
            self._put_off(message)

    def _put_off(self, message: Mapping[str, Any]) -> None:
        """What has nothing to do with what is waited for is told in a turn of its own."""
        if not self._later:
            self._reactor.callLater(0, self._tell_later)
        self._later.append(message)

    def _ask(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """
        Send something to an anchor that is there, be it another.

        @raise OSError: if there is none to be had.
        """
        self.secure()
        assert self._channel is not None
        try:
            self._channel.send(message, descriptors)
        except ConnectionError:
            self.secure()
            self._channel.send(message, descriptors)

    def upgrade(self, argv: Sequence[str], state: int) -> Deferred[None]:
        """
        Have another kernel started, to which this one gives way once it has read a copy of the state.

        @param state: descriptor of a file with that.
        @return: fires just before C{retire} is called; fails with L{CannotGoOn} if nothing comes of it.
        """
        try:
            self._ask({"do": "upgrade", "argv": list(argv)}, [state])
        except OSError as error:
            return fail(CannotGoOn(str(error)))
        self._upgraded = Deferred()
        return self._upgraded

    def _send(self, message: Mapping[str, Any]) -> None:
        """Tell the anchor; one that does not hear is replaced by one that is told everything."""
        if self._channel is not None and self._hears:
            try:
                self._channel.send(message)
            except OSError as error:
                self._log.error("the anchor does not hear: {error}", error=error)

    # One anchor after the other

    def _lose(self, channel: Channel) -> None:
        """The anchor has gone: have another started, at once if this one has held for long."""
        if channel is not self._channel:
            return
        self._reactor.removeReader(self)
        with suppress(OSError):
            while (told := channel.receive(wait=False)) is not None:
                self._put_off(told[0])
        channel.close()
        self._channel, self._hears = None, False
        self._log.error("the anchor has gone: this kernel goes on, and another anchor is started")
        self._told({"refused": "the anchor has gone"})
        if self._is_managed and self._knocking is not None:
            self._is_managed = False
            self._knocking.expect()
            self._later_on(AWAITED, self._try_again)
        elif self._pause:
            self._later_on(self._pause, self._try_again)
        else:
            self._try_again()

    def _try_again(self) -> None:
        if self._channel is not None:
            return
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        try:
            self._begin()
        except OSError as error:
            self._log.error("cannot start an anchor: {error}", error=error)
            self._later_on(self._pause, self._try_again)

    def _later_on(self, pause: float, then: Callable[[], object]) -> None:
        """Do that after a pause, and what was to be done before not any more."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = self._reactor.callLater(pause, then)

    def _turn_to(self, channel: Channel) -> None:
        """Have an anchor that the service manager has started, and no other."""
        if self._channel is not None:
            self._reactor.removeReader(self)
            with suppress(OSError):
                self._channel.send({"do": "drop", "keys": list(dict.fromkeys([*self._holdings, *self._pids]))})
                self._channel.send({"do": "goodbye"})
            self._channel.close()
        self._channel, self._hears, self._is_managed = channel, False, True
        self._reactor.addReader(self)

    def _begin(self) -> None:
        self._channel = self._start(self.kernels)
        self._reactor.addReader(self)

    def secure(self) -> None:
        """
        Have an anchor that holds everything, now.

        @raise OSError: if there is none to be had.
        """
        if self._channel is not None and self._channel.gone:
            self._lose(self._channel)
        if self._channel is None and self._knocking is not None:
            self._knocking.wait()
        if self._channel is None:
            self._begin()
        while not self._hears:
            message, _ = self._next()
            if "hear" in message:
                self._hand_over(message["hear"])
            else:
                self._put_off(message)

    def _hand_over(self, anchor: int) -> None:
        """Tell another anchor, of that pid, all that the one before has held."""
        assert self._channel is not None
        try:
            # In order: what was held first is handed over first, and gets the lowest numbers.
            for key in dict.fromkeys([*self._holdings, *self._pids]):
                told = {"do": "adopt", "key": key, "pid": self._pids.get(key), "code": self._codes.get(key)}
                _send_when_possible(self._channel, told, self._holdings.get(key))
            self._channel.send({"do": "ready"})
        except ConnectionError:
            return  # Its end will tell.
        self._hears, self.anchor = True, anchor
        self.moved()
        self._later_on(_HOLDS, self._forgive)
        self._log.warn("another anchor holds everything now")

    def _forgive(self) -> None:
        self._pause = 0.0

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return -1 if self._channel is None else self._channel.fileno()

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa anchor"

    def doRead(self) -> None:
        """Hear what the anchor tells."""
        channel = self._channel
        try:
            for _ in range(_TURN):
                if channel is None or channel is not self._channel:
                    return
                told = channel.receive(wait=False)
                if told is None:
                    # In a turn of its own: the reactor takes whatever is registered now for what has ended.
                    self._reactor.removeReader(self)
                    self._reactor.callLater(0, self._lose, channel)
                    return
                self._hear(told[0])
        except BlockingIOError:
            pass

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""

    def _tell_later(self) -> None:
        while self._later:
            self._hear(self._later.popleft())

    def _hear(self, message: Mapping[str, Any]) -> None:
        """Do what it asks; should papa fail at that, it goes on hearing."""
        try:
            self._told(message)
        except Exception:  # noqa: BLE001 - the edge: nothing may pass it
            self._log.failure("papa failed at what the anchor told")

    def _told(self, message: Mapping[str, Any]) -> None:
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
        elif "hear" in message:
            self._hand_over(message["hear"])


def _send_when_possible(
    channel: Channel, message: Mapping[str, Any], descriptors: Sequence[int], patience: float = math.inf
) -> None:
    """
    Send what takes its turn among too many descriptors of this user that are on their way.

    @param patience: for how many seconds it is tried.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            channel.send(message, descriptors)
            return
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                raise
            time.sleep(_SHORTLY)


def _why_not(rehearse: Callable[[int], object], descriptor: int) -> str | None:
    try:
        rehearse(descriptor)
    except Exception as error:  # noqa: BLE001 - whatever it is, the kernel that serves had better go on serving
        return f"{type(error).__name__}: {error}"
    finally:
        os.close(descriptor)
    return None
