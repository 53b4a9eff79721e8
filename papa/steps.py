"""
What takes long, in steps that do not: whoever takes them decides who has a turn in between.

The kernel and the wires know no reactor. What they do to many things they write as a generator, each step of which is
about one thing; it returns what comes of it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, TypeAlias, TypeVar

__all__ = ["Steps", "all_at_once", "for_a_while", "until"]

_Result = TypeVar("_Result")

Steps: TypeAlias = Generator[None, None, _Result]
"""Steps, and what comes of them."""

#: How long others wait, in seconds.
_WHILE: Final = 0.004


def all_at_once(steps: Steps[_Result]) -> _Result:
    """Take all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: _Result = done.value
            return result


def until() -> float:
    """When others will have waited long enough from now on, by the clock of C{time.perf_counter}."""
    return time.perf_counter() + _WHILE


def for_a_while(steps: Steps[None]) -> bool:
    """Take some steps, and say whether those were all."""
    began = time.perf_counter()
    end: float | None = None
    for _ in steps:
        waited = time.perf_counter() - began
        if end is None:
            end = time.thread_time() + _WHILE - waited
        # It is its own time that counts: how long the system was elsewhere says nothing about the steps. But that is
        # never more than what a clock shows, and takes ten times as long to ask for: a tenth of what a request costs.
        if waited >= _WHILE and time.thread_time() >= end:
            return False
    return True
