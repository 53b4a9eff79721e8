"""Commands about the conversation itself."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked.command import Command

__all__ = ["ExitIfIdle", "Help", "Quit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Help(Command):
    """Help on all commands, or on one."""

    words = ("help",)
    summary = "Show this list, or help on one command"
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
