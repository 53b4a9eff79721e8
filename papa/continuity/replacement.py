"""Starting another anchor for a kernel that has lost the one before."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from papa.continuity.anew import FORMAT
from papa.continuity.channel import Channel
from papa.continuity.started import start_at_line
from papa.drivers.inheritance import DescriptorLimit

__all__ = ["ANCHOR", "Replacement", "own_anchor"]

#: How an anchor is started, behind the name of a Python.
ANCHOR: Final = ("-P", "-m", "papa.continuity.anchor")

_LOG: Final = "--log-file="
#: After so many seconds a process that has hung up is a zombie for sure, and can be reaped.
_ENDED: Final = 1.0


class Replacement:
    """Starts anchors; each is to be told what is held once it says that it hears."""

    def __init__(self, argv: Sequence[str], limit: DescriptorLimit, reactor: Any) -> None:
        """
        @param argv: how to start a kernel like this one.
        @param limit: gives the anchor the limit of open files that papa was started with.
        """
        self._argv = [word for word in argv if not word.startswith(_LOG)]
        self._logs = [word for word in argv if word.startswith(_LOG)]
        self._limit = limit
        self._reactor = reactor

    def start(self, kernels: int) -> Channel:
        """
        Start one.

        @param kernels: how many there have been, with this one.
        @return: the line to it.
        @raise OSError: if there is none to be had.
        """
        self._reap_later()
        about = (f"--kernel={os.getpid()}", f"--kernels={kernels}", *self._logs, "--", *self._argv)
        # Whoever has ended is reaped below.
        _, line = start_at_line(lambda end: [sys.executable, *ANCHOR, f"--line={end}", *about], self._limit)
        return line

    def _reap_later(self) -> None:
        """What hung up with the anchor before ends, but need not have ended yet: the copy of this kernel, too."""
        self._reactor.callLater(_ENDED, _reap)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def own_anchor() -> dict[str, Any]:
    """How an anchor of this version is started, if it can be, and what it understands."""
    importlib.import_module(ANCHOR[-1])
    return {"anchor": [sys.executable, *ANCHOR], "format": FORMAT}
