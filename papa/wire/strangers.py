"""
Telling a client of papa from something else that has found the port.

A web page can make a browser send papa whatever it likes, after a first line that it does not choose. So a first line
that is an HTTP request, or no text at all, ends the connection before anything behind it is read; and so does a row of
lines that are no commands at all, as long as there was none that is.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_UNKNOWN", "is_foreign"]

#: How many unknown commands a connection may begin with.
MAX_UNKNOWN: Final = 3

# What is requested has a slash or a colon in it, or is a *; a name, which has its place in a command, never has.
# Up to the first of them: to try each one would take hours for a line of a megabyte.
_TARGET: Final = rb"(\*|[^\s/:]*[/:]\S*)"
_METHODS: Final = rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH|PRI)"
_HTTP: Final = re.compile(rb"\S+\s+%b\s+HTTP/|[A-Z]+\s+\S+\s+HTTP/|%b %b" % (_TARGET, _METHODS, _TARGET))


def is_foreign(line: bytes) -> bool:
    """Whether a first line speaks another protocol: HTTP, or one that is not made of text lines."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in line or line[:1] == b"\x16" or _HTTP.match(line) is not None
