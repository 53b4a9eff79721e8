"""The pages of the documentation: what they say to type is typed, and has to show what they say."""

from __future__ import annotations

import os
import re
from glob import glob

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.pages import SESSIONS, UNTYPED, Block, blocks, pattern_of, python_exchanges, shell_exchanges
from tests.functional.sessions import DOCS, PageTestCase
from tests.support import program

#: The pages that have something to type, which some test types.
_TYPED = {
    "continuity.rst",
    "daemon.rst",
    "failures.rst",
    "howto/deploy.rst",
    "howto/from-circus.rst",
    "howto/from-papa-1.rst",
    "howto/ship-logs.rst",
    "howto/systemd.rst",
    "tutorial.rst",
    "twisted.rst",
}
_COMMAND = re.compile(r"(?m)^ +(?:\$ )?(?:papa|python|twistd|telnet|nc|curl|pip) \S")


class PagesTests(PageTestCase):
    """Pages that need nothing but papa."""

    def test_tutorial(self) -> None:
        """The first steps, from nothing to a kernel that ends."""
        program("curl")
        self.assertGreater(self.follow(os.path.join(DOCS, "tutorial.rst")), 40)

    def test_twisted(self) -> None:
        """papa for Twisted programs."""
        program("curl")
        self.addCleanup(self.end, "web.pid")
        self.assertGreater(self.follow(os.path.join(DOCS, "twisted.rst")), 10)

    def test_daemon(self) -> None:
        """Becoming a daemon."""
        self.addCleanup(self.end, "clock.pid")
        self.addCleanup(self.end, "sleeper.pid")
        self.assertGreater(self.follow(os.path.join(DOCS, "daemon.rst")), 10)

    def test_continuity(self) -> None:
        """A kernel that may die."""
        self.assertGreater(self.follow(os.path.join(DOCS, "continuity.rst")), 6)

    def test_failures(self) -> None:
        """What happens when something fails."""
        self.assertGreater(self.follow(os.path.join(DOCS, "failures.rst")), 5)

    def test_readme(self) -> None:
        """The first page of all."""
        self.follow(os.path.join(os.path.dirname(DOCS), "README.rst"))


class EveryPageTests(SynchronousTestCase):
    """All that is there."""

    def test_typed_somewhere(self) -> None:
        """No page has something to type that no test types, and none shows a command where it would not be typed."""
        pages = {
            os.path.relpath(path, DOCS): list(blocks(path))
            for path in glob(os.path.join(DOCS, "**", "*.rst"), recursive=True)
        }
        typed = {name for name, found in pages.items() if any(block.language in SESSIONS for block in found)}
        self.assertEqual(typed, _TYPED)
        for name, found in pages.items():
            self.assertEqual([each.where for each in found if each.language in UNTYPED and not each.file], [], name)
            with open(os.path.join(DOCS, name), encoding="utf-8") as page:
                text = page.read()
            literal = re.findall(r"(?<!\.)::\n\n((?: +.*\n|\n)+)", text)
            self.assertEqual([each for each in literal if _COMMAND.search(each)], [], name)


class ReadingTests(SynchronousTestCase):
    """How a page is read, and what is shown compared."""

    def exchanges(self, text: str) -> list[tuple[str, str]]:
        return [(each.typed, each.shown) for each in shell_exchanges(text)]

    def test_shell(self) -> None:
        """A command goes on at the second prompt only where the shell would ask for more."""
        self.assertEqual(
            self.exchanges("$ echo a\n> b\n$ cat <<end \\\n> -\n> x\n> end\nx\n$ echo '\n> '\n"),
            [("echo a", "> b\n"), ("cat <<end \\\n-\nx\nend", "x\n"), ("echo '\n'", "")],
        )

    def test_python(self) -> None:
        """A statement of several lines ends where its prompts do."""
        found = [(each.typed, each.shown) for each in python_exchanges(">>> 1\n1\n>>> if 2:\n...     3\n...\n3\n")]
        self.assertEqual(found, [("1", "1\n"), ("if 2:\n    3\n", "3\n")])

    def test_left_out(self) -> None:
        """Dots stand for anything within a line, or for any lines; how wide a gap is does not matter; else all does."""
        for shown, said, same in (
            ("a ... c\n", "a bb c\n", True),
            ("a ... c\n", "a\nc\n", False),
            ("...\nb\n", "a\na\nb\n", True),
            ("...\nb\n", "b\n", True),
            ("a\n...\n", "a\n", True),
            ("a  b\n", "a    b\n", True),
            ("a b\n", "ab\n", False),
            ("", "", True),
            ("", "a\n", False),
            ("a\n", "", False),
            ("(a*)\n", "(a*)\n", True),
        ):
            self.assertEqual(pattern_of(shown).fullmatch(said) is not None, same, (shown, said))


class DifferingTests(PageTestCase):
    """A page that is wrong."""

    def wrong(self, text: str, language: str = "console") -> str:
        """What is complained of."""
        return str(self.assertRaises(AssertionError, self.do, Block(language, text, "page:1")))

    def test_noticed(self) -> None:
        """What is not shown as it stands there fails, and so does a command that fails; the place is told."""
        self.assertIn("page:1: echo a\nis to show:\nb\n", self.wrong("$ echo a\nb\n"))
        self.assertIn("ends with exit code 3", self.wrong("$ (exit 3)\n"))
        self.assertIn("'2'", self.wrong(">>> '2'\n'1'\n", "pycon"))
        self.assertIn("nothing is typed", self.wrong("echo a\n"))
        self.assertIn("nobody can type", self.wrong("echo a\n", "sh"))
        self.assertEqual(self.do(Block("console", "$ (exit 3)\n$ echo $?\n3\n", "page:1")), 2)

    def test_interrupted(self) -> None:
        """Ctrl-C is pressed when what is before it is shown, and the port of a page is another here."""
        typed = "$ echo 8080 > port.txt\n$ tail -f port.txt\n8080\n^C\n"
        self.assertEqual(self.do(Block("console", typed, "page:1")), 2)
