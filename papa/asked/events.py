"""Commands about what happened."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked import checks
from papa.asked.command import Command
from papa.errors import TooOld

__all__ = ["WatchEvents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvents(Command):
    """
    Receive what happens to what papa holds, numbered without a gap.

    @ivar since: the number of the last event that is known already; -1 begins with what happens from now on, 0 with the
        oldest that is kept.
    @ivar clients: whether the comings and goings of clients are told, too. They are not kept, and have no numbers of
        their own.
    """

    words = ("watch", "events")
    summary = "Receive what happens to sockets, values and processes"
    refusals = ((TooOld, "events behind that number are no longer kept"),)
    on_console = False
    watches = True

    since: int = parameters.option("since", "begin behind this number", hint="N", default=-1, parse=parameters.number)
    follow: bool = parameters.option(
        "follow", "0: stop when what is there has been sent", hint="0|1", default=True, parse=parameters.flag
    )
    clients: bool = parameters.option(
        "clients", "1: tell of clients that come and go, too", hint="0|1", default=False, parse=parameters.flag
    )

    def __post_init__(self) -> None:
        checks.in_range(self.since, -1, 1 << 62, "since")
