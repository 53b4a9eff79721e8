"""C{papa top}."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import termios
import time
from contextlib import closing

from papa.cli.asking import Asker
from papa.cli.measuring import Meter
from papa.client.location import Location
from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE, script, until

#: Words for a shell that wait until its job was stopped for the terminal.
PUT_OFF = "until jobs -l | grep -q 'tty output'; do :; done"


class TopTestCase(SharedKernelTestCase):
    """Tests with processes that do something."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()
        self.client.make_process("busy", "sh", ["-c", "sh -c 'while :; do :; done'; exit"])
        self.client.make_process("loud", "sh", ["-c", "yes | head -c 100000; exec sleep 1000"], bufsize=40_000)
        until(lambda: self.client.list_processes("loud")["loud"].get("captured") == 100_000, "all that it prints")


class OnceTests(TopTestCase):
    """Without a terminal."""

    def test_lines(self) -> None:
        """It measures once, and prints a line for the kernel, one for all, and one for each process."""
        said = self.papa("top", "--interval", "0.3").stdout
        kernel, summary, empty, heading, first, second = said.splitlines()
        self.assertRegex(kernel, rf"^papa, pid {self.kernel.pid}, \d+\.\d% cpu, \d+M, \d+ of \d+ descriptors$")
        self.assertRegex(summary, r"^2 processes, 2 running, 0 B/s of output$")
        self.assertEqual((empty, heading.split()[0]), ("", "PROCESS"))
        self.assertRegex(first, r"^busy +running +\d+ +\d+\.\d% +\S+ +0 B/s +0\.0% +0 B$")
        self.assertRegex(second, r"^loud +running +\d+ +0\.0% +\S+ +0 B/s +[1-9]\d+\.\d% +\d+K$")
        self.assertNotIn("\x1b", said)

    def test_figures(self) -> None:
        """What a process has started counts for it; all figures are there as JSON, and sorted as asked for."""
        said = json.loads(self.papa("top", "--json", "--interval", "0.5", "--sort", "dropped").stdout)
        loud, busy = said["processes"]
        self.assertEqual((loud["name"], busy["name"]), ("loud", "busy"))
        self.assertGreater(busy["processor"], 5)
        self.assertEqual(loud["captured"] - loud["dropped"], loud["buffered"])
        self.assertLessEqual(loud["buffered"], 40_000)
        self.assertGreater(loud["memory"], 100_000)
        self.assertEqual(said["kernel"]["pid"], self.kernel.pid)

    def test_rate(self) -> None:
        """The rate is of the interval."""
        self.client.make_process("drip", "sh", ["-c", "while :; do echo 123456789; sleep 0.01; done"])
        (drip,) = json.loads(self.papa("top", "--json", "drip").stdout)["processes"]
        self.assertTrue(20 < drip["rate"] < 1100, drip)

    def test_clock_set_back(self) -> None:
        """By a clock that was set back since, a process may have begun in the future: its rate is none for that."""
        now = time.time()
        self.patch(time, "time", lambda: now - 3600)
        with closing(Asker(Location.read(self.kernel.path))) as connection:
            found = {each.process.name: each.rate for each in Meter(connection, ()).measure().processes}
        self.assertLess(found["loud"], 100_000)

    def test_names(self) -> None:
        """Only those of the names; one that is not held is not found."""
        said = self.papa("top", "--interval", "0.1", "lou*").stdout
        self.assertIn("loud", said)
        self.assertNotIn("busy", said)
        self.assertIn("did you mean 'loud'?", self.papa("top", "luod", code=4).stderr)


class ScreenTests(TopTestCase):
    """On a terminal."""

    def test_screen(self) -> None:
        """It fits, keys sort it, and q leaves the terminal as it was."""
        for width in (30, 60, 80, 120):
            terminal = Terminal(self, [script("papa"), "top", "--interval", "0.2"], width=width)
            lines = terminal.wait_for(lambda lines: any(re.match(r"busy +.*\d\d\.\d%", line) for line in lines))
            self.assertEqual(lines[0][:8], "papa, pi")
            self.assertLessEqual(max(map(len, lines)), width)
            self.assertEqual([line.split()[0] for line in lines[3:6]], ["PROCESS", "busy", "loud"])
            self.assertEqual("PID" in lines[3], width >= 80, lines)
            terminal.press("d")
            terminal.wait_for(lambda lines: len(lines) > 5 and lines[4].startswith("loud"))
            self.assertIn("by dropped", terminal.lines()[-1])
            terminal.press("q")
            self.assertEqual(terminal.wait_for_line("ended with 0"), ["ended with 0"])

    def test_ended(self) -> None:
        """Whatever ends it, it leaves the terminal as it was."""
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
            terminal = self.shell()
            os.kill(self.begin(terminal), number)
            terminal.wait_for_line(f"ended with {128 + number}")
            self.check_left(terminal)

    def test_suspended(self) -> None:
        """Stopped by its key, it leaves the terminal to the shell; in the foreground again it goes on."""
        terminal = self.shell()
        self.begin(terminal)
        for _ in range(2):
            terminal.press("C-z")
            terminal.wait_for_line("ended with 148")
            self.check_left(terminal)
            terminal.press("clear; fg; echo ended with $?", "Enter")
            self.check_taken(terminal)
        terminal.press("q")
        terminal.wait_for_line("ended with 0")
        self.check_left(terminal)

    def test_stopped(self) -> None:
        """Stopped without a word, it takes the terminal anew; also when it was continued before it had that."""
        terminal = self.shell()
        pid = self.begin(terminal)
        for background in ("", f"bg; {PUT_OFF}; "):
            os.kill(pid, signal.SIGSTOP)
            terminal.wait_for_line("ended with 147")
            terminal.press(f"clear; {background}fg; echo ended with $?", "Enter")
            self.check_taken(terminal)
        os.kill(pid, signal.SIGTERM)
        terminal.wait_for_line("ended with 143")
        self.check_left(terminal)

    def test_ended_in_the_background(self) -> None:
        """There it does not take the terminal, and can be ended."""
        terminal = self.shell()
        self.begin(terminal)
        terminal.press("C-z")
        terminal.wait_for_line("ended with 148")
        # Until the shell has heard that the job was continued, for its end, it does not wait for one that is stopped.
        ended = "until wait %1; code=$?; [ $code != 150 ]; do :; done 2>/dev/null"
        terminal.press(f"clear; bg; {PUT_OFF}; kill %1; {ended}; clear; echo ended with $code", "Enter")
        terminal.wait_for_line("ended with 143")
        self.check_left(terminal)

    def test_hung_up(self) -> None:
        """When the terminal goes, so does it."""
        top, ours, _ = self.bare()
        os.close(ours)
        self.assertEqual(top.wait(PATIENCE), 128 + signal.SIGHUP)

    def test_sizes(self) -> None:
        """A terminal that does not tell its size has the usual one; where there is no room, processes are counted."""
        for number in range(7):
            self.client.make_process(f"many.{number}", "sleep", ["1000"])
        for size, place, line in (
            ((0, 0), 3, r"PROCESS .* DROPPED"),
            ((8, 80), 6, r"and 7 more"),
            ((5, 80), 3, r"and 9 more"),
            ((3, 12), 1, r"and 9 more"),
            ((2, 80), 0, r"and 9 more"),
            ((1, 80), 0, r"by cpu; .* quits"),
        ):
            top, ours, screen = self.bare(size)
            top.terminate()
            top.wait(PATIENCE)
            os.close(ours)
            lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", screen).split("\n")
            self.assertEqual(len(lines), size[0] or 24, lines)
            self.assertRegex(lines[place], f"^{line}$")

    def bare(self, size: tuple[int, int] = (0, 0)) -> tuple[subprocess.Popen[bytes], int, str]:
        """It, on a terminal of so many lines and columns that nobody emulates, its other end, and the first screen."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, size)
        command = ["setsid", "--ctty", script("papa"), "--color", "never", "top"]
        top = subprocess.Popen(command, env=self.environ, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        screen = b""
        while not re.search(rb"by cpu.*\x1b\[K", screen):
            screen += os.read(ours, 65536)
        return top, ours, screen.decode()

    def test_many(self) -> None:
        """What has no room is counted."""
        for number in range(50):
            self.client.make_process(f"many.{number}", "sleep", ["1000"])
        terminal = Terminal(self, [script("papa"), "top", "--interval", "0.2"])
        lines = terminal.wait_for(lambda lines: len(lines) == 40)
        self.assertRegex(lines[38], r"^and \d+ more$")
        terminal.press("C-c")
        terminal.wait_for_line("ended with 0")
        self.assertEqual(len([line for line in lines if line.startswith("many.")]) + int(lines[38].split()[1]), 50)

    def test_colours(self) -> None:
        """Colours are for those who want them."""
        for options, coloured in (([], True), (["--color", "never"], False)):
            terminal = Terminal(self, [script("papa"), *options, "top", "--interval", "0.2"])
            terminal.wait_for(lambda lines: any(line.startswith("busy") for line in lines))
            self.assertEqual("\x1b[" in "".join(terminal.lines(styled=True)), coloured)
            terminal.press("q")

    def test_goes_on(self) -> None:
        """When the kernel gives way, it goes on with the next one."""
        kernel = self.serve("--anchor", "-u", f"{self.folder}/k.sock")
        terminal = Terminal(self, [script("papa"), "--socket", kernel.path, "top", "--interval", "0.2"])
        before = terminal.wait_for(lambda lines: lines[-1].startswith("by cpu"))[0].split(",")[1]
        self.papa("--socket", kernel.path, "upgrade")
        terminal.wait_for(lambda lines: lines[0].startswith("papa, pid") and lines[0].split(",")[1] != before)
        terminal.press("q")
        terminal.wait_for_line("ended with 0")

    def test_kernel_that_does_not_answer(self) -> None:
        """That is said; once it answers, it goes on."""
        kernel = self.serve("-u", f"{self.folder}/k.sock")
        terminal = Terminal(self, [script("papa"), "--socket", kernel.path, "top", "--interval", "0.2"])
        terminal.wait_for(lambda lines: lines[-1].startswith("by cpu"))
        os.kill(kernel.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, kernel.pid, signal.SIGCONT)
        said = f"papa: the kernel (pid {kernel.pid}) has not answered for 5 seconds; still waiting (Ctrl-C to stop)"
        terminal.wait_for(lambda lines: said in lines)
        os.kill(kernel.pid, signal.SIGCONT)
        terminal.wait_for(lambda lines: lines[-1].startswith("by cpu"))
        self.assertNotIn(said, terminal.lines())
        terminal.press("q")
        terminal.wait_for_line("ended with 0")

    def test_lost_kernel(self) -> None:
        """When the kernel goes, the terminal is as it was, and it says so."""
        kernel = self.serve("-u", f"{self.folder}/k.sock")
        terminal = Terminal(self, [script("papa"), "--socket", kernel.path, "top", "--interval", "0.2"])
        terminal.wait_for(lambda lines: lines[-1].startswith("by cpu"))
        kernel.process.terminate()
        lines = terminal.wait_for_line("ended with 69")
        self.assertTrue(lines[0].startswith("papa: Lost connection"), lines)

    def shell(self) -> Terminal:
        """A shell that has jobs."""
        terminal = Terminal(self, ["bash", "--norc", "--noprofile", "-i"])
        terminal.press(f"echo $$ >{self.folder}/shell; stty -g >{self.folder}/modes; echo ready", "Enter")
        terminal.wait_for(lambda lines: "ready" in lines)  # And not the end of what was typed.
        with open(f"{self.folder}/shell", encoding="ascii") as file:
            # One that is interactive may outlive its terminal, and look for it without end.
            self.addCleanup(os.kill, int(file.read()), signal.SIGKILL)
        return terminal

    def begin(self, terminal: Terminal) -> int:
        """Have a shell start it; its pid."""
        pid = os.path.join(self.folder, "pid")
        started = shlex.join(["sh", "-c", f"echo $$ >{pid}; exec {script('papa')} top --interval 0.2"])
        terminal.press(f"clear; {started}; echo ended with $?", "Enter")
        self.check_taken(terminal)
        with open(pid, encoding="ascii") as file:
            return int(file.read())

    def check_taken(self, terminal: Terminal) -> None:
        """It has the screen, shows what is measured, and heeds each key."""
        for key, sort in (("d", "dropped"), ("c", "cpu")):
            terminal.wait_for(lambda lines: lines[-1].startswith("by "))
            terminal.press(key)
            terminal.wait_for(lambda lines, sort=sort: lines[-1].startswith(f"by {sort}"))
        self.assertEqual((terminal.describe("alternate_on"), terminal.describe("cursor_flag")), ("1", "0"))

    def check_left(self, terminal: Terminal) -> None:
        """The screen, the cursor and the modes are the shell's."""
        self.assertEqual((terminal.describe("alternate_on"), terminal.describe("cursor_flag")), ("0", "1"))
        terminal.press(f"clear; stty -g | cmp - {self.folder}/modes && echo as it was", "Enter")
        terminal.wait_for(lambda lines: "as it was" in lines)
