"""Starting a kernel: exactly one, by however many threads and processes at once, and with the reason if it fails."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from papa import places
from papa.client.location import Location
from papa.errors import NotAllowed, Unreachable

__all__ = ["UMASK", "arguments_for", "ensure_running", "launch", "served_at", "start_once"]

_POLL: Final = 0.05
#: As papa 1.0.6: what a kernel started in the background makes is not for others to write, nor for strangers to read.
UMASK: Final = 0o027


def arguments_for(location: Location) -> list[str]:
    """What C{papa serve} needs to be told to serve at a location."""
    return ["-p", str(location.port)] if location.path is None else ["-u", location.path]


def launch(
    arguments: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str] = os.environ,
    log: str,
    descriptors: Sequence[int] = (),
) -> tuple[subprocess.Popen[bytes], list[str]]:
    """
    Start a kernel in a session of its own and wait until it serves.

    @param arguments: options of C{papa serve}.
    @param timeout: how long to wait, in seconds.
    @param log: the file that what it says is appended to.
    @param descriptors: what it is to inherit.
    @return: the started kernel, and where it listens.
    @raise Unreachable: if it does not come up, with its own reason.
    """
    reading, writing = os.pipe()
    try:
        try:
            kernel, started = _popen(arguments, writing, environ=environ, log=log, descriptors=descriptors)
        finally:
            os.close(writing)
        try:
            where = served_at(reading, timeout)
        except Unreachable:
            kernel.wait()
            raise
    except OSError as error:
        raise Unreachable(f"Cannot start a kernel: {error}") from error
    finally:
        os.close(reading)
    if not where:
        raise _failure(kernel, log, started, timeout)
    return kernel, where


def _popen(
    arguments: Sequence[str],
    ready: int,
    *,
    environ: Mapping[str, str],
    log: str,
    descriptors: Sequence[int],
) -> tuple[subprocess.Popen[bytes], int]:
    """The kernel, and the size that its log had before."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "ab") as output:
        kernel = subprocess.Popen(
            [sys.executable, "-P", "-m", "papa", "serve", "--ready-fd", str(ready), *arguments],
            cwd="/",
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(ready, *descriptors),
            start_new_session=True,
            umask=UMASK,
        )
        return kernel, os.fstat(handle).st_size


def served_at(descriptor: int, timeout: float) -> list[str]:
    """
    Where a kernel that was just started serves, as it says to whoever has started it.

    @param descriptor: of the pipe that it says it to, which it closes then.
    @param timeout: how long to wait for that, in seconds.
    @return: nothing if it has said nothing.
    @raise Unreachable: if it has said why it does not.
    """
    said = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0 and poll.poll(left * 1000):
        data = os.read(descriptor, 4096)
        if not data:
            break
        said += data
    lines = said.decode(errors="replace").splitlines()
    where = [line.removeprefix("ready ") for line in lines if line.startswith("ready ")]
    if lines and not where:
        raise Unreachable(lines[-1])
    return where


def _failure(kernel: subprocess.Popen[bytes], log: str, started: int, timeout: float) -> Unreachable:
    """Why a kernel that has said nothing does not serve."""
    try:
        kernel.wait(timeout=_POLL)
    except subprocess.TimeoutExpired:
        kernel.terminate()  # It must not come up when nobody counts on it any more.
        return Unreachable(f"The kernel did not come up within {timeout:g} seconds; its log is {log}")
    with open(log, encoding="utf-8", errors="replace") as said:
        said.seek(started)
        last = said.read().strip().rpartition("\n")[2]
    return Unreachable(f"The kernel ended with {kernel.returncode} as it started: {last or f'see {log}'}")


def start_once(location: Location, timeout: float) -> None:
    """
    Start a kernel at a location, unless somebody else has done so meanwhile.

    @param timeout: how long to wait for the lock and the kernel together, in seconds.
    @raise Unreachable: if it does not come up, with the reason.
    @raise NotAllowed: if the runtime folder is not safe.
    """
    deadline = time.monotonic() + timeout
    with _start_lock(places.prepare(places.runtime_folder()), deadline):
        if _answers(location):
            return
        left = max(1.0, deadline - time.monotonic())
        # The launcher ends at once, so that the kernel is nobody's child but init's.
        launcher = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "papa", "serve", "--daemonize", "--timeout", f"{left:g}"),
                *(arguments_for(location) if location.chosen else ()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    # Somebody who was about to serve there may be in its way, and answers by now.
    if launcher.returncode and not _answers(location):
        reason = launcher.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unreachable(reason.removeprefix("papa: ") or f"papa serve ended with {launcher.returncode}")


def ensure_running(location: Location, timeout: float) -> None:
    """
    L{start_once}, unless a kernel answers already.

    @raise Unreachable: if none comes up, with the reason.
    """
    if not _answers(location):
        start_once(location, timeout)


def _answers(location: Location) -> bool:
    try:
        location.connect(1).close()
    except OSError:
        return False
    return True


@contextmanager
def _start_lock(folder: str, deadline: float) -> Iterator[None]:
    """One starter at a time, among threads too: each opens the lock file for itself."""
    path = os.path.join(folder, "start.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotAllowed(f"Cannot open {path}: {error.strerror}") from error
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    raise
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"Somebody else is starting a kernel and has not finished; the lock is {path}"
                    ) from None
                time.sleep(_POLL)
        yield
    finally:
        os.close(handle)
