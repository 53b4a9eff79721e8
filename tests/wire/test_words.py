"""How lines of the console are split into words."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.errors import BadRequest
from papa.wire.words import split, split_typed

QUICK = settings(max_examples=200)

tricky = st.text(alphabet="ab \\\"'=", max_size=20)
words = st.text(alphabet="ab \\=", min_size=1, max_size=8)


class SplitTests(SynchronousTestCase):
    """A program's line."""

    def test_splits_at_spaces(self) -> None:
        """Words are separated by any number of spaces."""
        self.assertEqual(split("  make   process x "), ["make", "process", "x"])

    def test_nothing_has_no_words(self) -> None:
        """An empty line, and one of spaces, has no words."""
        self.assertEqual(split(""), [])
        self.assertEqual(split("   "), [])

    def test_backslash_joins(self) -> None:
        """A word that ends in a backslash is joined to the next one by a space."""
        self.assertEqual(split(r"set x a\ b\ c d"), ["set", "x", "a b c", "d"])

    def test_outer_spaces_of_a_word_are_kept(self) -> None:
        """A space that a backslash announces is kept at the beginning and at the end of a word."""
        self.assertEqual(split(r"x a\  b"), ["x", "a ", "b"])
        self.assertEqual(split(r"x \ a"), ["x", " a"])
        self.assertEqual(split("x a\\ "), ["x", "a "])

    def test_last_backslash_stays(self) -> None:
        """A backslash at the very end of a line joins nothing, and is part of the word."""
        self.assertEqual(split("set x C:\\dir\\"), ["set", "x", "C:\\dir\\"])

    def test_other_backslashes_stay(self) -> None:
        """A backslash inside a word is an ordinary character."""
        self.assertEqual(split(r"set x a\b\\c"), ["set", "x", r"a\b\\c"])

    def test_quotes_and_tabs_are_ordinary(self) -> None:
        """Quotes, tabs and other kinds of spaces separate nothing and group nothing."""
        self.assertEqual(split("set x \"a b\" 'c\td\u00a0e'"), ["set", "x", '"a', 'b"', "'c\td\u00a0e'"])

    def test_long_lines_of_joined_words(self) -> None:
        """A value of half a million joined words is one word."""
        self.assertEqual(split("a\\ " * 300_000 + "a"), ["a " * 300_000 + "a"])

    @QUICK
    @given(tricky)
    def test_follows_the_rule(self, line: str) -> None:
        """A line is split at just the spaces that no backslash stands before."""
        expected = [word.replace("\\ ", " ") for word in re.split(r"(?<!\\) ", line) if word]
        self.assertEqual(split(line), expected)

    @QUICK
    @given(st.lists(words, max_size=5))
    def test_reads_what_version_1_writes(self, listed: list[str]) -> None:
        """Words with a backslash before each space come out as they were, unless one before the last ends in one."""
        listed = [word.rstrip("\\") or "x" for word in listed[:-1]] + listed[-1:]
        self.assertEqual(split(" ".join(word.replace(" ", "\\ ") for word in listed)), listed)


class SplitTypedTests(SynchronousTestCase):
    """A person's line."""

    def test_quotes_group(self) -> None:
        """Quotes of both kinds hold words together, and the other kind inside."""
        self.assertEqual(split_typed("""set x "it's  two" 'say "hi"'"""), ["set", "x", "it's  two", 'say "hi"'])

    def test_quotes_after_equals(self) -> None:
        """Quotes count after the C{=} of an option too."""
        self.assertEqual(split_typed("env.X=\"a b\" dir='/a b'"), ["env.X=a b", "dir=/a b"])

    def test_quotes_inside_a_word_are_ordinary(self) -> None:
        """An apostrophe within a word is no quote."""
        self.assertEqual(split_typed("set x don't ask"), ["set", "x", "don't", "ask"])

    def test_empty_words(self) -> None:
        """Two quotes are a word without a character."""
        self.assertEqual(split_typed("run \"\" ''"), ["run", "", ""])

    def test_backslashes(self) -> None:
        """A backslash makes a space or a quote ordinary, and is ordinary before anything else."""
        self.assertEqual(split_typed(r"a\ b \"c \'d e\f g\\"), ["a b", '"c', "'d", r"e\f", r"g\\"])

    def test_backslashes_in_quotes_stay(self) -> None:
        """Between quotes nothing has a meaning but the quote that ends them."""
        self.assertEqual(split_typed(r'"C:\dir\" x'), ["C:\\dir\\", "x"])

    def test_tabs_separate(self) -> None:
        """A tab separates words like a space."""
        self.assertEqual(split_typed("\tget\t x\t"), ["get", "x"])

    def test_open_quote(self) -> None:
        """A quote that is not closed is refused, by name."""
        error = self.assertRaises(BadRequest, split_typed, "set x 'abc")
        self.assertEqual(str(error), "The quote ' is not closed")

    @QUICK
    @given(st.lists(st.text(alphabet="ab \\'=\t", max_size=8), max_size=5))
    def test_quoted_words_are_exact(self, listed: list[str]) -> None:
        """Whatever stands in quotes is one word, exactly."""
        self.assertEqual(split_typed(" ".join(f'"{word}"' for word in listed)), listed)

    @QUICK
    @given(tricky)
    def test_splits_or_refuses(self, line: str) -> None:
        """Any line is split or refused, and no character of a line without backslashes and quotes is lost."""
        try:
            found = split_typed(line)
        except BadRequest:
            self.assertTrue("'" in line or '"' in line)
        else:
            if not set(line) & set("\\\"'"):
                self.assertEqual(found, line.split())
