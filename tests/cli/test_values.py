"""C{papa value}."""

from __future__ import annotations

import json

from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase
from tests.support import script


class ValueTests(SharedKernelTestCase):
    """Keeping texts."""

    def test_kept(self) -> None:
        """A value is printed as it was given, on a terminal with a newline behind it."""
        self.papa("value", "set", "x", "a\nb ")
        self.assertEqual(self.papa("value", "get", "x").stdout, "a\nb ")
        self.assertEqual(json.loads(self.papa("value", "get", "--json", "x").stdout)["value"], "a\nb ")
        self.papa("value", "set", "y", "no newline")
        terminal = Terminal(self, [script("papa"), "value", "get", "y"])
        self.assertEqual(terminal.wait_for_line("ended with 0"), ["no newline", "ended with 0"])

    def test_from_standard_input(self) -> None:
        """A secret comes on standard input, of any bytes, and nobody sees it in the list of processes."""
        self.papa("value", "set", "x", input="s\u00e4cret\n", stdin=None)
        self.assertEqual(self.papa("value", "get", "x").stdout, "s\u00e4cret\n")

    def test_listed(self) -> None:
        """The list has names and lengths, not what may be secret."""
        self.assertEqual(self.papa("value", "ls").stdout, "")
        self.papa("value", "set", "web.1", "secret")
        self.papa("value", "set", "db", "x")
        said = self.papa("value", "ls", "web.*").stdout
        self.assertRegex(said, r"^LENGTH  VALUE\n     6  web\.1\n$")
        listed = json.loads(self.papa("value", "ls", "--json").stdout)
        self.assertEqual(
            listed, {"version": 1, "values": [{"name": "db", "length": 1}, {"name": "web.1", "length": 6}]}
        )

    def test_forgotten(self) -> None:
        """Values are forgotten by name or pattern; a name that was mistyped is refused, with the one that was meant."""
        for name in ("web.1", "web.2", "db"):
            self.papa("value", "set", name, "x")
        said = self.papa("value", "rm", "web.1", "wed.2", code=4).stderr
        self.assertIn("there is no value 'wed.2'; did you mean 'web.2'?", said)
        self.papa("value", "rm", "web.*")
        self.assertEqual(self.papa("value", "get", "web.1", code=4).stdout, "")
        self.assertEqual(self.papa("value", "get", "db").stdout, "x")
        self.papa("value", "rm", code=2)
