"""
The console's dialect: what is said on a line, in both directions, byte for byte as papa 1.0.6 says it.

What a line cannot say exactly is refused with L{Unsayable}; it is never said wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from papa.commands import (
    Command,
    Get,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    Set,
)
from papa.errors import ConnectionLost, Error, Unsayable
from papa.records import STDERR, STDOUT, Closed, Hole, Item, Output, Process, Socket
from papa.visible import escaped, has_controls

__all__ = [
    "BATCH_END",
    "ERROR",
    "EXITING",
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
    "read_answer",
    "read_header",
    "refusal",
    "watching",
]

PROMPT: Final = b"> "
GREETING: Final = b'Papa is home. Type "help" for commands.\n> '
ERROR: Final = "Error: "
BATCH_END: Final = b"] "
EXITING: Final = b"Exiting papa!\n> "
NOT_IDLE: Final = "not idle"
QUIT: Final = b"ok\n"
STOPPED: Final = b"Stopped watching\n> "
NOTHING_LEFT: Final = b"Nothing left to watch\n> "

_CHANNELS: Final = {STDOUT: "out", STDERR: "err"}
_CHANNEL_NUMBERS: Final = {word: number for number, word in _CHANNELS.items()}


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


def answer_line(answer: object) -> str:
    """
    What follows a command, up to the prompt.

    @raise Unsayable: if the answer has no exact words.
    """
    if answer is None:
        return ""
    if isinstance(answer, str):
        _check_value("", answer)
        return answer
    if isinstance(answer, Socket):
        return _socket_line(answer)
    if isinstance(answer, Process):
        return process_line(answer)
    assert isinstance(answer, Mapping)
    return "\n".join(_listed(name, answer[name]) for name in sorted(answer))


def _listed(name: str, thing: object) -> str:
    if isinstance(thing, str):
        _check_value(name, thing)
        return f"{name} {thing}"
    return answer_line(thing)


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
            words.append(f"{key}={escaped(str(value))}")
    if socket.reuseport:
        words.append("reuseport=1")
    if socket.fileno is not None:
        words.append(f"fileno={socket.fileno}")
    return " ".join(words)


def process_line(process: Process) -> str:
    """
    A process on a line.

    The arguments stand first, and everything behind them that decides anything is always there: in the parser of
    version 1 a later field wins, so no argument can pose as a pid.
    """
    words = [
        process.name,
        f"args={escaped(' '.join(process.args))}",
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


def read_header(line: str) -> tuple[int, Output | Closed | Hole] | None:
    """
    The header of a frame: how many bytes of data follow it, and the item without them; L{None} if it is none.

    The wire says no marks: they are 0.
    """
    kind, *fields = line.split(":")
    if kind in _CHANNEL_NUMBERS and len(fields) == 3:
        empty = Output(name=fields[0], channel=_CHANNEL_NUMBERS[kind], timestamp=float(fields[1]), data=b"", mark=0)
        return int(fields[2]), empty
    if kind == "closed" and len(fields) == 3:
        return 0, Closed(name=fields[0], timestamp=float(fields[1]), exit_code=int(fields[2]))
    if kind == "hole" and len(fields) == 4:
        return 0, Hole(name=fields[0], first=float(fields[1]), last=float(fields[2]), size=int(fields[3]), mark=0)
    return None


def read_answer(command: Command, text: str) -> Any:
    """
    The answer to a command, from what came before the prompt.

    @raise ConnectionLost: if it is not an answer at all.
    """
    try:
        if isinstance(command, MakeSocket):
            return _read_socket(text)
        if isinstance(command, MakeProcess):
            return _read_process(text)
        if isinstance(command, Get):
            return text or None
        if isinstance(command, ListValues):
            return dict((line.partition(" ")[::2]) for line in text.split("\n") if line)
        if isinstance(command, ListSockets):
            return {socket.name: socket for socket in map(_read_socket, text.split("\n") if text else [])}
        if isinstance(command, ListProcesses):
            return {process.name: process for process in map(_read_process, text.split("\n") if text else [])}
    except (KeyError, ValueError) as error:
        raise ConnectionLost(f"The kernel gave an answer that is none: {text[:200]!r}") from error
    return text


def _read_socket(line: str) -> Socket:
    name, _, rest = line.partition(" ")
    # A path may hold spaces: a word without a key belongs to the one before it.
    fields = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", rest))
    return Socket(
        name=name,
        family=fields["family"],
        type=fields["type"],
        backlog=int(fields["backlog"]),
        path=fields.get("path"),
        umask=_number(fields, "umask"),
        host=fields.get("host"),
        port=_number(fields, "port"),
        interface=fields.get("interface"),
        reuseport="reuseport" in fields,
        fileno=_number(fields, "fileno"),
    )


_PROCESS: Final = re.compile(
    r"(?P<name>\S+) args=(?P<args>.*) pid=(?P<pid>\d+) running=(?P<running>True|False) started=(?P<started>\S+)"
    r" uid=(?P<uid>\d+) gid=(?P<gid>\d+)(?: exit_code=(?P<exit_code>-?\d+))?(?: dropped=(?P<dropped>\d+))?"
)


def _read_process(line: str) -> Process:
    found = _PROCESS.fullmatch(line)
    if found is None:
        raise ValueError(line)
    fields = found.groupdict()
    return Process(
        name=fields["name"],
        args=(fields["args"],),
        pid=int(fields["pid"]),
        running=fields["running"] == "True",
        started=float(fields["started"]),
        uid=int(fields["uid"]),
        gid=int(fields["gid"]),
        exit_code=_number(fields, "exit_code"),
        dropped=_number(fields, "dropped") or 0,
    )


def _number(fields: Mapping[str, str | None], key: str) -> int | None:
    value = fields.get(key)
    return None if value is None else int(value)
