"""What an anchor keeps: descriptors and children, each under a key of a kernel's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from papa.childspec import ChildSpec, Identity
from papa.continuity.orphans import Orphans
from papa.continuity.reaping import Reaper
from papa.drivers.handles import handle_of, is_handle
from papa.drivers.inheritance import DescriptorLimit
from papa.drivers.numbering import moved
from papa.drivers.starting import start
from papa.errors import Error
from papa.records import UNKNOWN_EXIT

__all__ = ["Child", "Kept"]

#: What is held keeps clear of the numbers that a kernel has, under which children are to find their sockets.
_LOWEST: Final = 4096


class Child:
    """A child, and its end: as L{subprocess}, -9 for SIGKILL."""

    def __init__(self, pid: int, code: int | None = None) -> None:
        self.pid = pid
        self.code = code


class Kept:
    """
    All of it.

    @ivar held: descriptors, by key.
    @ivar children: by key; what is held under the same key is held as long as they are.
    @ivar changed: the keys of what was changed, until somebody who has seen to that takes them away.
    """

    def __init__(self, reaper: Reaper) -> None:
        """
        @param reaper: is to see the ends of children.
        """
        self._reaper = reaper
        self.held: dict[str, list[int]] = {}
        self.children: dict[str, Child] = {}
        self.changed: dict[str, None] = {}
        # The keys of children that run, by pid.
        self._running: dict[int, str] = {}

    def hold(self, key: str, descriptors: Sequence[int]) -> None:
        """Keep these, in place of what was kept under the key."""
        # In its very place: what was held first is handed over first, and gets the lowest numbers.
        before = self.held.get(key, ())
        self.changed[key] = None
        self.held[key] = [moved(each, _LOWEST) for each in descriptors]
        self._close(before)

    def _close(self, descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            self._reaper.let_go(descriptor)
            os.close(descriptor)

    def go_on(self, held: Mapping[str, Sequence[int]], children: Mapping[str, tuple[int, int | None]]) -> None:
        """Keep what was kept under these descriptors, and children by pid and exit code."""
        for key, descriptors in held.items():
            self.hold(key, descriptors)
        for key, (pid, code) in children.items():
            self._keep(key, pid, code)

    def _keep(self, key: str, pid: int, code: int | None) -> None:
        self.children[key] = Child(pid, code)
        if code is None:
            self._running[pid] = key
            self._reaper.watch(pid, next(filter(is_handle, self.held.get(key, [])[-1:]), None))

    def state(self) -> dict[str, Any]:
        """What L{go_on} is to be told."""
        return {
            "held": self.held,
            "children": {key: (child.pid, child.code) for key, child in self.children.items()},
        }

    def descriptors(self) -> list[int]:
        """All that are kept."""
        return [descriptor for each in self.held.values() for descriptor in each]

    def drop(self, keys: Sequence[str]) -> None:
        """Keep these no more."""
        for key in keys:
            self.changed[key] = None
            self._close(self.held.pop(key, ()))
            child = self.children.pop(key, None)
            if child is not None and self._running.get(child.pid) == key:
                del self._running[child.pid]

    def adopt(self, key: str, pid: int, code: int | None, orphans: Orphans) -> None:
        """
        Keep a child of an anchor before, of which something is held already: its pidfd last, if there is one.

        @param orphans: tells of its end.
        """
        if code is None:
            code = orphans.watch(pid, *filter(is_handle, self.held[key][-1:]))
        self._keep(key, pid, code)
        self.changed[key] = None

    def take_up(
        self, key: str, descriptors: Sequence[int], pid: int | None, code: int | None, orphans: Orphans
    ) -> None:
        """
        Keep what an anchor before has left: nobody has looked after it meanwhile.

        @param pid: of the child, if it is one; C{code}: how it ended, if that was known.
        @param orphans: tells of its end.
        """
        self.hold(key, descriptors)
        if pid is not None:
            # Without its pidfd it may be another process by now.
            lost = code is None and not any(map(is_handle, self.held[key][-1:]))
            self.adopt(key, pid, UNKNOWN_EXIT if lost else code, orphans)

    def spawn(
        self, message: dict[str, Any], descriptors: Sequence[int], limit: DescriptorLimit
    ) -> tuple[dict[str, Any], list[int]]:
        """
        Start a child. Its descriptors come in this order: its streams, what it inherits, its sockets in the manner of
        systemd, and last what is to be held as long as the child is; a pidfd of it is held behind that.

        @return: what the kernel is to be told, and the pidfd.
        """
        key = message["key"]
        rest = iter(descriptors)
        streams = {int(stream): next(rest) for stream in message["streams"]}
        inherited = {int(number): next(rest) for number in message["inherited"]}
        listen = tuple((name, next(rest)) for name in message["listen"])
        kept = list(rest)
        try:
            pid = start(_spec(message["spec"], inherited, listen), streams, limit)
        except (Error, LookupError, TypeError, ValueError) as error:
            # A kernel of another version may ask for what this anchor has never heard of: that is not worth its death.
            for descriptor in kept:
                os.close(descriptor)
            return {"failed": key, "error": type(error).__name__, "message": str(error)}, []
        finally:
            for descriptor in (*streams.values(), *inherited.values(), *(each for _, each in listen)):
                os.close(descriptor)
        self.hold(key, [*kept, *handle_of(pid)])
        self._keep(key, pid, None)
        return {"spawned": key, "pid": pid}, self.held[key][len(kept) :]

    def ended(self, pid: int, code: int) -> str | None:
        """
        A process has ended.

        @return: the key, if it was a child.
        """
        self._reaper.forget(pid)
        key = self._running.pop(pid, None)
        if key is not None:
            self.children[key].code = code
            self.changed[key] = None
        return key


def _spec(fields: dict[str, Any], inherited: dict[int, int], listen: tuple[tuple[str, int], ...]) -> ChildSpec:
    """What the kernel wrote down of a child, with the descriptors as they are here."""
    identity = fields["identity"]
    return ChildSpec(
        **(
            fields
            | {
                "args": tuple(fields["args"]),
                "identity": Identity(**(identity | {"groups": tuple(identity["groups"])})),
                "rlimits": {name: (soft, hard) for name, (soft, hard) in fields["rlimits"].items()},
                "descriptors": inherited,
                "listen": listen,
            }
        )
    )
