"""What happened, in the log."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from papa.interfaces import IEventObserver
from papa.records import Event, EventKind

__all__ = ["EventLog"]

_SENTENCES: Final[dict[EventKind, str]] = {
    "socket-made": "socket {name} made, descriptor {detail}",
    "socket-removed": "socket {name} removed",
    "process-made": "process {name} started, pid {detail}",
    "process-exited": "process {name} exited with {detail}",
    "process-removed": "process {name} forgotten, pid was {detail}",
}


@implementer(IEventObserver)
class EventLog:
    """Writes a line an event; values and ends of output are too common to be news."""

    _log = Logger()

    def happened(self, event: Event) -> None:
        """It has just happened."""
        sentence = _SENTENCES.get(event.kind)
        if event.kind == "socket-made" and event.detail is None:
            sentence = "socket {name} made, one for each process"
        if sentence is not None:
            self._log.info(sentence, name=event.name, detail=event.detail)
