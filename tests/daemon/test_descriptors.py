"""The descriptors of a daemon: what is closed and what stays, and where the standard streams go."""

from __future__ import annotations

import ast
import fcntl
import io
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.daemon import DaemonError
from papa.daemon.descriptors import (
    close_open_files,
    descriptor_of,
    duplicate_above,
    flush_streams,
    is_open,
    open_above,
    pipe_above,
    prevent_core_dump,
    redirect,
    renew_streams,
)
from tests.drivers.apart import apart, not_here

#: As many files as some containers allow.
HUGE = 1 << 30


class DescriptorTests(SynchronousTestCase):
    """The descriptor of something."""

    def test_number(self) -> None:
        """A number is one already, whether it is open or not."""
        self.assertEqual([descriptor_of(each) for each in (0, 7, 1 << 20)], [0, 7, 1 << 20])

    def test_file(self) -> None:
        """A file, or a socket, has one."""
        with tempfile.TemporaryFile() as file:
            self.assertEqual(descriptor_of(file), file.fileno())
        with socket.socket() as sock:
            self.assertEqual(descriptor_of(sock), sock.fileno())

    def test_none(self) -> None:
        """What has none is refused, and the message shows it."""
        closed = tempfile.TemporaryFile()  # noqa: SIM115 - it is to be closed
        closed.close()
        for what in (None, "stdin", b"x", True, 1.0, object(), io.StringIO(), closed):
            error = self.assertRaises(DaemonError, descriptor_of, what)
            self.assertIn(repr(what), str(error))

    def test_odd_files(self) -> None:
        """So is what only looks like a file: whose descriptor is nothing, or which is the kind of a file."""

        class Attribute:
            fileno = None

        class Nothing:
            def fileno(self) -> None:
                return None

        for what in (Attribute(), Nothing(), socket.socket):
            error = self.assertRaises(DaemonError, descriptor_of, what)
            self.assertIn(repr(what), str(error))


class OpenTests(SynchronousTestCase):
    """Descriptors above the standard ones."""

    def test_is_open(self) -> None:
        """A descriptor is open until it is closed."""
        reading, writing = os.pipe()
        self.assertTrue(is_open(reading))
        os.close(reading)
        os.close(writing)
        self.assertFalse(is_open(reading))
        self.assertFalse(is_open(-1))

    def test_duplicate(self) -> None:
        """A duplicate is as high as asked for, is the same file, and is not inherited."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        copy = duplicate_above(writing, 60)
        self.addCleanup(os.close, copy)
        self.assertGreaterEqual(copy, 60)
        self.assertFalse(os.get_inheritable(copy))
        self.assertTrue(os.path.sameopenfile(copy, writing))

    def test_duplicate_of_nothing(self) -> None:
        """What is not open cannot be duplicated."""
        self.assertRaises(OSError, duplicate_above, 1 << 20)

    def test_opened(self) -> None:
        """A file that is opened is none of the standard descriptors, is not inherited, and leaves nothing else open."""
        self.assertEqual(apart(opened_where_all_is_closed), {"above": True, "open": 1, "inherited": False})
        self.assertRaises(FileNotFoundError, open_above, "/no/such/file", os.O_RDONLY)

    def test_pipe(self) -> None:
        """A pipe uses none of the standard numbers, also where they are free, and leaves nothing else open."""
        self.assertEqual(apart(pipe_where_all_is_closed), {"above": True, "open": 2, "inherited": False, "read": "x"})


class CloseTests(SynchronousTestCase):
    """Closing what is open."""

    def test_all_but_some(self) -> None:
        """What is named stays, by number or as a file; everything else goes, however high."""
        self.assertEqual(apart(close_but_some), {"kept": [True] * 4, "closed": [False] * 3, "left": 4})

    def test_everything(self) -> None:
        """Unless told otherwise everything goes."""
        self.assertEqual(apart(close_everything), 0)

    def test_excluded_is_not_open(self) -> None:
        """What is to stay and is not open is not minded."""
        self.assertEqual(apart(close_but_closed), "closed")

    def test_excluded_is_no_file(self) -> None:
        """Where something that is to stay has no descriptor nothing is closed."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.assertRaises(DaemonError, close_open_files, [0, 1, 2, io.StringIO()])
        self.assertTrue(is_open(reading))

    def test_huge_limit(self) -> None:
        """It takes no longer where there might be very many."""
        took = apart(close_below_huge_limit)
        self.assertLess(took, 1.0)

    def test_no_list(self) -> None:
        """Where the system does not list what is open it is closed all the same."""
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(os.rmdir, folder)
        self.assertEqual(apart(close_without_list, folder), {"kept": True, "closed": False})


class RedirectTests(SynchronousTestCase):
    """Where a standard stream goes."""

    def test_redirected(self) -> None:
        """A stream becomes the file, for those that are started too; the file's own descriptor stays as it is."""
        self.assertEqual(apart(redirected), {"same": True, "inherited": [True, False], "read": "from a child\n"})

    def test_itself(self) -> None:
        """A stream that is the file already is handed down from then on."""
        self.assertEqual(apart(redirected_to_itself), [False, True])

    def test_null(self) -> None:
        """To nothing: it reads as empty, takes everything, is handed down, and no other descriptor is left open."""
        self.assertEqual(apart(redirected_to_null), {"files": [os.devnull] * 3, "inherited": [True] * 3, "more": 0})

    def test_null_where_closed(self) -> None:
        """So it is where the stream is closed, in any order of numbers."""
        expected = {"files": [os.devnull] * 3, "inherited": [True] * 3, "more": 0, "modes": [os.O_RDWR] * 3}
        self.assertEqual(apart(redirected_from_closed), [expected] * 3)


class StreamTests(SynchronousTestCase):
    """Python's own streams."""

    def test_renewed(self) -> None:
        """Streams that are something else, or nothing, become those of the standard descriptors."""
        self.assertEqual(apart(renewed, "strings", "none", "closed"), [[[True] * 3, "out\nerr\n"]] * 3)

    def test_kept(self) -> None:
        """Streams that are what they should be stay the same."""
        self.assertEqual(apart(renewed, "kept"), [[[False] * 3, "out\nerr\n"]])

    def test_what_is_no_text(self) -> None:
        """A renewed stream says what cannot be written as it is in another way, instead of failing."""
        self.assertEqual(apart(say_what_is_no_text), "file \\udcff\n")

    def test_flush(self) -> None:
        """What was printed is written, once."""
        self.assertEqual(apart(flushed), "once")

    def test_flush_nothing(self) -> None:
        """Streams that are closed, broken or not there are no failure."""
        self.assertEqual(apart(flushed_without_streams), "flushed")


class CoreTests(SynchronousTestCase):
    """What a crash leaves behind."""

    def test_none(self) -> None:
        """Nothing, and that cannot be taken back."""
        self.assertEqual(apart(limit_of_cores), [0, 0])


# What runs in processes of its own.


def numbers() -> set[int]:
    """What this process has open."""
    found = {int(name) for name in os.listdir("/proc/self/fd")}
    return {each for each in found if is_open(each)}


def in_child(run: Callable[[], Any]) -> str:
    """What a function returns in a child that has nothing to lose; as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 200)
        try:
            said = repr(run())
        except BaseException as error:  # noqa: BLE001 - shown
            said = repr(error)
        os.write(200, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def evaluated(said: str) -> Any:
    """What was said, if it was no failure."""
    try:
        return ast.literal_eval(said)
    except (ValueError, SyntaxError):
        return said


def pipe_where_all_is_closed() -> Any:
    def make() -> dict[str, Any]:
        for number in (0, 1, 2):
            os.close(number)
        before = numbers()
        reading, writing = pipe_above()
        found = {
            "above": min(reading, writing) > 2,
            "open": len(numbers() - before),
            "inherited": os.get_inheritable(reading) or os.get_inheritable(writing),
        }
        os.write(writing, b"x")
        return {**found, "read": os.read(reading, 1).decode()}

    return evaluated(in_child(make))


def opened_where_all_is_closed() -> Any:
    def make() -> dict[str, Any]:
        for number in (0, 1, 2):
            os.close(number)
        before = numbers()
        descriptor = open_above(os.devnull, os.O_RDONLY)
        return {
            "above": descriptor > 2,
            "open": len(numbers() - before),
            "inherited": os.get_inheritable(descriptor),
        }

    return evaluated(in_child(make))


def close_but_some() -> Any:
    def close() -> dict[str, Any]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it is to stay open
        sock = socket.socket()
        number, lost = os.pipe()
        most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 5000) - 1
        high = duplicate_above(lost, most)
        close_open_files([file, sock, number, 200])
        return {
            "kept": [is_open(each) for each in (file.fileno(), sock.fileno(), number, 200)],
            "closed": [is_open(each) for each in (lost, high, 1)],
            "left": len(numbers()),
        }

    return evaluated(in_child(close))


def close_everything() -> int:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        close_open_files()
        os._exit(len(numbers()))
    os.close(writing)
    os.read(reading, 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def close_but_closed() -> Any:
    def close() -> str:
        close_open_files({0, 1, 2, 200, 1999})
        return "closed" if len(numbers()) == 4 else str(numbers())

    return evaluated(in_child(close))


def close_below_huge_limit() -> Any:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in (HUGE, 1 << 20, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        except (OSError, ValueError):
            continue
        break

    def close() -> float:
        began = time.monotonic()
        close_open_files({0, 1, 2, 200})
        return time.monotonic() - began

    return evaluated(in_child(close))


def close_without_list(folder: str) -> Any:
    if os.geteuid() != 0:
        not_here("only root can be where the system lists nothing")

    def close() -> dict[str, bool]:
        kept, closed = os.pipe()
        os.chroot(folder)
        os.chdir("/")
        close_open_files({kept, 200})
        return {"kept": is_open(kept) and is_open(200), "closed": is_open(closed)}

    return evaluated(in_child(close))


def redirected() -> Any:
    def redirect_output() -> dict[str, Any]:
        with tempfile.TemporaryFile() as file:
            redirect(1, file.fileno())
            found = {
                "same": os.path.sameopenfile(1, file.fileno()),
                "inherited": [os.get_inheritable(1), os.get_inheritable(file.fileno())],
            }
            os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "echo from a child"], os.environ), 0)
            file.seek(0)
            return {**found, "read": file.read().decode()}

    return evaluated(in_child(redirect_output))


def redirected_to_itself() -> Any:
    def redirect_output() -> list[bool]:
        os.set_inheritable(1, False)
        before = os.get_inheritable(1)
        redirect(1, 1)
        return [before, os.get_inheritable(1)]

    return evaluated(in_child(redirect_output))


def standard(before: set[int]) -> dict[str, Any]:
    """What the standard descriptors are, and what is open besides them and what was before."""
    return {
        "files": [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)],
        "inherited": [os.get_inheritable(number) for number in (0, 1, 2)],
        "more": len(numbers() - before - {0, 1, 2}),
    }


def redirected_to_null() -> Any:
    def redirect_all() -> dict[str, Any]:
        before = numbers()
        for number in (0, 1, 2):
            redirect(number, None)
        assert os.read(0, 1) == b""
        assert os.write(1, b"x") == 1
        return standard(before)

    return evaluated(in_child(redirect_all))


def redirected_from_closed() -> list[Any]:
    def redirect_all(order: list[int]) -> dict[str, Any]:
        for number in order:
            os.close(number)
        before = numbers()
        for number in order:
            redirect(number, None)
        modes = [fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE for number in (0, 1, 2)]
        return {**standard(before), "modes": modes}

    return [evaluated(in_child(partial(redirect_all, order))) for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2])]


def renewed(*ways: str) -> list[Any]:
    def renew(how: str) -> list[Any]:
        reading, writing = os.pipe()
        for number in (1, 2):
            redirect(number, writing)
        for name in ("stdin", "stdout", "stderr"):
            if how == "strings":
                setattr(sys, name, io.StringIO())
            elif how == "none":
                setattr(sys, name, None)
            elif how == "closed":
                stream = io.StringIO()
                stream.close()
                setattr(sys, name, stream)
        before = [sys.stdin, sys.stdout, sys.stderr]
        renew_streams()
        after = [sys.stdin, sys.stdout, sys.stderr]
        assert [stream.fileno() for stream in after] == [0, 1, 2]
        print("out", flush=True)
        print("err", file=sys.stderr, flush=True)
        return [[one is not other for one, other in zip(before, after, strict=True)], os.read(reading, 100).decode()]

    return [evaluated(in_child(partial(renew, how))) for how in ways]


def say_what_is_no_text() -> Any:
    def say() -> str:
        reading, writing = os.pipe()
        redirect(1, writing)
        sys.stdout = io.StringIO()
        renew_streams()
        print("file", os.fsdecode(b"\xff"))
        return os.read(reading, 100).decode()

    return evaluated(in_child(say))


def flushed() -> Any:
    def flush() -> str:
        reading, writing = os.pipe()
        redirect(1, writing)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it is to stay open
        print("once", end="")
        flush_streams()
        flush_streams()
        return os.read(reading, 100).decode()

    return evaluated(in_child(flush))


def flushed_without_streams() -> Any:
    def flush() -> str:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        flush_streams()
        closed = io.StringIO()
        closed.close()
        reading, writing = os.pipe()
        os.close(reading)
        broken = open(writing, "w")  # noqa: SIM115 - it is to stay open
        broken.write("x")
        gone = open(os.dup(1), "w")  # noqa: SIM115 - what it writes to is to be closed
        gone.write("x")
        os.close(gone.fileno())
        for stream in (None, closed, broken, gone, object()):
            sys.stdout = sys.stderr = stream  # type: ignore[assignment]
            flush_streams()
        return "flushed"

    return evaluated(in_child(flush))


def limit_of_cores() -> Any:
    def prevent() -> list[int]:
        prevent_core_dump()
        return list(resource.getrlimit(resource.RLIMIT_CORE))

    return evaluated(in_child(prevent))
