"""Output in a memory file: what is on it after every kind of end, and that a journal on it is a journal."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from papa.continuity.tape import Scratch, Tape
from papa.errors import LimitReached
from papa.kernel.journal import Journal
from papa.records import STDERR, STDOUT
from tests.continuity.golden.making import long_tape
from tests.continuity.leftovers import Refusing, TidyTestCase
from tests.drivers.apart import apart
from tests.kernel import test_journal
from tests.support import is_open


class TapedJournal(Journal):
    """A journal whose output goes through a pipe and onto a tape."""

    def __init__(self, limit: int, *, lossless: bool = False) -> None:
        self.files: list[int] = []
        self.scratch = Scratch()
        self.tape = Tape(self.scratch, self.files.extend)
        self.pipe = os.pipe()
        super().__init__(limit, lossless=lossless, tape=self.tape)

    def append(self, channel: int, data: bytes, now: float) -> None:
        """Print it."""
        for begin in range(0, len(data), 65536):
            os.write(self.pipe[1], data[begin : begin + 65536])
            if self.discarding:
                os.read(self.pipe[0], 65536)
                continue
            left = min(65536, len(data) - begin)
            while left:
                size = self.tape.record(self.pipe[0], channel, now)
                self.stored(channel, size, now)
                left -= size
            self.release_tape()

    def close(self) -> None:
        """Give everything back."""
        self.tape.close()
        os.close(self.scratch.descriptor)
        os.close(self.pipe[0])
        os.close(self.pipe[1])


class _OnTape(TidyTestCase):
    """Has the journals of a test lie on tapes."""

    def setUp(self) -> None:
        super().setUp()

        def journal(limit: int, *, lossless: bool = False) -> TapedJournal:
            made = TapedJournal(limit, lossless=lossless)
            self.addCleanup(made.close)
            return made

        self.patch(test_journal, "Journal", journal)


class TakeTests(_OnTape, test_journal.TakeTests):
    """L{test_journal.TakeTests}."""


class CoalesceTests(_OnTape, test_journal.CoalesceTests):
    """L{test_journal.CoalesceTests}."""


class HoleTests(_OnTape, test_journal.HoleTests):
    """L{test_journal.HoleTests}."""


class AcknowledgeTests(_OnTape, test_journal.AcknowledgeTests):
    """L{test_journal.AcknowledgeTests}."""


class DiscardTests(_OnTape, test_journal.DiscardTests):
    """L{test_journal.DiscardTests}."""


class TapeTests(TidyTestCase):
    """The tape itself."""

    def setUp(self) -> None:
        super().setUp()
        self.scratch = Scratch()
        self.files: list[int] = []
        self.tape = Tape(self.scratch, self.files.extend)
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.addCleanup(os.close, self.reading)

    def write(self, data: bytes) -> None:
        os.write(self.writing, data)

    def next_tape(self) -> Tape:
        """The tape as another kernel finds it."""
        return Tape(Scratch(os.dup(self.scratch.descriptor)), self.fail, self.files)

    def test_made_when_needed(self) -> None:
        """Nothing is made before there is output; the files are given away before anything is in them."""
        self.assertEqual((self.files, list(self.tape.entries(0, 0))), ([], []))
        sizes: list[int] = []
        self.tape = Tape(self.scratch, lambda files: sizes.extend(os.fstat(each).st_size for each in files))
        self.write(b"abc")
        self.assertEqual(self.tape.record(self.reading, STDOUT, 1.0), 3)
        self.assertEqual(sizes, [0, 0])

    def test_not_held(self) -> None:
        """Nothing is put into files that nobody else holds: it waits in the pipe for others."""
        made = Refusing()
        self.tape = Tape(self.scratch, made)
        self.write(b"abc")
        before = len(os.listdir("/proc/self/fd"))
        self.assertRaises(LimitReached, self.tape.record, self.reading, STDOUT, 1.0)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual((self.tape.record(self.reading, STDOUT, 1.0), len(made.files)), (3, 2))

    def test_empty_and_ended(self) -> None:
        """An empty pipe is told from one that has come to its end."""
        self.assertRaises(BlockingIOError, self.tape.record, self.reading, STDOUT, 1.0)
        os.close(self.writing)
        self.assertEqual(self.tape.record(self.reading, STDOUT, 1.0), 0)

    def test_ended_in_silence(self) -> None:
        """Of a pipe from which nothing has come before its end there is nothing to keep, so nothing is made."""
        os.close(self.writing)
        self.assertEqual((self.tape.record(self.reading, STDOUT, 1.0), self.files), (0, []))
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, b"last")
        os.close(writing)
        self.assertEqual([self.tape.record(reading, STDOUT, 1.0) for _ in range(2)], [4, 0])

    def test_entries(self) -> None:
        """What was noted is found by another kernel, from any entry on."""
        for number, (data, channel) in enumerate(((b"one", STDOUT), (b"two!", STDERR), (b"three", STDOUT))):
            self.write(data)
            self.tape.record(self.reading, channel, float(number))
            self.tape.note(number, [3, 7, 12][number], float(number), channel)
        found = self.next_tape()
        self.assertEqual(list(found.entries(0, 0)), [(3, 0.0, STDOUT), (7, 1.0, STDERR), (12, 2.0, STDOUT)])
        self.assertEqual(list(found.entries(2, 7)), [(12, 2.0, STDOUT)])
        self.assertEqual(list(found.entries(3, 12)), [])
        self.assertEqual(found.read(2, 4), b"etwo")

    def test_killed_before_the_entry(self) -> None:
        """What is on the tape and not in the index has the channel and the time of the scratch."""
        self.write(b"one")
        self.tape.record(self.reading, STDOUT, 1.0)
        self.tape.note(0, 3, 1.0, STDOUT)
        self.write(b"two!")
        self.tape.record(self.reading, STDERR, 5.0)
        self.assertEqual(list(self.next_tape().entries(0, 0)), [(3, 1.0, STDOUT), (7, 5.0, STDERR)])
        # It is in the index from now on.
        self.assertEqual(list(self.next_tape().entries(1, 3)), [(7, 5.0, STDERR)])

    def test_killed_after_another(self) -> None:
        """The scratch tells of the last tape that something was put on, and of no other."""
        self.write(b"one")
        self.tape.record(self.reading, STDERR, 1.0)
        other = Tape(self.scratch, lambda files: None)
        self.write(b"two")
        other.record(self.reading, STDOUT, 2.0)
        self.assertEqual(list(self.next_tape().entries(0, 0)), [(3, 0.0, STDOUT)])

    def test_space_is_given_back(self) -> None:
        """What was released takes no memory; what was not is still there."""
        piece = bytes(range(256)) * 256
        for _ in range(128):
            self.write(piece)
            self.tape.record(self.reading, STDOUT, 1.0)
        full = os.fstat(self.files[0]).st_blocks
        self.tape.release(127 * len(piece), 0)
        self.assertLess(os.fstat(self.files[0]).st_blocks, full // 5)
        self.assertEqual(self.tape.read(127 * len(piece), len(piece)), piece)

    def test_index_is_given_back(self) -> None:
        """So are entries."""
        self.write(b"x")
        self.tape.record(self.reading, STDOUT, 1.0)
        for number in range(40_000):
            self.tape.note(number, number + 1, 1.0, STDOUT)
        full = os.fstat(self.files[1]).st_blocks
        self.tape.release(0, 39_000)
        self.assertLess(os.fstat(self.files[1]).st_blocks, full // 8)

    def test_no_room_in_the_index(self) -> None:
        """What is on the tape is noted before anything else is put there, though there was no room for it at first."""
        self.assertEqual(
            apart(_full_index), {"waits": "No space left on device", "entries": [[3, 1.0, STDOUT], [5, 2.0, STDERR]]}
        )

    def test_no_room_in_the_index_until_the_end(self) -> None:
        """If there never is, the next kernel knows the channel and the time all the same, whatever came between."""
        self.assertEqual(
            apart(_killed_with_a_full_index),
            {"entries": [[[3, 1.0, STDERR]], [[3, 1.0, STDERR]], [[2, 2.0, STDOUT]]], "left": [None, None]},
        )

    def test_no_room_anywhere(self) -> None:
        """With too many such tapes nothing is recorded any more, until one of them is noted."""
        scratch = Scratch()
        inode = 0
        while not scratch.full:
            inode += 1
            scratch.keep(inode, STDERR, 1.0)
        self.assertGreater(inode, 100)
        self.write(b"one")
        tape = Tape(scratch, self.files.extend)
        with self.assertRaisesRegex(OSError, "No space"):
            tape.record(self.reading, STDOUT, 1.0)
        self.assertEqual(Scratch(os.dup(scratch.descriptor)).noted(inode), (1.0, STDERR))
        scratch.let_go(inode)
        self.assertEqual(tape.record(self.reading, STDOUT, 1.0), 3)
        os.close(scratch.descriptor)

    def test_no_descriptor_for_the_index(self) -> None:
        """A tape that cannot be made leaves nothing behind."""
        self.assertEqual(apart(_no_descriptor), 0)

    def test_killed_at_any_moment(self) -> None:
        """Whenever its writer is killed, a byte is on the tape or in the pipe, and never in both or neither."""
        text = b"".join(b"%07d\n" % number for number in range(40_000))
        for delay in (0.0, 0.001, 0.003, 0.006, 0.01):
            with self.subTest(delay=delay):
                self.assertEqual(self.after_a_kill(text, delay), text)

    def after_a_kill(self, text: bytes, delay: float) -> bytes:
        """What is on a tape and in the pipe behind it after somebody who copied from one to the other was killed."""
        data, index = os.memfd_create("data"), os.memfd_create("index")
        scratch = Scratch()
        reading, writing = os.pipe()
        descriptors = (reading, data, index, scratch.descriptor)
        source = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(writing)], pass_fds=[writing], stdin=subprocess.PIPE
        )
        os.close(writing)
        recorder = subprocess.Popen([sys.executable, "-c", _RECORDER, *map(str, descriptors)], pass_fds=descriptors)
        assert source.stdin is not None
        source.stdin.write(text)
        source.stdin.close()
        _await(lambda: os.fstat(index).st_size > 0)
        _spin(delay)
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
        tape = Tape(Scratch(scratch.descriptor), self.fail, [data, index])
        found = b""
        number = -1
        for end, _, _ in tape.entries(0, 0):
            found += tape.read(len(found), end - len(found))
            number += 1
        while size := _recorded(tape, reading):
            found += tape.read(len(found), size)
            number += 1
            tape.note(number, len(found), 1.0, STDOUT)
        source.wait()
        os.close(reading)
        tape.close()
        return found


_WRITER = """
import os, sys
fd = int(sys.argv[1])
data = sys.stdin.buffer.read()
while data:
    data = data[os.write(fd, data[:1000]):]
"""
_RECORDER = """
import select, sys
from papa.continuity.tape import Scratch, Tape
reading, data, index, scratch = map(int, sys.argv[1:])
tape = Tape(Scratch(scratch), print, [data, index])
list(tape.entries(0, 0))
number = end = 0
while True:
    select.select([reading], [], [])
    end += tape.record(reading, 1, 1.0)
    tape.note(number, end, 1.0, 1)
    number += 1
"""


def _full_index() -> dict[str, Any]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    files: list[int] = []
    tape = Tape(Scratch(), files.extend)
    os.write(writing, b"one")
    tape.record(reading, STDOUT, 1.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
    tape.note(0, 3, 1.0, STDOUT)
    os.write(writing, b"22")
    found: dict[str, Any] = {}
    try:
        tape.record(reading, STDERR, 2.0)
    except OSError as error:
        found["waits"] = error.strerror
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tape.record(reading, STDERR, 2.0)
    tape.note(1, 5, 2.0, STDERR)
    return {**found, "entries": list(Tape(Scratch(), print, files).entries(0, 0))}


def _killed_with_a_full_index() -> dict[str, Any]:
    reading, writing = os.pipe()
    scratch = Scratch()
    made: list[list[int]] = []
    one, other = Tape(scratch, made.append), Tape(scratch, made.append)
    os.write(writing, b"one")
    one.record(reading, STDERR, 1.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
    one.note(0, 3, 1.0, STDERR)
    os.write(writing, b"22")
    other.record(reading, STDOUT, 2.0)
    # Once by a kernel that has no room either.
    found = [list(Tape(Scratch(scratch.descriptor), print, made[0]).entries(0, 0))]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    last = Scratch(scratch.descriptor)
    found += [list(Tape(last, print, files).entries(0, 0)) for files in made]
    return {"entries": found, "left": [last.noted(os.fstat(made[0][0]).st_ino), Scratch(scratch.descriptor).noted(0)]}


def _no_descriptor() -> int:
    reading, _ = os.pipe()
    tape = Tape(Scratch(), print)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, 1000))
    with contextlib.suppress(OSError):
        tape.record(reading, STDOUT, 1.0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    return len(os.listdir("/proc/self/fd")) - before


def _recorded(tape: Tape, pipe: int) -> int:
    select.select([pipe], [], [])
    return tape.record(pipe, STDOUT, 1.0)


def _await(condition: Callable[[], bool]) -> None:
    while not condition():
        pass


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class StraightTests(TidyTestCase):
    """A tape as the first format has it."""

    def test_straightened(self) -> None:
        """Each byte lies at its mark, and the index says nothing of slots; it can be gone on with as with any other."""
        tape = Tape(Scratch(), lambda made: None, long_tape())
        before = list(tape.entries(92, 900_000))
        made: list[int] = []
        tape._made = made.extend
        tape.straighten(905_000, 94)
        data, index = made
        self.assertEqual((os.fstat(data).st_size, os.lseek(data, 0, os.SEEK_CUR)), (1_000_000, 0))
        expected = b"".join(b"%09d\n" % number * 1000 for number in range(90, 100))[5000:]
        self.assertEqual(os.pread(data, 200_000, 905_000), expected)
        log = os.pread(index, 1 << 20, 94 * 24)
        self.assertEqual(list(struct.iter_unpack("<QdQ", log)), before[2:])
        following = Tape(Scratch(), self.fail, made)
        self.assertEqual(list(following.entries(94, 0)), before[2:])
        self.assertEqual(following.read(905_000, 95_000), expected)

    def test_refused(self) -> None:
        """If nobody can be given the new files, they are closed, and the old ones are as they were."""

        def refuse(files: list[int]) -> None:
            refused.extend(files)
            raise LimitReached("no room")

        tape = Tape(Scratch(), lambda made: None, long_tape())
        list(tape.entries(92, 900_000))
        refused: list[int] = []
        tape._made = refuse
        self.assertRaises(LimitReached, tape.straighten, 905_000, 94)
        self.assertEqual([is_open(file) for file in refused], [False, False])
        self.assertEqual(tape.read(950_000, 10), b"%09d\n" % 95)

    def test_nothing(self) -> None:
        """One on which nothing was put stays without files."""
        Tape(Scratch(), self.fail).straighten(0, 0)
