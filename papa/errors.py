"""Every refusal papa can give, as one tree: one leaf a cause, each with a C{code} that no wire ever changes.

The message of an error says what was wrong and, where it can, what would be right. A wire carries the code and the
message; a client rebuilds the same leaf from them with L{by_code}.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ALL",
    "AlreadyDiffers",
    "BadRequest",
    "ConnectionLost",
    "Error",
    "GivesWay",
    "LimitReached",
    "NotAllowed",
    "NotFound",
    "SocketFailed",
    "SpawnFailed",
    "TooOld",
    "UnknownCommand",
    "Unreachable",
    "Unsayable",
    "by_code",
    "fell_behind",
]


class Error(RuntimeError):
    """The root of all that papa refuses; what a caller catches when any refusal will do."""

    code: ClassVar[str] = "error"


class BadRequest(Error):
    """A request that is wrong in itself, whatever papa holds."""

    code = "bad-request"


class UnknownCommand(BadRequest):
    """Words that name no command."""

    code = "unknown-command"


class Unsayable(BadRequest):
    """A request or an answer that this wire has no exact words for."""

    code = "unsayable"


class NotFound(Error):
    """A name that papa does not hold."""

    code = "not-found"


class AlreadyDiffers(Error):
    """The name is taken by something made with other parameters."""

    code = "already-differs"


class SocketFailed(Error):
    """The operating system would not give the socket."""

    code = "socket-failed"


class SpawnFailed(Error):
    """The program could not be started."""

    code = "spawn-failed"


class NotAllowed(Error):
    """Not this user, or not with papa's own rights."""

    code = "not-allowed"


class LimitReached(Error):
    """Papa, or the machine, has no more of what the request needs."""

    code = "limit-reached"


class Unreachable(Error):
    """No kernel answers where one was looked for, and none could be started."""

    code = "unreachable"


class TooOld(Error):
    """What is asked for has been let go of."""

    code = "too-old"


class ConnectionLost(Error):
    """The kernel went away in the middle of a conversation."""

    code = "connection-lost"


class GivesWay(ConnectionLost):
    """The kernel gave way to another, which goes on with all it holds: what it did not answer, it has not done."""

    code = "gives-way"


ALL: tuple[type[Error], ...] = (
    UnknownCommand,
    Unsayable,
    BadRequest,
    NotFound,
    AlreadyDiffers,
    SocketFailed,
    SpawnFailed,
    NotAllowed,
    LimitReached,
    Unreachable,
    TooOld,
    GivesWay,
    ConnectionLost,
    Error,
)
"""Every class of the tree, leaf before parent: a table that is tried in order never lets a parent swallow a leaf."""

_BY_CODE = {error.code: error for error in ALL}


def by_code(code: str, message: str) -> Error:
    """The error that a wire carried as C{code} and C{message}; an unknown code gives the root class."""
    return _BY_CODE.get(code, Error)(message)


def fell_behind() -> TooOld:
    """Why a kernel ends to tell what happens, though it was to go on."""
    return TooOld(
        "More has happened than the kernel keeps since the last event that was read: "
        "list what is held, and follow from now on"
    )
