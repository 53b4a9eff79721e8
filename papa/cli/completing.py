"""What may stand where a name is wanted: asked of the kernel that runs, while somebody types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import click

from papa.client.blocking import Papa
from papa.client.location import Location, default_location
from papa.errors import Error

__all__ = ["cursor_names", "process_names", "socket_names", "value_names"]

_PATIENCE = 1.0


def _completing(held: Callable[[Papa], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """A function for click that gives the names that begin as what was typed; none where there is no kernel."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        where = ctx.find_root().params.get("where")
        with suppress(Error, OSError):
            location = default_location() if where is None else Location.read(where)
            location.connect(_PATIENCE).close()  # To complete a word starts no kernel.
            with Papa(where, _PATIENCE) as papa:
                taken = ctx.params.get(param.name or "") or ()
                return [name for name in held(papa) if name.startswith(incomplete) and name not in taken]
        return []

    return complete


process_names = _completing(lambda papa: papa.list_processes())
socket_names = _completing(lambda papa: papa.list_sockets())
value_names = _completing(lambda papa: papa.list_values())
cursor_names = _completing(lambda papa: papa.list_cursors())
