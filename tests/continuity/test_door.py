"""The way in to a kernel for an anchor that it has not started."""

from __future__ import annotations

import os

from papa.continuity.door import Door, knock
from tests.continuity.leftovers import TidyTestCase


class DoorTests(TidyTestCase):
    """Both sides of a door."""

    def setUp(self) -> None:
        super().setUp()
        self.door = Door()
        self.outside = os.dup(self.door.outside)

    def test_knock(self) -> None:
        """Whoever knocks has a line to the kernel, and knows its pid."""
        self.assertIs(self.door.knocked(0), False)
        answered = knock(self.outside)
        assert answered is not None
        pid, theirs = answered
        self.assertEqual(pid, os.getpid())
        self.assertIs(self.door.knocked(0), True)
        ours = self.door.opened()
        assert ours is not None
        theirs.send({"hear": 1})
        self.assertEqual(ours.receive(), ({"hear": 1}, []))
        theirs.close()
        self.assertIsNone(ours.receive())
        self.assertIsNone(self.door.opened())

    def test_nobody(self) -> None:
        """Behind the door of a kernel that has ended there is nobody."""
        del self.door
        self.assertIsNone(knock(self.outside))
