"""C{papa status}."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.cli.describing import amount, counted, duration, state
from papa.records import UNKNOWN_EXIT, Process
from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase
from tests.support import script, until


class DurationTests(SynchronousTestCase):
    """Durations in words."""

    def test_two_largest_units(self) -> None:
        """The two largest units are named, and none that is empty."""
        for seconds, words in (
            (0, "0s"),
            (59.9, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3599, "59m 59s"),
            (3605, "1h"),
            (3661, "1h 1m"),
            (86400 * 400 + 3600 * 5, "400d 5h"),
        ):
            self.assertEqual(duration(seconds), words)

    def test_clock_that_was_set_back(self) -> None:
        """There is no negative age."""
        self.assertEqual(duration(-5), "0s")

    @given(st.floats(0, 1e9))
    def test_always_short(self, seconds: float) -> None:
        """A duration is short, whatever it is."""
        self.assertLessEqual(len(duration(seconds)), 10)


class StateTests(SynchronousTestCase):
    """How a process is, in a word or two."""

    def test_states(self) -> None:
        """Whether it runs, or how it ended, if anybody knows."""
        process = Process(name="x", args=("x",), pid=7, running=False, started=0.0, uid=0, gid=0)
        states = [state(replace(process, exit_code=code)) for code in (None, 0, 3, -9, UNKNOWN_EXIT)]
        self.assertEqual(states, ["running", "exited 0", "exited 3", "killed 9", "exited ?"])


class CountedTests(SynchronousTestCase):
    """Numbers of things in words."""

    def test_one_and_more(self) -> None:
        """One is not several."""
        for number, processes, sockets in (
            (0, "0 processes", "0 sockets"),
            (1, "1 process", "1 socket"),
            (2, "2 processes", "2 sockets"),
        ):
            self.assertEqual((counted(number, "process"), counted(number, "socket")), (processes, sockets))


class AmountTests(SynchronousTestCase):
    """Sizes in words."""

    def test_digits(self) -> None:
        """Two or three digits, in the unit that takes so few."""
        for size, words in (
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0K"),
            (1536, "1.5K"),
            (20 << 10, "20K"),
            (999 << 10, "999K"),
            (5 << 20, "5.0M"),
            (3 << 40, "3072G"),
        ):
            self.assertEqual(amount(size), words)


class StatusTests(SharedKernelTestCase):
    """What is shown where there is no terminal."""

    def test_nothing(self) -> None:
        """A kernel that holds nothing says so."""
        self.assertEqual(self.papa("status").stdout, "papa holds nothing.\n")

    def test_everything(self) -> None:
        """Processes, sockets and values are shown, whole, with no escapes."""
        papa = self.connect_papa()
        long = "x" * 300
        pid = papa.make_process("web", "sleep", "1000")["pid"]
        papa.make_process("job", "sh", ["-c", f"exit 3 # {long}"])
        papa.make_process("bad", "sh", ["-c", "kill -9 $$"])
        until(lambda: sum(each["running"] for each in papa.list_processes().values()) == 1)
        port = papa.make_socket("tcp")["port"]
        papa.make_socket("own", reuseport=True)
        papa.make_socket("app", path=os.path.join(self.folder, "app.sock"))
        papa.set("b", "secret")
        papa.set("a", "2")
        said = self.papa("status").stdout
        self.assertRegex(said, rf"web +running +{pid} +\d+s +sleep 1000\n")
        self.assertRegex(said, rf"job +exited 3 +\d+ +\d+s +sh -c exit 3 # {long}\n")
        self.assertRegex(said, r"bad +killed 9 ")
        self.assertRegex(said, rf"tcp +inet stream +\d+ +127\.0\.0\.1:{port}\n")
        self.assertRegex(said, r"own +inet stream +one a process +127\.0\.0\.1:\d+\n")
        self.assertRegex(said, rf"app +unix stream +\d+ +{self.folder}/app\.sock\n")
        self.assertIn("2 values: a, b\n", said)
        self.assertNotIn("secret", said)
        self.assertNotIn("\x1b", said)

    def test_aliases(self) -> None:
        """It has the names that people's fingers know."""
        for verb in ("ps", "ls"):
            self.assertEqual(self.papa(verb).stdout, "papa holds nothing.\n")

    def test_selected(self) -> None:
        """With names only their processes are shown, and no sockets nor values."""
        papa = self.connect_papa()
        for name in ("web.1", "web.2", "job"):
            papa.make_process(name, "sleep", "1000")
        papa.make_socket("tcp")
        papa.set("x", "1")
        said = self.papa("status", "web.*").stdout
        self.assertEqual([line.split()[0] for line in said.splitlines()], ["PROCESS", "web.1", "web.2"])

    def test_unknown_name(self) -> None:
        """A name that is not held is not found, and the nearest is offered, also among others and with JSON."""
        self.connect_papa().make_process("worker", "sleep", "1000")
        for arguments in (("wroker",), ("worker", "wroker"), ("--json", "wroker")):
            finished = self.papa("status", *arguments, code=4)
            self.assertEqual(finished.stdout, "")
            self.assertEqual(finished.stderr, "papa: there is no process 'wroker'; did you mean 'worker'?\n")

    def test_json(self) -> None:
        """JSON is one object with everything, with the types that it should have."""
        papa = self.connect_papa()
        made = papa.make_process("web", "sleep", "1000")
        socket = papa.make_socket("tcp")
        papa.set("x", "secret")
        said = json.loads(self.papa("status", "--json").stdout)
        self.assertEqual({*said}, {"version", "processes", "sockets", "values", "kernel"})
        (process,) = said["processes"]
        self.assertEqual((process["name"], process["args"]), ("web", ["sleep", "1000"]))
        self.assertEqual((process["pid"], process["running"], process["exit_code"]), (made["pid"], True, None))
        (listed,) = said["sockets"]
        self.assertEqual((listed["name"], listed["port"], listed["path"]), ("tcp", socket["port"], None))
        self.assertEqual(said["values"], ["x"])

    def test_json_of_nothing(self) -> None:
        """Nothing is an object too."""
        said = json.loads(self.papa("status", "--json").stdout)
        kernel = {"pid": self.kernel.pid, "anchor": None, "kernels": 1}
        self.assertEqual(said, {"version": 1, "processes": [], "sockets": [], "values": [], "kernel": kernel})

    def test_escapes(self) -> None:
        """Arguments with escapes are written out."""
        papa = self.connect_papa()
        papa.make_process("job", "sh", ["-c", "exec sleep 1000", "\x1b]0;x\x07\nnext"])
        papa.make_socket("app", path=os.path.join(self.folder, "a\x1bb\nc"))
        said = self.papa("status").stdout
        self.assertIn(r" \x1b]0;x\x07\x0anext", said)
        self.assertIn(r"/a\x1bb\x0ac" + "\n", said)
        self.assertNotIn("\x1b", said)

    def test_losses(self) -> None:
        """What a full buffer has dropped is shown."""
        papa = self.connect_papa()
        papa.make_process("job", "sh", ["-c", "yes | head -c 50000"], bufsize=1000)
        until(lambda: not papa.list_processes("job")["job"]["running"])
        self.assertRegex(self.papa("status").stdout, r"job +exited 0, \d+K dropped ")


class TerminalTests(SharedKernelTestCase):
    """What is shown on a terminal."""

    def setUp(self) -> None:
        super().setUp()
        papa = self.connect_papa()
        self.pid = papa.make_process("a-name-of-some-length", "sleep", ["1000", *["1000"] * 30])["pid"]
        papa.make_process("job", "sh", ["-c", "exit 3"])
        until(lambda: not papa.list_processes("job")["job"]["running"])

    def test_widths(self) -> None:
        """A row is a line on any terminal: the command is cut where the line ends, and nothing else is."""
        for width in (80, 120):
            terminal = Terminal(self, [script("papa"), "status"], width=width)
            lines = terminal.wait_for_line("ended with 0")
            self.assertRegex(lines[0], r"PROCESS +STATE +PID +AGE +COMMAND")
            self.assertRegex(lines[1], rf"a-name-of-some-length +running +{self.pid} +\d+s +sleep 1000 .*…\Z")
            self.assertTrue(width - 5 <= len(lines[1]) <= width, lines[1])
            self.assertRegex(lines[2], r"job +exited 3 +\d+ +\d+s +sh -c exit 3\Z")
            self.assertEqual(lines[3], "ended with 0")

    def test_very_narrow(self) -> None:
        """Even where there is no room a row stays one line."""
        terminal = Terminal(self, [script("papa"), "status"], width=30)
        lines = terminal.wait_for_line("ended with 0")
        self.assertEqual(len(lines), 4, lines)

    def test_colours(self) -> None:
        """There are colours, unless the person wants none or the terminal has none."""
        for variables, styled in (((), True), (("NO_COLOR=1",), False), (("TERM=dumb",), False)):
            terminal = Terminal(self, ["env", *variables, script("papa"), "status"])
            terminal.wait_for_line("ended with 0")
            self.assertEqual("\x1b[" in "".join(terminal.lines(styled=True)), styled, variables)
