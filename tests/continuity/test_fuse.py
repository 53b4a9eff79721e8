"""A want of memory ends a kernel that another goes on from."""

from __future__ import annotations

import os

from twisted.logger import Logger, LogPublisher
from twisted.python import log
from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.fuse import Fuse


class FuseTests(SynchronousTestCase):
    """The end of a kernel that has no memory."""

    def setUp(self) -> None:
        self.ended: list[int] = []
        reading, writing = os.pipe()
        self.said = os.fdopen(reading, "rb")
        self.addCleanup(self.said.close)
        self.addCleanup(lambda: self.writing.closed or self.writing.close())
        self.writing = os.fdopen(writing, "wb")
        self.fuse = Fuse(self.ended.append, writing)

    def test_any_failure(self) -> None:
        """Whichever way Twisted logs it: in its new one, or in the old one, as its reactor does."""
        publisher = LogPublisher(self.fuse)
        try:
            raise MemoryError
        except MemoryError:
            Logger(observer=publisher).failure("papa failed")
        self.assertEqual(self.ended, [71])
        log.addObserver(self.fuse)
        self.addCleanup(log.removeObserver, self.fuse)
        log.err(MemoryError())
        self.assertEqual(self.ended, [71, 71])
        self.flushLoggedErrors(MemoryError)
        self.writing.close()
        self.assertIn(b"papa has no memory to go on with", self.said.readline())

    def test_nothing_else(self) -> None:
        """What else is logged leaves it alone."""
        publisher = LogPublisher(self.fuse)
        Logger(observer=publisher).info("all is well")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            Logger(observer=publisher).failure("papa failed")
        self.assertEqual(self.ended, [])
