"""Whether two requests ask for the same thing."""

from __future__ import annotations

import dataclasses

from papa.commands import Command

__all__ = ["differences"]


def differences(before: Command, after: Command) -> dict[str, object]:
    """The fields in which two commands of one kind differ, with what stands in the first."""
    return {
        field.name: getattr(before, field.name)
        for field in dataclasses.fields(before)
        if getattr(before, field.name) != getattr(after, field.name)
    }
