"""
The formats that the state has had, and the steps between them.

A format is what the records of the ledger mean, and the bytes on the tapes, in their indexes, in the feeds and on the
scratch. A kernel reads every format that there has been, one step after the other, and writes the newest. When it gives
way to a papa that knows only the format before, it writes that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from papa.errors import NotAllowed

__all__ = ["FORMAT", "OLDEST_READ", "OLDEST_WRITTEN", "Entries", "migrated", "written_back"]

#: What a ledger knows, by kind and name.
Entries: TypeAlias = dict[str, dict[str, Any]]


def _to_2(entries: Entries) -> None:
    """
    Input lies in feeds, and output in slots: bytes at their marks are in slots, too.

    Only the input that is left for another kind of papa is in the ledger.
    """
    left = entries.pop("input", {})
    entries["left"] = {key: {"data": data, "closes": closes} for key, (data, closes) in left.items()}


def _back_to_1(entries: Entries) -> None:
    """What was in feeds has been left in the ledger, and tapes have been straightened."""
    left = entries.pop("left", {})
    entries["input"] = {key: [each["data"], each["closes"]] for key, each in left.items()}


def _to_3(entries: Entries) -> None:
    """That a cursor is done with a process is noted as its place there, and no more for all of them with the cursor."""
    for name, cursor in entries.get("cursor", {}).items():
        for key in cursor.pop("finished"):
            entries.setdefault("place", {})[f"{name} {key}"] = None


def _back_to_2(entries: Entries) -> None:
    cursors, places = entries.get("cursor", {}), entries.get("place", {})
    over = [at.partition(" ") for at, place in places.items() if place is None]
    for name, cursor in cursors.items():
        cursor["finished"] = [key for of, _, key in over if of == name]
    for at in map("".join, over):
        del places[at]


#: The steps from each format to the next.
_STEPS: Final[Mapping[int, Callable[[Entries], None]]] = {1: _to_2, 2: _to_3}
#: The steps from a format to the one before.
_STEPS_BACK: Final[Mapping[int, Callable[[Entries], None]]] = {2: _back_to_1, 3: _back_to_2}

FORMAT: Final = max(_STEPS) + 1
OLDEST_READ: Final = min(_STEPS)
OLDEST_WRITTEN: Final = min(_STEPS_BACK) - 1


def migrated(entries: Entries, found: object) -> Entries:
    """
    What was written in a format as the newest has it.

    @param entries: may be changed.
    @raise NotAllowed: if no papa of this version can read that format.
    """
    if not (isinstance(found, int) and OLDEST_READ <= found <= FORMAT):
        raise NotAllowed(
            f"The state was written in format {found}, and this papa reads formats {OLDEST_READ} to {FORMAT}: "
            "go on with the version that has written it, or a newer one"
        )
    for number in range(found, FORMAT):
        _STEPS[number](entries)
    return entries


def written_back(entries: Entries, wanted: int) -> Entries:
    """
    What is known in the newest format as an older one has it.

    @param entries: may be changed.
    @param wanted: not below L{OLDEST_WRITTEN}.
    """
    for number in range(FORMAT, wanted, -1):
        _STEPS_BACK[number](entries)
    return entries
