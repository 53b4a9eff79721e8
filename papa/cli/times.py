"""Points in time as people write them."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Final

import click

__all__ = ["PAST"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


class _Past(click.ParamType[float]):
    """How long ago (C{90s}, C{10m}, C{2h}, C{1d}), a time of today (C{14:30}), or ISO 8601; seconds since the epoch."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        word = str(value)
        if found := _AGO.fullmatch(word):
            return time.time() - float(found[1]) * _UNITS[found[2]]
        try:
            if re.fullmatch(r"\d\d:\d\d(:\d\d)?", word):
                return datetime.fromisoformat(f"{datetime.now().astimezone().date()}T{word}").timestamp()
            return datetime.fromisoformat(word).timestamp()
        except ValueError:
            self.fail(f"{word!r} is no time: write 10m, 2h, 14:30 or 2026-11-21T14:30", param, ctx)


PAST: Final = _Past()
"""A parameter's type."""
