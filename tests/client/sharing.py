"""A kernel that many tests share, since starting one takes longer than most of them; each leaves it empty."""

from __future__ import annotations

import atexit
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from papa import Papa, Watcher
from papa.records import Closed, Output
from tests.support import PATIENCE, KernelTestCase, RealKernel, plain_environ, script, until


@cache
def _shared() -> tuple[RealKernel, dict[str, str]]:
    """The kernel of this test run, and the environment that its clients need; it ends with the run."""
    folder = tempfile.mkdtemp(prefix="papa-test-")
    environ = {**plain_environ(), "PAPA_RUNTIME_DIR": os.path.join(folder, "run")}
    console = os.path.join(folder, "console.sock")
    kernel = RealKernel(folder, [script("papa"), "serve", "-p", "0", "-u", console], environ)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(kernel.end)
    return kernel, environ


def shared_kernel(test: SynchronousTestCase) -> RealKernel:
    """The kernel of this test run, which holds nothing; whatever a test leaves there goes with its end."""
    kernel, _ = _shared()
    test.addCleanup(_empty, kernel)
    return kernel


def _empty(kernel: RealKernel) -> None:
    with Papa(kernel.path) as papa:
        for process in papa.list_processes().values():
            with suppress(OSError):
                os.killpg(process["pid"], signal.SIGKILL)
        if values := papa.list_values():
            papa.remove_values(*values)
        papa.remove_sockets()
        papa.remove_processes()
        if papa.list_cursors():
            papa.remove_cursors("*")
        until(lambda: not papa.list_processes(), "the end of all processes")


class SharedKernelTestCase(KernelTestCase):
    """
    Tests of what a kernel's clients see.

    @ivar kernel: it holds nothing when a test begins.
    """

    def setUp(self) -> None:
        super().setUp()
        self.kernel = shared_kernel(self)
        self.environ = {**_shared()[1], "PAPA_SOCKET": self.kernel.path, "XDG_STATE_HOME": self.folder}

    def connect_papa(self) -> Papa:
        """A client of the shared kernel."""
        papa = Papa(self.kernel.path)
        self.addCleanup(papa.close)
        return papa


def wait_readable(thing: object) -> None:
    """Wait as a program with a loop of its own does."""
    if not select.select([thing], [], [], PATIENCE)[0]:
        raise AssertionError(f"nothing came from {thing} within {PATIENCE} seconds")


def is_readable(thing: object) -> bool:
    """Whether select says so right now."""
    return bool(select.select([thing], [], [], 0)[0])


def read_until(watcher: Watcher, enough: Callable[[bytes], bool]) -> bytes:
    """Read, and acknowledge all but the last read, until the output is what was waited for; the output."""
    data = b""
    while not enough(data):
        read = watcher.read()
        if read is None:
            raise AssertionError(f"the watch ended with {data!r}")
        data += b"".join(each.data for each in read[0] + read[1])
    return data


def read_to_end(watcher: Watcher) -> tuple[bytes, bytes, dict[str, int]]:
    """Everything until nothing is left to watch: standard output, standard error and exit codes."""
    out = err = b""
    while (items := watcher.read_items()) is not None:
        for item in items:
            if isinstance(item, Output):
                out += item.data if item.channel == 1 else b""
                err += item.data if item.channel == 2 else b""
            else:
                assert isinstance(item, Closed), item
    return out, err, watcher.exit_code


def set_environ(test: KernelTestCase, **variables: str | None) -> None:
    """Change this process's environment until the test ends; L{None} takes a variable away."""
    before = {name: os.environ.get(name) for name in variables}
    _change_environ(variables)
    test.addCleanup(_change_environ, before)


def _change_environ(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def serving_pid(path: str) -> int | None:
    """The process that serves at a Unix path, if any does."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except OSError:
            return None
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def parent_of(pid: int | None) -> int:
    """Whose child a process is."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def wait_for_end(pid: int) -> None:
    """Wait until a process that is nobody's child here has ended."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            wait_readable(handle)
        finally:
            os.close(handle)


def end_kernel(path: str) -> None:
    """End a kernel that was started in the background, if it serves at this path."""
    if serving_pid(path) is not None:
        with Papa(path) as papa:
            # Not the one that began to listen there: another may have gone on.
            pid = papa.kernel_pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)


def child_pids() -> set[int]:
    """The children of this very process, zombies too."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        return {int(pid) for pid in children.read().split()}
