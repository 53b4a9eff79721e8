"""The table of sockets."""

from __future__ import annotations

from collections.abc import Mapping

from papa.cli.describing import address
from papa.cli.tables import show_table
from papa.records import Socket

__all__ = ["show_sockets"]


def show_sockets(sockets: Mapping[str, Socket]) -> None:
    """A table of sockets."""
    rows = [
        (
            name,
            f"{each.family} {each.type}",
            "one a process" if each.fileno is None else str(each.fileno),
            address(each),
        )
        for name, each in sockets.items()
    ]
    show_table(("SOCKET", "KIND", "DESCRIPTOR", "ADDRESS"), rows)
