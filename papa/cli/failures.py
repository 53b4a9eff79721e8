"""How a verb fails: one line on standard error, and an exit code that says what kind of failure it is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    "exit_status",
    "fail",
    "interrupt",
    "reported",
]

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
#: What was asked for has not come to be.
EXIT_NOT_REACHED: Final = 3
EXIT_NOT_FOUND: Final = 4
#: As a shell has it for a command that SIGINT ends; for one that another signal ends, it is 128 and its number.
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
    raise KeyboardInterrupt(number)


def exit_status(code: int) -> int:
    """What a shell has for a process that ended with this code, which is negative if a signal has ended it."""
    return code if code >= 0 else 128 - code


@contextmanager
def reported() -> Iterator[None]:
    """Turn papa's errors, those of the system, and the interrupt key, into messages and exit codes."""
    try:
        yield
        sys.stdout.flush()
    except Error as error:
        fail(str(error), next(code for kind, code in _CODES if isinstance(error, kind)))
    except BrokenPipeError:
        # Whoever read what is printed has gone: this ends as a program does that does not handle that.
        _print_no_more()
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        _print_no_more()
        where = "" if error.filename is None else f": {error.filename}"
        fail(f"{'cannot write: ' * (error.filename is None)}{error.strerror or error}{where}")
    except KeyboardInterrupt as interruption:
        sys.exit(128 + interruption.args[0] if interruption.args else EXIT_INTERRUPTED)


def _print_no_more() -> None:
    """Have what is still to be printed go nowhere: Python would try, and complain, at its end."""
    # Few commands come to this.
    from papa.daemon.descriptors import redirect

    with suppress(OSError):
        redirect(1, None)
