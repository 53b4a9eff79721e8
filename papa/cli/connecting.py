"""The kernel that a verb talks to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from papa.asked.command import Listing
from papa.cli.asking import Asker
from papa.client.location import Location, location_of
from papa.errors import NotFound, Unreachable
from papa.names import nearest

if TYPE_CHECKING:
    from papa.client.blocking import Papa

__all__ = ["kernel_location", "open_connection", "running_kernel", "selected", "started_kernel"]


def kernel_location(ctx: click.Context) -> Location:
    """Where the kernel is looked for."""
    return location_of(ctx.obj)


def started_kernel(ctx: click.Context) -> Papa:
    """
    The kernel, started if there is none.

    @raise Unreachable: if it cannot be started, with the reason.
    """
    from papa.client.blocking import Papa  # What only asks is to answer quickly, and does without.

    return Papa(ctx.obj)


@contextmanager
def open_connection(ctx: click.Context, *, start: bool = False) -> Iterator[Asker]:
    """
    A conversation with the kernel, for what only asks.

    @param start: whether one is started if there is none: a verb that only looks must not.
    @raise Unreachable: if there is none, or none can be started, with the reason.
    """
    location = kernel_location(ctx)
    try:
        connection = Asker(location)
    except OSError as error:
        if not start:
            raise Unreachable(
                f"no kernel answers at {location} ({error.strerror or error}); "
                "papa run starts one, and so does papa serve --daemonize"
            ) from error
        with started_kernel(ctx) as papa:
            connection = Asker(papa.location)
    try:
        yield connection
    finally:
        connection.close()


def running_kernel(ctx: click.Context) -> Papa:
    """
    The kernel, if there is one, for what reads along.

    @raise Unreachable: as L{open_connection} does.
    """
    from papa.client.blocking import Papa  # As above.

    with open_connection(ctx):
        return Papa(ctx.obj, start=False)


def selected(connection: Asker, listing: type[Listing], names: Sequence[str], kind: str) -> dict[str, Any]:
    """
    The things of these names and patterns, or all, sorted by name.

    @param listing: the command that lists them; C{kind}: what one is called.
    @raise NotFound: if one of the names selects nothing; with the name that was probably meant.
    """
    found: dict[str, Any] = {}
    for name in names or ("*",):
        some = connection.ask(listing(names=(name,)))
        if names and not some:
            matches = f"no {kind} matches" if name.endswith("*") else f"there is no {kind}"
            raise NotFound(f"{matches} {name!r}{nearest(name, connection.ask(listing()))}")
        found |= some
    return {name: found[name] for name in sorted(found)}
