"""Finding the files that a program has open."""

from __future__ import annotations

import builtins
import gc
import os
import pathlib
import tracemalloc

from papa.daemon import FileTracker
from tests.daemon.programs import DaemonTestCase

_OPEN = builtins.open


class TrackerTests(DaemonTestCase):
    """A tracker that is installed while a test runs."""

    def setUp(self) -> None:
        super().setUp()
        # Before the folder goes, and whatever happens.
        self.addCleanup(FileTracker.uninstall)
        FileTracker.install()
        self.names = [self.path(each) for each in ("one", "two", "three")]

    def opened(self) -> list[str]:
        """The names of this test's files that are open."""
        return [name for name, _ in FileTracker.open_files() if name in self.names]

    def test_recorded(self) -> None:
        """What is open is known, with its name and in order, until it is closed."""
        files = [open(name, "w", encoding="ascii") for name in self.names]  # noqa: SIM115 - closed below
        found = [each for each in FileTracker.open_files() if each[0] in self.names]
        self.assertEqual(found, [*zip(self.names, files, strict=True)])
        files[1].close()
        self.assertEqual(self.opened(), [self.names[0], self.names[2]])
        for file in files:
            file.close()
        self.assertEqual(self.opened(), [])

    def test_used_as_before(self) -> None:
        """Opening does what it does without a tracker."""
        with open(self.names[0], "w", encoding="utf-8") as file:
            file.write("größer")
        with open(self.names[0], "rb") as binary:
            self.assertEqual(binary.read(), "größer".encode())
        with open(self.names[0], encoding="utf-8", newline="") as text:
            self.assertEqual(text.read(), "größer")
        self.assertRaises(FileNotFoundError, open, self.names[1])
        self.assertRaises(TypeError, open)
        self.assertEqual(self.opened(), [])

    def test_by_keyword(self) -> None:
        """The name may be given by keyword, as for any C{open}."""
        with open(file=self.names[0], mode="w", encoding="ascii") as file:
            self.assertIs(FileTracker.active(self.names[0]), file)

    def test_forgotten(self) -> None:
        """A file that nobody has any more is not kept open by being known."""
        file = open(self.names[0], "wb", buffering=0)  # noqa: SIM115 - it is to be lost
        number = file.fileno()
        self.flushWarnings()
        del file
        gc.collect()
        self.assertEqual(self.opened(), [])
        self.assertRaises(OSError, os.fstat, number)
        self.flushWarnings()

    def test_active(self) -> None:
        """A file is found by its name, the last that was opened first."""
        with open(self.names[0], "w", encoding="ascii") as first:
            self.assertIs(FileTracker.active(self.names[0]), first)
            with open(self.names[0], encoding="ascii") as second:
                self.assertIs(FileTracker.active(self.names[0]), second)
            self.assertIs(FileTracker.active(self.names[0]), first)

    def test_not_active(self) -> None:
        """A file that is not open is an error, or whatever was given for that."""
        error = self.assertRaises(ValueError, FileTracker.active, self.names[0])
        self.assertIn("is not open", str(error))
        self.assertIn(repr(self.names[0]), str(error))
        self.assertIsNone(FileTracker.active(self.names[0], None))
        self.assertEqual(FileTracker.active(self.names[0], default=7), 7)
        with open(self.names[0], "w", encoding="ascii"):
            pass
        self.assertRaises(ValueError, FileTracker.active, self.names[0])

    def test_other_names(self) -> None:
        """A name is what was given, also where that is a path object or a descriptor."""
        path = pathlib.Path(self.names[0])
        with open(path, "w", encoding="ascii") as file:
            self.assertIs(FileTracker.active(path), file)
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        with open(reading, "rb") as pipe:
            self.assertIs(FileTracker.active(reading), pipe)

    def test_installed_twice(self) -> None:
        """Installing it again changes nothing."""
        tracker = builtins.open
        FileTracker.install()
        self.assertIs(builtins.open, tracker)
        with open(self.names[0], "w", encoding="ascii"):
            self.assertEqual(self.opened(), [self.names[0]])

    def test_uninstalled(self) -> None:
        """Then everything is as it was, and nothing is known; also if it was not installed."""
        with open(self.names[0], "w", encoding="ascii"):
            FileTracker.uninstall()
            self.assertIs(builtins.open, _OPEN)
            self.assertEqual(FileTracker.open_files(), [])
            with open(self.names[1], "w", encoding="ascii"):
                self.assertEqual(FileTracker.open_files(), [])
        FileTracker.uninstall()
        self.assertIs(builtins.open, _OPEN)
        FileTracker.install()
        with open(self.names[2], "w", encoding="ascii"):
            self.assertEqual(self.opened(), [self.names[2]])

    def test_long_life(self) -> None:
        """A program that opens very many files, one after the other, does not grow by that."""
        for count in (1000, 5000):
            tracemalloc.start()
            for _ in range(count):
                with open(os.devnull, "rb"):
                    pass
            grown, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        self.assertLess(grown, 200_000)
