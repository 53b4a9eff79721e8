"""How the values of fields are said as text and read back."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa import parameters
from papa.errors import BadRequest

quick = settings(max_examples=60)
text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
limits = st.one_of(st.just(resource.RLIM_INFINITY), st.integers(min_value=0, max_value=1 << 63))

READERS: list[Callable[[str], Any]] = [
    parameters.number,
    parameters.flag,
    parameters.mask,
    parameters.size,
    parameters.identity,
    parameters.rlimit,
]


class NumberTests(SynchronousTestCase):
    """Whole numbers."""

    @quick
    @given(st.integers(min_value=0, max_value=1 << 64))
    def test_reads_what_str_says(self, number: int) -> None:
        """A number is read as Python writes it."""
        self.assertEqual(parameters.number(str(number)), number)

    def test_refuses(self) -> None:
        """Signs, separators, spaces, fractions, other scripts' digits and nothing at all are no number."""
        for word in ("", "-1", "+1", "1_000", " 1", "1.5", "0x10", "\N{ARABIC-INDIC DIGIT ONE}", "²", "one"):
            error = self.assertRaises(BadRequest, parameters.number, word)
            self.assertEqual(str(error), f"{word!r} is not a whole number")


class ReaderTests(SynchronousTestCase):
    """What holds for every reader of a word."""

    @quick
    @given(st.one_of(text, st.text(alphabet="0123456789_-+kmg:.,", max_size=8)))
    def test_reads_or_refuses(self, word: str) -> None:
        """Any text is either read or refused as a bad request, never with another error."""
        for reader in READERS:
            try:
                reader(word)
            except BadRequest as error:
                self.assertTrue(str(error))

    def test_thousands_of_digits(self) -> None:
        """A number longer than Python cares to read is refused like any other nonsense."""
        word = "9" * 5000
        for reader in (parameters.number, parameters.mask, parameters.size, parameters.rlimit):
            self.assertRaises(BadRequest, reader, word)
        self.assertEqual(parameters.identity(word), word)


class FlagTests(SynchronousTestCase):
    """Yes and no."""

    def test_reads(self) -> None:
        """Either is written in four ways, in any case."""
        self.assertEqual([parameters.flag(word) for word in ("1", "yes", "True", "ON")], [True] * 4)
        self.assertEqual([parameters.flag(word) for word in ("0", "no", "False", "OFF")], [False] * 4)

    def test_refuses(self) -> None:
        """Anything else is refused, and the message says what is right."""
        for word in ("", "2", "y", "01"):
            self.assertIn("neither 1 nor 0", str(self.assertRaises(BadRequest, parameters.flag, word)))


class MaskTests(SynchronousTestCase):
    """File mode masks."""

    def test_octal_with_a_leading_zero(self) -> None:
        """077 is octal, 63 is the same in decimal, and 0 is none."""
        self.assertEqual(parameters.mask("077"), 0o77)
        self.assertEqual(parameters.mask("0777"), 0o777)
        self.assertEqual(parameters.mask("63"), 0o77)
        self.assertEqual(parameters.mask("0"), 0)

    def test_refuses(self) -> None:
        """What is neither is refused, with an example of what is right."""
        for word in ("", "-1", "089", "0o77", "1_0", "rwx", "\N{ARABIC-INDIC DIGIT THREE}"):
            self.assertIn("as 027", str(self.assertRaises(BadRequest, parameters.mask, word)))

    @quick
    @given(st.integers(min_value=0, max_value=0o777))
    def test_reads_what_is_shown(self, mask: int) -> None:
        """A mask shown as a decimal number, and in octal, is read back."""
        self.assertEqual(parameters.mask(str(mask)), mask)
        self.assertEqual(parameters.mask(f"0{mask:o}"), mask)


class SizeTests(SynchronousTestCase):
    """Numbers of bytes."""

    def test_units(self) -> None:
        """k, m and g are binary, in either case; a bare number is bytes."""
        self.assertEqual(parameters.size("512"), 512)
        self.assertEqual(parameters.size("0"), 0)
        self.assertEqual(parameters.size("64k"), 65536)
        self.assertEqual(parameters.size("1M"), 1 << 20)
        self.assertEqual(parameters.size("2g"), 2 << 30)

    def test_refuses(self) -> None:
        """A unit alone, two units, fractions and negative sizes are refused, with an example of what is right."""
        for word in ("", "k", "10mb", "1.5m", "-1", "1kk", "1 k", "1t"):
            self.assertIn("as 512k", str(self.assertRaises(BadRequest, parameters.size, word)))


class IdentityTests(SynchronousTestCase):
    """Users and groups."""

    def test_number_or_name(self) -> None:
        """Digits are a number, anything else is a name."""
        self.assertEqual(parameters.identity("0"), 0)
        self.assertEqual(parameters.identity("1000"), 1000)
        self.assertEqual(parameters.identity("www-data"), "www-data")
        self.assertEqual(parameters.identity("-1"), "-1")


class ListedTests(SynchronousTestCase):
    """Items that commas separate."""

    def test_items(self) -> None:
        """The empty word is no item; each item is read by its own reader."""
        self.assertEqual(parameters.listed()(""), ())
        self.assertEqual(parameters.listed()("a,b"), ("a", "b"))
        self.assertEqual(parameters.listed(parameters.identity)("10,adm"), (10, "adm"))


class RlimitTests(SynchronousTestCase):
    """Resource limits."""

    def test_reads(self) -> None:
        """One number is both limits, two are soft and hard, and unlimited has three names."""
        infinity = resource.RLIM_INFINITY
        self.assertEqual(parameters.rlimit("1024"), (1024, 1024))
        self.assertEqual(parameters.rlimit("10:20"), (10, 20))
        self.assertEqual(parameters.rlimit("10:unlimited"), (10, infinity))
        self.assertEqual(parameters.rlimit("Infinity"), (infinity, infinity))
        self.assertEqual(parameters.rlimit("-1"), (infinity, infinity))

    def test_refuses(self) -> None:
        """What is no number is refused on either side."""
        for word in ("", ":", "5:", ":5", "-2", "1:2:3", "many"):
            self.assertRaises(BadRequest, parameters.rlimit, word)

    @quick
    @given(st.tuples(limits, limits))
    def test_reads_what_is_shown(self, limit: tuple[int, int]) -> None:
        """A limit that is shown is read back as it was."""
        self.assertEqual(parameters.rlimit(parameters.shown_rlimit(limit)), limit)


class TypedTests(SynchronousTestCase):
    """Lines for a program's standard input."""

    @quick
    @given(text.filter(lambda line: "\n" not in line))
    def test_line(self, line: str) -> None:
        """A typed line reaches the program in UTF-8, with its newline."""
        self.assertEqual(parameters.typed(line), line.encode() + b"\n")
