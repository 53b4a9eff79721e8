"""C{papa console}."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase, end_kernel, serving_pid
from tests.support import PATIENCE, script, until


class ScriptTests(SharedKernelTestCase):
    """Commands from standard input."""

    def console(self, commands: bytes, code: int = 0) -> tuple[bytes, bytes]:
        """What a script of commands gives: standard output and standard error."""
        finished = subprocess.run(
            [script("papa"), "console"],
            input=commands,
            env=self.environ,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, code, finished.stderr)
        return finished.stdout, finished.stderr

    def test_answers(self) -> None:
        """Answers stand on standard output, without greeting and prompts; quotes hold words together."""
        said = self.console(b'set greeting "hello  world"\nget greeting\nlist values\n')
        self.assertEqual(said, (b"\nhello  world\ngreeting hello  world\n", b""))

    def test_without_a_last_newline(self) -> None:
        """The last line needs no newline."""
        self.assertEqual(self.console(b"set x 1\nget x")[0], b"\n1\n")

    def test_error(self) -> None:
        """An error among the answers makes the exit code 1; the commands behind it are still done."""
        said, _ = self.console(b"get\nset x 1\nget x\n", code=1)
        self.assertRegex(said, rb"\AError: .*\n\n1\n\Z")

    def test_quit(self) -> None:
        """What stands behind quit is not done."""
        self.assertEqual(self.console(b"quit\nset x 1\n"), (b"ok\n", b""))
        self.assertIsNone(self.connect_papa().get("x"))

    def test_nothing(self) -> None:
        """No command, no answer."""
        self.assertEqual(self.console(b""), (b"", b""))

    def test_bytes_that_are_no_text(self) -> None:
        """Bytes that are no text are refused by the kernel, not changed into others."""
        said, _ = self.console(b"get x\nset x a\xffb\n", code=1)
        self.assertRegex(said, rb"Error: .*UTF-8")
        self.assertIsNone(self.connect_papa().get("x"))

    def test_escapes_are_written_out(self) -> None:
        """What a program prints reaches nobody's terminal as it is."""
        papa = self.connect_papa()
        papa.make_process("job", "printf", r"\033[2J\n")
        said, _ = self.console(b"watch processes job\n\n\n")
        self.assertIn(rb"\x1b[2J", said)
        self.assertNotIn(b"\x1b", said)

    def test_output_is_no_word_of_papa(self) -> None:
        """What a process prints is taken for no prompt, and for no error, wherever it ends."""
        papa = self.connect_papa()
        papa.make_process(
            "job", sys.executable, ["-c", r"print('\n> ' * 50000 + '\n] \nError: no\nout:x:1:99', end='')"]
        )
        until(lambda: not papa.list_processes("job")["job"]["running"], "its end")
        said, _ = self.console(b"set x out:job:1.0:5\nget x\nwatch processes job\nq\nget x\n")
        self.assertTrue(said.startswith(b"\nout:job:1.0:5\nWatching 1\n"), said[:100])
        self.assertTrue(said.endswith(b"\nNothing left to watch\nout:job:1.0:5\n"), said[-100:])
        self.assertIn(b"\n> \n] \nError: no\nout:x:1:99\n", said)

    def test_lost_kernel(self) -> None:
        """When the kernel goes in the middle it says so, with the exit code for that."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        self.environ["PAPA_SOCKET"] = kernel.path
        with subprocess.Popen(
            [script("papa"), "console"],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(b"set x 1\nget x\n")
            running.stdin.flush()
            self.assertEqual(running.stdout.readline(), b"\n")
            self.assertEqual(running.stdout.readline(), b"1\n")
            kernel.process.kill()
            kernel.process.wait()
            said, complained = running.communicate(b"get x\n", timeout=PATIENCE)
            self.assertEqual(said, b"")
            self.assertRegex(complained, rb"\Apapa: Lost connection.*\n\Z")
            self.assertEqual(running.returncode, 69)

    def test_exit_if_idle(self) -> None:
        """A kernel that was asked to end may do so without being taken for lost."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        self.environ["PAPA_SOCKET"] = kernel.path
        self.assertEqual(self.console(b"exit-if-idle\n"), (b"Exiting papa!\n", b""))
        self.assertEqual(kernel.process.wait(PATIENCE), 0)

    def test_programs_wire(self) -> None:
        """Sent to the wire that is for programs, it says so instead of waiting for words."""
        self.environ["PAPA_SOCKET"] = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        said, complained = self.console(b"get x\n", code=2)
        self.assertEqual(said, b"")
        self.assertRegex(complained, rb"\Apapa: That is the wire for programs; .* console\.sock .*\n\Z")

    def test_starts_a_kernel(self) -> None:
        """With no kernel there it starts one."""
        path = os.path.join(self.folder, "new.sock")
        self.addCleanup(end_kernel, path)
        self.environ |= {"PAPA_SOCKET": path, "PAPA_RUNTIME_DIR": os.path.join(self.folder, "run")}
        self.assertEqual(self.console(b"set x 1\nget x\n")[0], b"\n1\n")
        self.assertIsNotNone(serving_pid(path))


class TerminalTests(SharedKernelTestCase):
    """A person at a terminal."""

    def open(self) -> Terminal:
        terminal = Terminal(self, [script("papa"), "console"])
        terminal.wait_for(lambda lines: lines[-1] == ">" and "Papa is home" in lines[0])
        return terminal

    def ask(self, terminal: Terminal, *keys: str) -> list[str]:
        """Type a line; what is shown at the next prompt."""
        before = len(terminal.lines())
        terminal.press(*keys, "Enter")
        return terminal.wait_for(lambda lines: len(lines) > before and lines[-1] == ">")

    def test_line_editing(self) -> None:
        """Cursor keys move within the line and bring back the lines before; the tabulator completes commands."""
        terminal = self.open()
        self.ask(terminal, "set x onetwo", "Left", "Left", "Left", "Space")
        self.assertIn("one two", self.ask(terminal, "get x"))
        self.assertEqual(self.ask(terminal, "Up").count("one two"), 2)
        lines = self.ask(terminal, "li", "Tab", "v", "Tab")
        self.assertIn("> list values", lines)
        self.assertIn("x one two", lines)

    def test_interrupt_at_the_prompt(self) -> None:
        """Ctrl-C at the prompt throws the line away, and nothing else."""
        terminal = self.open()
        terminal.press("set x 1", "C-c")
        terminal.wait_for(lambda lines: lines[-1] == ">" and len(lines) > 2)
        self.ask(terminal, "list values")
        self.assertEqual(self.connect_papa().list_values(), {})

    def test_interrupt_stops_a_watch(self) -> None:
        """Ctrl-C stops a watch that waits, and the conversation goes on."""
        self.connect_papa().make_process("job", "sleep", "1000")
        terminal = self.open()
        terminal.press("watch processes job", "Enter")
        terminal.wait_for_line("Watching 1")
        terminal.press("C-c")
        terminal.wait_for(lambda lines: "Stopped watching" in "\n".join(lines) and lines[-1] == ">")
        self.ask(terminal, "set x 1")
        self.assertEqual(self.connect_papa().get("x"), "1")

    def test_end_of_file(self) -> None:
        """Ctrl-D ends the conversation, as a success."""
        terminal = self.open()
        terminal.press("C-d")
        terminal.wait_for_line("ended with 0")

    def test_error_is_no_failure(self) -> None:
        """A person may mistype: that is no failure of the conversation."""
        terminal = self.open()
        self.ask(terminal, "nonsense")
        terminal.press("quit", "Enter")
        terminal.wait_for_line("ended with 0")

    def test_history_outlives_it(self) -> None:
        """The lines before are there the next time, for nobody else to read."""
        terminal = self.open()
        self.ask(terminal, "set x 1")
        terminal.press("C-d")
        terminal.wait_for_line("ended with 0")
        history = os.path.join(self.folder, "papa", "history")
        self.assertEqual(stat.S_IMODE(os.stat(history).st_mode), 0o600)
        terminal = self.open()
        self.assertIn("> set x 1", self.ask(terminal, "Up"))
