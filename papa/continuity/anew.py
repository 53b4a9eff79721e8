"""
Beginning an anchor anew, with another version of its code: the process stays, and with it its children.

All that the anchor knows goes over in a memory file, and all that it holds under the same descriptors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["FORMAT", "begin_anew", "knows_format", "passed_on"]

#: The version of what goes over.
FORMAT: Final = 1


def knows_format(version: object) -> bool:
    """Whether whoever knows a version understands what goes over from here."""
    return isinstance(version, int) and version >= FORMAT


def begin_anew(argv: Sequence[str], state: Mapping[str, Any], descriptors: Iterable[int]) -> OSError:
    """
    Become the program of another anchor.

    @param descriptors: go over, and no others.
    @return: why not; everything is as it was.
    """
    descriptors = list(descriptors)
    file = -1
    try:
        file = os.memfd_create("papa-anchor")
        with open(file, "w", encoding="utf-8", closefd=False) as text:
            json.dump({"format": FORMAT, **state}, text)
        for descriptor in (file, *descriptors):
            os.set_inheritable(descriptor, True)
        os.execv(argv[0], [*argv, f"--state={file}"])  # noqa: S606 - there is nothing that a shell would do
    except OSError as error:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return error
    finally:
        if file >= 0:
            os.close(file)


def passed_on(descriptor: int) -> dict[str, Any]:
    """
    What the anchor before has known; its descriptors are for nobody else any more.

    @raise ValueError: if it is of a format that this version does not know.
    """
    with open(descriptor, encoding="utf-8") as text:
        text.seek(0)
        state: dict[str, Any] = json.load(text)
    if state["format"] > FORMAT:
        raise ValueError(f"the anchor before has left format {state['format']}, and this one knows {FORMAT}")
    return state
