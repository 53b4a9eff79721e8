"""
What Python and Twisted call their own, so that references to it in docstrings find their pages.

The whole inventories are on the web, where a build does not go.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import resource
import select
import signal
import socket
import subprocess
import zlib
from collections.abc import Iterable, Iterator

__all__ = ["write"]

_MODULES = (fcntl, os, resource, select, signal, socket, subprocess)
_TWISTED = ("twisted.internet.process.Process",)


def write(folder: str) -> dict[str, str]:
    """
    Write the inventories into a folder, in the second format of Sphinx.

    @return: the path of each, by the address that its places are relative to.
    """
    return {
        "https://docs.python.org/3": _write(os.path.join(folder, "python.inv"), _python()),
        "https://docs.twisted.org/en/stable/api": _write(os.path.join(folder, "twisted.inv"), _twisted()),
    }


def _write(path: str, names: Iterable[tuple[str, str, str]]) -> str:
    lines = "".join(f"{name} {kind} 1 {place} -\n" for name, kind, place in names)
    with open(path, "wb") as file:
        file.write(b"# Sphinx inventory version 2\n# Project: known\n# Version: 1\n")
        file.write(b"# The remainder of this file is compressed using zlib.\n")
        file.write(zlib.compress(lines.encode()))
    return path


def _python() -> Iterator[tuple[str, str, str]]:
    for name in ("None", "True", "False"):
        yield name, "py:data", f"library/constants.html#{name}"
    for name, thing in vars(builtins).items():
        if isinstance(thing, type):
            page = "exceptions" if issubclass(thing, BaseException) else "functions"
            yield name, "py:class", f"library/{page}.html#{name}"
    yield "Literal", "py:data", "library/typing.html#typing.Literal"
    for module in _MODULES:
        page = f"library/{module.__name__}.html"
        yield module.__name__, "py:module", f"{page}#module-{module.__name__}"
        for name in vars(module):
            if not name.startswith("_"):
                yield f"{module.__name__}.{name}", "py:data", f"{page}#{module.__name__}.{name}"


def _twisted() -> Iterator[tuple[str, str, str]]:
    for name in _TWISTED:
        yield name, "py:class", f"{name}.html"
