"""What an anchor needs of the system: memory files, and to move what a pipe holds into one in a single call."""

from __future__ import annotations

import os
import select
import socket
import sys
from typing import Final

__all__ = ["MISSING", "without_anchor"]

_NEEDED: Final = (
    (os, "memfd_create"),
    (os, "splice"),
    (os, "pipe2"),
    (os, "waitid"),
    (select, "epoll"),
    (socket, "MSG_CMSG_CLOEXEC"),
)

MISSING: Final[tuple[str, ...]] = tuple(name for module, name in _NEEDED if not hasattr(module, name))
"""What of that this system has not; then papa runs without an anchor."""


def without_anchor() -> str:
    """Why there is no anchor here, and what that means."""
    return (
        f"this system ({sys.platform}) has no {', '.join(MISSING)}, which an anchor needs: without one, what a kernel "
        "holds ends with it"
    )
