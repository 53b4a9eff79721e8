"""
What can be asked of papa: one frozen record a request, valid as soon as it exists.

Everything else follows from these records: the console's words, abbreviations and help, the kernel's methods, the
methods of the clients, and the boxes of the program wire.
"""

from __future__ import annotations

from papa.asked.command import Command, Listing
from papa.asked.cursors import MoveCursor, RemoveCursors
from papa.asked.events import WatchEvents
from papa.asked.listings import ListCursors, ListProcesses, ListSockets, ListValues
from papa.asked.processes import (
    CloseStdin,
    LendProcess,
    MakeProcess,
    RemoveProcesses,
    WatchProcesses,
    WriteProcess,
)
from papa.asked.sockets import LendSocket, MakeSocket, RemoveSockets, TakeSocket
from papa.asked.talk import ExitIfIdle, Help, Quit, Upgrade
from papa.asked.values import Get, RemoveValues, Set

__all__ = [
    "ALL",
    "CloseStdin",
    "Command",
    "ExitIfIdle",
    "Get",
    "Help",
    "LendProcess",
    "LendSocket",
    "ListCursors",
    "ListProcesses",
    "ListSockets",
    "ListValues",
    "Listing",
    "MakeProcess",
    "MakeSocket",
    "MoveCursor",
    "Quit",
    "RemoveCursors",
    "RemoveProcesses",
    "RemoveSockets",
    "RemoveValues",
    "Set",
    "TakeSocket",
    "Upgrade",
    "WatchEvents",
    "WatchProcesses",
    "WriteProcess",
]

ALL: tuple[type[Command], ...] = (
    MakeSocket,
    ListSockets,
    RemoveSockets,
    LendSocket,
    TakeSocket,
    MakeProcess,
    ListProcesses,
    WatchProcesses,
    WriteProcess,
    CloseStdin,
    RemoveProcesses,
    LendProcess,
    ListCursors,
    MoveCursor,
    RemoveCursors,
    Set,
    Get,
    ListValues,
    RemoveValues,
    WatchEvents,
    Help,
    Quit,
    ExitIfIdle,
    Upgrade,
)
"""Every command, in the order in which help shows them."""
