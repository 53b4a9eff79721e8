"""README: what it says to type is typed."""

from __future__ import annotations

import ast
import html
import os
import re
import signal
import subprocess
import sys
import textwrap

from papa import Papa
from tests.cli.terminal import Terminal
from tests.support import PATIENCE, KernelTestCase, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def commands(section: str) -> list[str]:
    """The commands that a section shows, one a line, without what stands behind them."""
    with open(os.path.join(ROOT, "README.rst"), encoding="utf-8") as readme:
        text = readme.read().partition(f"\n{section}\n{'-' * len(section)}\n")[2]
    block = re.search(r"::\n\n((?:    .*\n)+)", text)
    assert block is not None, section
    return [re.sub(r" +# .*", "", line) for line in textwrap.dedent(block[1]).splitlines()]


class ReadmeTests(KernelTestCase):
    """The first commands that anybody types."""

    def setUp(self) -> None:
        super().setUp()
        self.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{self.environ['PATH']}"

    def shell(self, command: str) -> str:
        """What a command prints, in a shell where the sources are, into a folder of this test."""
        command = command.replace("--port 8080", "--port 0").replace("--to-dir log", f"--to-dir {self.folder}/log")
        finished = subprocess.run(
            ["sh", "-c", command],
            env=self.environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 0, (command, finished.stderr))
        return finished.stdout

    def test_picture(self) -> None:
        """The picture shows the session that its script records."""
        with open(os.path.join(ROOT, "docs", "recording.py"), encoding="utf-8") as recording:
            session = re.search(r"(?s)^SESSION = (\[.*?^\])", recording.read(), re.MULTILINE)
        assert session is not None
        with open(os.path.join(ROOT, "docs", "papa.svg"), encoding="utf-8") as picture:
            shown = html.unescape(picture.read()).replace("\xa0", " ")
        for command in ast.literal_eval(session[1]):
            self.assertIn(f"> {command}</text>", shown)

    def test_first_command(self) -> None:
        """The first one shows three lines, and ends with 3."""
        (command,) = commands("Two commands")
        install, _, run = command.partition(" && ")
        self.assertEqual(install, "pip install .")
        self.serve()
        terminal = Terminal(self, ["sh", "-c", run], width=80)
        lines = terminal.wait_for_line("ended with 3")
        self.assertEqual([line[9:] for line in lines[:3]], [f"hello | line {number}" for number in (1, 2, 3)])

    def test_tour(self) -> None:
        """The tour is ten lines, and each does what stands behind it."""
        self.serve()
        *most, last = commands("A tour")
        self.assertEqual(len(most), 9)
        client = Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))
        self.addCleanup(client.close)
        for command in most:
            if command.startswith("papa status"):
                until(lambda: not client.list_processes("web.1")["web.1"]["running"], "the end of the first")
            said = self.shell(command)
            if command.startswith("papa logs"):
                self.assertEqual(said.count("serves port"), 2)
        self.assertEqual(list(client.list_processes()), ["web.2"])
        self.assertTrue(os.path.getsize(os.path.join(self.folder, "log", "web.1.log")))
        server = subprocess.Popen(
            ["sh", "-c", f"exec {last}"],
            env=self.environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        assert server.stdout is not None
        self.assertIn("serves port", server.stdout.readline())
        server.send_signal(signal.SIGINT)
        self.assertNotEqual(server.wait(PATIENCE), 0)
