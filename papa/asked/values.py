"""Commands about values."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked.command import Command
from papa.errors import BadRequest, LimitReached, Unsayable
from papa.names import check_name

__all__ = ["Get", "RemoveValues", "Set"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Command):
    """Keep a value under a name; no value, or an empty one, removes it."""

    words = ("set",)
    summary = "Keep a value under a name"
    refusals = (
        (LimitReached, "all values together would be too large"),
        (Unsayable, "on the console: the value is one that no answer there could hold"),
    )
    repeatable = True
    help = """\
Without a value the name is removed.

Examples:
    set deploy.current 2041
    set deploy.current"""

    name: str = parameters.name("the name of the value")
    value: str | None = parameters.text("the value: the rest of the line", "VALUE", default=None)

    def __post_init__(self) -> None:
        check_name(self.name, "Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Command):
    """The value of a name, or nothing."""

    words = ("get",)
    summary = "Show the value of a name"
    refusals = ((Unsayable, "on the console: the value has no exact words there; the program wire has them"),)
    answer = str
    repeatable = True
    help = """\
Example:
    get deploy.current"""

    name: str = parameters.name("the name of the value")

    def __post_init__(self) -> None:
        check_name(self.name, "Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveValues(Command):
    """Forget values; never all of them at once."""

    words = ("remove", "values")
    summary = "Forget values"
    refusals = ((LimitReached, "there is no memory left to note that; of several, those before it are removed"),)
    help = """\
All values at once cannot be removed: name them, or use a pattern with some
letters before the *.

Examples:
    remove values deploy.current
    remove values deploy.*"""

    names: tuple[str, ...] = parameters.names("names, or patterns with a final *")

    def __post_init__(self) -> None:
        if not self.names or "*" in self.names:
            raise BadRequest("Values cannot all be removed at once: name them, or use a pattern such as web.*")
