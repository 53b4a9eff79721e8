"""C{papa show}, C{papa signal}, C{papa rm} and C{papa wait}."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys

from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE, until


class ProcessTestCase(SharedKernelTestCase):
    """Tests with processes."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()

    def shell(self, name: str, program: str) -> int:
        """A shell script that runs as a process; its pid."""
        pid: int = self.client.make_process(name, "/bin/sh", ["-c", program], stdin=subprocess.PIPE)["pid"]
        return pid

    def ended(self, name: str) -> bool:
        return not self.client.list_processes()[name]["running"]


class ShowTests(ProcessTestCase):
    """One process in full."""

    def test_running(self) -> None:
        """All that is known of it is shown, line by line, with who reads it and how far that is behind."""
        pid = self.shell("job", "printf 12345; exec sleep 1000")
        until(lambda: self.client.list_processes()["job"].get("captured") == 5)
        self.client.watch_processes("job", cursor="ship").close()
        said = self.papa("show", "job").stdout
        for line in (
            "name:      job",
            "state:     running",
            f"pid:       {pid}",
            "command:   /bin/sh -c printf 12345; exec sleep 1000",
            "output:    5 bytes captured, 0 of them dropped unread",
            "cursor:    ship is 5 bytes behind, and nobody reads with it now",
        ):
            self.assertIn(f"{line}\n", said)
        self.assertRegex(said, r"started:   \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d, \ds ago\n")
        (process,) = json.loads(self.papa("show", "--json", "job").stdout)["processes"]
        self.assertEqual((process["name"], process["pid"], process["cursors"]), ("job", pid, {"ship": 0}))

    def test_several(self) -> None:
        """Several are shown one by one; a mistyped name is refused with the one that was meant."""
        self.shell("web.1", "exit 3")
        self.shell("web.2", "kill -9 $$")
        until(lambda: self.ended("web.1") and self.ended("web.2"))
        said = self.papa("show", "web.*").stdout
        self.assertIn("state:     exited 3\n", said)
        self.assertIn("state:     killed 9\n", said)
        self.assertIn("\n\nname:      web.2\n", said)
        self.assertIn("there is no process 'wed.1'; did you mean 'web.1'?", self.papa("show", "wed.1", code=4).stderr)


class SignalTests(ProcessTestCase):
    """Signals."""

    def test_sent(self) -> None:
        """A signal goes to each of them, by whatever name it is called, and what was done is said."""
        pids = [self.shell(f"web.{number}", "exec sleep 1000") for number in (1, 2)]
        said = self.papa("signal", "0", "web.1", code=2).stderr
        self.assertIn("'0' is no signal: write TERM, SIGTERM or 15", said)
        said = self.papa("signal", "term", "web.*").stdout
        self.assertEqual(said, f"sent SIGTERM to web.1, pid {pids[0]}\nsent SIGTERM to web.2, pid {pids[1]}\n")
        until(lambda: self.ended("web.1") and self.ended("web.2"))
        self.assertEqual(self.client.list_processes()["web.1"]["exit_code"], -15)

    def test_ended(self) -> None:
        """One that has ended cannot be sent anything; among others of a pattern it does not matter."""
        self.shell("web.1", "exit 3")
        pid = self.shell("web.2", "exec sleep 1000")
        until(lambda: self.ended("web.1"))
        self.assertIn("web.1 has ended", self.papa("signal", "SIGKILL", "web.1", code=1).stderr)
        self.assertEqual(self.papa("signal", "9", "web.*").stdout, f"sent SIGKILL to web.2, pid {pid}\n")


class RemoveTests(ProcessTestCase):
    """Forgetting processes."""

    def test_removed(self) -> None:
        """What has ended is forgotten; what runs goes on, and that is said."""
        self.shell("done", "echo hi")
        pid = self.shell("job", "read line")
        until(lambda: self.ended("done"))
        said = self.papa("rm", "done", "job").stdout
        self.assertEqual(said, f"done is forgotten\njob runs on, with pid {pid}, until it ends\n")
        os.kill(pid, 0)
        self.assertEqual(list(self.client.list_processes()), ["job"])
        self.papa("rm", "nothing", code=4)
        self.papa("rm", code=2)


class WaitTests(ProcessTestCase):
    """Waiting."""

    def waiting(self, *arguments: str) -> subprocess.Popen[str]:
        return self.begin_papa("wait", *arguments, stderr=subprocess.STDOUT)

    def clients(self) -> int:
        """How many processes' output is looked at."""
        return self.kernel.descriptors()

    def test_exit(self) -> None:
        """It waits for the end, or finds that it has come; and leaves that to be collected."""
        self.shell("job", "read line; exit 3")
        before = self.clients()
        waiting = self.waiting("job")
        until(lambda: self.clients() > before)
        self.client.close_stdin("job")
        self.assertEqual((waiting.communicate(timeout=PATIENCE)[0], waiting.returncode), ("job exited with 3\n", 0))
        self.assertEqual(self.papa("wait", "--for", "exit", "job").stdout, "job exited with 3\n")
        self.assertIn("job", self.client.list_processes())

    def test_output(self) -> None:
        """It waits for a line, which may come in pieces, and shows it without what would act on the terminal."""
        self.shell("job", "echo early; read line; printf 'ready on '; printf 'port 80\\033[1m\\n'; read line")
        self.assertEqual(self.papa("wait", "--for", "output=^ea", "job").stdout, "early\n")
        waiting = self.waiting("--for", "output=port [0-9]+.*", "job")
        self.client.write_process("job", b"\n")
        said, _ = waiting.communicate(timeout=PATIENCE)
        self.assertRegex(said, r"^ready on port 80(\\x1b\[1m)?\n$")

    def test_not_reached(self) -> None:
        """What does not come in time, or cannot come any more, is exit code 3, with the reason."""
        self.shell("job", "read line")
        said = self.papa("wait", "--timeout", "0.1", "job", code=3).stderr
        self.assertIn("job has not ended so far", said)
        self.client.close_stdin("job")
        said = self.papa("wait", "--for", "output=x", "job", code=3).stderr
        self.assertIn("job has not printed such a line, and exited with 1", said)
        self.shell("killed", "kill -9 $$")
        said = self.papa("wait", "--for", "output=x", "killed", code=3).stderr
        self.assertEqual(said, "papa: killed has not printed such a line, and was killed by signal 9\n")

    def test_kernel_that_does_not_answer(self) -> None:
        """Nor is more time than that spent on a kernel that does not answer, and that is said."""
        kernel = self.serve("-u", f"{self.folder}/k.sock")
        os.kill(kernel.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, kernel.pid, signal.SIGCONT)
        for timeout in ("0", "1.5"):
            said = self.papa("--socket", kernel.path, "wait", "--timeout", timeout, "job", code=3).stderr
            self.assertEqual(said, f"papa: the kernel at {kernel.path} does not answer\n")

    def listener(self, name: str, address: str) -> None:
        """A shell whose child listens there as soon as the shell is sent a line."""
        family = "AF_UNIX" if address.startswith("'") else "AF_INET"
        program = (
            f"import socket, sys; sock = socket.socket(socket.{family}); sys.stdin.readline(); sock.bind({address}); "
            "sock.listen(); print(sock.getsockname(), flush=True); sys.stdin.readline()"
        )
        self.shell(name, f"{sys.executable} -c {shlex.quote(program)}; exit")

    def test_port(self) -> None:
        """It waits until the process, or what that has started, listens; on any port, and nobody connects."""
        self.listener("web", "('127.0.0.1', 0)")
        said = self.papa("wait", "--for", "port", "--timeout", "0.2", "web", code=3).stderr
        self.assertIn("web does not listen there so far", said)
        waiting = self.waiting("--for", "port", "web")
        self.client.write_process("web", b"\n")
        said, _ = waiting.communicate(timeout=PATIENCE)
        port = re.findall(r"', (\d+)", self.papa("logs", "--no-prefix", "web").stdout)[0]
        self.assertEqual((said, waiting.returncode), (f"web listens on port {port}\n", 0))
        self.assertEqual(self.papa("wait", "--for", f"port={port}", "web").stdout, said)
        self.papa("wait", "--for", "port=1", "--timeout", "0.1", "web", code=3)
        self.client.write_process("web", b"\n")
        said = self.papa("wait", "--for", "port=1", "web", code=3).stderr
        self.assertIn("web does not listen there, and exited with 0", said)

    def test_path(self) -> None:
        """The same on a Unix socket."""
        path = os.path.join(self.folder, "a b.sock")
        self.listener("web", repr(path))
        waiting = self.waiting("--for", f"port={path}", "web")
        self.client.write_process("web", b"\n")
        self.assertEqual(waiting.communicate(timeout=PATIENCE)[0], f"web listens on {path}\n")

    def test_wrong(self) -> None:
        """What cannot be waited for is wrong usage."""
        self.shell("web.1", "read line")
        self.shell("web.2", "read line")
        for arguments in (
            ("--for", "x", "web.1"),
            ("--for", "output=(", "web.1"),
            ("--for", "port=x", "web.1"),
            ("--for", "port=0", "web.1"),
            ("web.*",),
        ):
            self.papa("wait", *arguments, code=2)
        self.papa("wait", "web.3", code=4)
