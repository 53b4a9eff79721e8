"""Whether a kernel is on this machine, so that the pids it tells can be looked up and signalled here."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Protocol

from papa.drivers.credentials import credentials_of_peer
from papa.drivers.families import VISIBLE, listening
from papa.wire.messages import Greeting

__all__ = ["is_local"]


class _Connected(Protocol):
    """A connection to a kernel."""

    @property
    def greeting(self) -> Greeting:
        """What that has said of itself."""

    def fileno(self) -> int:
        """Its descriptor."""


def is_local(connection: _Connected) -> bool:
    """Whether the other end is the kernel itself: a connection may be passed on from elsewhere."""
    kernel = connection.greeting.pid
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as sock:
        if not VISIBLE:
            return sock.family == socket.AF_UNIX and credentials_of_peer(sock).pid == kernel
        where = sock.getpeername()
        return (where if sock.family == socket.AF_UNIX else where[1]) in listening([kernel])
    return False
