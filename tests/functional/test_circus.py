"""circus 0.17.2, the last release that knows papa, with this papa in place of 1.0.6."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys

from tests.support import PATIENCE, KernelTestCase, RealKernel, Talk, installed, until

#: Answers each line that a connection sends with its own pid, and prints what it does.
_WORKER = """
import os, signal, socket, sys

def end(*_):
    print(os.getpid(), "ends", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
listening = socket.socket(fileno=int(sys.argv[1]))
print(os.getpid(), "started", flush=True)
print(os.getpid(), "complains", file=sys.stderr, flush=True)
while True:
    connection, _ = listening.accept()
    with connection, connection.makefile() as lines:
        print(os.getpid(), "heard", lines.readline().strip(), flush=True)
        connection.sendall(b"%d" % os.getpid())
"""

_CONFIGURATION = """
[circus]
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/pubsub
papa_endpoint = ipc://{path}
check_delay = 0.1
statsd = False

[socket:web]
host = 127.0.0.1
port = 0
use_papa = True

[watcher:web]
cmd = {python} {folder}/worker.py $(circus.sockets.web)
use_sockets = True
use_papa = True
numprocesses = 2
graceful_timeout = 20
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/out.log
stderr_stream.class = FileStream
stderr_stream.filename = {folder}/err.log
"""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class CircusTestCase(KernelTestCase):
    """A circusd in a folder of its own, with two workers that share a socket."""

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(self.folder, "papa.sock")
        # Circus asks for its sockets before it minds its papa_endpoint: both must say the same.
        self.environ["PAPA_SOCKET"] = self.path
        for name, text in (("worker.py", _WORKER), ("circus.ini", _CONFIGURATION)):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(
                    text
                    if name == "worker.py"
                    else text.format(folder=self.folder, path=self.path, python=sys.executable)
                )
        self._starts = 0

    def kernel(self) -> RealKernel:
        """A kernel where circus looks for it."""
        return self.serve("-u", self.path)

    def circusd(self) -> subprocess.Popen[bytes]:
        """Start circusd; its workers may not be there yet."""
        self._starts += 1
        path = os.path.join(self.folder, f"circusd-{self._starts}.log")
        with open(path, "wb") as log:
            circusd = subprocess.Popen(
                [installed("circusd"), os.path.join(self.folder, "circus.ini")],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.addCleanup(self._kill, circusd)
        until(lambda: b"waiting for commands" in self.read(os.path.basename(path)), "circusd's start")
        return circusd

    @staticmethod
    def _kill(circusd: subprocess.Popen[bytes]) -> None:
        circusd.kill()
        circusd.wait()

    def circusctl(self, *arguments: str) -> str:
        """What circusd answers."""
        finished = subprocess.run(
            [
                installed("circusctl"),
                *("--timeout", str(int(PATIENCE)), "--endpoint", f"ipc://{self.folder}/endpoint"),
                *arguments,
            ],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        return finished.stdout.strip()

    def pids(self) -> set[int]:
        """The workers that circusd knows of; waits until they are two."""

        def listed() -> set[int]:
            return {int(pid) for pid in re.findall(r"\d+", self.circusctl("list", "web"))}

        try:
            return until(lambda: found if len(found := listed()) == 2 else None, "two workers") or set()
        except AssertionError as error:
            said = b"".join(self.read(name) for name in sorted(os.listdir(self.folder)) if name.endswith(".log"))
            raise AssertionError(f"{error}; what was said: {said.decode(errors='replace')}") from error

    def read(self, name: str) -> bytes:
        """What a file of the folder holds so far."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, name), "rb") as file:
            return file.read()
        return b""

    def logged(self, words: str) -> list[int]:
        """The pids of the workers whose words have reached circus's log, as often as they have."""
        return [int(pid) for pid in re.findall(rf"(?m)^(\d+) {re.escape(words)}$", self.read("out.log").decode())]

    def wait_logged(self, words: str, pids: set[int]) -> None:
        """Wait until all of them have said something."""
        until(lambda: pids <= set(self.logged(words)), f"{words!r} of {pids} in circus's log")

    def say(self, word: str) -> int:
        """Say a word to a worker; its pid."""
        with Talk(socket.create_connection(("127.0.0.1", self.held_port()), timeout=PATIENCE)) as talk:
            talk.send(f"{word}\n".encode())
            return int(talk.read_to_end())

    def talk(self) -> Talk:
        """A conversation with the kernel, whoever started it."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        talk = Talk(sock)
        talk.read_until(b"> ")
        return talk

    def held_port(self) -> int:
        """The port of circus's socket, as the kernel tells it."""
        with self.talk() as talk:
            return int(talk.ask("list sockets circus.web").split(" port=")[1].split()[0])

    def held(self) -> dict[str, int]:
        """The processes that the kernel holds."""
        with self.talk() as talk:
            return {name: int(pid) for name, pid in re.findall(r"(?m)^(\S+) .*? pid=(\d+)", talk.ask("list processes"))}


class ReturningTests(CircusTestCase):
    """A circusd that goes and comes back."""

    def test_killed(self) -> None:
        """
        When circusd is killed, its workers run on and serve; the next circusd takes them over, starts nothing twice,
        and logs what was printed meanwhile, once.
        """
        self.kernel()
        circusd = self.circusd()
        pids = self.pids()
        self.wait_logged("started", pids)
        port = self.held_port()
        self.assertIn(self.say("before"), pids)
        until(lambda: self.logged("heard before"), "the word in circus's log")
        until(lambda: self.read("err.log").count(b"\n") == 2, "both complaints in circus's log")
        self.circusctl("list", "web")  # Once it answers, it has acknowledged what it has logged.

        circusd.kill()
        circusd.wait()
        answered = [self.say(f"away-{index}") for index in range(4)]
        self.assertLessEqual(set(answered), pids)

        self.circusd()
        self.assertEqual(self.pids(), pids)
        for index, pid in enumerate(answered):
            self.wait_logged(f"heard away-{index}", {pid})
        self.wait_logged("heard after", {self.say("after")})
        self.assertEqual(self.held(), dict(zip(("circus.web.1", "circus.web.2"), sorted(pids), strict=True)))
        self.assertEqual(self.held_port(), port)
        self.assertEqual(sorted(self.logged("started")), sorted(pids))
        for word in ("before", *(f"away-{index}" for index in range(4)), "after"):
            self.assertEqual(len(self.logged(f"heard {word}")), 1, word)
        self.assertEqual(sorted(self.read("err.log").decode().splitlines()), sorted(f"{pid} complains" for pid in pids))
        self.assertEqual(self.circusctl("numprocesses", "web"), "2")

    def test_worker_lost_meanwhile(self) -> None:
        """A worker that ended while circusd was away is replaced when it is back, and its last words are logged."""
        self.kernel()
        circusd = self.circusd()
        pids = self.pids()
        self.wait_logged("started", pids)
        circusd.kill()
        circusd.wait()
        lost = self.say("last")
        os.kill(lost, signal.SIGTERM)
        until(lambda: not _is_alive(lost), "the worker's end")

        self.circusd()
        self.wait_logged("heard last", {lost})
        self.wait_logged("ends", {lost})
        until(lambda: lost not in self.held().values(), "the end of the lost worker's record")
        now = self.pids()
        self.assertLess(pids - {lost}, now)
        self.wait_logged("started", now)
        self.assertEqual(set(self.held().values()), now)
        self.assertEqual(len(self.logged("started")), 3)

    def test_quit(self) -> None:
        """
        circusctl quit leaves the workers and their socket with papa, as circus intends; after circusctl stop it takes
        the socket away too, and asks papa to end.
        """
        kernel = self.kernel()
        circusd = self.circusd()
        pids = self.pids()
        self.wait_logged("started", pids)
        self.assertEqual(self.circusctl("quit"), "ok")
        self.assertEqual(circusd.wait(PATIENCE), 0)
        self.assertEqual(set(self.held().values()), pids)
        self.assertIn(self.say("hello"), pids)

        circusd = self.circusd()
        self.assertEqual(self.pids(), pids)
        until(lambda: self.logged("heard hello"), "the word in circus's log")
        # Circus refuses while it is busy.
        until(lambda: self.circusctl("stop", "web", "--waiting") == "ok", "circusctl stop")
        self.wait_logged("ends", pids)
        until(lambda: not self.held(), "the end of the workers' records")
        self.assertEqual([pid for pid in pids if _is_alive(pid)], [])
        self.assertEqual(self.circusctl("quit"), "ok")
        self.assertEqual(circusd.wait(PATIENCE), 0)
        self.assertEqual(kernel.process.wait(PATIENCE), 0)
        self.assertIn("it was asked to exit if idle", kernel.said())


class ManagingTests(CircusTestCase):
    """A circusd at work."""

    def test_respawns(self) -> None:
        """A worker that is killed is replaced, the other is left alone, and the new one has the same socket."""
        self.kernel()
        self.circusd()
        pids = self.pids()
        self.wait_logged("started", pids)
        victim, survivor = sorted(pids)
        os.kill(victim, signal.SIGKILL)
        now = until(lambda: found if victim not in (found := self.pids()) else None, "another worker") or set()
        self.assertIn(survivor, now)
        self.assertFalse(_is_alive(victim))
        (new,) = now - {survivor}
        self.wait_logged("started", {new})
        until(lambda: self.say("again") == new, "an answer of the new worker")
        self.wait_logged("heard again", {new})
        self.assertEqual(set(self.held().values()), now)
        self.assertEqual(sorted(self.logged("started")), sorted([victim, survivor, new]))

    def test_more_and_fewer(self) -> None:
        """incr starts one more, decr stops one, restart replaces all; papa forgets those that were stopped."""
        self.kernel()
        self.circusd()
        pids = self.pids()
        until(lambda: self.circusctl("incr", "web", "--waiting").startswith(("3", "ok")), "circusctl incr")
        until(lambda: len(self.held()) == 3, "a third worker")
        until(lambda: self.circusctl("decr", "web", "--waiting").startswith(("2", "ok")), "circusctl decr")
        until(lambda: len(self.held()) == 2, "the end of one")
        before = self.pids()
        until(lambda: self.circusctl("restart", "web", "--waiting") == "ok", "circusctl restart")
        after = until(lambda: found if not before & (found := self.pids()) else None, "other workers") or set()
        self.assertEqual(set(self.held().values()), after)
        self.assertEqual([pid for pid in pids | before if _is_alive(pid)], [])


class AutostartTests(CircusTestCase):
    """A circusd that finds no kernel."""

    def _end_kernel(self) -> None:
        """End whoever listens at the path; only where the test has failed is that somebody."""
        with contextlib.suppress(OSError, EOFError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.path)
            pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            for worker in self.held().values():
                os.kill(worker, signal.SIGKILL)
            os.kill(pid, signal.SIGTERM)

    def test_starts_one_kernel(self) -> None:
        """Circus starts a kernel, which outlives it; the next circusd finds it, and the last one ends it."""
        self.addCleanup(self._end_kernel)
        circusd = self.circusd()
        pids = self.pids()
        self.wait_logged("started", pids)
        circusd.kill()
        circusd.wait()
        answered = self.say("away")
        self.assertIn(answered, pids)
        circusd = self.circusd()
        self.assertEqual(self.pids(), pids)
        self.wait_logged("heard away", {answered})
        until(lambda: self.circusctl("stop", "web", "--waiting") == "ok", "circusctl stop")
        until(lambda: not self.held(), "the end of the workers' records")
        self.assertEqual(self.circusctl("quit"), "ok")
        self.assertEqual(circusd.wait(PATIENCE), 0)
        until(lambda: not os.path.exists(self.path), "the kernel's end")
        log = self.read("run/papa.log").decode()
        self.assertEqual(log.count("papa is home"), 1, log)
        self.assertIn("it was asked to exit if idle", log)
