"""The file that a daemon's output goes to, and that may be renamed under it."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
from collections.abc import Callable

from papa.daemon import DaemonError
from papa.daemon.logfile import LogFile
from tests.daemon.programs import DaemonTestCase, files_of, need_root

#: A user and a group that no file knows.
UNKNOWN = 54321


class LogTestCase(DaemonTestCase):
    """Tests with one log."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.path("x.log")

    def opened(self, log: LogFile, *arguments: int) -> int:
        """The descriptor of an opened log, until the test ends."""
        descriptor = log.open(*arguments)
        self.addCleanup(os.close, descriptor)
        return descriptor


class OpenTests(LogTestCase):
    """Opening a log."""

    def test_made(self) -> None:
        """A log that is not there is made, for its owner to write and its group to read."""
        self.addCleanup(os.umask, os.umask(0o022))
        descriptor = self.opened(LogFile(self.file))
        self.assertEqual(oct(os.stat(self.file).st_mode & 0o7777), "0o640")
        os.write(descriptor, b"one\n")
        self.assertEqual(self.read("x.log"), "one\n")

    def test_mode(self) -> None:
        """The mode may be another."""
        self.addCleanup(os.umask, os.umask(0))
        self.opened(LogFile(self.file, mode=0o604))
        self.assertEqual(oct(os.stat(self.file).st_mode & 0o7777), "0o604")

    def test_appended(self) -> None:
        """A log that is there goes on at its end, wherever that is by then, and keeps its mode."""
        with open(self.file, "w", encoding="ascii") as file:
            file.write("zero\n")
        os.chmod(self.file, 0o600)
        first, second = self.opened(LogFile(self.file)), self.opened(LogFile(pathlib.Path(self.file)))
        os.write(first, b"one\n")
        os.write(second, b"two\n")
        os.write(first, b"three\n")
        self.assertEqual(self.read("x.log"), "zero\none\ntwo\nthree\n")
        self.assertEqual(oct(os.stat(self.file).st_mode & 0o7777), "0o600")

    def test_descriptor(self) -> None:
        """The descriptor is no standard one, is not inherited, and nothing else stays open."""
        before = len(os.listdir("/proc/self/fd"))
        descriptor = self.opened(LogFile(self.file))
        self.assertGreater(descriptor, 2)
        self.assertFalse(os.get_inheritable(descriptor))
        self.assertTrue(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 1)

    def test_owner(self) -> None:
        """A log that is made belongs to whom it is made for; one that is there stays whose it is."""
        need_root()
        self.opened(LogFile(self.file), UNKNOWN, UNKNOWN + 1)
        found = os.stat(self.file)
        self.assertEqual((found.st_uid, found.st_gid), (UNKNOWN, UNKNOWN + 1))
        self.opened(LogFile(self.file), 0, 0)
        found = os.stat(self.file)
        self.assertEqual((found.st_uid, found.st_gid), (UNKNOWN, UNKNOWN + 1))

    def test_relative(self) -> None:
        """A relative path is refused."""
        error = self.assertRaises(DaemonError, LogFile, "x.log")
        self.assertIn("must be absolute", str(error))

    def test_cannot_be_opened(self) -> None:
        """What cannot be a log is refused, with the reason: in no folder, a folder, and a link to somewhere else."""
        os.mkdir(self.path("folder"))
        os.symlink(self.path("elsewhere"), self.path("link"))
        for name, reason in (
            ("no/x.log", "No such file or directory"),
            ("folder", "Is a directory"),
            ("link", "symbolic link"),
        ):
            error = self.assertRaises(DaemonError, LogFile(self.path(name)).open)
            self.assertIn(f"Cannot open the log {self.path(name)}: ", str(error))
            self.assertIn(reason, str(error))
        self.assertFalse(os.path.exists(self.path("elsewhere")))


class ReopenTests(LogTestCase):
    """Going on in another file, when the first was renamed."""

    #: Writes to its log whenever it is told to, and opens it again first.
    PROGRAM = """
        from papa.daemon.logfile import LogFile
        log = LogFile(path("x.log"))
        first = log.open()
        for number in (1, 2):
            os.dup2(first, number)
        sys.stdout = open(1, "w", buffering=8192, closefd=False)
        before = len(os.listdir("/proc/self/fd"))
        print("printed before")
        for line in sys.stdin:
            log.reopen()
            print("printed", line.strip(), len(os.listdir("/proc/self/fd")) - before, flush=True)
            print("complained", line.strip(), file=sys.stderr, flush=True)
            os.system("echo told by a child")
            note(line.strip())
    """

    def reopen(self, *befores: Callable[[], object]) -> None:
        """Start the program, and let it go on after each change."""
        program = self.begin(self.PROGRAM, stdin=-1)
        assert program.stdin is not None
        self.assert_becomes(True, lambda: os.path.exists(self.file))
        for number, before in enumerate(befores):
            before()
            program.stdin.write(f"{number}\n")
            program.stdin.flush()
            self.noted(str(number))

    def test_renamed(self) -> None:
        """What was printed before stands in the old file, what comes later in the new one; nothing stays open."""
        self.reopen(lambda: os.rename(self.file, self.path("x.log.1")))
        self.assertEqual(self.read("x.log.1"), "printed before\n")
        self.assertEqual(self.read("x.log"), "printed 0 0\ncomplained 0\ntold by a child\n")

    def test_not_renamed(self) -> None:
        """Where nothing has changed nothing is lost."""
        self.reopen(lambda: None)
        self.assertEqual(self.read("x.log"), "printed before\nprinted 0 0\ncomplained 0\ntold by a child\n")

    def test_cannot_be_opened(self) -> None:
        """Where there is no new file to be had the old one goes on, with a word about it, until there is one."""

        def hinder() -> None:
            os.rename(self.file, self.path("x.log.1"))
            os.mkdir(self.file)

        self.reopen(hinder, lambda: os.rmdir(self.file))
        old = self.read("x.log.1")
        self.assertIn("going on in the former log", old)
        self.assertIn("printed before\nprinted 0 0\ncomplained 0\ntold by a child\n", old)
        self.assertEqual(self.read("x.log"), "printed 1 0\ncomplained 1\ntold by a child\n")

    def test_output_elsewhere(self) -> None:
        """Of a daemon whose output goes elsewhere only the errors are in the log, also when that was renamed."""
        pid = self.daemon(
            "target, stdout=open(path('out'), 'wb', buffering=0), log_file=path('x.log')",
            before="""
                def target():
                    def say(number, frame):
                        os.write(1, b"out\\n")
                        os.write(2, b"err\\n")
                        note("said")
                    signal.signal(signal.SIGUSR1, say)
                    note("listening")
                    stay()
            """,
        )
        self.noted("listening")
        os.rename(self.file, self.path("x.log.1"))
        os.kill(pid, signal.SIGHUP)
        self.assert_becomes(self.file, lambda: files_of(pid)[2])
        os.kill(pid, signal.SIGUSR1)
        self.noted("said")
        self.assertEqual((self.read("out"), self.read("x.log")), ("out\n", "err\n"))
