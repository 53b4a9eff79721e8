"""Starting a kernel in the background: exactly one, nobody's child, or the reason why not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

from twisted.trial.unittest import SkipTest, TestCase

from papa import Error, Papa
from papa.client.autostart import arguments_for, launch, start_once
from papa.client.deferred import connect
from papa.client.location import Location
from papa.errors import Unreachable
from tests.client.sharing import child_pids, end_kernel, parent_of, serving_pid, set_environ, wait_for_end
from tests.support import PATIENCE, KernelTestCase

#: Connects when it is told to, and shows who serves it.
CLIENT = """
import atexit, os, sys
atexit.register(lambda: os.write(1, b"exit "))
import papa
os.write(1, b"begin ")
sys.stdin.readline()
try:
    with papa.Papa() as p:
        p.set(f"client.{os.getpid()}", "1")
finally:
    os.write(1, b"end ")
"""


class AutostartTestCase(KernelTestCase):
    """
    Tests in which a kernel is started in the background.

    @ivar path: where it is looked for.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(self.folder, "papa.sock")
        self.environ["PAPA_SOCKET"] = self.path
        set_environ(self, PAPA_SOCKET=self.path, PAPA_RUNTIME_DIR=self.environ["PAPA_RUNTIME_DIR"])
        self.addCleanup(end_kernel, self.path)

    def log(self) -> str:
        with open(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.log"), encoding="utf-8") as log:
            return log.read()

    def fail_to_start(self, *arguments: object) -> str:
        """What a client says that cannot have a kernel; within seconds, and without one running afterwards."""
        began = time.monotonic()
        error = self.assertRaises(Error, Papa, *arguments)
        self.assertLess(time.monotonic() - began, PATIENCE / 2)
        return str(error)


class OneKernelTests(AutostartTestCase):
    """One kernel, whoever asks."""

    def test_started(self) -> None:
        """A client that finds no kernel starts one where it looked, and is served by it."""
        with Papa() as client:
            client.set("x", "1")
        with Papa(self.path) as other:
            self.assertEqual(other.get("x"), "1")
        self.assertEqual(self.log().count("papa is home"), 1)

    def test_not_wanted(self) -> None:
        """A client that is not to start one finds none, says where it looked, and is served once there is one."""
        with self.assertRaisesRegex(Unreachable, f"^No kernel answers at {self.path}: No such file or directory$"):
            Papa(start=False)
        self.assertIsNone(serving_pid(self.path))
        Papa().close()
        with Papa(start=False) as client:
            client.set("x", "1")

    def test_nobodys_child(self) -> None:
        """
        The kernel is no child of the client, not in its session, and nothing is left that had to be waited for; what it
        makes is not for others to write, nor for strangers to read.
        """
        before = child_pids()
        Papa().close()
        self.assertEqual(child_pids(), before)
        pid = serving_pid(self.path)
        assert pid is not None
        self.assertNotEqual(os.getsid(pid), os.getsid(0))
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            self.assertIn("Umask:\t0027\n", status)

    def test_takes_nothing_along(self) -> None:
        """The kernel inherits no descriptor of the client, not even an inheritable one."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_inheritable(writing, True)
        Papa().close()
        os.close(writing)
        self.assertEqual(os.read(reading, 1), b"")

    def test_files_of_the_current_folder(self) -> None:
        """The kernel runs no code of the folder that the client happens to be in, whatever it is called."""
        folder = os.path.join(self.folder, "here")
        os.mkdir(folder)
        for name in ("papa", "click", "twisted", "signal"):
            with open(os.path.join(folder, f"{name}.py"), "w", encoding="ascii") as file:
                file.write("raise SystemExit('this is somebody else')\n")
        command = [sys.executable, "-P", "-c", CLIENT]
        finished = subprocess.run(command, check=False, cwd=folder, env=self.environ, input=b"\n", capture_output=True)
        self.assertEqual((finished.stdout, finished.stderr), (b"begin end exit ", b""))

    def test_processes_at_once(self) -> None:
        """Twenty processes at once start one kernel, all reach it, and none runs any of its code twice."""
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", CLIENT],
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(20)
        ]
        for client in clients:
            assert client.stdout is not None
            self.assertEqual(client.stdout.read(6), b"begin ")
        for client in clients:
            assert client.stdin is not None
            client.stdin.write(b"\n")
            client.stdin.flush()
        # All have ended before anything is asserted: one that comes late would start another kernel behind the test.
        said = [client.communicate(timeout=2 * PATIENCE) for client in clients]
        self.assertEqual(set(said), {(b"end exit ", b"")})
        with Papa() as papa:
            self.assertEqual(set(papa.list_values()), {f"client.{client.pid}" for client in clients})
        self.assertEqual(self.log().count("papa is home"), 1)

    def test_threads_at_once(self) -> None:
        """Twenty threads at once start one kernel, and all reach it."""
        barrier = threading.Barrier(20)
        failures: list[BaseException] = []

        def connect(number: int) -> None:
            try:
                barrier.wait(PATIENCE)
                with Papa() as papa:
                    papa.set(f"client.{number}", "1")
            except BaseException as error:  # noqa: BLE001 - shown below
                failures.append(error)

        threads = [threading.Thread(target=connect, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * PATIENCE)
        self.assertEqual(failures, [])
        with Papa() as papa:
            self.assertEqual(set(papa.list_values()), {f"client.{number}" for number in range(20)})
        self.assertEqual(self.log().count("papa is home"), 1)

    def test_killed(self) -> None:
        """When the kernel was killed another goes on with what it held."""
        with Papa() as client:
            client.set("x", "1")
            pid = client.kernel_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(client.get("x"), "1")
            self.assertNotEqual(client.kernel_pid, pid)

    def test_somebody_is_about_to_serve(self) -> None:
        """A kernel that cannot start since another has the place, and answers a moment later, is not missed."""
        script = os.path.join(self.folder, "launcher")
        begun, go = (os.path.join(self.folder, name) for name in ("begun", "go"))
        for fifo in (begun, go):
            os.mkfifo(fifo)
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n: > {begun}\n: < {go}\necho papa: it is held by another >&2\nexit 1\n")
        os.chmod(script, 0o700)
        self.patch(sys, "executable", script)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path)

        def serve() -> None:
            with open(begun, "rb"):
                listener.listen()
            with open(go, "wb"):
                pass

        other = threading.Thread(target=serve)
        other.start()
        start_once(Location(path=self.path), PATIENCE)
        other.join()

    def test_again_after_its_death(self) -> None:
        """When everything was killed the next client starts another, in the same place."""
        Papa().close()
        pid = serving_pid(self.path)
        assert pid is not None
        os.kill(parent_of(pid), signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        with Papa() as client:
            client.set("x", "1")
        self.assertNotIn(serving_pid(self.path), (None, pid))

    def test_as_the_last_one_leaves(self) -> None:
        """A kernel that hangs up before it has greeted was just ending: another is started."""
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path)
        server.listen()

        def leave() -> None:
            sock = server.accept()[0]
            server.close()
            sock.close()

        thread = threading.Thread(target=leave)
        thread.start()
        self.addCleanup(thread.join)
        with Papa() as client:
            client.set("x", "1")
            self.assertEqual(client.get("x"), "1")

    def test_closed_client_starts_none(self) -> None:
        """Only a new client starts a kernel: one whose kernel has gone says so."""
        client = Papa()
        client.close()
        end_kernel(self.path)
        error = self.assertRaises(Error, client.get, "x")
        self.assertIn(f"No kernel answers at {self.path}", str(error))
        self.assertIsNone(serving_pid(self.path))

    def test_on_a_port(self) -> None:
        """A port that was asked for is served."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        console = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "console.sock")
        self.addCleanup(end_kernel, console)
        with Papa(port) as client:
            client.set("x", "1")
        with Papa(console) as other:
            self.assertEqual(other.get("x"), "1")


class DeferredTests(AutostartTestCase, TestCase):
    """The client for Twisted programs."""

    async def test_started(self) -> None:
        """It starts a kernel where it was told to look, if it is asked to, and finds that one the next time."""
        from twisted.internet import reactor

        await self.assertFailure(connect(reactor), Unreachable)
        self.assertIsNone(serving_pid(self.path))
        pids = set()
        for where in (None, self.path):
            kernel = await connect(reactor, where, start=True)
            await kernel.set("x", "1")
            await kernel.close()
            pids.add(serving_pid(self.path))
        self.assertEqual(len(pids), 1)

    async def test_reason(self) -> None:
        """If none can be started it is told why."""
        from twisted.internet import reactor

        error = await self.assertFailure(connect(reactor, "/proc/x", start=True), Unreachable)
        self.assertIn("Cannot create /proc/x.lock", str(error))


class FailureTests(AutostartTestCase):
    """A kernel that cannot start."""

    def test_no_folder(self) -> None:
        """A path in a folder that is not there."""
        path = os.path.join(self.folder, "no", "papa.sock")
        self.assertIn(f"Cannot create {path}.lock: No such file or directory", self.fail_to_start(path))

    def test_folder_not_writable(self) -> None:
        """A path where nothing can be made."""
        if os.geteuid() == 0:
            raise SkipTest("root can write everywhere")
        os.mkdir(os.path.join(self.folder, "ro"), 0o500)
        path = os.path.join(self.folder, "ro", "papa.sock")
        self.assertIn("Permission denied", self.fail_to_start(path))

    def test_system_folder(self) -> None:
        """A path where the system lets nobody make anything."""
        self.assertIn("Cannot create /proc/papa.sock.lock", self.fail_to_start("/proc/papa.sock"))

    def test_regular_file(self) -> None:
        """A path that is a file; it stays as it is."""
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        self.assertIn("is not a socket", self.fail_to_start())
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_path_too_long(self) -> None:
        """A path that is too long for a socket."""
        self.assertIn("too long", self.fail_to_start(os.path.join(self.folder, "x" * 120)))

    def test_open_runtime_folder(self) -> None:
        """A runtime folder that is open to other users, with what to do about it."""
        os.mkdir(self.environ["PAPA_RUNTIME_DIR"], 0o755)
        os.chmod(self.environ["PAPA_RUNTIME_DIR"], 0o755)
        self.assertIn("is open to other users: chmod 700 it", self.fail_to_start())

    def test_runtime_folder_is_a_file(self) -> None:
        """A runtime folder that is none."""
        with open(self.environ["PAPA_RUNTIME_DIR"], "w", encoding="ascii"):
            pass
        self.assertIn("is not a folder", self.fail_to_start())

    def test_lock_is_no_file(self) -> None:
        """A lock that somebody has put something else in place of."""
        os.mkdir(self.environ["PAPA_RUNTIME_DIR"], 0o700)
        os.symlink("/dev/null", os.path.join(self.environ["PAPA_RUNTIME_DIR"], "start.lock"))
        self.assertIn("Cannot open", self.fail_to_start())

    def test_served_by_something_else(self) -> None:
        """A path where something listens that is no kernel, within the time that was given."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path)
            server.listen()
            self.assertIn("Nobody greets", self.fail_to_start(self.path, 0.3))

    def test_no_failure_leaves_a_kernel(self) -> None:
        """A start that failed leaves no process behind."""
        before = child_pids()
        self.test_regular_file()
        self.assertEqual(child_pids(), before)
        self.assertNotIn("papa is home", self.log())


class LaunchTests(KernelTestCase):
    """Starting a kernel as a child."""

    def test_arguments(self) -> None:
        """What to tell a kernel, so that it serves at a location."""
        self.assertEqual(arguments_for(Location(port=40001)), ["-p", "40001"])
        self.assertEqual(arguments_for(Location(path="/x/y")), ["-u", "/x/y"])

    def test_says_where(self) -> None:
        """It returns when the kernel serves, and with where."""
        path = os.path.join(self.folder, "k.sock")
        kernel, where = launch(
            ["-u", path], timeout=PATIENCE, environ=self.environ, log=os.path.join(self.folder, "log")
        )
        self.addCleanup(kernel.wait)
        self.addCleanup(kernel.terminate)
        self.assertEqual(where[0], path)
        self.assertEqual(serving_pid(path), kernel.pid)

    def test_reason_of_its_own(self) -> None:
        """A kernel that gives up is the reason, in its own words, and was waited for."""
        before = child_pids()
        error = self.assertRaises(
            Unreachable,
            launch,
            ["-u", "/proc/x"],
            timeout=PATIENCE,
            environ=self.environ,
            log=os.path.join(self.folder, "log"),
        )
        self.assertIn("Cannot create /proc/x.lock", str(error))
        self.assertEqual(child_pids(), before)

    def test_reason_in_the_log(self) -> None:
        """A kernel that ends without having said why gives the last line of its log, not of an older one."""
        log = os.path.join(self.folder, "log")
        with open(log, "w", encoding="ascii") as file:
            file.write("something old\n")
        error = self.assertRaises(
            Unreachable, launch, ["--no-such-option"], timeout=PATIENCE, environ=self.environ, log=log
        )
        self.assertIn("The kernel ended with 2 as it started", str(error))
        self.assertIn("--no-such-option", str(error))

    def test_log_cannot_be_written(self) -> None:
        """A log that cannot be opened is the reason."""
        log = os.path.join(self.folder, "no", "log")
        error = self.assertRaises(Unreachable, launch, ["-p", "0"], timeout=PATIENCE, environ=self.environ, log=log)
        self.assertIn("Cannot start a kernel", str(error))
