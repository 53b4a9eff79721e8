"""What a command is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from papa import parameters
from papa.asked import checks
from papa.errors import Error

__all__ = ["Command", "Listing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    Something that can be asked.

    @cvar words: how it is called; joined by underscores, the name of the kernel's and the clients' methods.
    @cvar summary: one line for the list of commands.
    @cvar help: what a person needs beyond the fields: examples above all.
    @cvar answer: what is answered: a record, a text, or L{None} for nothing.
    @cvar listed: whether it is answered by name, any number of them.
    @cvar on_console: whether a person can ask it on a line.
    @cvar watches: whether it begins a watch, of which more is sent than the answer.
    @cvar lends: whether a descriptor goes with the answer.
    @cvar takes: whether a descriptor comes with the command.
    @cvar refusals: what it can be refused with beside L{BadRequest}, which any command can, and when that is.
    @cvar repeatable: whether asking it again does no harm when it is not known whether it was done.
    """

    words: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    help: ClassVar[str] = ""
    answer: ClassVar[type[object] | None] = None
    listed: ClassVar[bool] = False
    refusals: ClassVar[tuple[tuple[type[Error], str], ...]] = ()
    repeatable: ClassVar[bool] = False
    on_console: ClassVar[bool] = True
    watches: ClassVar[bool] = False
    lends: ClassVar[bool] = False
    takes: ClassVar[bool] = False

    def differences(self, other: Command) -> dict[str, object]:
        """The fields in which another command of this kind differs, with what stands in this one."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Command):
    """
    A command that lists; a long list can be asked for in pages.

    @cvar page: how many things at most are looked at while others wait.
    """

    listed = True
    repeatable = True
    page: ClassVar[int] = 256

    names: tuple[str, ...] = parameters.names("names, or patterns with a final *; none means all")
    after: str = parameters.page("begin behind this name")
    most: int = parameters.page("list so many at most; 0 lists all", default=0)

    def __post_init__(self) -> None:
        checks.in_range(self.most, 0, (1 << 31) - 1, "most")
