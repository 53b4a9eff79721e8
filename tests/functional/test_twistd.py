"""The kernel under a real twistd, and under C{papa serve}."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import papa
from tests.support import PATIENCE, KernelTestCase, script, until


class LifeTests(KernelTestCase):
    """Starting, serving and ending."""

    def test_serves_and_ends_cleanly(self) -> None:
        """SIGTERM ends it with exit code 0, and no file of a socket is left, neither its own nor a held one's."""
        runtime = self.environ["PAPA_RUNTIME_DIR"]
        held = os.path.join(self.folder, "held")
        for start in (self.twistd, self.serve):
            kernel = start("-u", os.path.join(self.folder, "c.sock"))
            with kernel.talk() as talk:
                self.assertIn(" fileno=", talk.ask(f"make socket held path={held}"))
            self.assertTrue(os.path.exists(held))
            kernel.process.terminate()
            self.assertEqual(kernel.process.wait(PATIENCE), 0)
            left = [name for folder in (runtime, self.folder) for name in os.listdir(folder)]
            self.assertEqual([name for name in left if name.startswith("held") or ".sock" in name], [])

    def test_daemonized(self) -> None:
        """In the background it says which process it is, and is found by that."""
        path = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        files = [f"--{name}={os.path.join(self.folder, name)}" for name in ("pidfile", "logfile")]
        console = os.path.join(self.folder, "console.sock")
        subprocess.run(
            [script("twistd"), *files, "papa", "-u", console], env=self.environ, check=True, timeout=PATIENCE
        )
        until(lambda: os.path.exists(path), "its start")
        with papa.Papa(path) as client, open(os.path.join(self.folder, "pidfile"), encoding="ascii") as pidfile:
            pid = int(pidfile.read())
            self.addCleanup(until, lambda: not os.path.exists(f"/proc/{pid}"), "its end")
            self.addCleanup(os.kill, pid, signal.SIGTERM)
            self.assertEqual(client.kernel_pid, pid)
        self.assertIsNotNone(json.loads(self.papa("top", "--json").stdout)["kernel"]["memory"])

    def test_bounded(self) -> None:
        """All output together takes half of the memory that it may use, whatever the bounds of single processes."""
        kernel = self.serve(under=("sh", "-c", 'ulimit -v 700000 && exec "$@"', "sh"))
        with papa.Papa(kernel.path) as client:
            for name in ("one", "two"):
                client.make_process(name, "head", ["-c", "250m", "/dev/zero"], bufsize="1g")
            until(lambda: not any(each["running"] for each in client.list_processes().values()), "their ends")
            found = json.loads(self.papa("status", "--json").stdout)["processes"]
            self.assertLess(sum(each["buffered"] for each in found), 360 << 20)
            self.assertGreater(sum(each["dropped"] for each in found), 140 << 20)

    def test_children_outlive_it(self) -> None:
        """No child is signalled when the kernel ends; the log names those left behind."""
        # Where this very process was started to ignore it, as in the background of a script, the kernel would, too.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        kernel = self.serve()
        with kernel.talk() as talk:
            pid = int(talk.ask("make process lonely /bin/sleep 1000").split(" pid=")[1].split()[0])
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        kernel.process.send_signal(signal.SIGINT)
        self.assertEqual(kernel.process.wait(PATIENCE), 0)
        os.kill(pid, 0)
        self.assertIn(f"process lonely, pid {pid}, is left running", kernel.said())

    def test_survives_hangup_and_user_signals(self) -> None:
        """SIGHUP, SIGUSR1, SIGUSR2 and SIGPIPE do not end it."""
        kernel = self.twistd()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            kernel.process.send_signal(number)
        with kernel.talk() as talk:
            self.assertEqual(talk.ask("get x"), "")

    def test_port_taken(self) -> None:
        """A kernel that is told a port and cannot have it says whose it is, and exits with 1."""
        kernel = self.serve()
        finished = self.papa("serve", "-p", str(kernel.port), code=1)
        self.assertIn(
            f"Cannot listen on 127.0.0.1:{kernel.port}: Address already in use by a program of this user",
            finished.stderr,
        )

    def test_run_shows_output_and_ends_as_the_program(self) -> None:
        """papa run starts a kernel, shows lines with time and name, and ends with the program's exit code."""
        self.serve("-u", os.path.join(self.environ["PAPA_RUNTIME_DIR"], "console.sock"))
        finished = self.papa("run", "hello", "--", "sh", "-c", "echo one; echo two; exit 3", code=3)
        self.assertRegex(finished.stdout, r"^\d\d:\d\d:\d\d hello \| one\n\d\d:\d\d:\d\d hello \| two\n$")
        self.assertIn("hello - exited with 3", finished.stderr)
        until(lambda: self.papa("status").stdout == "papa holds nothing.\n")
