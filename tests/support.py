"""What functional tests share: a real kernel in a folder of its own, and a plain socket to talk to it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

#: How long anything may take before a test gives up on it, in seconds; far more than it does take.
PATIENCE = 30.0

_Found = TypeVar("_Found")


def until(condition: Callable[[], _Found], what: str = "it") -> _Found:
    """Ask again and again until the answer is true; for things that nothing can be told of, such as /proc."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        select.select([], [], [], 0.01)
    raise AssertionError(f"{what} did not happen within {PATIENCE} seconds")


def script(name: str) -> str:
    """A console script of the Python that runs the tests."""
    return os.path.join(os.path.dirname(sys.executable), name)


class Talk:
    """A plain connection to a console."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.buffer = b""

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with C{end}, at the end of what has come."""
        while not self.buffer.endswith(end):
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, self.buffer = self.buffer, b""
        return found

    def read_to_end(self) -> bytes:
        """Everything until the other side closes."""
        with suppress(ConnectionResetError):
            while data := self.sock.recv(65536):
                self.buffer += data
        found, self.buffer = self.buffer, b""
        return found

    def ask(self, line: str | bytes) -> str:
        """Send a line, and give what comes before the next prompt."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\n")
        reply = self.read_until(b"> ")
        while not (reply == b"> " or reply.endswith(b"\n> ")):
            reply += self.read_until(b"> ")
        return reply[:-2].decode().removesuffix("\n")


class RealKernel:
    """
    A kernel process, started as a user would.

    @ivar port: its console's port, if it was given one; C{path}: its Unix path.
    """

    def __init__(self, folder: str, command: Sequence[str], environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = environ
        self.log = os.path.join(folder, "kernel.log")
        reading, writing = os.pipe()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writing)],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
            )
        os.close(writing)
        with open(reading, encoding="utf-8") as ready:
            self.where = [line.split()[1] for line in ready if line.startswith("ready ")]
        if not self.where:
            self.process.wait()
            raise AssertionError(f"the kernel did not come up: {self.said()}")
        ports = [int(found[1]) for each in self.where if (found := re.fullmatch(r".*:(\d+)", each))]
        self.port = ports[0] if ports else 0
        self.path = next((each for each in self.where if each.startswith("/")), "")

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """Its log."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def connect(self) -> socket.socket:
        """A bare connection over TCP if it serves it, else over its Unix path."""
        if self.port:
            return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.path)
        return sock

    def talk(self) -> Talk:
        """A greeted conversation."""
        talk = Talk(self.connect())
        talk.read_until(b"> ")
        return talk

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Its resident memory, in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> int:
        """End its children, then itself; its exit code."""
        if self.process.poll() is None:
            with suppress(OSError, EOFError, AssertionError), self.talk() as talk:
                for pid in re.findall(r" pid=(\d+) running=True ", talk.ask("list processes")):
                    with suppress(OSError):
                        os.killpg(int(pid), signal.SIGKILL)
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class KernelTestCase(SynchronousTestCase):
    """Tests that start real kernels; each test has a runtime folder of its own."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        runtime = os.path.join(self.folder, "run")
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PAPA_")},
            "PAPA_RUNTIME_DIR": runtime,
        }

    def twistd(self, *options: str) -> RealKernel:
        """A kernel under twistd; on a port that the system chooses, unless told otherwise."""
        return self._started(["twistd", "--nodaemon", "--pidfile=", "papa", *(options or ("-p", "0"))])

    def serve(self, *options: str) -> RealKernel:
        """A kernel under C{papa serve}."""
        return self._started(["papa", "serve", *(options or ("-p", "0"))])

    def _started(self, command: list[str]) -> RealKernel:
        kernel = RealKernel(self.folder, [script(command[0]), *command[1:]], self.environ)
        self.addCleanup(kernel.end)
        return kernel

    def papa(self, *arguments: str, code: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
        """Run the papa command to its end, and check its exit code."""
        finished = subprocess.run(  # type: ignore[call-overload]  # noqa: PLW1510
            [script("papa"), *arguments],
            **{
                "env": self.environ,
                "stdin": subprocess.DEVNULL,
                "capture_output": True,
                "text": True,
                "timeout": PATIENCE,
                **options,
            },
        )
        if code is not None:
            self.assertEqual(finished.returncode, code, finished.stdout + finished.stderr)
        return finished  # type: ignore[no-any-return]
