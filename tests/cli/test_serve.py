"""C{papa serve}."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

from tests.client.sharing import child_pids, end_kernel, parent_of, serving_pid, wait_for_end
from tests.support import PATIENCE, KernelTestCase, script, until


class ServeTestCase(KernelTestCase):
    """
    Tests of kernels at a path.

    @ivar path: where they serve.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(self.folder, "papa.sock")
        self.addCleanup(end_kernel, self.path)


class DaemonizeTests(ServeTestCase):
    """In the background."""

    def test_returns_when_it_serves(self) -> None:
        """It returns when the kernel answers, and says who holds it, where it is, and where its log is."""
        said = self.papa("serve", "--daemonize", "-u", self.path).stdout
        kernel = serving_pid(self.path)
        pid = parent_of(kernel)
        self.assertRegex(said, rf"\Apapa is home, pid {pid}, at {self.path} and .*; its log is (.*)\n\Z")
        with open(said.strip().rpartition("its log is ")[2], encoding="utf-8") as log:
            self.assertIn(f"papa is home, pid {kernel}", log.read())
        self.assertEqual(self.papa("--socket", self.path, "status").stdout, "papa holds nothing.\n")

    def test_left_alone(self) -> None:
        """The kernel is nobody's child here, in a session of its own, and holds no stream of its starter's."""
        before = child_pids()
        self.papa("serve", "--daemonize", "-u", self.path)
        pid = serving_pid(self.path)
        assert pid is not None
        self.assertEqual(child_pids(), before)
        self.assertNotEqual(os.getsid(pid), os.getsid(0))
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            terminal = stat.read().rpartition(")")[2].split()[4]
        self.assertEqual(terminal, "0")
        streams = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
        self.assertEqual(streams[0], os.devnull)
        self.assertEqual({os.path.basename(each) for each in streams[1:]}, {"papa.log"})

    def test_closed_streams(self) -> None:
        """A starter without streams has nothing else come in their places, in the anchor or in the kernel."""
        closing = ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh"]
        subprocess.run(
            [*closing, script("papa"), "serve", "--daemonize", "-u", self.path], env=self.environ, check=True
        )
        kernel = serving_pid(self.path)
        for pid in (kernel, parent_of(kernel)):
            streams = [os.path.basename(os.readlink(f"/proc/{pid}/fd/{number}")) for number in range(3)]
            self.assertEqual(streams, ["null", "papa.log", "papa.log"])

    def test_ends_in_order(self) -> None:
        """SIGTERM ends it, and no file of a socket is left."""
        self.papa("serve", "--daemonize", "-u", self.path)
        pid = serving_pid(self.path)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)
        self.assertFalse(os.path.exists(self.path))

    def test_port_taken(self) -> None:
        """A port that is taken is a failure with the reason, and leaves nothing running."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            finished = self.papa("serve", "--daemonize", "-p", str(port), code=1)
        self.assertEqual(finished.stdout, "")
        self.assertIn(f"papa: Cannot listen on 127.0.0.1:{port}: Address already in use", finished.stderr)
        self.assertIsNone(serving_pid(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "console.sock")))

    def test_path_taken(self) -> None:
        """So is a path that another kernel serves; that kernel goes on."""
        self.papa("serve", "--daemonize", "-u", self.path)
        pid = serving_pid(self.path)
        finished = self.papa("serve", "--daemonize", "-u", self.path, code=1)
        self.assertIn(self.path, finished.stderr)
        self.assertEqual(serving_pid(self.path), pid)

    def test_foreign_machines(self) -> None:
        """An address that other machines can reach is refused."""
        finished = self.papa("serve", "--daemonize", "--console", "tcp:0:interface=0.0.0.0", code=2)
        self.assertIn("does not serve on 0.0.0.0", finished.stderr)

    def test_new_log(self) -> None:
        """On SIGHUP, as logrotate sends it, the kernel goes on in a new log."""
        self.papa("serve", "--daemonize", "-u", self.path)
        pid = serving_pid(self.path)
        assert pid is not None
        log = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.log")
        os.rename(log, f"{log}.1")
        os.kill(pid, signal.SIGHUP)
        until(lambda: os.path.exists(log), "a new log")
        end_kernel(self.path)
        with open(log, encoding="utf-8") as file:
            self.assertIn("papa ends", file.read())

    def test_new_log_of_the_next(self) -> None:
        """So does the next kernel, which was waiting meanwhile."""
        self.papa("serve", "--daemonize", "-u", self.path)
        kernel = serving_pid(self.path)
        assert kernel is not None
        log = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.log")
        os.rename(log, f"{log}.1")
        os.kill(parent_of(kernel), signal.SIGHUP)
        until(lambda: os.path.exists(log), "a new log")
        os.kill(kernel, signal.SIGKILL)
        wait_for_end(kernel)
        end_kernel(self.path)
        with open(log, encoding="utf-8") as file:
            self.assertRegex(file.read(), rf"papa is home, pid (?!{kernel})")

    def test_open_runtime_folder(self) -> None:
        """A runtime folder that is open to others is refused, with what to do."""
        os.mkdir(self.environ["PAPA_RUNTIME_DIR"])
        os.chmod(self.environ["PAPA_RUNTIME_DIR"], 0o755)
        finished = self.papa("serve", "--daemonize", "-u", self.path, code=1)
        self.assertIn("chmod 700 it", finished.stderr)


class PlaceTests(ServeTestCase):
    """Where it serves."""

    def test_relative_path(self) -> None:
        """A path is taken from the caller's folder."""
        self.papa("serve", "--daemonize", "-u", "papa.sock", cwd=self.folder)
        self.assertIsNotNone(serving_pid(self.path))

    def test_where_clients_look(self) -> None:
        """It serves where clients were told to look, by the option or by the environment."""
        self.papa("--socket", self.path, "serve", "--daemonize")
        self.assertIsNotNone(serving_pid(self.path))
        other = os.path.join(self.folder, "other.sock")
        self.addCleanup(end_kernel, other)
        self.papa("serve", "--daemonize", env={**self.environ, "PAPA_SOCKET": other})
        self.assertIsNotNone(serving_pid(other))

    def test_told_where(self) -> None:
        """What it is told itself goes before that."""
        other = os.path.join(self.folder, "other.sock")
        self.papa("--socket", other, "serve", "--daemonize", "-u", self.path)
        self.assertIsNone(serving_pid(other))
        self.assertIsNotNone(serving_pid(self.path))

    def test_several_places(self) -> None:
        """It may serve in several places at once."""
        other = os.path.join(self.folder, "other.sock")
        said = self.papa("serve", "--daemonize", "--console", f"unix:{other}", "-u", self.path, "-p", "0").stdout
        self.assertEqual(serving_pid(self.path), serving_pid(other))
        self.assertRegex(said, r" and 127\.0\.0\.1:[1-9]\d*\b|at 127\.0\.0\.1:[1-9]\d*\b")

    def test_only_for_its_user(self) -> None:
        """The file of its socket is its user's alone, whatever the mask was."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.papa("serve", "--daemonize", "-u", self.path)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)


class ForegroundTests(ServeTestCase):
    """In the foreground."""

    def test_fails_with_the_reason(self) -> None:
        """What it cannot have is a failure with the reason, what makes no sense wrong usage."""
        self.assertIn("Cannot create /proc/x.lock", self.papa("serve", "-u", "/proc/x", code=1).stderr)
        self.assertIn("is no endpoint", self.papa("serve", "--console", "nonsense", code=2).stderr)
        finished = self.papa("serve", "--console", "tcp:0:interface=0.0.0.0", code=2)
        self.assertIn("does not serve on 0.0.0.0", finished.stderr)

    def test_logs_to_standard_error(self) -> None:
        """Its log goes to standard error, and it ends on SIGINT as on SIGTERM, with exit code 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            kernel = self.serve("-u", self.path)
            kernel.process.send_signal(number)
            self.assertEqual(kernel.process.wait(PATIENCE), 0)
            self.assertIn(f"papa ends: it was sent {signal.Signals(number).name}", kernel.said())
