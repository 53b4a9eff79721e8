"""Whether a process is alive, when it began, and how it is called."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

__all__ = ["is_alive", "set_title", "started_at"]

#: The longest title that the system shows, in bytes.
_LONGEST_TITLE: Final = 15


def _stat(pid: int) -> list[bytes] | None:
    """The fields of C{/proc/PID/stat} behind the name, from the state on (proc(5)); L{None} if there are none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The name is in parentheses, and may hold some itself.
            return stat.read().rpartition(b")")[2].split()
    except OSError:
        return None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat(pid)
    return fields is None or fields[0] not in (b"Z", b"X")


def started_at(pid: int) -> float | None:
    """When a process began, in seconds since the epoch, to a hundredth or so; L{None} where that cannot be told."""
    fields = _stat(pid)
    if fields is None:
        return None
    with suppress(OSError), open("/proc/stat", "rb") as stat:
        for line in stat:
            if line.startswith(b"btime "):
                return int(line.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def set_title(title: str) -> None:
    """Have C{ps} and C{top} show another name for this process: its first 15 bytes."""
    with suppress(OSError), open("/proc/self/comm", "wb") as comm:
        comm.write(title.encode(errors="surrogateescape")[:_LONGEST_TITLE])
