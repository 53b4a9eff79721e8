"""
The blocking face of papa, as papa 1.0.6 had it: L{Papa} asks, and L{Watcher} reads what processes print.

Importing this loads nothing yet, and what it has to offer, once that is used, the standard library only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from papa import utils
    from papa.client.blocking import Papa, ProcessOutput, Watcher
    from papa.client.streams import DEVNULL, PIPE, STDOUT
    from papa.errors import Error
    from papa.records import UNKNOWN_EXIT

    set_debug_mode = Papa.set_debug_mode
    set_default_connection_timeout = Papa.set_default_connection_timeout
    set_default_path = Papa.set_default_path
    set_default_port = Papa.set_default_port

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "UNKNOWN_EXIT",
    "Error",
    "Papa",
    "ProcessOutput",
    "Watcher",
    "set_debug_mode",
    "set_default_connection_timeout",
    "set_default_path",
    "set_default_port",
    "utils",
]

__version__ = "2.0.0.dev0"

#: Where each name comes from; the papa command, which is to answer quickly, needs none of them.
_PLACES: Final = {
    "DEVNULL": "papa.client.streams",
    "PIPE": "papa.client.streams",
    "STDOUT": "papa.client.streams",
    "UNKNOWN_EXIT": "papa.records",
    "Error": "papa.errors",
    "Papa": "papa.client.blocking",
    "ProcessOutput": "papa.client.blocking",
    "Watcher": "papa.client.blocking",
}


def __getattr__(name: str) -> Any:
    if name == "utils":
        return importlib.import_module("papa.utils")
    if name in _PLACES:
        found = getattr(importlib.import_module(_PLACES[name]), name)
    elif name in __all__:
        found = getattr(__getattr__("Papa"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
