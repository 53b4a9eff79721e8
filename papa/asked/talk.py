"""Commands about the conversation itself."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked import checks
from papa.asked.command import Command
from papa.errors import NotAllowed, UnknownCommand

__all__ = ["ExitIfIdle", "Help", "Quit", "Upgrade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Help(Command):
    """Help on all commands, or on one."""

    words = ("help",)
    summary = "Show this list, or help on one command"
    refusals = ((UnknownCommand, "no command begins so"),)
    help = """\
Examples:
    help
    help make process
    h m p"""

    topic: tuple[str, ...] = parameters.names("the words of a command, or some of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit(Command):
    """End this conversation."""

    words = ("quit",)
    summary = "Close this connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitIfIdle(Command):
    """End papa when the last connection has gone, if it then holds nothing."""

    words = ("exit-if-idle",)
    summary = "End papa if it holds no socket, value or process"
    answer = bool
    help = """\
Papa ends when the last connection is closed, unless somebody connects before
that or something was made. This command cannot be abbreviated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade(Command):
    """Have the code that is installed now go on with all that is held."""

    words = ("upgrade",)
    summary = "Have another kernel go on with all that is held"
    refusals = ((NotAllowed, "the kernel has no anchor, or the next one cannot go on; it says why"),)
    on_console = False
    help = """\
The next kernel first shows that it can go on from a copy of the state; if it
cannot, nothing happens. Only a kernel at an anchor can give way to another."""

    python: str = parameters.option(
        "python", "the path of the Python to run it with; the same by default", hint="PATH", default=""
    )

    def __post_init__(self) -> None:
        checks.no_nul([self.python], "The path of a Python")
