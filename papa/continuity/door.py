"""
The way in to a kernel for an anchor that it has not started: a service manager has, when the one before was killed.

The kernel has the door, and has its other side held, so that whoever is to go on with what is held finds it there.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any, Final

from papa.continuity.channel import Channel
from papa.drivers.credentials import credentials_of_peer

__all__ = ["KEY", "Door", "knock"]

#: Under which the other side is held.
KEY: Final = "door"


class Door:
    """
    The kernel's side.

    @ivar outside: the descriptor of the other side.
    """

    def __init__(self) -> None:
        self._inside, self._theirs = Channel.pair()
        self.outside = self._theirs.fileno()

    def fileno(self) -> int:
        """What is readable once somebody has knocked."""
        return self._inside.fileno()

    def knocked(self, seconds: float) -> bool:
        """Wait so long for somebody who knocks; whether there is one."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def opened(self) -> Channel | None:
        """The line to an anchor that has knocked; L{None} if there is none."""
        try:
            told = self._inside.receive(wait=False)
        except OSError:
            return None
        return None if told is None else Channel(told[1][0])


def knock(descriptor: int) -> tuple[int, Channel] | None:
    """
    Find out whether there is a kernel behind a door.

    @param descriptor: of the other side, which stays the caller's.
    @return: its pid, and a line to it; L{None} if it has ended.
    """
    door = Channel(os.dup(descriptor))
    ours, theirs = Channel.pair()
    try:
        told: dict[str, Any] = {"anchor": os.getpid()}
        door.send(told, [theirs.fileno()], wait=False)
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            # Of the process that has made the door.
            pid = credentials_of_peer(sock).pid
    except OSError:
        ours.close()
        return None
    finally:
        door.close()
        theirs.close()
    return pid, ours
