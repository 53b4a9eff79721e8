"""C{papa attach}."""

from __future__ import annotations

import subprocess

from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase
from tests.support import script


class AttachTests(SharedKernelTestCase):
    """Talking to a process."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()

    def make(self, program: str, stdin: int | None = subprocess.PIPE) -> None:
        self.client.make_process("job", "/bin/sh", ["-c", program], stdin=stdin)

    def test_piped(self) -> None:
        """What comes on standard input is sent to its end; what is printed is shown, and the exit code is its own."""
        self.make('while read -r line; do echo "got $line"; done; echo bye >&2; exit 3')
        finished = self.papa("attach", "job", input="one\ntwo\n", stdin=None, code=3)
        self.assertEqual((finished.stdout, finished.stderr), ("got one\ngot two\n", "bye\n"))
        self.assertEqual(self.papa("logs", "--raw", "job").stdout, "got one\ngot two\n")

    def test_more_than_it_takes(self) -> None:
        """Megabytes arrive at a process that reads slowly."""
        self.make("wc -c")
        text = "x" * 99 + "\n"
        self.assertEqual(self.papa("attach", "job", input=text * 50_000, stdin=None).stdout, "5000000\n")

    def test_on_a_terminal(self) -> None:
        """A prompt is shown before its line ends, escapes are written out; Ctrl-C detaches, and the process runs on."""
        self.make("printf '\\033[1mname? '; read -r name; echo \"hello $name\"; read -r line; exit 0")
        terminal = Terminal(self, [script("papa"), "attach", "job"])
        lines = terminal.wait_for(lambda lines: any("name?" in line for line in lines))
        self.assertEqual(lines[0], "attached to job: Ctrl-C detaches, and leaves it running")
        terminal.press("you", "Enter")
        terminal.wait_for_line("hello you")
        terminal.press("C-c")
        lines = terminal.wait_for_line("ended with 0")
        self.assertIn("detached from job, which runs on", lines)
        self.assertTrue(self.client.list_processes()["job"]["running"])
        self.assertIn("\\x1b[1mname?", "\n".join(lines))

    def test_without_input(self) -> None:
        """A process that has no standard input can be looked at, and says so when something is typed."""
        self.make("echo out; exec sleep 1000", stdin=None)
        finished = self.papa("attach", "job", input="x\n", stdin=None, code=1)
        self.assertIn("it was not made with stdin=pipe", finished.stderr)

    def test_killed(self) -> None:
        """The end by a signal is 128 and its number; what is no single process is refused."""
        self.make("kill -9 $$")
        self.papa("attach", "job", code=137)
        self.papa("attach", "jo", code=4)
        self.client.make_process("job.2", "sleep", ["1000"])
        self.papa("attach", "job*", code=2)
