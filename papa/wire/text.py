"""
The console's dialect: what is said on a line, in both directions, byte for byte as papa 1.0.6 says it.

What a line cannot say exactly is refused with L{Unsayable}; it is never said wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from papa.commands import Command, Set
from papa.errors import Error, Unsayable
from papa.records import STDERR, STDOUT, Closed, Cursor, Item, Output, Process, Socket
from papa.visible import escaped, has_controls
from papa.wire.phrases import AMP, ERROR, FULL, GREETING

__all__ = [
    "AMP",
    "BATCH_END",
    "ERROR",
    "EXITING",
    "FULL",
    "GREETING",
    "NOTHING_LEFT",
    "NOT_IDLE",
    "PROMPT",
    "QUIT",
    "STOPPED",
    "answer_line",
    "check_sayable",
    "items_as_frames",
    "process_line",
    "refusal",
    "watching",
]

PROMPT: Final = b"> "
BATCH_END: Final = b"] "
EXITING: Final = b"Exiting papa!\n> "
NOT_IDLE: Final = "not idle"
QUIT: Final = b"ok\n"
STOPPED: Final = b"Stopped watching\n> "
NOTHING_LEFT: Final = b"Nothing left to watch\n> "

_CHANNELS: Final = {STDOUT: "out", STDERR: "err"}


def refusal(error: Error) -> str:
    """An error, on one line whatever the message."""
    return ERROR + escaped(str(error).replace("\n", " "))


def watching(count: int) -> str:
    """The headline of a watch."""
    return f"Watching {count}"


def check_sayable(command: Command) -> None:
    """
    Refuse to take in what this wire could never give back.

    @raise Unsayable: for a value that no answer could hold.
    """
    if isinstance(command, Set) and command.value:
        _check_value(command.name, command.value)


def _check_value(name: str, value: str) -> None:
    if has_controls(value):
        raise Unsayable(f"Value {name} holds newlines or control characters: the console cannot say it")
    if value.startswith("Error:"):
        raise Unsayable(f'Value {name} begins with "Error:", which on the console would read as one')


def answer_line(answer: object, name: str = "") -> str:
    """
    What follows a command, up to the prompt.

    @param name: of the value, if it is one.
    @raise Unsayable: if the answer has no exact words.
    """
    if answer is None:
        return ""
    if isinstance(answer, str):
        _check_value(name, answer)
        return answer
    if isinstance(answer, Socket):
        return _socket_line(answer)
    if isinstance(answer, Process):
        return process_line(answer)
    if isinstance(answer, Cursor):
        marks = ",".join(f"{name}:{mark}" for name, mark in sorted(answer.marks.items()))
        return f"{answer.name} reading={answer.reading} behind={answer.behind} marks={marks}"
    assert isinstance(answer, Mapping)
    return "\n".join(_listed(name, answer[name]) for name in sorted(answer))


def _listed(name: str, thing: object) -> str:
    if isinstance(thing, str):
        _check_value(name, thing)
        return f"{name} {thing}"
    return answer_line(thing, name)


# Words that the parser of version 1 would take for fields, behind a blank in a text.
_SOCKET_FIELD: Final = re.compile("(?<= )(family|type|backlog|path|umask|host|port|interface|reuseport|fileno)=")
_PROCESS_NUMBER: Final = re.compile("(?:^|(?<= ))(pid|started|running|shell)=")


def _unposed(word: re.Match[str]) -> str:
    return f"{word[1]}\\x3d"


def _socket_line(socket: Socket) -> str:
    words = [
        socket.name,
        f"family={socket.family}",
        f"type={socket.type}",
        f"backlog={socket.backlog}",
    ]
    for key in ("path", "umask", "host", "port", "interface"):
        value = getattr(socket, key)
        if value is not None:
            words.append(f"{key}={_SOCKET_FIELD.sub(_unposed, escaped(str(value)))}")
    if socket.reuseport:
        words.append("reuseport=1")
    if socket.fileno is not None:
        words.append(f"fileno={socket.fileno}")
    return " ".join(words)


def process_line(process: Process) -> str:
    """
    A process on a line.

    The arguments stand first, and everything behind them that decides anything is always there: in the parser of
    version 1 a later field wins, so no argument can pose as a pid. One that would break that parser, which wants a
    number there, has its equals sign written out.
    """
    words = [
        process.name,
        f"args={_PROCESS_NUMBER.sub(_unposed, escaped(' '.join(process.args)))}",
        f"pid={process.pid}",
        f"running={process.running}",
        f"started={process.started!r}",
        f"uid={process.uid}",
        f"gid={process.gid}",
    ]
    if process.exit_code is not None:
        words.append(f"exit_code={process.exit_code}")
    if process.dropped:
        words.append(f"dropped={process.dropped}")
    return " ".join(words)


def items_as_frames(items: Sequence[Item], *, holes: bool) -> bytes:
    """
    A batch of what was watched, with its end.

    @param holes: whether the reader has asked for holes; version 1 has no word for them.
    """
    parts: list[bytes] = []
    for item in items:
        if isinstance(item, Output):
            kind = _CHANNELS[item.channel]
            parts.append(f"{kind}:{item.name}:{item.timestamp!r}:{len(item.data)}\n".encode())
            parts += (item.data, b"\n")
        elif isinstance(item, Closed):
            parts.append(f"closed:{item.name}:{item.timestamp!r}:{item.exit_code}\n".encode())
        elif holes:
            parts.append(f"hole:{item.name}:{item.first!r}:{item.last!r}:{item.size}\n".encode())
    return b"".join([*parts, BATCH_END])
