"""What systemd and what it starts say to each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

__all__ = ["inherited", "inherited_descriptors", "inherited_sockets", "notify", "store_size", "watchdog_interval"]

#: The first descriptor that is handed over.
_FIRST: Final = 3
#: How long a service manager that is busy is waited for, in seconds.
_PATIENCE: Final = 1.0


def notify(descriptors: Sequence[int] = (), /, **said: object) -> bool:
    """
    Tell the service manager something: C{notify(READY=1, STATUS="serving")}.

    @param descriptors: go with it: C{notify([3], FDSTORE=1, FDNAME="mine", FDPOLL=0)}.
    @return: whether somebody has asked to be told, and was.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where[:1] not in ("/", "@"):
        return False
    text = "\n".join(f"{name}={value}" for name, value in said.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(where.replace("@", "\0", 1) if where[0] == "@" else where)
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sock.sendmsg([text.encode(errors="backslashreplace")], beside)
        return True
    return False


def store_size(pid: int) -> int:
    """
    How many descriptors the service manager keeps for the main process of a service beyond its end: 0 if it keeps none.

    systemd says it since version 254 (C{FDSTORE}); for an older one the unit has to.

    @param pid: of the process that would have them kept; it may be the main process of no service.
    """
    count = os.environ.get("FDSTORE", "")
    if os.environ.get("SYSTEMD_EXEC_PID", str(pid)) != str(pid) or not os.environ.get("NOTIFY_SOCKET"):
        return 0
    return int(count) if count.isascii() and count.isdigit() else 0


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


def inherited() -> list[tuple[str, int]]:
    """
    What was handed over, in order: name and descriptor of each; the name is empty where it has none.

    They are this process's own from then on: not inheritable, and the variables that tell of them are gone.
    """
    descriptors = inherited_descriptors()
    names = os.environ.get("LISTEN_FDNAMES", "").split(":") if descriptors else []
    for variable in ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return [(names[index] if index < len(names) else "", each) for index, each in enumerate(descriptors)]


def inherited_sockets() -> list[tuple[str, socket.socket]]:
    """The sockets that were handed over, as L{inherited} has it."""
    return [(name, socket.socket(fileno=descriptor)) for name, descriptor in inherited()]
