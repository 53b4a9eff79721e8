"""Text made safe for a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.visible import escaped, has_controls

quick = settings(max_examples=200)

#: What the Unicode standard calls the explicit directional formatting characters and marks, by their names.
DIRECTIONS = ("\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)))


class EscapedTests(SynchronousTestCase):
    """What a person is shown."""

    def test_terminal_sequences(self) -> None:
        """Colours, titles, the clipboard, bells and carriage returns are written out."""
        self.assertEqual(escaped("\x1b[2J"), r"\x1b[2J")
        self.assertEqual(escaped("\x1b]52;c;aGk=\x07"), r"\x1b]52;c;aGk=\x07")
        self.assertEqual(escaped("a\rb\x7f\x9b"), r"a\x0db\x7f\x9b")
        self.assertEqual(escaped("a\nb\0"), r"a\x0ab\x00")

    def test_directions(self) -> None:
        """What turns the direction of writing, and what breaks lines unseen, is written out."""
        for character in (*DIRECTIONS, "\u2028", "\u2029", "\x85"):
            self.assertTrue(has_controls(character), ascii(character))
            self.assertTrue(escaped(character).isascii(), ascii(character))

    def test_undecodable_bytes(self) -> None:
        """A byte that was not text, as surrogateescape keeps it, is shown as that byte; other surrogates by number."""
        self.assertEqual(escaped(b"caf\xe9".decode("utf-8", "surrogateescape")), r"caf\xe9")
        self.assertEqual(escaped("\ud800"), r"\ud800")

    def test_text_stays(self) -> None:
        """Tabs, backslashes and letters of any script stay as they are."""
        for text in ("", "a\tb", r"C:\x1b", "naïve 日本 עברית 😀"):
            self.assertEqual(escaped(text), text)
            self.assertFalse(has_controls(text))

    @quick
    @given(st.text(alphabet=st.characters()))
    def test_nothing_acts(self, text: str) -> None:
        """Whatever the text, no control, surrogate or direction is left in it, and nothing else is changed."""
        shown = escaped(text)
        for character in shown:
            self.assertTrue(
                character == "\t" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), ascii(shown)
            )
            self.assertNotIn(character, DIRECTIONS)
        self.assertFalse(has_controls(shown))
        self.assertEqual(shown == text, not has_controls(text))
        shown.encode()
