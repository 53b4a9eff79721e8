"""C{papa doctor --state}: show a state that was written down as no kernel came to serve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from papa.cli.answers import print_json
from papa.cli.failures import EXIT_FAILED, fail
from papa.visible import escaped

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["print_state"]


def print_state(path: str, *, as_json: bool) -> None:
    """
    Print all entries of a state, whichever version has written it.

    @param path: of the file.
    """
    from papa.continuity.ledger import read_as_written

    with open(path, "rb") as file:
        entries = read_as_written(file.fileno())
    if not entries:
        fail(f"There is no state in {path}", EXIT_FAILED)
    found: list[shapes.StateEntry] = [
        {"kind": kind, "name": name, "value": json.dumps(value)}
        for kind, each in entries.items()
        for name, value in each.items()
    ]
    if as_json:
        state: shapes.State = {"entries": found}
        print_json(state)
        return
    for entry in found:
        click.echo(escaped(" ".join(filter(None, (entry["kind"], entry["name"], entry["value"])))))
