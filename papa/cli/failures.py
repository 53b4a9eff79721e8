"""How a verb fails: one line on standard error, and an exit code that says what kind of failure it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import click

from papa.errors import BadRequest, ConnectionLost, Error, NotFound, Unreachable
from papa.visible import escaped

__all__ = [
    "EXIT_FAILED",
    "EXIT_NOT_FOUND",
    "EXIT_NOT_REACHED",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "fail",
    "interrupt",
    "reported",
]

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
#: What was asked for has not come to be.
EXIT_NOT_REACHED: Final = 3
EXIT_NOT_FOUND: Final = 4
#: As a shell has it for a command that SIGINT ends.
EXIT_INTERRUPTED: Final = 130
#: EX_UNAVAILABLE of sysexits(3).
EXIT_UNREACHABLE: Final = 69

_CODES: Final[tuple[tuple[type[Error], int], ...]] = (
    (Unreachable, EXIT_UNREACHABLE),
    (ConnectionLost, EXIT_UNREACHABLE),
    (NotFound, EXIT_NOT_FOUND),
    (BadRequest, EXIT_USAGE),
    (Error, EXIT_FAILED),
)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End with a message; what it quotes is shown, not acted on."""
    click.echo(f"papa: {escaped(message)}", err=True)
    sys.exit(code)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal as the interrupt key is, so that what was begun is ended in order."""
    raise KeyboardInterrupt


@contextmanager
def reported() -> Iterator[None]:
    """Turn papa's errors, and the interrupt key, into messages and exit codes."""
    try:
        yield
    except Error as error:
        fail(str(error), next(code for kind, code in _CODES if isinstance(error, kind)))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
