"""C{papa logs}."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

from papa import PIPE
from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase, read_to_end, read_until
from tests.support import PATIENCE, script, until

ECHO = ["sh", "-c", 'while read line; do echo "$line"; done']


class LogsTestCase(SharedKernelTestCase):
    """Tests with processes that have printed something."""

    def make(self, name: str, program: str) -> None:
        """Run a shell program to its end, and leave what it printed."""
        papa = self.connect_papa()
        papa.make_process(name, "sh", ["-c", program])
        until(lambda: not papa.list_processes(name)[name]["running"])

    def make_echo(self) -> None:
        """A process that prints the lines that it is sent."""
        self.connect_papa().make_process("echo", args=ECHO, stdin=PIPE)

    def echo(self, line: str) -> None:
        """Have it print a line, and wait until papa holds it."""
        papa = self.connect_papa()
        papa.write_process("echo", f"{line}\n".encode())
        with papa.watch_processes("echo", observe=True) as watcher:
            read_until(watcher, lambda data: data.endswith(f"{line}\n".encode()))

    def follow(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A running C{papa logs}."""
        return self.begin_papa("logs", *arguments, text=False)


class KeptTests(LogsTestCase):
    """What is there."""

    def test_shown(self) -> None:
        """What was printed is shown, and how it ended aside; then it ends, also while the process goes on."""
        self.make("job", "echo one; echo two; exit 3")
        finished = self.papa("logs", "job")
        self.assertRegex(finished.stdout, r"\A\d\d:\d\d:\d\d job \| one\n\d\d:\d\d:\d\d job \| two\n\Z")
        self.assertIn("job - exited with 3", finished.stderr)
        self.make_echo()
        self.echo("hello")
        self.assertIn("echo | hello\n", self.papa("logs", "echo").stdout)

    def test_takes_nothing_away(self) -> None:
        """However often it is shown, a later watcher gets everything, the end too."""
        self.make("job", "echo one; echo two; exit 3")
        first = self.papa("logs", "job").stdout
        self.assertEqual(self.papa("logs", "job").stdout, first)
        self.papa("logs", "-n", "1", "job")
        self.assertEqual(read_to_end(self.connect_papa().watch_processes("job")), (b"one\ntwo\n", b"", {"job": 3}))

    def test_several(self) -> None:
        """Several names, patterns, pids, and all: names stand in a column."""
        for name in ("web.1", "web.22", "job"):
            self.make(name, f"echo {name}")
        pid = self.connect_papa().list_processes()["job"]["pid"]
        for arguments, names in (
            ((), {"web.1", "web.22", "job"}),
            (("web.*",), {"web.1", "web.22"}),
            (("job", "web.1"), {"web.1", "job"}),
            ((str(pid),), {"job"}),
        ):
            said = self.papa("logs", *arguments).stdout
            self.assertEqual({line.split("| ")[1] for line in said.splitlines()}, names)
            self.assertEqual(len({line.index("|") for line in said.splitlines()}), 1)

    def test_merged(self) -> None:
        """What several have printed is shown in the order of time, from the beginning and from the last lines."""
        papa = self.connect_papa()
        for name in ("a", "b"):
            papa.make_process(name, args=ECHO, stdin=PIPE)
        for number in range(6):
            name = "ab"[number % 2]
            papa.write_process(name, f"line {number}\n".encode())
            with papa.watch_processes(name, observe=True) as watcher:
                read_until(watcher, lambda data, number=number: data.endswith(f"line {number}\n".encode()))
            time.sleep(0.02)  # What comes within 10 ms has one time.
        shown = [f"{'ab'[number % 2]} | line {number}" for number in range(6)]
        self.assertEqual([line[9:] for line in self.papa("logs").stdout.splitlines()], shown)
        self.assertEqual([line[9:] for line in self.papa("logs", "-n", "2").stdout.splitlines()], shown[2:])
        running = self.follow("-f", "-n", "1")
        assert running.stdout is not None
        self.assertEqual([running.stdout.readline()[9:-1].decode() for _ in range(2)], shown[4:])
        papa.write_process("a", b"more\n")
        self.assertEqual(running.stdout.readline()[9:], b"a | more\n")
        for name in ("a", "b"):
            papa.close_stdin(name)
        self.assertEqual(running.stdout.read(), b"")

    def test_unknown_name(self) -> None:
        """A name that is not held is not found, and the nearest is offered; nothing is shown of the others."""
        self.make("worker", "echo hi")
        finished = self.papa("logs", "worker", "wroker", code=4)
        self.assertEqual(finished.stdout, "")
        self.assertEqual(finished.stderr, "papa: there is no process 'wroker'; did you mean 'worker'?\n")
        self.assertIn("no process matches 'web.*'", self.papa("logs", "web.*", code=4).stderr)

    def test_nothing_held(self) -> None:
        """All of nothing is nothing."""
        self.assertEqual(self.papa("logs").stdout, "")

    def test_last_lines(self) -> None:
        """The last lines of each, if that is what is wanted."""
        self.make("job", "seq 100")
        said = self.papa("logs", "-n", "2", "job").stdout
        self.assertEqual([line.split("| ")[1] for line in said.splitlines()], ["99", "100"])
        self.assertEqual(self.papa("logs", "-n", "0", "job").stdout, "")

    def test_since(self) -> None:
        """Older output than that is left out; lines may stand alone, without times and names."""
        self.make("job", "echo one; echo two; exit 3")
        said = self.papa("logs", "--since", "1h", "--no-prefix", "job")
        self.assertEqual(said.stdout, "one\ntwo\n")
        self.assertIn("exited with 3", said.stderr)
        self.assertEqual(self.papa("logs", "--since", "2100-01-01", "job").stdout, "")
        self.assertIn("is no time: write 10m", self.papa("logs", "--since", "soon", "job", code=2).stderr)

    def test_colour(self) -> None:
        """There are colours only where they are wanted; what wants them or not is the option, then NO_COLOR."""
        self.make("job", "echo out; echo err >&2")
        self.environ["NO_COLOR"] = "1"
        said = self.papa("--color", "always", "logs", "job").stdout
        name = re.findall(r"(\x1b\[\d+mjob\x1b\[0m) (\||\x1b\[31m!\x1b\[0m) ", said)
        self.assertEqual([mark for _, mark in name], ["|", "\x1b[31m!\x1b[0m"])
        self.assertEqual(len({name for name, _ in name}), 1)
        self.assertNotIn("\x1b", self.papa("--color=never", "logs", "job").stdout)
        self.assertNotIn("\x1b", self.papa("logs", "job", env={**self.environ, "NO_COLOR": ""}).stdout)
        self.assertIn("\x1b", self.papa("logs", "job", env={**self.environ, "PAPA_COLOR": "always"}).stdout)

    def test_raw(self) -> None:
        """Raw shows the very bytes."""
        self.make("job", r"printf '\033[1m\377'; printf '\376' >&2")
        shown = self.follow("--raw", "job")
        self.assertEqual(shown.communicate(timeout=PATIENCE), (b"\x1b[1m\xff", b"\xfe"))

    def test_json(self) -> None:
        """With JSON there is nothing but JSON."""
        self.make("job", r"printf '\033[1m\n'")
        finished = self.papa("logs", "--json", "job")
        self.assertEqual(finished.stderr, "")
        self.assertNotIn("\x1b", finished.stdout)
        found = [json.loads(line) for line in finished.stdout.splitlines()]
        self.assertEqual([each["kind"] for each in found], ["output", "closed"])
        self.assertEqual(found[0]["data"], "\x1b[1m\n")


class FollowTests(LogsTestCase):
    """Going on."""

    def test_goes_on(self) -> None:
        """It shows what is there and what comes, each as it comes, until the process has ended."""
        self.make_echo()
        self.echo("before")
        running = self.follow("-f", "echo")
        assert running.stdout is not None
        self.assertRegex(running.stdout.readline(), rb"echo \| before\n\Z")
        self.echo("after")
        self.assertRegex(running.stdout.readline(), rb"echo \| after\n\Z")
        self.connect_papa().close_stdin("echo")
        self.assertEqual(running.stdout.read(), b"")
        self.assertEqual(running.wait(PATIENCE), 0)

    def test_from_the_last_lines(self) -> None:
        """It begins with the last lines if that is what is wanted, or with none."""
        self.make_echo()
        for line in ("one", "two", "three"):
            self.echo(line)
        running = self.follow("-f", "-n", "1", "echo")
        assert running.stdout is not None
        self.assertRegex(running.stdout.readline(), rb"\| three\n\Z")
        self.echo("four")
        self.assertRegex(running.stdout.readline(), rb"\| four\n\Z")

    def test_takes_nothing_away(self) -> None:
        """What was followed is still there for a watcher."""
        self.make_echo()
        running = self.follow("-f", "echo")
        assert running.stdout is not None
        self.echo("hello")
        running.stdout.readline()
        self.connect_papa().close_stdin("echo")
        running.wait(PATIENCE)
        self.assertEqual(read_to_end(self.connect_papa().watch_processes("echo"))[0], b"hello\n")

    def test_nobody_reads(self) -> None:
        """When nobody reads its output any more it ends quietly with the next line."""
        self.make_echo()
        self.echo("one")
        running = self.follow("-f", "echo")
        assert running.stdout is not None
        assert running.stderr is not None
        self.assertRegex(running.stdout.readline(), rb"\| one\n\Z")
        running.stdout.close()
        self.echo("two")
        self.assertEqual(running.stderr.read(), b"")
        running.wait(PATIENCE)

    def test_into_head(self) -> None:
        """C{papa logs -f NAME | head -1} ends with no word but the line."""
        papa = self.connect_papa()
        papa.make_process("job", "sh", ["-c", "while :; do echo line; sleep 0.02; done"])
        finished = subprocess.run(
            ["sh", "-c", f"{script('papa')} logs -f job | head -n 1"],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertRegex(finished.stdout, r"\A\d\d:\d\d:\d\d job \| line\n\Z")
        self.assertEqual(finished.stderr, "")

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, as a success, and the process goes on."""
        self.make_echo()
        self.echo("hello")
        terminal = Terminal(self, [script("papa"), "logs", "-f", "echo"])
        terminal.wait_for_line("echo | hello")
        terminal.press("C-c")
        lines = terminal.wait_for_line("ended with 0")
        self.assertFalse([line for line in lines if "Traceback" in line or "Aborted" in line], lines)
        self.assertTrue(self.connect_papa().list_processes("echo")["echo"]["running"])

    def test_lost_kernel(self) -> None:
        """When the kernel goes it says so, with the exit code for that."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        with kernel.talk() as talk:
            talk.ask("make process job sh -c echo\\ hello;\\ read\\ x")
            talk.ask("make process pause sleep 3")
        self.environ["PAPA_SOCKET"] = kernel.path
        running = self.follow("-f", "pause")
        kernel.process.kill()
        _, said = running.communicate(timeout=PATIENCE)
        self.assertEqual(running.returncode, 69)
        self.assertRegex(said, rb"\Apapa: ")
        self.assertNotIn(b"Traceback", said)
