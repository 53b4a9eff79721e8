"""C{set_debug_mode}: a kernel of the calling process's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys

import papa
from papa import Error, Papa
from tests.client.sharing import SharedKernelTestCase, child_pids, end_kernel, serving_pid, set_environ, wait_for_end
from tests.support import PATIENCE, begin_program

#: Makes a private kernel, shows where it is and who serves there, and waits to be told to go.
OWNER = """
import os, sys, papa
papa.set_debug_mode()
p = papa.Papa()
print(p.location, flush=True)
sys.stdin.readline()
"""


class PrivateTestCase(SharedKernelTestCase):
    """Tests in debug mode, which end it."""

    def setUp(self) -> None:
        super().setUp()
        # The kernel that the environment names is not the one that is meant.
        set_environ(self, PAPA_SOCKET=self.kernel.path, PAPA_RUNTIME_DIR=self.environ["PAPA_RUNTIME_DIR"])
        self.addCleanup(self.leave_debug_mode)

    def leave_debug_mode(self) -> None:
        Papa._debug_mode = Papa._single_connection_mode = False
        for kernel in Papa._private.values():
            kernel.end()
        Papa._private.clear()

    def debug(self, **options: bool) -> None:
        papa.set_debug_mode(**options)


class PrivateKernelTests(PrivateTestCase):
    """One kernel for the process."""

    def test_nobody_elses(self) -> None:
        """It is another kernel than the one that everybody uses, even if the environment names that."""
        self.connect_papa().set("x", "everybody's")
        self.debug()
        with Papa() as client:
            self.assertIsNone(client.get("x"))
            client.set("x", "mine")
        self.assertEqual(self.connect_papa().get("x"), "everybody's")

    def test_one_for_all_clients(self) -> None:
        """All clients of the process share it, and it outlives each of them."""
        self.debug()
        with Papa() as client:
            client.set("x", "1")
        with Papa() as client, Papa() as other:
            self.assertEqual((client.get("x"), other.get("x")), ("1", "1"))

    def test_switched_off(self) -> None:
        """Switched off, clients use the common kernel again."""
        self.debug()
        Papa().close()
        papa.set_debug_mode(False)
        with Papa() as client:
            client.set("x", "common")
        self.assertEqual(self.connect_papa().get("x"), "common")

    def test_chosen_path(self) -> None:
        """A path that was asked for is where it serves."""
        self.debug()
        path = os.path.join(self.folder, "mine.sock")
        with Papa(path) as client:
            client.set("x", "1")
            self.assertIn(serving_pid(path), child_pids())

    def test_chosen_port(self) -> None:
        """So is a port."""
        self.debug()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with Papa(port) as client:
            client.set("x", "1")
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
            pass

    def test_kernel_that_was_asked_for(self) -> None:
        """A kernel that serves where one was asked for is used, and is left alone."""
        self.connect_papa().set("x", "common")
        self.debug(quit_when_connection_closed=True)
        before = child_pids()
        with Papa(self.kernel.path) as client:
            self.assertEqual(client.get("x"), "common")
        self.assertEqual(child_pids(), before)
        self.assertEqual(self.connect_papa().get("x"), "common")

    def test_cannot_start(self) -> None:
        """If it cannot start the reason is said, and the next try is a new one."""
        self.debug()
        path = os.path.join(self.folder, "later", "mine.sock")
        error = self.assertRaises(Error, Papa, path)
        self.assertIn("No such file or directory", str(error))
        os.mkdir(os.path.dirname(path))
        with Papa(path) as client:
            client.set("x", "1")

    def test_killed(self) -> None:
        """If it was killed the next client gets a fresh one."""
        self.debug()
        client = Papa()
        client.set("x", "1")
        [kernel] = Papa._private.values()
        os.kill(kernel._process.pid, 9)
        self.assertRaises(Error, client.get, "x")
        kernel._process.wait()
        with Papa() as fresh:
            self.assertIsNone(fresh.get("x"))


class LastConnectionTests(PrivateTestCase):
    """A kernel that ends with its last connection."""

    def test_fresh_each_time(self) -> None:
        """When the last client has closed it has ended, and the next one gets a fresh kernel."""
        self.debug(quit_when_connection_closed=True)
        before = child_pids()
        with Papa() as client:
            client.set("x", "1")
            self.assertGreater(child_pids(), before)
        self.assertEqual(child_pids(), before)
        with Papa() as client:
            self.assertIsNone(client.get("x"))

    def test_not_before_the_last(self) -> None:
        """As long as another client is connected it stays."""
        self.debug(quit_when_connection_closed=True)
        first, second = Papa(), Papa()
        first.set("x", "1")
        first.close()
        self.assertEqual(second.get("x"), "1")
        second.close()

    def test_watcher_counts(self) -> None:
        """A watcher is a connection too, and gives it back when it has read everything."""
        self.debug(quit_when_connection_closed=True)
        with Papa() as client:
            with client.make_process("job", "echo", "hi", watch_immediately=True) as watcher:
                while watcher.read() is not None:
                    pass
            self.assertEqual(client.list_processes(), {})


class OwnerTests(PrivateTestCase):
    """It ends with the process that it belongs to."""

    def start_owner(self) -> tuple[subprocess.Popen[str], str, int]:
        """A process with a private kernel; where that is, and its pid."""
        command = [sys.executable, "-c", OWNER]
        owner = begin_program(self, command, self.environ, stdin=subprocess.PIPE, stderr=None)
        assert owner.stdout is not None
        path = owner.stdout.readline().strip()
        self.addCleanup(shutil.rmtree, os.path.dirname(path), ignore_errors=True)
        self.addCleanup(end_kernel, path)
        pid = serving_pid(path)
        assert pid is not None
        return owner, path, pid

    def test_ends_in_order(self) -> None:
        """When the process ends it has ended, and its folder is gone."""
        owner, path, pid = self.start_owner()
        owner.communicate("\n", timeout=PATIENCE)
        self.assertEqual(owner.returncode, 0)
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)
        self.assertFalse(os.path.exists(os.path.dirname(path)))

    def test_ends_when_killed(self) -> None:
        """When the process is killed with -9 it ends by itself."""
        owner, path, pid = self.start_owner()
        owner.kill()
        wait_for_end(pid)
        self.assertFalse(os.path.exists(path))

    def test_fork_is_not_the_owner(self) -> None:
        """A forked copy of the process that ends leaves it alone."""
        self.debug()
        with Papa() as client:
            [kernel] = Papa._private.values()
            if not (pid := os.fork()):
                kernel.end()
                os._exit(0)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            client.set("x", "1")
            self.assertEqual(client.get("x"), "1")
            self.assertTrue(os.path.exists(kernel._folder))

    def test_ends_in_order_beside_a_fork(self) -> None:
        """A forked copy of the process that lives on does not keep it."""
        self.debug()
        client = Papa()
        [kernel] = Papa._private.values()
        reading, writing = os.pipe()
        if not (pid := os.fork()):
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        client.close()
        kernel.end()
        self.assertEqual(kernel._process.returncode, 0)
        os.close(writing)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
