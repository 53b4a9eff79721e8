"""Columns that fit."""

from __future__ import annotations

import click
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.cli.tables import table_lines


def plain(rows: list[list[str]], room: int | None = None, right: tuple[str, ...] = ()) -> list[str]:
    """A table's lines, without their colours."""
    heading = ("NAME", "STATE", "COMMAND")[: len(rows[0])]
    return [click.unstyle(line) for line in table_lines(heading, rows, right, room)]


class TableTests(SynchronousTestCase):
    """Lines of tables."""

    def test_columns(self) -> None:
        """Each column is as wide as it must be; nothing stands behind the last."""
        self.assertEqual(
            plain([["a", "running", "x y"], ["bcdef", "ok", ""]]),
            ["NAME   STATE    COMMAND", "a      running  x y", "bcdef  ok       "],
        )

    def test_numbers_end_together(self) -> None:
        """What is to stand at the right does."""
        self.assertEqual(plain([["5", "x"], ["10", "y"]], right=("NAME",)), ["NAME  STATE", "   5  x", "  10  y"])

    def test_last_is_cut_first(self) -> None:
        """The last column is cut as long as there is something of it left, then the widest."""
        rows = [["name", "running", "a command of some length"]]
        self.assertEqual(plain(rows, 30)[1], "name  running  a command of s…")
        self.assertEqual(plain(rows, 20)[1], "name  runni…  a com…")

    def test_wide_characters(self) -> None:
        """A character that takes two columns counts for two, one that takes none for none."""
        self.assertEqual(plain([["日本", "x"], ["e\u0301", "y"]])[1:], ["日本  x", "e\u0301     y"])

    def test_escapes(self) -> None:
        """What would act on a terminal is written out."""
        self.assertEqual(plain([["\x1b[2J", "x"]])[1], r"\x1b[2J  x")

    @given(
        st.lists(st.tuples(st.text(max_size=40), st.text(max_size=20), st.text(max_size=90)), min_size=1, max_size=4)
    )
    def test_always_fits(self, rows: list[tuple[str, str, str]]) -> None:
        """However wide it is, it fits into 40 columns, with a line for each row."""
        lines = plain([list(row) for row in rows], 40)
        self.assertEqual(len(lines), len(rows) + 1)
        for line in lines:
            self.assertLessEqual(len(line), 40)
            self.assertNotIn("\n", line)
