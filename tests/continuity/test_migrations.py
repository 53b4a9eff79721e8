"""From each format of the state to the next, and one step back."""

from __future__ import annotations

import os
from typing import Any

from papa.continuity.ledger import Ledger, read_as_written, read_ledger, write_ledger
from papa.continuity.migrations import FORMAT, OLDEST_READ, OLDEST_WRITTEN, migrated
from papa.errors import NotAllowed
from tests.continuity.golden.making import FOLDER
from tests.continuity.leftovers import TidyTestCase


def _golden(number: int) -> int:
    file = os.memfd_create("golden")
    with open(os.path.join(FOLDER, f"format-{number}", "ledger"), "rb") as golden:
        os.write(file, golden.read())
    return file


def _known(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without the kinds of which there is nothing."""
    return {kind: each for kind, each in entries.items() if each}


class StepTests(TidyTestCase):
    """The states that kernels of each format have left, which held the same."""

    def test_forward(self) -> None:
        """What was left in any format is what was left in the newest."""
        newest = _known(read_ledger(_golden(FORMAT)))
        for number in range(OLDEST_READ, FORMAT):
            self.assertEqual(_known(read_ledger(_golden(number))), newest)

    def test_back(self) -> None:
        """What is written in an older format is what a kernel of that format has left."""
        self.assertLess(OLDEST_WRITTEN, FORMAT)
        for number in range(OLDEST_WRITTEN, FORMAT + 1):
            written = write_ledger(read_ledger(_golden(FORMAT)), number)
            self.assertEqual(_known(read_as_written(written)), _known(read_as_written(_golden(number))))

    def test_unknown(self) -> None:
        """What is no format that there has been is refused, with what to do."""
        for found in (None, 0, FORMAT + 1, "1", 1.5):
            with self.assertRaisesRegex(NotAllowed, f"in format {found}, and this papa reads formats {OLDEST_READ} to"):
                migrated({}, found)


class TakenOverTests(TidyTestCase):
    """A kernel that goes on from one of another format."""

    def setUp(self) -> None:
        super().setUp()
        self.replaced: list[int] = []
        self.before = _golden(FORMAT - 1)
        self.contents = os.pread(self.before, 1 << 20, 0)
        self.ledger = Ledger(self.replaced.append, os.dup(self.before))

    def test_until_it_serves(self) -> None:
        """Whoever would have to go on if it failed finds the state as it was."""
        self.ledger.put("value", "new", "1")
        self.ledger.remove("socket", "web")
        self.assertEqual((self.replaced, os.pread(self.before, 1 << 20, 0)), ([], self.contents))

    def test_serves(self) -> None:
        """Then there is a file in the newest format, with all that was done before as well."""
        expected = read_ledger(self.before)
        self.ledger.put("value", "new", "1")
        self.ledger.remove("socket", "web")
        self.ledger.serve()
        self.ledger.serve()
        self.ledger.put("value", "newer", "2")
        expected["value"] |= {"new": "1", "newer": "2"}
        del expected["socket"]["web"]
        (file,) = self.replaced
        self.assertEqual(file, self.ledger.descriptor)
        self.assertEqual(read_as_written(file)["format"], {"": FORMAT})
        self.assertEqual(_known(read_ledger(file)), _known(expected))

    def test_newest(self) -> None:
        """What is in the newest format is gone on with where it lies."""
        file = _golden(FORMAT)
        ledger = Ledger(self.replaced.append, file)
        ledger.serve()
        self.assertEqual((self.replaced, ledger.descriptor), ([], file))
