"""Commands that list what papa holds."""

from __future__ import annotations

from dataclasses import dataclass

from papa import parameters
from papa.asked.command import Listing
from papa.errors import Unsayable
from papa.records import Cursor, Process, Socket

__all__ = ["ListCursors", "ListProcesses", "ListSockets", "ListValues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSockets(Listing):
    """The held sockets that the patterns select."""

    words = ("list", "sockets")
    summary = "List sockets"
    answer = Socket
    help = """\
Examples:
    list sockets
    list sockets web.* 12"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or descriptors; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProcesses(Listing):
    """The held processes that the patterns select."""

    words = ("list", "processes")
    summary = "List processes"
    answer = Process
    help = """\
Examples:
    list processes
    list processes web.* 3698"""

    names: tuple[str, ...] = parameters.names("names, patterns with a final *, or pids; none means all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValues(Listing):
    """The values that the patterns select."""

    words = ("list", "values")
    summary = "List values"
    refusals = ((Unsayable, "on the console: the value has no exact words there; the program wire has them"),)
    answer = str
    help = """\
Examples:
    list values
    list values deploy.*"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCursors(Listing):
    """The cursors that the patterns select."""

    words = ("list", "cursors")
    summary = "List cursors"
    answer = Cursor
    page = 1  # Each tells its place in thousands of processes, perhaps.
    help = """\
A cursor is a reader with a name: watch processes cursor=NAME makes it. Its
place in each process outlives whoever reads, and output waits for it.

Example:
    list cursors"""
