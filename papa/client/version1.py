"""How papa 1.0.6 takes and gives things: its constants, its dictionaries."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

from papa.client.streams import DEVNULL, PIPE, STDOUT
from papa.errors import BadRequest
from papa.records import Cursor, Process, Socket

__all__ = [
    "FAMILIES",
    "OUTPUTS",
    "TYPES",
    "arguments",
    "cursor_dict",
    "given",
    "limits",
    "named",
    "process_dict",
    "socket_dict",
]

FAMILIES: Final = {socket.AF_UNIX: "unix", socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
TYPES: Final = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "dgram", socket.SOCK_SEQPACKET: "seqpacket"}
OUTPUTS: Final = {PIPE: "pipe", DEVNULL: "null", STDOUT: "stdout"}


def given(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is set of what may be."""
    return {key: value for key, value in wanted.items() if value is not None}


def named(number: int | None, names: Mapping[Any, str], refusal: str) -> str | None:
    """
    The name of one of C{socket}'s or C{subprocess}'s constants; L{None} stays it.

    @raise BadRequest: for any other number.
    """
    if number is None:
        return None
    try:
        return names[number]
    except KeyError:
        raise BadRequest(refusal) from None


def arguments(executable: str | None, args: str | Iterable[str] | None) -> tuple[str, ...]:
    """The program and its arguments; one text is one argument."""
    first = () if executable is None else (executable,)
    if args is None:
        return first
    if isinstance(args, str):
        return (*first, args)
    try:
        return (*first, *map(str, args))
    except TypeError:
        return (*first, str(args))


def limits(value: int | tuple[int, int]) -> tuple[int, int]:
    """Soft and hard limit of what is given for one or both."""
    return (int(value[0]), int(value[1])) if isinstance(value, tuple) else (int(value), int(value))


def socket_dict(record: Socket) -> dict[str, Any]:
    """A socket as papa 1.0.6 gives it: texts but for the numbers that it made numbers, and nothing that is not set."""
    found: dict[str, Any] = {"family": record.family, "type": record.type, "backlog": record.backlog}
    found |= {
        "path": record.path,
        "umask": None if record.umask is None else str(record.umask),
        "host": record.host,
        "port": record.port,
        "interface": record.interface,
        "reuseport": "1" if record.reuseport else None,
        "fileno": record.fileno,
    }
    return given(found)


def cursor_dict(record: Cursor) -> dict[str, Any]:
    """A cursor in the manner of the others."""
    return {
        "patterns": record.patterns,
        "marks": dict(record.marks),
        "behind": record.behind,
        "reading": record.reading,
    }


def process_dict(record: Process) -> dict[str, Any]:
    """A process as papa 1.0.6 gives it, with its exit code, its output and losses in bytes, where there are any."""
    found: dict[str, Any] = {
        "args": " ".join(record.args),
        "pid": record.pid,
        "running": record.running,
        "started": record.started,
        "uid": str(record.uid),
        "gid": str(record.gid),
    }
    if record.exit_code is not None:
        found["exit_code"] = record.exit_code
    if record.captured:
        found["captured"] = record.captured
    if record.dropped:
        found["dropped"] = record.dropped
    return found
