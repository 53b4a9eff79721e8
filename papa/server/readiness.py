"""Who is told that papa serves: whoever has started it, and systemd."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.task import LoopingCall

from papa.daemon.systemd import notify, watchdog_interval

__all__ = ["Readiness", "ServiceManager"]


class ServiceManager:
    """What systemd is told, if it has started papa."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._where = ""

    def serves(self, where: str, anchor: int) -> None:
        """papa serves there, and does not hang from now on."""
        self._where = where
        self.serves_still()
        interval = watchdog_interval(anchor)
        if interval is not None:
            barking = LoopingCall(notify, WATCHDOG=1)
            barking.clock = self._reactor
            barking.start(interval)

    def serves_still(self) -> None:
        """It waits for that again if it has started another anchor for the kernel that serves."""
        notify(READY=1, STATUS=f"serving at {self._where}")


class Readiness:
    """Tells whoever started papa that it serves."""

    def __init__(self, reactor: Any, descriptor: int | None, ready: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._ready = ready
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def announce(self, where: list[str]) -> None:
        """Say where, and close; but not before a signal would find the reactor ready to end in order."""
        self._reactor.callLater(0, self._tell, where)

    def _tell(self, where: list[str]) -> None:
        self._ready(" and ".join(where))
        if self._descriptor is not None:
            with suppress(OSError), open(self._descriptor, "w", encoding="utf-8") as pipe:
                pipe.writelines(f"ready {each}\n" for each in where)
            self._descriptor = None
