"""The programs of the documentation, run as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from glob import glob

from twisted.trial.unittest import SynchronousTestCase

import papa
from tests.functional.sessions import DOCS
from tests.support import PATIENCE, KernelTestCase, begin_program, until

EXAMPLES = os.path.join(DOCS, "examples")


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


class TutorialTests(SynchronousTestCase):
    """The pages."""

    def test_shows_the_programs_as_they_are(self) -> None:
        """Each piece of a program that the tutorial shows is in one of the example programs, word for word."""
        programs = [read(path) for path in glob(os.path.join(EXAMPLES, "*.py"))]
        blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", read(os.path.join(DOCS, "twisted.rst")))
        shown = [piece for block in blocks for piece in re.split(r"\n\n(?=\S)", textwrap.dedent(block).strip("\n"))]
        pieces = [piece for piece in shown if re.match("(async )?def ", piece)]
        self.assertGreater(len(pieces), 6)
        for piece in pieces:
            found = any(piece in text for program in programs for text in (program, textwrap.indent(program, "    ")))
            indented = any(textwrap.indent(piece, "    ") in program for program in programs)
            self.assertTrue(found or indented, piece)


class ClockTests(KernelTestCase):
    """C{clock_daemon.py}."""

    def clock(self, verb: str) -> tuple[int, str]:
        """Its exit code, and what it says."""
        finished = subprocess.run(
            [sys.executable, os.path.join(EXAMPLES, "clock_daemon.py"), verb, os.path.join(self.folder, "clock")],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return finished.returncode, finished.stdout + finished.stderr

    def test_lives(self) -> None:
        """It starts once, writes the time, and is ended; each verb says what came of it."""
        self.addCleanup(self.clock, "stop")
        path = os.path.join(self.folder, "clock")
        self.assertRegex(self.clock("start")[1], rf"^process \d+ is writing to {path}\n$")
        self.assertRegex(self.clock("status")[1], r"^Status\(running=True, pid=\d+, ")
        code, said = self.clock("start")
        self.assertEqual(code, 1)
        self.assertRegex(said, rf"^clock_daemon: {path}.pid is locked by process \d+\n$")
        until(lambda: re.match(r"\d\d:\d\d:\d\d\n", read(path)), "the time")
        self.assertEqual([self.clock("stop"), self.clock("stop")], [(0, "ended\n"), (0, "there was none\n")])
        self.assertFalse(os.path.exists(f"{path}.pid"))


class ExampleTestCase(KernelTestCase):
    """Tests with a kernel where examples look for it."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve()
        self.client = papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))
        self.addCleanup(self.client.close)

    def start(self, example: str, *arguments: str) -> subprocess.Popen[str]:
        """Start an example."""
        command = [sys.executable, os.path.join(EXAMPLES, example), *arguments]
        return begin_program(self, command, self.environ, cwd=self.folder, stderr=subprocess.STDOUT)


class JobTests(ExampleTestCase):
    """C{job.py}."""

    def test_shows_and_ends(self) -> None:
        """What the program prints is shown, and its exit code is the example's; then papa holds nothing of it."""
        job = self.start("job.py", "/bin/sh", "-c", "echo hello; exit 3")
        said, _ = job.communicate(timeout=PATIENCE)
        self.assertRegex(said, r"pid \d+\n\d\d:\d\d:\d\d b'hello\\n'\n")
        self.assertEqual(job.returncode, 3)
        self.assertEqual(self.client.list_processes(), {})

    def test_no_kernel(self) -> None:
        """Without a kernel the example fails with where it has looked."""
        self.kernel.end()
        said, _ = self.start("job.py", "/bin/true").communicate(timeout=PATIENCE)
        self.assertIn(f"looked for at {self.environ['PAPA_RUNTIME_DIR']}/papa.sock", said)


class EventsTests(ExampleTestCase):
    """C{events.py}."""

    def test_shows_what_happens(self) -> None:
        """What has happened and what happens then is shown."""
        self.client.set("one", "x")
        events = self.start("events.py")
        assert events.stdout is not None
        self.assertRegex(events.stdout.readline(), r"^1 \S+ value-set one None$")
        self.client.set("two", "x")
        self.assertRegex(events.stdout.readline(), r"^2 \S+ value-set two None$")

    def test_interrupted(self) -> None:
        """Ctrl-C ends it without a word."""
        self.client.set("one", "x")
        events = self.start("events.py")
        assert events.stdout is not None
        events.stdout.readline()
        events.send_signal(signal.SIGINT)
        self.assertEqual(events.stdout.read(), "")


class FarmTests(ExampleTestCase):
    """C{farm.py}."""

    def setUp(self) -> None:
        super().setUp()
        self.log = os.path.join(self.folder, "farm.log")

    def pids(self) -> dict[str, int]:
        """The servers that run."""
        processes = self.client.list_processes("farm.*")
        return {name: process["pid"] for name, process in processes.items() if process["running"]}

    def ask(self, *numbers: int) -> None:
        """Make requests, which must be served."""
        port = self.client.list_sockets("farm")["farm"]["port"]
        for number in numbers:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{number}.", timeout=PATIENCE) as answer:
                self.assertEqual(answer.status, 200)

    def test_killed_and_takes_over(self) -> None:
        """Killed with -9, it leaves ten servers that serve; started again, it takes over and misses nothing."""
        farm = self.start("farm.py", "0", self.log)
        before = until(lambda: (pids := self.pids()) and len(pids) == 10 and pids, "ten servers")
        self.ask(*range(20))
        farm.kill()
        farm.wait(PATIENCE)
        self.ask(*range(20, 40))
        os.kill(before["farm.3"], signal.SIGKILL)
        until(lambda: len(self.pids()) == 9, "the end of one")
        self.ask(*range(40, 60))
        self.start("farm.py", "0", self.log)
        after = until(lambda: (pids := self.pids()) and len(pids) == 10 and pids, "ten servers again")
        self.assertEqual({name for name in before if before[name] != after[name]}, {"farm.3"})
        until(lambda: all(f"GET /?{number}. " in read(self.log) for number in range(60)), "a line for each request")
        until(lambda: read(self.log).count("serves port") == 11, "a line of each server")

    def test_its_own_tests(self) -> None:
        """The example's tests, with a kernel in memory, pass."""
        finished = subprocess.run(
            [
                sys.executable,
                "-m",
                "twisted.trial",
                "--temp-directory",
                os.path.join(self.folder, "trial"),
                "test_farm",
            ],
            cwd=EXAMPLES,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 0, finished.stdout + finished.stderr)
        self.assertIn("PASSED (successes=4)", finished.stdout)
        self.assertEqual(finished.stderr, "")
