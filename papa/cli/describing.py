"""How things are said to a person: how they are, where, how much, since when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from papa.records import UNKNOWN_EXIT

if TYPE_CHECKING:
    from papa.records import Process, Socket

__all__ = ["address", "amount", "counted", "duration", "moment", "state"]


def state(process: Process) -> str:
    """Whether a process runs, or how it ended."""
    code = process.exit_code
    state = "running" if code is None else f"exited {code}" if code >= 0 else f"killed {-code}"
    if code == UNKNOWN_EXIT:
        state = "exited ?"
    return f"{state}, {amount(process.dropped)} dropped" if process.dropped else state


def address(socket: Socket) -> str:
    """Where a socket is bound."""
    if socket.path is not None:
        return socket.path
    host = socket.host or ""
    return f"[{host}]:{socket.port}" if ":" in host else f"{host}:{socket.port}"


def amount(size: float) -> str:
    """A number of bytes, with two digits or three."""
    for unit in ("B", "K", "M", "G"):
        if size < 1000 or unit == "G":
            break
        size /= 1024
    digits = 1 if unit != "B" and size < 10 else 0
    return f"{size:.{digits}f} {unit}" if unit == "B" else f"{size:.{digits}f}{unit}"


def counted(number: int, thing: str) -> str:
    """So many of a thing, which is given as a single one."""
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number} {thing}{ending}"


def duration(seconds: float) -> str:
    """A duration as people say it: its two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def moment(timestamp: float) -> str:
    """A point in time, as ISO 8601 has it, in this place's time."""
    written = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(timestamp))
    return f"{written[:-2]}:{written[-2:]}"
