"""
What an anchor leaves with the service manager: all that it holds, for the anchor that is started after it.

systemd keeps descriptors for the main process of a service beyond its end, if that asks it to (sd_notify(3), FDSTORE),
and hands them to the next one. But those are to have the numbers from 3 on, below the soft limit of open files: with a
thousand of them, a service cannot be started any more. And for each new one systemd looks at all that it has. So papa
has it keep L{Crate}s, in which many lie.

What is in a crate cannot be taken out: when something of it is held no more, or changes, what else lies there goes to
another crate, and this one goes. So a crate that stays is full of what is held; and all is said with a time, of
which the latest counts.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from papa.continuity.crate import Crate, contents
from papa.continuity.kept import Kept
from papa.continuity.orphans import Orphans
from papa.daemon.systemd import inherited, notify, store_size

__all__ = ["Store"]

#: The version of what lies in crates.
FORMAT: Final = 1
#: So many keys lie in a crate, at most: so many are put elsewhere when one of them goes. A socket would take more.
_EACH: Final = 32
#: Crates that are left for what is on its way from one to another.
_RESERVE: Final = 8
#: After it was full it stays empty for so many seconds at least.
_PAUSE: Final = 60.0
#: Of capabilities(7): who has one of them may have any number of descriptors on their way.
_CAP_SYS_ADMIN: Final = 1 << 21
_CAP_SYS_RESOURCE: Final = 1 << 24


class Store:
    """
    The service manager's store, if it has one for this process.

    @ivar kernels: how many kernels the anchor before has had.
    """

    def __init__(self, say: Callable[[str], object], descriptors: int, names: Iterable[str] = ()) -> None:
        """
        @param say: tells people; C{descriptors}: so many may be open in programs that this user starts.
        @param names: of what is stored, by a store whose place this one takes: it goes once all is stored anew.
        """
        self._say = say
        size = store_size(os.getpid()) if hasattr(os, "pidfd_open") else 0
        self._most = max(0, size - _RESERVE)
        # More than that and nobody of this user could send one any more: see unix(7), ETOOMANYREFS.
        self._most_descriptors = descriptors * 3 // 4 if _is_bounded() else None
        self._crates: dict[str, Crate] = {}
        self._where: dict[str, Crate] = {}
        self._places: dict[str, int] = {}
        self._filling: Crate | None = None
        self._stale = list(names)
        self._full = False
        self._again_at = 0.0
        self.kernels = 0

    @property
    def keeps(self) -> bool:
        """Whether what is held would be there for another anchor now."""
        return self._most > 0 and not self._full

    @property
    def names(self) -> list[str]:
        """Of all that is stored."""
        return [*self._crates, *self._stale]

    def bring_back(self, kept: Kept, orphans: Orphans) -> bool:
        """
        Keep what an anchor before has left, in the order in which it came to hold it; whether there was anything.

        @raise ValueError: if that was of a version that this one does not know.
        """
        found = self._found()
        for message, descriptors in found:
            kept.take_up(message["key"], descriptors, message["pid"], message["code"], orphans)
            self.kernels = max(self.kernels, message["kernels"])
        return bool(found)

    def _found(self) -> list[tuple[dict[str, Any], list[int]]]:
        latest: dict[str, tuple[dict[str, Any], list[int]]] = {}
        for name, descriptor in inherited():
            self._stale.append(name)
            for message, descriptors in contents(descriptor):
                if message["format"] > FORMAT:
                    raise ValueError(f"format {message['format']} was left, and this papa knows {FORMAT}")
                before = latest.get(message["key"])
                if before is not None and before[0]["time"] > message["time"]:
                    before = message, descriptors
                else:
                    latest[message["key"]] = message, descriptors
                for each in before[1] if before is not None else ():
                    os.close(each)
        return sorted(latest.values(), key=lambda each: int(each[0]["place"]))

    def update(self, kept: Kept, kernels: int) -> None:
        """
        Have stored what is kept now.

        @param kernels: how many there have been.
        """
        if not kept.changed:
            return
        changed, kept.changed = kept.changed, {}
        if not self._most:
            return
        if self._full:
            if not self._has_room(kept):
                return
            self._full, changed = False, dict.fromkeys((*kept.held, *kept.children))
        opened = {crate.name: crate for key in changed if (crate := self._where.pop(key, None)) is not None}
        moved = [key for crate in opened.values() for key in crate.keys if key not in changed]
        if self._filling is not None and self._filling.name in opened:
            self._filling = None
        try:
            for key in (*moved, *changed):
                self._put(key, kept, kernels)
        except OSError as error:
            self._give_up(error)
            return
        for name in (*opened, *self._stale):
            self._remove(name)
        self._stale = []

    def forget(self) -> None:
        """Have nothing stored."""
        for name in self.names:
            self._remove(name)
        self._where.clear()
        self._stale, self._filling = [], None

    def _put(self, key: str, kept: Kept, kernels: int) -> None:
        self._where.pop(key, None)
        if key not in kept.held:
            self._places.pop(key, None)
            return
        child = kept.children.get(key)
        descriptors = kept.held[key]
        message = {
            "format": FORMAT,
            "key": key,
            "pid": None if child is None else child.pid,
            "code": None if child is None else child.code,
            "place": self._places.setdefault(key, time.monotonic_ns()),
            "time": time.monotonic_ns(),
            "kernels": kernels,
        }
        crate = self._filling
        if crate is None or len(crate.keys) >= _EACH or not self._fits(crate, message, descriptors):
            crate = self._filling = self._begun()
            crate.put(message, descriptors)
        crate.keys[key] = None
        self._where[key] = crate
        if self._most_descriptors is not None and self._stored() > self._most_descriptors:
            raise OSError(errno.ETOOMANYREFS, "too many descriptors for a user who is not root")

    @staticmethod
    def _fits(crate: Crate, message: dict[str, Any], descriptors: list[int]) -> bool:
        try:
            crate.put(message, descriptors)
        except BlockingIOError:
            return False
        return True

    def _begun(self) -> Crate:
        """Another crate, which is kept from now on."""
        if len(self._crates) >= self._most:
            raise OSError(errno.ENOSPC, "the service manager keeps no more (FileDescriptorStoreMax=)")
        crate = Crate()
        # It is not to look into it: when this process has gone it would see nothing but a socket that was hung up.
        if not notify([crate.fileno()], FDSTORE=1, FDNAME=crate.name, FDPOLL=0):
            crate.close()
            raise OSError(errno.ECONNREFUSED, "the service manager does not answer")
        self._crates[crate.name] = crate
        return crate

    def _remove(self, name: str) -> None:
        notify(FDSTOREREMOVE=1, FDNAME=name)
        crate = self._crates.pop(name, None)
        if crate is not None:
            crate.close()

    def _stored(self) -> int:
        return sum(crate.descriptors for crate in self._crates.values())

    def _has_room(self, kept: Kept) -> bool:
        """Whether there would be for twice as much as is kept: it is not to be full again at once."""
        if time.monotonic() < self._again_at:
            return False
        descriptors = sum(map(len, kept.held.values()))
        bound = self._most_descriptors
        return len(kept.held) * 2 <= self._most * _EACH and (bound is None or descriptors * 2 <= bound)

    def _give_up(self, error: OSError) -> None:
        """A part of what is held would be worse than nothing: a process without its output, or a state without it."""
        self.forget()
        self._full = True
        self._again_at = time.monotonic() + _PAUSE
        self._say(
            f"the service manager cannot keep what is held: {error.strerror}; "
            "it would be lost if this anchor and its kernel ended together"
        )


def _is_bounded() -> bool:
    """Whether there is a bound to the descriptors that this user may have on their way."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        has = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    return not has & (_CAP_SYS_ADMIN | _CAP_SYS_RESOURCE)
