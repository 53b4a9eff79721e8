"""Commands about cursors."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked import checks
from papa.asked.command import Command
from papa.errors import LimitReached, NotFound
from papa.names import check_name

__all__ = ["MoveCursor", "RemoveCursors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCursor(Command):
    """Have the next reading with a cursor begin elsewhere."""

    words = ("move", "cursor")
    summary = "Have a cursor read on from another mark"
    refusals = (
        (NotFound, "there is no such cursor or process, or it does not read this process"),
        (LimitReached, "there is no memory left to note that"),
    )
    help = """\
The next reading begins behind so many bytes of the process's output, or with
the oldest byte behind them that is still held.

Example:
    move cursor shipper process=web.1 mark=0"""

    name: str = parameters.name("the cursor")
    process: str = parameters.option("process", "the process", hint="NAME", default="")
    mark: int = parameters.option("mark", "how many bytes to pass over", hint="N", default=0, parse=parameters.number)

    def __post_init__(self) -> None:
        check_name(self.name, "Cursor")
        check_name(self.process, "Process")
        checks.in_range(self.mark, 0, 1 << 62, "mark")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCursors(Command):
    """Forget cursors: output waits for them no longer."""

    words = ("remove", "cursors")
    summary = "Forget cursors"
    refusals = (
        (NotFound, "a name without a * is not held; then none is removed"),
        (LimitReached, "there is no memory left to note that; of several, those before it are removed"),
    )
    help = """\
Example:
    remove cursors shipper"""

    names: tuple[str, ...] = parameters.names("names, or patterns with a final *; none means all")
