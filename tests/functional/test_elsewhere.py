"""
What papa does without is there on another POSIX system, as far as Linux can show it: with all taken away that only
Linux has, by C{tests/elsewhere/sitecustomize.py}.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

import papa
from papa.client.deferred import connect
from tests.client.sharing import end_kernel
from tests.functional.test_story import BlockingWay, DeferredWay, Story, Way
from tests.support import PATIENCE, KernelTestCase, RealKernel, script

_ELSEWHERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "elsewhere")


class ElsewhereTestCase(KernelTestCase):
    """Tests whose kernels and commands find another system."""

    counted = True

    def setUp(self) -> None:
        super().setUp()
        self.environ["PYTHONPATH"] = _ELSEWHERE
        self.console = os.path.join(self.folder, "console.sock")

    def kernel(self) -> RealKernel:
        """A kernel under twistd, at a Unix path."""
        return self.twistd("-u", self.console)


class BlockingStoryTests(Story, ElsewhereTestCase, TestCase):
    """The whole story, with the blocking client."""

    def open(self) -> Deferred[Way]:
        return succeed(BlockingWay(papa.Papa(self.kernel().path)))


class DeferredStoryTests(Story, ElsewhereTestCase, TestCase):
    """The same with Deferreds."""

    def open(self) -> Deferred[Way]:
        return connect(reactor, self.kernel().path).addCallback(DeferredWay, lends=True)


class CommandTests(ElsewhereTestCase):
    """The papa command, with a kernel that it has started."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(end_kernel, os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))

    def test_main_job(self) -> None:
        """A program is run under a kernel that is started for it; what there is not is not needed."""
        ran = self.papa("run", "hello", "--", "sh", "-c", "echo line; sleep 0; exit 3", code=3)
        self.assertTrue(ran.stdout.endswith(" hello | line\n"), ran.stdout)
        self.assertTrue(ran.stderr.endswith(" hello - exited with 3\n"), ran.stderr)
        self.assertEqual(len(ran.stderr.splitlines()), 1)
        told = json.loads(self.papa("status", "--json").stdout)
        self.assertEqual((told["processes"], told["kernel"]["anchor"]), ([], None))
        self.assertEqual(self.papa("shutdown").returncode, 0)

    def test_tour(self) -> None:
        """So it is with sockets, values, output that is kept, signals and what is used."""
        self.papa("socket", "make", "web", "--port", "0")
        self.papa(
            "run",
            "-d",
            "job",
            "--",
            "sh",
            "-c",
            "trap 'echo bye; exit 4' TERM; echo hi; for i in $(seq 60); do sleep 1; done",
        )
        self.assertEqual(self.papa("wait", "--for", "output=hi", "job").stdout, "hi\n")
        (used,) = json.loads(self.papa("top", "--json").stdout)["processes"]
        self.assertEqual((used["name"], used["memory"]), ("job", None))
        refused = self.papa("wait", "--for", "port", "job", code=1)
        self.assertIn("does not tell who listens where", refused.stderr)
        self.papa("signal", "TERM", "job")
        self.assertEqual(self.papa("wait", "job").stdout, "job exited with 4\n")
        self.assertIn("job has ended", self.papa("signal", "TERM", "job", code=1).stderr)
        self.assertIn("| bye", self.papa("logs", "job").stdout)
        self.papa("rm", "job")
        self.papa("value", "set", "deployed", "now")
        self.assertEqual(self.papa("value", "get", "deployed").stdout, "now")

    def test_interrupted(self) -> None:
        """What is read along with is sent the signals."""
        program = "trap 'exit 7' INT; echo ready; for i in $(seq 60); do sleep 1; done"
        run = self.begin_papa("run", "--raw", "job", "--", "sh", "-c", program)
        assert run.stdout is not None
        assert run.stderr is not None
        self.assertEqual(run.stdout.readline(), "ready\n")
        run.send_signal(signal.SIGINT)
        self.assertIn("sent SIGINT to job", run.stderr.readline())
        self.assertEqual(run.wait(PATIENCE), 7)

    def test_background(self) -> None:
        """Who starts a kernel in the background is told what it goes without."""
        started = self.papa("serve", "--daemonize")
        self.assertIn("has no memfd_create, splice", started.stderr)
        self.assertIn("what a kernel holds ends with it", started.stderr)
        self.assertEqual(started.stdout.count("papa.sock"), 1)
        self.assertNotIn("127.0.0.1", started.stdout)
        quiet = self.papa("doctor").stdout
        self.assertIn("ok       anchor: this system (darwin) has no memfd_create", quiet)
        self.assertIn("does not tell whose a TCP connection is", quiet)

    def test_refused(self) -> None:
        """What cannot be is refused in words."""
        for arguments, reason in (
            (("serve", "--anchor"), "--anchor: this system"),
            (("serve", "-p", "0"), "does not tell whose a TCP connection is, so nobody would get in"),
        ):
            self.assertIn(reason, self.papa(*arguments, code=2).stderr)
        self.assertIn("which an anchor needs", self.papa("torture", code=1).stderr)
        finished = subprocess.run(
            [script("twistd"), "--nodaemon", "papa", "--anchor"],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertIn("--anchor: this system", finished.stdout + finished.stderr)


class SocketTests(ElsewhereTestCase):
    """Files of sockets."""

    def test_modes(self) -> None:
        """The file of a socket has the mode that was asked for, whatever papa's own mask is."""
        kernel = self.kernel()
        with papa.Papa(kernel.path) as client:
            for umask in (0o000, 0o077, 0o117):
                path = os.path.join(self.folder, f"held.{umask:o}")
                client.make_socket(f"s{umask:o}", path=path, umask=umask)
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o777 & ~umask)
                again = client.list_sockets()[f"s{umask:o}"]
                self.assertEqual(again["path"], path)
            client.remove_sockets()
        self.assertEqual(os.stat(self.console).st_mode & 0o777, 0o600)
        self.assertEqual([each for each in os.listdir(self.folder) if each.startswith(("held", "."))], [])
