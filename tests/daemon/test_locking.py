"""The lock of an open file."""

from __future__ import annotations

import os
import shutil
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from papa.daemon import locking


class LockTests(SynchronousTestCase):
    """Taking it, and looking at it."""

    def setUp(self) -> None:
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        self.path = os.path.join(folder, "file")

    def open(self, flags: int = os.O_RDWR) -> int:
        """The file, once more."""
        return os.open(self.path, flags | os.O_CREAT, 0o600)

    def check(self) -> None:
        """One of two has it, until the last copy of it is closed; who looks sees that, and is in nobody's way."""
        one, other, looking = self.open(), self.open(), self.open(os.O_RDONLY)
        self.assertFalse(locking.is_locked(looking))
        self.assertEqual([locking.lock(one), locking.lock(other), locking.lock(one)], [True, False, True])
        self.assertEqual([locking.is_locked(each) for each in (other, looking)], [True, True])
        copy = os.dup(one)
        os.close(one)
        self.assertFalse(locking.lock(other))
        os.close(copy)
        self.assertFalse(locking.is_locked(looking))
        self.assertTrue(locking.lock(other))
        for descriptor in (other, looking):
            os.close(descriptor)

    def test_of_the_description(self) -> None:
        """Where the system has locks of open file descriptions."""
        self.check()

    def test_by_flock(self) -> None:
        """Where it has not."""
        self.patch(locking, "_TAKE", None)
        self.patch(locking, "_LOOK", None)
        self.check()

    def test_no_file(self) -> None:
        """What cannot be locked is an error, and not taken for locked."""
        descriptor = self.open(os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertRaises(OSError, locking.lock, descriptor)
