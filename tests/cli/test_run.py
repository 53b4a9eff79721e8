"""C{papa run}."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

from tests.cli import relay
from tests.cli.terminal import Terminal
from tests.client.sharing import SharedKernelTestCase, end_kernel, serving_pid
from tests.support import PATIENCE, KernelTestCase, script, until


class RunTestCase(SharedKernelTestCase):
    """Tests of running programs."""

    def run_raw(self, *arguments: str, code: int = 0) -> str:
        """What a program prints that is run under the name C{x}."""
        return self.papa("run", "--raw", *arguments, code=code).stdout


def is_connected(pid: int) -> bool:
    """Whether a process has a socket open."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(f"{folder}/{each}").startswith("socket:") for each in os.listdir(folder))
    return False


class EndTests(RunTestCase):
    """It ends as its program ends."""

    def test_exit_code(self) -> None:
        """The exit code is the program's, and nothing is held afterwards."""
        for code in (0, 1, 3, 255):
            self.papa("run", f"job{code}", "--", "sh", "-c", f"exit {code}", code=code)
        self.assertEqual(self.papa("status").stdout, "papa holds nothing.\n")

    def test_signal(self) -> None:
        """A program that a signal ended gives 128 and the signal's number, as in a shell."""
        finished = self.papa("run", "job", "--", "sh", "-c", "kill -TERM $$", code=128 + signal.SIGTERM)
        self.assertIn("killed by signal 15", finished.stderr)

    def test_held_open(self) -> None:
        """Where what the program has started holds its output open, that is said once; it is read to its end."""
        gates = [os.path.join(self.folder, gate) for gate in ("one", "two")]
        for gate in gates:
            os.mkfifo(gate)
        program = f"(read word < {gates[0]}; echo late; read word < {gates[1]}; echo later) & echo early; exit 3"
        papa = self.begin_papa("run", "--raw", "job", "--", "sh", "-c", program)
        assert papa.stdout is not None
        assert papa.stderr is not None
        self.assertEqual(papa.stdout.readline(), "early\n")
        self.assertIn("job has exited; what it has started holds its output open", papa.stderr.readline())
        for gate, said in zip(gates, ("late", "later"), strict=True):
            with open(gate, "w", encoding="ascii") as opened:
                opened.write("go on\n")
            self.assertEqual(papa.stdout.readline(), f"{said}\n")
        self.assertEqual((papa.wait(PATIENCE), papa.stderr.read()), (3, ""))

    def test_missing_program(self) -> None:
        """A program that is not there is a failure that names it; nothing is held."""
        finished = self.papa("run", "job", "--", "/no/such/program", code=1)
        self.assertEqual(finished.stdout, "")
        self.assertIn("/no/such/program", finished.stderr)
        self.assertEqual(self.papa("status").stdout, "papa holds nothing.\n")

    def test_wrong_name(self) -> None:
        """A name that is none is wrong usage."""
        for name in ("a b", "a:b", "*", ""):
            self.assertEqual(self.papa("run", name, "--", "true", code=2).stdout, "")


class OutputTests(RunTestCase):
    """What is shown."""

    def test_lines(self) -> None:
        """Lines have their time and name, those of standard error a mark; the end is noted aside."""
        finished = self.papa("run", "job", "--", "sh", "-c", "echo out; sleep 0.1; echo err >&2")
        self.assertRegex(finished.stdout, r"\A\d\d:\d\d:\d\d job \| out\n\d\d:\d\d:\d\d job ! err\n\Z")
        self.assertRegex(finished.stderr, r"\A\d\d:\d\d:\d\d job - exited with 0\n\Z")

    def test_no_escapes(self) -> None:
        """Escapes of a program are written out, and there are none of papa's own where there is no terminal."""
        finished = self.papa("run", "job", "--", "printf", r"\033[2J\007\n")
        self.assertIn(r"| \x1b[2J\x07", finished.stdout)
        self.assertNotIn("\x1b", finished.stdout + finished.stderr)

    def test_raw(self) -> None:
        """Raw shows the very bytes, each channel on its own, and nothing else."""
        finished = subprocess.run(
            [script("papa"), "run", "--raw", "job", "--", "sh", "-c", r"printf '\033\377\0'; printf '\376' >&2"],
            env=self.environ,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertEqual((finished.stdout, finished.stderr), (b"\x1b\xff\x00", b"\xfe"))

    def test_json(self) -> None:
        """With JSON there is nothing but JSON, one object a line, the end the last."""
        finished = self.papa("run", "--json", "job", "--", "sh", "-c", "echo hi; exit 3", code=3)
        self.assertEqual(finished.stderr, "")
        kinds = [json.loads(line)["kind"] for line in finished.stdout.splitlines()]
        self.assertEqual(kinds, ["output", "closed"])

    def test_no_output(self) -> None:
        """Nothing is captured if nothing is wanted."""
        finished = self.papa("run", "--no-output", "job", "--", "sh", "-c", "echo hi; exit 3", code=3)
        self.assertEqual(finished.stdout, "")

    def test_narrow_character_set(self) -> None:
        """A terminal that knows few characters gets the others written out."""
        environ = {**self.environ, "PYTHONIOENCODING": "latin-1"}
        finished = self.papa("run", "job", "--", "printf", r"\342\202\254\n", env=environ)
        self.assertIn(r"| \u20ac", finished.stdout)

    def test_nobody_reads(self) -> None:
        """When nobody reads its output any more it ends quietly; what was not shown is kept, the program untouched."""
        with subprocess.Popen(
            [script("papa"), "run", "--raw", "--overflow", "block", "job", "--", "sh", "-c", "yes; exec sleep 1000"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            self.assertEqual(running.stdout.read(2), b"y\n")
            running.stdout.close()
            self.assertEqual(running.stderr.read(), b"")
            running.wait(PATIENCE)
        self.assertTrue(self.connect_papa().list_processes("job")["job"]["running"])
        with self.connect_papa().watch_processes("job") as watcher:
            self.assertTrue(watcher.read())


class ProgramTests(RunTestCase):
    """What the program is given."""

    def test_options_end_at_the_program(self) -> None:
        """What stands behind the program is the program's, with and without a double dash."""
        self.assertEqual(self.run_raw("printf", "%s.", "-e", "--json", "--help"), "-e.--json.--help.")
        self.assertEqual(self.run_raw("x", "--", "echo", "-n", "-d", "--"), "-d --")
        self.assertEqual(self.run_raw("sh", "-c", "echo $0", "-h"), "-h\n")

    def test_options_before_the_program(self) -> None:
        """Options stand before the program, or around the name."""
        program = ("sh", "-c", 'echo "$A $B"; pwd', "--", "x")
        for words in (
            ("-e", "A=1", "--env=B=2", "--cwd", "/"),
            ("-e", "A=1", "--env=B=2", "--cwd", "/", "--"),
            ("-e", "A=1", "--env=B=2", "--cwd", "/", "x", "--"),
            ("-e", "A=1", "x", "--env=B=2", "--cwd", "/", "--"),
            ("x", "--cwd", "/", "-e", "A=1", "--env=B=2", "--"),
        ):
            self.assertEqual(self.run_raw(*words, *program), "1 2\n/\n", words)

    def test_flags_together(self) -> None:
        """Options of one letter may be written together, the last one with its value behind it."""
        self.papa("run", "-die", "A=1", "job", "--", "sh", "-c", "exit $A")
        self.papa("run", "-dieA=2", "other", "--", "sh", "-c", "exit $A")
        for name, code in (("job", 1), ("other", 2)):
            self.assertEqual(self.papa("wait", name).stdout, f"{name} exited with {code}\n")

    def test_words(self) -> None:
        """Arguments arrive as they are."""
        words = ["a b", "$HOME", '"q"', "a=b", "C:\\dir\\x", " ", "é", "", "two\nlines", "a\\", "b", "\udcff", ""]
        said = self.run_raw("x", "--", sys.executable, "-c", "import sys; print(sys.argv[1:])", *words)
        self.assertEqual(said, f"{words}\n")

    def test_environment(self) -> None:
        """The program has the caller's variables but papa's own, and those that were asked for."""
        self.environ |= {"CALLER": "c", "PS1": "\\u@\\h:\\w\\ ", "ODD": "a  b\\", "BASH_FUNC_f%%": "x"}
        said = self.run_raw("-e", "ASKED=a=b", "-e", "CALLER=new", "x", "--", "env").splitlines()
        for line in ("CALLER=new", "ASKED=a=b", "PS1=\\u@\\h:\\w\\ ", "ODD=a  b\\", "BASH_FUNC_f%%=x"):
            self.assertIn(line, said)
        self.assertEqual([line for line in said if line.startswith("PAPA_")], [])

    def test_whole_environment(self) -> None:
        """All of the caller's environment arrives, whatever its values are, and however much it is."""
        given = {"TWO": "1\n2\n", "EMPTY": "", "BYTES": "\udcff", "LARGE": "x" * 100_000, "BASH_FUNC_f%%": "() {\n}"}
        self.environ |= given | {f"MANY{number}": "y" * 1000 for number in range(200)}
        said = self.run_raw(
            *("x", "--", sys.executable, "-c"),
            f"import os; print({given!r}.items() <= os.environ.items(), sum(name.startswith('MANY') for name in "
            "os.environ))",
        )
        self.assertEqual(said, "True 200\n")

    def test_clean_environment(self) -> None:
        """Or it has only what was asked for."""
        self.assertEqual(self.run_raw("--clean-env", "-e", "A=1", "x", "--", "/usr/bin/env"), "A=1\n")

    def test_variable_without_value(self) -> None:
        """A variable that is none is wrong usage."""
        self.assertIn("'A' is not NAME=VALUE", self.papa("run", "-e", "A", "true", code=2).stderr)

    def test_folder(self) -> None:
        """The program starts in the caller's folder, or where it was told, from there."""
        os.mkdir(os.path.join(self.folder, "sub"))
        self.assertEqual(self.papa("run", "--raw", "pwd", cwd=self.folder).stdout, f"{self.folder}\n")
        said = self.papa("run", "--raw", "--cwd", "sub", "pwd", cwd=self.folder).stdout
        self.assertEqual(said, f"{self.folder}/sub\n")

    def test_no_folder(self) -> None:
        """If the current folder is there no more, that is said; another will do."""
        enter = 'mkdir "$1/gone"; cd "$1/gone"; rmdir "$1/gone"; shift; exec "$@"'
        words = ["sh", "-c", enter, "sh", self.folder, script("papa"), "run", "--raw"]
        for rest, code, said in ((["pwd"], 1, "--cwd"), (["--cwd", "/", "pwd"], 0, "/\n")):
            finished = subprocess.run([*words, *rest], env=self.environ, capture_output=True, text=True, check=False)
            self.assertEqual(finished.returncode, code, finished.stderr)
            self.assertIn(said, finished.stderr if code else finished.stdout)
            self.assertNotIn("Traceback", finished.stderr)

    def test_limits(self) -> None:
        """Limits are set, one number for both or soft and hard."""
        said = self.run_raw("--rlimit", "nofile=50:60", "--rlimit", "core=0", "sh", "-c", "ulimit -n; ulimit -Hn")
        self.assertEqual(said, "50\n60\n")
        for wrong in ("nofile", "nofile=many", "nosuch=1", "nofile=9:8"):
            self.papa("run", "--rlimit", wrong, "true", code=2)

    def test_buffer(self) -> None:
        """The buffer has the size that it was given; what it drops is told."""
        job = ("sh", "-c", "yes | head -c 100000")
        self.papa("run", "-d", "--bufsize", "4k", "--overflow", "drop-oldest", "x", "--", *job)
        papa = self.connect_papa()
        until(lambda: not papa.list_processes("x")["x"]["running"])
        self.assertRegex(self.papa("status", "x").stdout, r"exited 0, \d+K dropped")
        self.assertLessEqual(self.papa("logs", "x").stdout.count("\n"), 2048 + 1)
        self.assertIn("'10x' is not a size", self.papa("run", "--bufsize", "10x", "true", code=2).stderr)

    def test_waits_for_a_reader(self) -> None:
        """With overflow=block nothing is lost, however small the buffer."""
        said = self.run_raw("--bufsize", "4k", "--overflow", "block", "sh", "-c", "yes | head -c 500000")
        self.assertEqual(len(said), 500000)

    def test_sockets(self) -> None:
        """A held socket is handed over as systemd does it."""
        self.connect_papa().make_socket("web")
        program = "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$ && test -S /dev/fd/3 && echo mine"
        self.assertEqual(self.run_raw("--listen", "web", "sh", "-c", program), "1 web\nmine\n")
        finished = self.papa("run", "--listen", "nosuch", "true", code=4)
        self.assertIn("Socket 'nosuch' not found", finished.stderr)


class NameTests(RunTestCase):
    """How the process is called."""

    def started(self, *arguments: str) -> str:
        """The name of what C{papa run -d} has started."""
        name: str = json.loads(self.papa("run", "-d", "--json", *arguments).stdout)["name"]
        return name

    def test_given(self) -> None:
        """The name stands before a double dash, or in an option; not in both."""
        self.assertEqual(self.started("one", "--", "sleep", "1000"), "one")
        self.assertEqual(self.started("--name", "two", "sleep", "1000"), "two")
        self.assertEqual(self.started("--name=three", "--", "sleep", "1000"), "three")
        self.assertIn("Two names", self.papa("run", "--name", "a", "b", "--", "true", code=2).stderr)
        self.papa("run", "b", "--", code=2)
        self.papa("run", "--", code=2)

    def test_of_the_program(self) -> None:
        """Without a name it has the program's, with what no name may have replaced, and a number if that is taken."""
        program = os.path.join(self.folder, "my program:x")
        os.symlink("/bin/sleep", program)
        self.assertEqual(self.started(program, "1000"), "my-program-x")
        self.assertEqual(self.started("--", program, "1000"), "my-program-x.2")
        self.assertEqual(self.started(program, "1000"), "my-program-x.3")


class HeldTests(RunTestCase):
    """What papa holds then."""

    def test_forgotten(self) -> None:
        """With --rm it is forgotten once it has ended; until then its output is there."""
        papa = self.connect_papa()
        self.papa("run", "-d", "--rm", "-i", "job", "--", "sh", "-c", "echo hi; read line; exit 3")
        until(lambda: papa.list_processes("job")["job"].get("captured"), "its output")
        self.assertIn("job | hi\n", self.papa("logs", "job").stdout)
        papa.close_stdin("job")
        until(lambda: not papa.list_processes(), "its end")
        self.assertIn("exited with 3", self.papa("run", "--rm", "job", "--", "sh", "-c", "exit 3", code=3).stderr)

    def test_standard_input(self) -> None:
        """It has a standard input for papa attach if it is told to, and none otherwise."""
        self.papa("run", "-d", "-i", "job", "--", "sh", "-c", "read line; exit $line")
        self.papa("attach", "job", input="3\n", stdin=None, code=3)
        self.assertEqual(self.run_raw("cat"), "")

    def test_detached(self) -> None:
        """Detached it returns at once, and says how to read along."""
        said = self.papa("run", "-d", "job", "--", "sh", "-c", "echo hi; exec sleep 1000").stdout
        pid = self.connect_papa().list_processes("job")["job"]["pid"]
        self.assertEqual(said, f"job runs with pid {pid}; papa logs -f job shows what it prints\n")

    def test_detached_without_output(self) -> None:
        """It does not send anybody to look for what is not there, or will not be there long."""
        for option, told in (
            ("--no-output", ""),
            ("--bufsize=0", ""),
            ("--bufsize=1k", "; papa logs -f job shows what it prints"),
            ("--rm", "; papa logs -f job shows what it prints, until it has ended"),
        ):
            said = self.papa("run", "-d", option, "job", "--", "sleep", "1000").stdout
            pid = self.connect_papa().list_processes("job")["job"]["pid"]
            self.assertEqual(said, f"job runs with pid {pid}{told}\n")
            os.killpg(pid, signal.SIGKILL)
            self.papa("rm", "job", code=None)
            until(lambda: not self.connect_papa().list_processes(), "its end")

    def test_detached_json(self) -> None:
        """For a program it says the same as an object."""
        said = json.loads(self.papa("run", "-d", "--json", "job", "--", "sleep", "1000").stdout)
        self.assertEqual(said, {"version": 1, "name": "job", "pid": self.connect_papa().list_processes()["job"]["pid"]})

    def test_running_name(self) -> None:
        """The name of a running process is refused, with its pid."""
        pid = self.connect_papa().make_process("job", "sleep", "1000")["pid"]
        finished = self.papa("run", "job", "--", "sleep", "1000", code=1)
        self.assertEqual(finished.stdout, "")
        self.assertIn(f"job runs already, with pid {pid}", finished.stderr)

    def test_same_at_once(self) -> None:
        """Of several who run the same at the same moment one has its process, and the others are told so."""
        command = [script("papa"), "run", "-d", "job", "--", "sleep", "1000"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.kernel.process.send_signal(signal.SIGSTOP)
        try:
            runs = [subprocess.Popen(command, env=self.environ, text=True, **pipes) for _ in range(5)]
            until(lambda: all(is_connected(run.pid) for run in runs), "that all wait for the kernel")
        finally:
            self.kernel.process.send_signal(signal.SIGCONT)
        said = sorted(run.communicate()[1] for run in runs)
        self.assertEqual(sorted(run.returncode for run in runs), [0, 1, 1, 1, 1], said)
        for each in said[1:]:
            self.assertRegex(each, "^papa: job runs already, with pid ")

    def test_ended_name(self) -> None:
        """So is the name of one that has ended and was not collected."""
        papa = self.connect_papa()
        papa.make_process("job", "sh", ["-c", "exit 5"])
        until(lambda: not papa.list_processes("job")["job"]["running"])
        finished = self.papa("run", "job", "--", "true", code=1)
        self.assertIn("job has ended with 5", finished.stderr)


class InterruptTests(RunTestCase):
    """Ctrl-C."""

    def test_passed_on(self) -> None:
        """Ctrl-C is passed on to the program, which decides; its exit code is given back."""
        program = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done"
        terminal = Terminal(self, [script("papa"), "run", "job", "--", "sh", "-c", program])
        terminal.wait_for_line("job | ready")
        terminal.press("C-c")
        lines = terminal.wait_for_line("ended with 7")
        self.assertTrue(any(line.endswith("sent SIGINT to job; press Ctrl-C again to terminate it") for line in lines))
        self.assertTrue(any(line.endswith("job | caught") for line in lines), lines)

    def test_again(self) -> None:
        """A second one asks the program to terminate."""
        program = "trap '' INT; echo ready; while :; do sleep 0.05; done"
        terminal = Terminal(self, [script("papa"), "run", "job", "--", "sh", "-c", program])
        terminal.wait_for_line("job | ready")
        terminal.press("C-c")
        terminal.wait_for_line("to terminate it")
        terminal.press("C-c")
        terminal.wait_for_line("ended with 143")

    def test_third_time(self) -> None:
        """A third one leaves the program running, and says so."""
        program = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"
        terminal = Terminal(self, [script("papa"), "run", "job", "--", "sh", "-c", program])
        terminal.wait_for_line("job | ready")
        terminal.press("C-c")
        terminal.wait_for_line("to terminate it")
        terminal.press("C-c")
        terminal.wait_for_line("to leave it running")
        terminal.press("C-c")
        lines = terminal.wait_for_line("ended with 130")
        self.assertTrue(any("job is left running; papa logs -f job reads on" in line for line in lines), lines)
        self.assertTrue(self.connect_papa().list_processes("job")["job"]["running"])

    def test_terminated(self) -> None:
        """SIGTERM is passed on, and the end of the program is papa's; another one leaves it running."""
        for program, signals, code in (
            ("trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done", 1, 7),
            ("trap '' TERM; echo ready; while :; do sleep 0.05; done", 2, 143),
        ):
            with subprocess.Popen(
                [script("papa"), "run", f"job.{code}", "--", "sh", "-c", program],
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as papa:
                assert papa.stdout is not None
                assert papa.stderr is not None
                self.assertTrue(papa.stdout.readline().endswith("| ready\n"))
                for _ in range(signals):
                    papa.terminate()
                    said = papa.stderr.readline()
                self.assertEqual(papa.wait(PATIENCE), code)
        self.assertIn("is left running", said)
        self.assertTrue(self.connect_papa().list_processes("job.143")["job.143"]["running"])

    def test_other_machine(self) -> None:
        """Where the kernel may be on another machine, nothing here is sent a signal by a number that it tells."""
        passed = os.path.join(self.folder, "passed.sock")
        with subprocess.Popen(
            [sys.executable, relay.__file__, passed, self.kernel.path], stdout=subprocess.PIPE
        ) as other:
            self.addCleanup(other.kill)
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), b"ready\n")
            program = ("sh", "-c", "echo ready; exec sleep 60")
            run = self.begin_papa("--socket", passed, "run", "--raw", "job", "--", *program)
            assert run.stdout is not None
            assert run.stderr is not None
            self.assertEqual(run.stdout.readline(), "ready\n")
            run.send_signal(signal.SIGINT)
            said = (
                "job cannot be sent a signal: its kernel is not on this machine; press Ctrl-C again to leave it running"
            )
            self.assertEqual(run.stderr.readline(), f"papa: {said}\n")
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(PATIENCE), 130)
            other.kill()
        self.assertTrue(self.connect_papa().list_processes("job")["job"]["running"])

    def test_colours(self) -> None:
        """On a terminal there are colours, unless the person wants none."""
        command = [script("papa"), "run", "job", "--", "echo", "hi"]
        for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            terminal = Terminal(self, ["env", *(f"{k}={v}" for k, v in variables.items()), *command])
            terminal.wait_for_line("ended with 0")
            self.assertEqual("\x1b[" in "".join(terminal.lines(styled=True)), coloured, variables)


class StartTests(KernelTestCase):
    """With no kernel there."""

    def test_starts_a_kernel(self) -> None:
        """A kernel is started where one was looked for, and stays."""
        path = os.path.join(self.folder, "papa.sock")
        self.addCleanup(end_kernel, path)
        finished = self.papa("--socket", path, "run", "--raw", "job", "--", "echo", "hi")
        self.assertEqual(finished.stdout, "hi\n")
        self.assertIsNotNone(serving_pid(path))

    def test_cannot_start_one(self) -> None:
        """If none can be started the reason is said."""
        finished = self.papa("--socket", "/proc/papa.sock", "run", "job", "--", "true", code=69)
        self.assertEqual(finished.stdout, "")
        self.assertRegex(finished.stderr, r"\Apapa: .*Cannot create /proc/papa\.sock\.lock.*\n\Z")
