"""What programs written for papa 1.0.6 import from C{papa.utils}."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

import papa
from papa import utils


class UtilsTests(SynchronousTestCase):
    """The names, and what they do."""

    def test_error_is_the_one_that_clients_raise(self) -> None:
        """C{papa.utils.Error}, C{papa.Error} and what refusals inherit from are one class, a RuntimeError."""
        self.assertIs(utils.Error, papa.Error)
        self.assertTrue(issubclass(papa.Error, RuntimeError))

    def test_families_both_ways(self) -> None:
        """Families are found by name and by number, whatever stands for the number."""
        self.assertEqual(utils.valid_families["inet6"], socket.AF_INET6)
        self.assertEqual(utils.valid_families_by_number[socket.AF_UNIX], "unix")
        self.assertEqual(utils.valid_families_by_number[int(socket.AF_INET)], "inet")

    def test_no_family_is_unspecified(self) -> None:
        """AF_UNSPEC is no family that a socket could have."""
        self.assertNotIn(0, utils.valid_families_by_number)

    def test_types_both_ways(self) -> None:
        """Types are found by name and by number."""
        self.assertEqual(utils.valid_types["dgram"], socket.SOCK_DGRAM)
        self.assertEqual(utils.valid_types_by_number[socket.SOCK_STREAM], "stream")

    def test_casts_to_bytes(self) -> None:
        """A text becomes UTF-8, bytes stay, anything else is written out first."""
        self.assertEqual(utils.cast_bytes("é"), b"\xc3\xa9")
        self.assertEqual(utils.cast_bytes(b"\xff"), b"\xff")
        self.assertEqual(utils.cast_bytes(12), b"12")
        self.assertEqual(utils.cast_bytes("é", "latin-1"), b"\xe9")

    def test_casts_to_text(self) -> None:
        """Bytes are read as UTF-8, what is none is replaced unless told otherwise; a text stays."""
        for cast in (utils.cast_string, utils.cast_unicode):
            self.assertEqual(cast(b"\xc3\xa9"), "é")
            self.assertEqual(cast(b"\xff"), "\ufffd")
            self.assertEqual(cast(b"\xff", "latin-1"), "ÿ")
            self.assertEqual(cast("é"), "é")
            self.assertRaises(UnicodeDecodeError, cast, b"\xff", errors="strict")

    def test_text_type(self) -> None:
        """C{string_type} is what C{isinstance} is asked with."""
        self.assertIs(utils.string_type, str)
