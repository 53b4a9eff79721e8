"""What was measured, and how: the table of C{docs/bench.json}, which C{python -m bench --json} writes."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from typing import Any

from bench import report
from bench.figures import FIGURES
from papa_reference.rst import defined, escaped, from_epytext, table

__all__ = ["figures", "machine", "methods"]

_FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench.json")


def _found() -> dict[str, Any]:
    with open(_FILE, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def figures() -> Iterator[str]:
    """The table."""
    rows = (map(escaped, row) for row in report.rows(_found()["figures"]))
    yield from table(report.HEADINGS, rows, "30 14 12 14 12 8 10 10")


def machine() -> Iterator[str]:
    """Where it was measured, and what is to be known of it."""
    found = _found()
    rounds = f"{found['rounds']} {'quick ' if found['quick'] else ''}rounds"
    for name, value in {**found["machine"], "medians of": rounds}.items():
        yield f"* {escaped(name)}: {escaped(value)}"
    for note in report.notes(found):
        yield f"* {escaped(note)}"
    yield ""


def methods() -> Iterator[str]:
    """How each figure is taken, as its docstring has it."""
    for figure in FIGURES:
        paragraphs = inspect.cleandoc(figure.__doc__ or "").split("\n\n")
        yield from defined(f"``{figure.name}``", *(from_epytext(" ".join(each.split())) for each in paragraphs))
