"""What a console says when a conversation begins, by which a program's client knows it."""

from __future__ import annotations

from typing import Final

__all__ = ["AMP", "ERROR", "FULL", "GREETING"]

GREETING: Final = b'Papa is home. Type "help" for commands.\n> '
ERROR: Final = "Error: "
#: The line after which a connection speaks the program wire.
AMP: Final = "amp"
#: What is said behind L{ERROR} to one connection too many, at the end of the line.
FULL: Final = "papa has as many connections as it can serve"
