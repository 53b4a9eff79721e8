"""The papa command as a whole: help, usage, exit codes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

import papa
from papa.cli.failures import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_UNREACHABLE, EXIT_USAGE, reported
from papa.cli.main import cli
from papa.errors import ALL, BadRequest, ConnectionLost, Error, NotFound, Unreachable
from tests.support import PATIENCE, KernelTestCase, script

VERBS = ("console", "logs", "run", "serve", "status", "top", "with")


class HelpTests(SynchronousTestCase):
    """What it says about itself."""

    def invoke(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, arguments, prog_name="papa")
        self.assertEqual(result.exit_code, code, result.output)
        return result.output

    def test_lists_its_verbs(self) -> None:
        """Help names every verb, the exit codes, and an example to start with."""
        said = self.invoke("--help")
        for word in (*VERBS, "Exit codes", "69", "papa run hello --"):
            self.assertIn(word, said)
        self.assertEqual(self.invoke("-h"), said)

    def test_every_verb_has_help(self) -> None:
        """Every verb explains itself, with both spellings of the option."""
        for verb in (*VERBS, "ls", "ps"):
            self.assertIn("Usage: papa", self.invoke(verb, "--help"))
            self.assertIn("Usage: papa", self.invoke(verb, "-h"))

    def test_inner_options_are_hidden(self) -> None:
        """What only papa itself tells a kernel is shown to nobody."""
        said = self.invoke("serve", "--help")
        for option in ("--ready-fd", "--lifeline-fd", "--until-last-client"):
            self.assertNotIn(option, said)

    def test_version(self) -> None:
        """The version is the package's."""
        self.assertEqual(self.invoke("--version"), f"papa, version {papa.__version__}\n")

    def test_no_verb(self) -> None:
        """Without a verb it shows its help, as wrong usage."""
        self.assertIn("Commands:", self.invoke(code=EXIT_USAGE))

    def test_unknown_verb(self) -> None:
        """An unknown verb is wrong usage, and the nearest one is offered."""
        said = self.invoke("stauts", code=EXIT_USAGE)
        self.assertIn("No such command 'stauts'; did you mean 'status'?", said)

    def test_wrong_usage(self) -> None:
        """Missing and unknown words are wrong usage."""
        for arguments in (
            ("run",),
            ("run", "x", "--"),
            ("with",),
            ("with", "web"),
            ("with", "web", "--"),
            ("run", "--no-such-option", "true"),
            ("run", "--overflow", "sometimes", "true"),
            ("--color", "sometimes", "status"),
            ("logs", "-n", "-1"),
            ("logs", "-n", "many"),
            ("serve", "-p", "http"),
            ("serve", "-p", "65536"),
            ("--no-such-option",),
        ):
            self.invoke(*arguments, code=EXIT_USAGE)


class ExitCodeTests(SynchronousTestCase):
    """One code for each kind of failure."""

    def code(self, error: Error) -> int:
        with redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit) as caught, reported():
            raise error
        self.assertEqual(said.getvalue(), f"papa: {error}\n")
        code = caught.exception.code
        assert isinstance(code, int)
        return code

    def test_codes(self) -> None:
        """The codes are those that the help names."""
        self.assertEqual((EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_UNREACHABLE), (1, 2, 4, 69))
        self.assertEqual(self.code(Error("x")), 1)
        self.assertEqual(self.code(BadRequest("x")), 2)
        self.assertEqual(self.code(NotFound("x")), 4)
        self.assertEqual(self.code(Unreachable("x")), 69)
        self.assertEqual(self.code(ConnectionLost("x")), 69)

    def test_quotes_do_not_act(self) -> None:
        """What a message quotes is shown on its one line, whatever it is."""
        with redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit), reported():
            raise Error("no 'a\x1b[2J\nb'")
        self.assertEqual(said.getvalue(), "papa: no 'a\\x1b[2J\\x0ab'\n")

    def test_every_error_has_one(self) -> None:
        """Every refusal that there is ends with one of them."""
        for kind in ALL:
            self.assertIn(self.code(kind("x")), (1, 2, 4, 69), kind)

    def test_other_failures_are_not_hidden(self) -> None:
        """What is no refusal is not taken for one."""
        with self.assertRaises(ZeroDivisionError), reported():
            raise ZeroDivisionError


class ProcessTests(KernelTestCase):
    """As a process."""

    def test_no_kernel(self) -> None:
        """A verb that only looks starts no kernel; it says what would, on standard error only."""
        for arguments in (("status",), ("logs",), ("with", "web", "true")):
            finished = self.papa(*arguments, code=69)
            self.assertEqual(finished.stdout, "")
            self.assertIn("no kernel answers", finished.stderr)
            self.assertIn("papa serve --daemonize", finished.stderr)
            self.assertEqual(finished.stderr.count("\n"), 1)
        self.assertFalse(os.path.exists(self.environ["PAPA_RUNTIME_DIR"]))

    def test_nowhere_to_print(self) -> None:
        """What cannot be printed is said in one line; whoever reads no more ends it quietly."""
        with open("/dev/full", "w", encoding="ascii") as full:
            for words in (("--help",), ("--version",), ("unit",), ("completion", "bash")):
                code, said = self.print_to(full.fileno(), *words)
                self.assertEqual((code, said), (1, "papa: cannot write: No space left on device\n"), words)
        reading, writing = os.pipe()
        os.close(reading)
        self.assertEqual(self.print_to(writing, "unit"), (141, ""))
        os.close(writing)

    def print_to(self, descriptor: int, *words: str) -> tuple[int, str]:
        """With what a command ends that prints there, and what it complains of."""
        command = [script("papa"), *words]
        with subprocess.Popen(command, env=self.environ, stdout=descriptor, stderr=subprocess.PIPE, text=True) as papa:
            _, said = papa.communicate(timeout=PATIENCE)
        return papa.returncode, said

    def test_closed_streams(self) -> None:
        """Where standard output is closed, what is printed goes nowhere, and into no connection."""
        for closed in ("<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
            finished = subprocess.run(
                ["bash", "-c", f'"$@" {closed}', "bash", script("papa"), "unit"],
                env=self.environ,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((finished.returncode, finished.stdout, finished.stderr), (0, "", ""), closed)

    def test_wrong_socket(self) -> None:
        """A socket that is no location is wrong usage, from the option and from the environment."""
        for finished in (
            self.papa("--socket", "here", "status", code=2),
            self.papa("status", code=2, env={**self.environ, "PAPA_SOCKET": "here"}),
            self.papa("--socket", "99999", "status", code=2),
        ):
            self.assertTrue(finished.stderr.startswith("papa: "), finished.stderr)
            self.assertNotIn("Traceback", finished.stderr)

    def test_as_a_module(self) -> None:
        """C{python -m papa} is the same command."""
        finished = subprocess.run(
            [sys.executable, "-m", "papa", "--version"], capture_output=True, text=True, env=self.environ, check=True
        )
        self.assertEqual(finished.stdout, f"papa, version {papa.__version__}\n")

    def test_starts_without_twisted(self) -> None:
        """A client's verb loads neither Twisted nor zope: it would take longer than all the rest."""
        program = (
            "import sys, papa.cli.main, papa.cli.run, papa.cli.logs, papa.cli.status, papa.cli.console, "
            "papa.cli.with_sockets\n"
            "print([name for name in ('twisted', 'zope.interface', 'rich') if name in sys.modules])"
        )
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=self.environ, check=True
        )
        self.assertEqual(finished.stdout, "[]\n")
