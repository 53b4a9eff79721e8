"""The kernel that a verb talks to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from papa.client.blocking import Papa
from papa.client.location import Location, default_location
from papa.errors import NotFound, Unreachable
from papa.names import nearest

__all__ = ["running_kernel", "selected_processes", "started_kernel"]


def started_kernel(ctx: click.Context) -> Papa:
    """
    The kernel, started if there is none.

    @raise Unreachable: if it cannot be started, with the reason.
    """
    return Papa(ctx.obj)


def running_kernel(ctx: click.Context) -> Papa:
    """
    The kernel, if there is one.

    @raise Unreachable: if there is none: a verb that only looks must not start one.
    """
    location = default_location() if ctx.obj is None else Location.read(ctx.obj)
    try:
        location.connect(5).close()
    except OSError as error:
        raise Unreachable(
            f"no kernel answers at {location} ({error.strerror or error}); "
            "papa run starts one, and so does papa serve --daemonize"
        ) from error
    return Papa(ctx.obj)


def selected_processes(papa: Papa, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """
    The processes of these names, patterns or pids, or all.

    @raise NotFound: if one of them selects nothing; with the name that was probably meant.
    """
    for name in names:
        if not papa.list_processes(name):
            matches = "no process matches" if name.endswith("*") else "there is no process"
            raise NotFound(f"{matches} {name!r}{nearest(name, papa.list_processes())}")
    return papa.list_processes(*names)
