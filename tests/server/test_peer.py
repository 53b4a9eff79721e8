"""Who is at the other end."""

from __future__ import annotations

import socket

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from papa.server.peer import RefusalLog, has_hung_up


class HungUpTests(SynchronousTestCase):
    """Whether somebody has gone whom nobody hears."""

    def test_hung_up(self) -> None:
        """It is seen without reading, behind what was said before."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        theirs.send(b"last words")
        self.assertFalse(has_hung_up(ours))
        theirs.close()
        self.assertTrue(has_hung_up(ours))
        self.assertEqual(ours.recv(100), b"last words")

    def test_in_memory(self) -> None:
        """What has no descriptor has not."""
        self.assertFalse(has_hung_up(object()))


class RefusalLogTests(SynchronousTestCase):
    """What is said of those who are not let in."""

    def test_bounded(self) -> None:
        """The first are told of one by one, then only that they are twice as many: a flood fills no disk."""
        log = RefusalLog()
        with capturedLogs() as logs:
            for number in range(100_000):
                log.note(f"peer {number}", "no")
        said = list(map(formatEvent, logs))
        self.assertEqual(said[99], "refused peer 99: no")
        counts = [200 << each for each in range(9)]
        self.assertEqual(said[100:], [f"refused {count} connections so far, now peer {count - 1}" for count in counts])
