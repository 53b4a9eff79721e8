"""What of the kernel's life stands in the log."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from papa.interfaces import IEventObserver
from papa.records import Event
from papa.server.eventlog import EventLog


class EventLogTests(SynchronousTestCase):
    """A line an event."""

    def logged(self, *events: Event) -> list[str | None]:
        """What is logged of events."""
        log = EventLog()
        with capturedLogs() as captured:
            for event in events:
                log.happened(event)
        self.assertEqual({entry["log_level"] for entry in captured} - {LogLevel.info}, set())
        return [formatEvent(entry) for entry in captured]

    def test_interface(self) -> None:
        """It is told what happens as the kernel tells it."""
        verifyObject(IEventObserver, EventLog())

    def test_news(self) -> None:
        """Sockets and processes that come and go are news, with their numbers."""
        self.assertEqual(
            self.logged(
                Event(kind="socket-made", name="web", detail=9),
                Event(kind="socket-removed", name="web"),
                Event(kind="process-made", name="job", detail=12),
                Event(kind="process-exited", name="job", detail=-9),
                Event(kind="process-removed", name="job", detail=12),
            ),
            [
                "socket web made, descriptor 9",
                "socket web removed",
                "process job started, pid 12",
                "process job exited with -9",
                "process job forgotten, pid was 12",
            ],
        )

    def test_no_news(self) -> None:
        """Values, which may be secret, and ends of output are not logged."""
        self.assertEqual(
            self.logged(
                Event(kind="value-set", name="password"),
                Event(kind="value-removed", name="password"),
                Event(kind="process-closed", name="job"),
            ),
            [],
        )

    def test_braces_in_a_name(self) -> None:
        """What a name holds is never taken for a format."""
        self.assertEqual(self.logged(Event(kind="socket-removed", name="{detail}%s")), ["socket {detail}%s removed"])
