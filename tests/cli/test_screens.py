"""What the verbs show on terminals of several widths, with and without colours."""

from __future__ import annotations

import os
import re

from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase
from tests.support import script, until

WIDTHS = (80, 120)
#: Longer than any terminal here is wide.
LONG = "x" * 200


class ScreenTests(SharedKernelTestCase):
    """Screens, captured."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()
        hello = r"printf 'hi \033[31mred\033[0m\n'; echo oops >&2"
        self.client.make_process("job", "sh", ["-c", f"{hello}; exit 3", LONG])
        self.client.make_process("web.with-a-name", "sleep", ["1000"])
        self.client.make_socket("tcp")
        self.client.make_socket("app", path=os.path.join(self.folder, "a" * 50))
        self.client.set("deployed", LONG)
        until(lambda: not self.client.list_processes("job")["job"]["running"], "the end of the job")

    def screen(self, *arguments: str, width: int, color: str = "auto", code: int = 0) -> list[str]:
        """What a verb shows, to its end, with colours where they are wanted."""
        terminal = Terminal(self, [script("papa"), "--color", color, *arguments], width=width)
        lines = terminal.wait_for_line(f"ended with {code}")
        styled = "\n".join(terminal.lines(styled=True))
        self.assertEqual(
            "\x1b[" in styled, color != "never" and arguments[0] not in ("events", "value", "show"), styled
        )
        return lines[:-1]

    def each(self, *arguments: str, color: bool = True) -> list[list[str]]:
        """The screens of a verb, without colours and with, on terminals of all widths."""
        found = []
        for width in WIDTHS:
            plain = self.screen(*arguments, width=width, color="never")
            if color:
                self.assertEqual(len(self.screen(*arguments, width=width)), len(plain))
            self.assertLessEqual(max(map(len, plain)), width)
            found.append(plain)
        return found

    def test_status(self) -> None:
        """Each thing has one line."""
        for lines in self.each("status"):
            self.assertEqual([line.split(" ")[0] for line in lines[:3]], ["PROCESS", "job", "web.with-a-name"])
            self.assertTrue(lines[1].endswith("…"), lines[1])
            self.assertEqual(len(lines), 9, lines)
            self.assertEqual(lines[-1], "1 value: deployed")

    def test_show(self) -> None:
        """A long command goes on in the next line."""
        for width in WIDTHS:
            lines = self.screen("show", "job", width=width)
            self.assertEqual(lines[0], "name:      job")
            self.assertIn("state:     exited 3", lines)
            self.assertIn(LONG, "".join(lines))

    def test_logs(self) -> None:
        """Lines have time and name, those of standard error a mark; escapes are written out."""
        for lines in self.each("logs"):
            self.assertRegex(lines[0], r"^\d\d:\d\d:\d\d job             \| hi \\x1b\[31mred\\x1b\[0m$")
            self.assertRegex(lines[1], r"^\d\d:\d\d:\d\d job             ! oops$")
            self.assertRegex(lines[2], r"^\d\d:\d\d:\d\d job             - exited with 3$")

    def test_run(self) -> None:
        """So it is while something runs."""
        for lines in self.each("run", "sh", "-c", "echo out; exec sh -c 'echo err >&2'"):
            self.assertEqual({line[9:] for line in lines}, {"sh | out", "sh ! err", "sh - exited with 0"})

    def test_watch(self) -> None:
        """And while it is read for good."""
        for width in WIDTHS:
            self.client.make_process("one", "echo", ["hi"])
            lines = self.screen("watch", "one", width=width)
            self.assertEqual([line[9:] for line in lines], ["one | hi", "one - exited with 0"])

    def test_attach(self) -> None:
        """How to leave is said at once, and what was done then."""
        for width in WIDTHS:
            terminal = Terminal(self, [script("papa"), "attach", "web.with-a-name"], width=width)
            terminal.wait_for_line("attached to web.with-a-name: Ctrl-C detaches, and leaves it running")
            terminal.press("C-c")
            lines = terminal.wait_for_line("ended with 0")
            self.assertIn("detached from web.with-a-name, which runs on", lines)

    def test_doctor(self) -> None:
        """Each finding has its level, with a colour."""
        for width in WIDTHS:
            lines = self.screen("doctor", width=width)
            self.assertRegex(lines[0], r"^ok +papa: ")
            self.assertTrue(any(re.match("ok +kernel: pid ", line) for line in lines), lines)

    def test_events(self) -> None:
        """Each event has its line, with its number and time."""
        for lines in self.each("events", color=False):
            self.assertRegex(lines[-1], r"^ *\d+  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d  \S+ +\S+( \(.*\))?$")

    def test_values(self) -> None:
        """A value is shown as it is."""
        for width in WIDTHS:
            lines = self.screen("value", "get", "deployed", width=width)
            self.assertEqual("".join(lines), LONG)

    def test_sockets(self) -> None:
        """A long address is cut."""
        for lines in self.each("socket", "ls"):
            self.assertEqual([line.split(" ")[0] for line in lines], ["SOCKET", "app", "tcp"])

    def test_mistakes(self) -> None:
        """What was mistyped is answered in a line or two, with what was probably meant."""
        for arguments, code, said in (
            (("stauts",), 2, "did you mean 'status'?"),
            (("status", "jbo"), 4, "did you mean 'job'?"),
            (("value", "get", "deplyoed"), 4, "did you mean 'deployed'?"),
            (("socket", "rm", "tpc"), 4, "did you mean 'tcp'?"),
            (("logs", "--folow"), 2, "--follow"),
            (("signal", "TRM", "job"), 2, "is no signal"),
            (("with", "tpc", "true"), 4, "did you mean 'tcp'?"),
            (("attach", "jbo"), 4, "did you mean 'job'?"),
        ):
            finished = self.papa(*arguments, code=code)
            self.assertIn(said, finished.stderr)
            self.assertEqual(finished.stdout, "")
