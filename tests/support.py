"""What functional tests share: a real kernel in a folder of its own, and a plain socket to talk to it."""

from __future__ import annotations

import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import papa

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


def begin_program(
    test: SynchronousTestCase, command: Sequence[str], environ: Mapping[str, str], **options: object
) -> subprocess.Popen[Any]:
    """
    Start a program with its output, as text, in pipes; it is killed with the test, if it has not ended.

    @param options: of C{subprocess.Popen}, in place of these.
    """
    program: subprocess.Popen[Any] = subprocess.Popen(  # type: ignore[call-overload]
        command,
        **{
            "env": environ,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        },
    )
    test.addCleanup(_end, program)
    return program


def _end(program: subprocess.Popen[Any]) -> None:
    program.kill()
    program.wait()
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            stream.close()


def program(name: str) -> str:
    """Where a program of this machine is; a test that needs one that is not there is skipped."""
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"needs {name}, which is not installed here")
    return found


def installed(name: str) -> str:
    """A program of the C{test} extra; a test that needs one that is not there is skipped."""
    found = script(name)
    if not os.path.exists(found):
        raise SkipTest(f"needs {name}, which the test extra brings")
    return found


def hold_descriptors(test: SynchronousTestCase, count: int) -> None:
    """Let this very process open C{count} files until the test ends; skip the test where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SkipTest(f"needs {count} descriptors, and may have {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        test.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def limited_to(descriptors: int, most: int | None = None) -> tuple[str, ...]:
    """The words in front of a command that give it a limit of open files, and a higher one that it may rise to."""
    return ("sh", "-c", f'ulimit -Sn {descriptors} && ulimit -Hn {most or descriptors} && exec "$@"', "sh")


@dataclass(frozen=True)
class Frame:
    """
    What a watch is sent: C{kind} is out, err, closed or hole.

    @ivar figures: what stands between the name and the data: the times, and a length or an exit code.
    """

    kind: str
    name: str
    figures: tuple[str, ...]
    data: bytes = b""


class Talk:
    """A plain connection to a console."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.buffer = bytearray()

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def shutdown(self) -> None:
        """Say that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(bytes(self.buffer))
        self.buffer += data

    def _given(self, size: int) -> bytes:
        found = bytes(memoryview(self.buffer)[:size])
        del self.buffer[:size]
        return found

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with C{end}, at the end of what has come."""
        while not self.buffer.endswith(end):
            self._receive()
        return self._given(len(self.buffer))

    def read_to_end(self) -> bytes:
        """Everything until the other side closes."""
        with suppress(ConnectionResetError, EOFError):
            while True:
                self._receive()
        return self._given(len(self.buffer))

    def peek(self, size: int) -> bytes:
        """Just so many bytes, which are read again afterwards."""
        while len(self.buffer) < size:
            self._receive()
        return bytes(self.buffer[:size])

    def read_exactly(self, size: int) -> bytes:
        """Just so many bytes."""
        while len(self.buffer) < size:
            self._receive()
        return self._given(size)

    def read_line(self) -> str:
        """Everything up to the next newline, without it."""
        while (end := self.buffer.find(b"\n")) < 0:
            self._receive()
        return self._given(end + 1)[:-1].decode()

    def read_batch(self) -> list[Frame]:
        """A batch of what is watched, with its end."""
        frames = []
        while self.peek(2) != b"] ":
            kind, name, *figures = self.read_line().split(":")
            data = b""
            if kind in ("out", "err"):
                data = self.read_exactly(int(figures[-1]))
                if (newline := self.read_exactly(1)) != b"\n":
                    raise AssertionError(f"{newline!r} stands behind the data of {kind}:{name}")
            frames.append(Frame(kind, name, tuple(figures), data))
        self.read_exactly(2)
        return frames

    def watch(self, words: str) -> str:
        """Begin to watch; what the kernel says first."""
        self.send(f"watch processes {words}\n".encode())
        return self.read_line()

    def watch_to_end(self, words: str = "") -> dict[str, Captured]:
        """All that processes print until the last has ended, by their names."""
        self.watch(words)
        found: dict[str, Captured] = {}
        while self.peek(2) != b"No":
            for frame in self.read_batch():
                found.setdefault(frame.name, Captured()).add(frame)
            self.send(b"\n")
        self.read_until(b"Nothing left to watch\n> ")
        return found

    def ask(self, line: str | bytes) -> str:
        """Send a line, and give what comes before the next prompt."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\n")
        reply = self.read_until(b"> ")
        while not (reply == b"> " or reply.endswith(b"\n> ")):
            reply += self.read_until(b"> ")
        return reply[:-2].decode().removesuffix("\n")


class Captured:
    """
    What was sent of one process.

    @ivar code: its exit code, once it has ended.
    """

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.code: int | None = None

    def add(self, frame: Frame) -> None:
        if frame.kind == "closed":
            self.code = int(frame.figures[-1])
        else:
            (self.out if frame.kind == "out" else self.err).extend(frame.data)


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
            self._reap()
            raise AssertionError(f"the kernel did not come up: {self.said()}")
        ports = [int(found[1]) for each in self.where if (found := re.fullmatch(r"(?!ssl:).*:(\d+)", each))]
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
        return self.connect_unix()

    def connect_unix(self) -> socket.socket:
        """A bare connection over its Unix path."""
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

    def peak_memory(self) -> int:
        """The most resident memory that it has had, in bytes."""
        return self._status("VmHWM") << 10

    def wake_ups(self) -> int:
        """How often it has woken up from waiting."""
        return self._status("voluntary_ctxt_switches")

    def _status(self, key: str) -> int:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(f"{key}:"))

    def processor_time(self) -> float:
        """How long it has computed, in seconds."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def children(self) -> list[int]:
        """The pids of its children, those that have ended but were not reaped too."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == self.pid:
                    found.append(int(entry))
        return found

    def end(self) -> int:
        """End its children, then itself; its exit code."""
        if self.process.poll() is None:
            with suppress(OSError, EOFError, AssertionError), self.talk() as talk:
                for pid in re.findall(r" pid=(\d+) running=True ", talk.ask("list processes")):
                    with suppress(OSError):
                        os.killpg(int(pid), signal.SIGKILL)
            self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def is_open(descriptor: int) -> bool:
    """Whether this process has a descriptor open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def plain_environ() -> dict[str, str]:
    """This environment, but for what papa reads, and for where the Python that runs the tests finds its modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAPA_", "PYTHONPATH"))}
    return {**kept, "XDG_CONFIG_HOME": "/nonexistent"}


def unmeasured(environ: dict[str, str]) -> dict[str, str]:
    """An environment in which coverage counts nothing: to begin that takes a process nearly as long as all else."""
    return {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}


class KernelTestCase(SynchronousTestCase):
    """
    Tests that start real kernels; each test has a runtime folder of its own.

    Coverage counts what is done by the processes that the tests of a part start; of those that functional tests start,
    only where these show what no other can.
    """

    counted: ClassVar[bool] = False

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        runtime = os.path.join(self.folder, "run")
        self.environ = {**plain_environ(), "PAPA_RUNTIME_DIR": runtime}
        if type(self).__module__.startswith("tests.functional.") and not self.counted:
            self.environ = unmeasured(self.environ)

    def twistd(self, *options: str) -> RealKernel:
        """A kernel under twistd; on a port that the system chooses, unless told otherwise."""
        return self._started(["twistd", "--nodaemon", "--pidfile=", "papa", *(options or ("-p", "0"))])

    def serve(self, *options: str, under: Sequence[str] = ()) -> RealKernel:
        """A kernel under C{papa serve}; C{under} is what to start it with, such as L{limited_to}."""
        return self._started(["papa", "serve", *(options or ("-p", "0"))], under)

    def _started(self, command: list[str], under: Sequence[str] = ()) -> RealKernel:
        kernel = RealKernel(self.folder, [*under, script(command[0]), *command[1:]], self.environ)
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

    def begin_papa(self, *arguments: str, **options: object) -> subprocess.Popen[Any]:
        """Start the papa command, as L{begin_program} does."""
        return begin_program(self, [script("papa"), *arguments], self.environ, **options)


class TalkTestCase(KernelTestCase):
    """Tests with one kernel and one conversation."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.begin()
        self.talk = self.converse()

    def begin(self) -> RealKernel:
        """The kernel."""
        return self.serve()

    def converse(self) -> Talk:
        """A conversation that is closed after the test."""
        talk = self.kernel.talk()
        self.addCleanup(talk.close)
        return talk


class HeldProcessesTestCase(KernelTestCase):
    """
    Tests whose processes outlive kernels, and are ended with the test.

    @ivar client: asks the kernel of the test's runtime folder; a test makes it once there is one.
    """

    client: papa.Papa

    def papa_client(self) -> papa.Papa:
        client = papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))
        self.addCleanup(client.close)
        return client

    def _end_processes(self) -> None:
        with suppress(papa.Error):
            for process in self.client.list_processes().values():
                with suppress(ProcessLookupError):
                    os.kill(process["pid"], signal.SIGKILL)
