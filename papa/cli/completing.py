"""What may stand in a place: a name, asked of the kernel that runs while somebody types; or a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cursor_names", "files", "process_names", "socket_names", "value_names"]

_Completion = Callable[[click.Context, click.Parameter, str], list[str]]

_PATIENCE = 1.0


def _completing(module: str, listing: str) -> _Completion:
    """A function for click that gives the names that begin as what was typed; none where there is no kernel."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        # Every verb has this at hand; few need it.
        from papa.client.location import location_of
        from papa.client.program import Connection
        from papa.errors import Error

        where = ctx.find_root().params.get("where")
        with suppress(Error, OSError):
            # To complete a word starts no kernel.
            connection = Connection(location_of(where), _PATIENCE)
            try:
                names = connection.ask(getattr(importlib.import_module(module), listing)())
            finally:
                connection.close()
            taken = ctx.params.get(param.name or "") or ()
            return [name for name in names if name.startswith(incomplete) and name not in taken]
        return []

    return complete


process_names = _completing("papa.asked.listings", "ListProcesses")
socket_names = _completing("papa.asked.listings", "ListSockets")
value_names = _completing("papa.asked.listings", "ListValues")
cursor_names = _completing("papa.asked.listings", "ListCursors")


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete a file: a program to be run, or what follows it."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]
