"""The processes that a verb is about."""

from __future__ import annotations

from collections.abc import Sequence

from papa.asked.listings import ListProcesses
from papa.cli.asking import Asker
from papa.cli.connecting import selected
from papa.records import Process

__all__ = ["selected_processes"]


def selected_processes(connection: Asker, names: Sequence[str]) -> dict[str, Process]:
    """
    The processes of these names, patterns or pids, or all, sorted by name.

    @raise NotFound: if one of them selects nothing; with the name that was probably meant.
    """
    return selected(connection, ListProcesses, names, "process")
