"""Who is connected, and when papa ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import Set
from papa.drivers.memory import MemoryChildren, MemorySockets
from papa.errors import Error, GivesWay, NotAllowed
from papa.kernel.core import Kernel
from papa.server.attendance import Attendance
from papa.server.eventlog import EventLog


class Guest:
    """
    A connection.

    @ivar reasons: for which it was to end.
    """

    peer = "somebody"

    def __init__(self) -> None:
        self.reasons: list[Error | None] = []

    def dismiss(self, reason: Error | None = None) -> None:
        """It ends when its test wants it to."""
        self.reasons.append(reason)


class AttendanceTests(SynchronousTestCase):
    """Arrivals and departures."""

    def setUp(self) -> None:
        self.kernel = Kernel(sockets=MemorySockets(), children=MemoryChildren(), wall=lambda: 0.0, events=EventLog())
        self.reasons: list[str] = []
        self.attendance = Attendance(self.kernel, self.reasons.append, most=2)
        self.one, self.other = Guest(), Guest()

    def hold(self, value: str | None) -> None:
        """Make papa hold a value, or nothing."""
        self.kernel.perform(Set(name="x", value=value))

    def test_full(self) -> None:
        """It is full when there are as many as there may be, and not when one has gone."""
        self.assertFalse(self.attendance.full)
        self.attendance.arrived(self.one)
        self.assertFalse(self.attendance.full)
        self.attendance.arrived(self.other)
        self.assertTrue(self.attendance.full)
        self.attendance.departed(self.one)
        self.assertFalse(self.attendance.full)

    def test_goes_on_without_anybody(self) -> None:
        """That the last connection goes is no reason to end."""
        self.attendance.arrived(self.one)
        self.attendance.departed(self.one)
        self.assertEqual(self.reasons, [])

    def test_exit_if_idle(self) -> None:
        """Where it was asked to, papa ends with its last connection, and not before."""
        self.attendance.arrived(self.one)
        self.attendance.arrived(self.other)
        self.assertTrue(self.attendance.exit_if_idle())
        self.attendance.departed(self.one)
        self.assertEqual(self.reasons, [])
        self.attendance.departed(self.other)
        self.assertEqual(self.reasons, ["it was asked to exit if idle"])

    def test_not_idle(self) -> None:
        """Papa that holds something does not end, and says so."""
        self.hold("1")
        self.attendance.arrived(self.one)
        self.assertFalse(self.attendance.exit_if_idle())
        self.hold(None)
        self.attendance.departed(self.one)
        self.assertEqual(self.reasons, [])

    def test_no_longer_idle(self) -> None:
        """What is made between the question and the last departure keeps papa."""
        self.attendance.arrived(self.one)
        self.assertTrue(self.attendance.exit_if_idle())
        self.hold("1")
        self.attendance.departed(self.one)
        self.assertEqual(self.reasons, [])

    def test_somebody_comes(self) -> None:
        """Whoever connects before the last departure keeps papa, also when they have gone again."""
        self.attendance.arrived(self.one)
        self.assertTrue(self.attendance.exit_if_idle())
        self.attendance.arrived(self.other)
        self.attendance.departed(self.one)
        self.attendance.departed(self.other)
        self.assertEqual(self.reasons, [])

    def test_asked_again(self) -> None:
        """The last answer counts."""
        self.attendance.arrived(self.one)
        self.assertTrue(self.attendance.exit_if_idle())
        self.hold("1")
        self.assertFalse(self.attendance.exit_if_idle())
        self.hold(None)
        self.attendance.departed(self.one)
        self.assertEqual(self.reasons, [])

    def test_ends_with_last(self) -> None:
        """A papa that was started for its clients ends with the last of them, whatever it holds."""
        attendance = Attendance(self.kernel, self.reasons.append, most=9, ends_with_last=True)
        self.hold("1")
        attendance.arrived(self.one)
        attendance.arrived(self.other)
        attendance.departed(self.other)
        self.assertEqual(self.reasons, [])
        attendance.departed(self.one)
        self.assertEqual(self.reasons, ["its last connection has gone"])

    def test_dismissed(self) -> None:
        """Who ends all connections is told once the last has gone; where there is none, at once."""
        self.assertIsNone(self.successResultOf(self.attendance.dismiss_all()))
        self.attendance.arrived(self.one)
        self.attendance.arrived(self.other)
        reason = GivesWay("another goes on")
        gone = self.attendance.dismiss_all(reason)
        self.assertEqual((self.one.reasons, self.other.reasons), ([reason], [reason]))
        self.attendance.departed(self.one)
        self.assertNoResult(gone)
        self.attendance.departed(self.other)
        self.assertIsNone(self.successResultOf(gone))

    def test_upgrade_without_an_anchor(self) -> None:
        """Where no other can go on, that is said, with what would be right."""
        refusal = self.failureResultOf(self.attendance.upgrade(""), NotAllowed)
        self.assertIn("start it with papa serve --anchor", refusal.getErrorMessage())
