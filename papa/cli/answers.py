"""What a verb prints for a program to read: one JSON object, or one a line."""

from __future__ import annotations

import json
from typing import Any, Final

import click

__all__ = ["JSON_VERSION", "json_option", "print_json"]

#: Counted up when a program that reads the JSON would have to change. New keys do not count.
JSON_VERSION: Final = 1

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def print_json(**answer: Any) -> None:
    """Print an answer."""
    click.echo(json.dumps({"version": JSON_VERSION, **answer}))
