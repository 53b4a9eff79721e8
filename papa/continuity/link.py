"""The kernel's end of the line to its anchor."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa import errors
from papa.childspec import ChildSpec
from papa.continuity.channel import MOST_DESCRIPTORS, Channel
from papa.drivers.sockets import moved
from papa.drivers.starting import explain
from papa.errors import LimitReached, SpawnFailed
from papa.interfaces import IHolder, ILine

__all__ = ["AnchorLink"]


@implementer(IHolder, ILine, IReadDescriptor)
class AnchorLink:
    """
    What the anchor holds, and what it tells.

    @ivar kernels: how many kernels the anchor has had, with this one.
    @ivar anchor: its pid.
    """

    _log = Logger()

    def __init__(self, channel: Channel, reactor: Any) -> None:
        self._channel = channel
        self._reactor = reactor
        self._held: dict[str, list[int]] = {}
        self._pids: dict[str, int] = {}
        self._exits: dict[str, Callable[[int], object]] = {}
        self._later: deque[Mapping[str, Any]] = deque()
        self._refused: Callable[[str], object] | None = None
        self.kernels = self.anchor = 0
        self.retire: Callable[[], object] = lambda: None

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
                self._send({"do": "rehearsed", "error": _why_not(rehearse, descriptors[0])})
            elif "welcome" in message:
                self.kernels, self.anchor = message["welcome"], message["anchor"]

    def _next(self) -> tuple[Mapping[str, Any], list[int]]:
        told = self._channel.receive()
        if told is None:
            raise ConnectionError("the anchor has gone")
        return told

    def serve(self) -> None:
        """Tell the anchor that this kernel serves, and hear from it from now on; what nobody took is let go of."""
        self.drop(*self._held)
        for descriptors in self._held.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._held.clear()
        self._reactor.addReader(self)
        self._send({"do": "ready"})

    def goodbye(self) -> None:
        """This kernel ends because it was told to: there shall be no other."""
        self._send({"do": "goodbye"})

    def hold(self, key: str, descriptors: Sequence[int]) -> None:
        """Hold these."""
        self._send({"do": "hold", "key": key}, descriptors)

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

    def take(self, key: str) -> Sequence[int]:
        """Those that the kernel before had."""
        return self._held.pop(key, ())

    def drop(self, *keys: str) -> None:
        """Hold these no more."""
        for key in keys:
            self._exits.pop(key, None)
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
        """
        fields = dataclasses.asdict(dataclasses.replace(spec, descriptors={}, listen=()))
        del fields["descriptors"], fields["listen"], fields["key"], fields["captured"]
        listen = [descriptor for _, descriptor in spec.listen]
        message: Mapping[str, Any] = {
            "do": "spawn",
            "key": key,
            "spec": fields,
            "streams": list(streams),
            "inherited": list(spec.descriptors),
            "listen": [name for name, _ in spec.listen],
        }
        sent = [*streams.values(), *spec.descriptors.values(), *listen, *kept]
        if len(sent) > MOST_DESCRIPTORS:
            raise LimitReached(f"Cannot start {spec.args[0]!r}: it is given too many sockets: {len(sent)} descriptors")
        try:
            # Once it was started it is too late to find that there is no number left for its pidfd.
            reserved = os.dup(self._channel.fileno())
            try:
                self._channel.send(message, sent)
            finally:
                os.close(reserved)
        except OSError as error:
            raise explain(error, spec) from error
        while True:
            try:
                message, descriptors = self._next()
            except OSError as error:
                raise SpawnFailed(f"Cannot start {spec.args[0]!r}: {error}") from error
            if message.get("spawned") == key:
                return message["pid"], descriptors[0] if descriptors else None
            if message.get("failed") == key:
                raise getattr(errors, message["error"], SpawnFailed)(message["message"])
            if not self._later:
                self._reactor.callLater(0, self._tell_later)
            self._later.append(message)

    def upgrade(self, argv: Sequence[str], state: int, refused: Callable[[str], object]) -> None:
        """
        Have another kernel started, to which this one gives way once it has read a copy of the state.

        @param state: descriptor of the ledger's file.
        @param refused: told why nothing comes of it; otherwise C{retire} is called.
        """
        self._refused = refused
        self._send({"do": "upgrade", "argv": list(argv)}, [state])

    def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            self._channel.send(message, descriptors)
        except OSError as error:
            self._log.error("the anchor does not hear: {error}", error=error)

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self._channel.fileno()

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa anchor"

    def doRead(self) -> Failure | None:
        """Hear what the anchor tells."""
        try:
            while (told := self._channel.receive(wait=False)) is not None:
                self._hear(told[0])
        except BlockingIOError:
            return None
        self._log.error("the anchor has gone: this kernel goes on, and nobody would go on from it")
        return Failure(ConnectionError("the anchor has gone"))

    def connectionLost(self, reason: Failure) -> None:
        """There is no anchor any more."""

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
            then = self._exits.pop(message["exited"], None)
            if then is not None:
                then(message["code"])
        elif "refused" in message and self._refused is not None:
            refused, self._refused = self._refused, None
            refused(message["refused"])
        elif "retire" in message:
            self.retire()


def _why_not(rehearse: Callable[[int], object], descriptor: int) -> str | None:
    try:
        rehearse(descriptor)
    except Exception as error:  # noqa: BLE001 - whatever it is, the kernel that serves had better go on serving
        return f"{type(error).__name__}: {error}"
    finally:
        os.close(descriptor)
    return None
