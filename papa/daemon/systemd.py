"""What systemd and what it starts say to each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

__all__ = ["inherited_descriptors", "inherited_sockets", "notify", "watchdog_interval"]

#: The first descriptor that is handed over.
_FIRST: Final = 3


def notify(**said: object) -> bool:
    """
    Tell the service manager something: C{notify(READY=1, STATUS="serving")}.

    @return: whether somebody has asked to be told, and was.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where[:1] not in ("/", "@"):
        return False
    text = "\n".join(f"{name}={value}" for name, value in said.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(where.replace("@", "\0", 1) if where[0] == "@" else where)
        sock.sendall(text.encode(errors="backslashreplace"))
        return True
    return False


def watchdog_interval(*others: int) -> float | None:
    """
    How often to C{notify(WATCHDOG=1)}, in seconds: half of the time after which one is taken for hung.

    @param others: pids of processes for which this one may speak, where the unit has C{NotifyAccess=all}.
    @return: L{None} if nobody watches this process.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) not in map(str, (os.getpid(), *others)):
        return None
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 else None


def inherited_descriptors() -> list[int]:
    """The descriptors that were handed to this process, and to no other."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    return list(range(_FIRST, _FIRST + int(count))) if count.isascii() and count.isdigit() else []


def inherited_sockets() -> list[tuple[str, socket.socket]]:
    """
    The sockets that were handed over, in order, each with its name; empty where it has none.

    They are this process's own from then on: not inheritable, and the variables that tell of them are gone.
    """
    descriptors = inherited_descriptors()
    names = os.environ.get("LISTEN_FDNAMES", "").split(":") if descriptors else []
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    found = []
    for index, descriptor in enumerate(descriptors):
        os.set_inheritable(descriptor, False)
        found.append((names[index] if index < len(names) else "", socket.socket(fileno=descriptor)))
    return found
