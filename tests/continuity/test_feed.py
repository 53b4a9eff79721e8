"""Input in a memory file: what comes to the process, whenever the kernel is killed."""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import sys
import time
from typing import Any

from papa.continuity.feed import Feed
from papa.errors import LimitReached
from tests.continuity.leftovers import Refusing, TidyTestCase
from tests.drivers.apart import apart


class FeedTests(TidyTestCase):
    """A feed and a pipe."""

    def setUp(self) -> None:
        super().setUp()
        self.files: list[int] = []
        self.feed = Feed(self.files.extend)
        self.reading, self.pipe = os.pipe()
        os.set_blocking(self.pipe, False)
        os.set_blocking(self.reading, False)

    def send_all(self) -> None:
        """As much as the pipe takes."""
        try:
            while self.feed.waiting:
                self.feed.send(self.pipe)
        except BlockingIOError:
            pass

    def taken(self) -> bytes:
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""

    def test_nothing(self) -> None:
        """Without anything to send there is no file."""
        self.assertEqual((self.feed.waiting, self.feed.unsent(), self.feed.closes, self.files), (0, b"", False, []))
        self.feed.close()

    def test_sent(self) -> None:
        """What is put there is sent in order."""
        for data in (b"one", b"two", b"three"):
            self.feed.add(data, self.pipe)
        self.assertEqual((self.feed.waiting, self.feed.unsent()), (11, b"onetwothree"))
        self.send_all()
        self.assertEqual((self.taken(), self.feed.waiting, len(self.files)), (b"onetwothree", 0, 1))

    def test_full_pipe(self) -> None:
        """What the pipe has no room for waits, and nothing of it is changed by what is put there meanwhile."""
        sent = taken = b""
        for number in range(50):
            data = b"%06d " % number * 10_000
            self.feed.add(data, self.pipe)
            sent += data
            self.send_all()
            taken += self.taken()
        while self.feed.waiting:
            self.send_all()
            taken += self.taken()
        self.assertEqual(len(taken), len(sent))
        self.assertEqual(taken, sent)

    def test_space(self) -> None:
        """What the process has taken takes no memory; what is in the pipe is not given back."""
        for _ in range(100):
            self.feed.add(b"x" * 50_000, self.pipe)
            self.send_all()
            self.assertEqual(len(self.taken()), 50_000)
        self.assertLess(os.fstat(self.files[0]).st_blocks * 512, 200_000)

    def test_goes_on(self) -> None:
        """Another kernel sends on behind what was sent, and then ends it."""
        self.feed.add(b"x" * 100_000, self.pipe)
        self.feed.add(b"last", self.pipe)
        self.feed.end()
        self.send_all()
        taken = self.taken()
        self.feed = Feed(self.fail, [os.dup(self.files[0])])
        self.assertEqual((self.feed.waiting, self.feed.closes), (100_004 - len(taken), True))
        self.send_all()
        self.assertEqual(taken + self.taken(), b"x" * 100_000 + b"last")

    def test_nobody_reads(self) -> None:
        """What nobody will read is not sent."""
        self.feed.add(b"x", self.pipe)
        os.close(self.reading)
        self.assertRaises(BrokenPipeError, self.feed.send, self.pipe)

    def test_no_room(self) -> None:
        """Where there is no memory nothing of it is to be sent; what was, still is."""
        self.assertEqual(
            apart(_without_room), ["There is no memory for this input", "There is no memory for this input", 3]
        )

    def test_not_held(self) -> None:
        """Nothing is to be sent from a file that nobody else holds: another is made for what comes next."""
        made = Refusing()
        self.feed = Feed(made)
        before = len(os.listdir("/proc/self/fd"))
        self.assertRaises(LimitReached, self.feed.add, b"lost", self.pipe)
        self.assertEqual((self.feed.waiting, len(os.listdir("/proc/self/fd"))), (0, before))
        self.feed.add(b"x", self.pipe)
        self.assertEqual((self.feed.unsent(), len(made.files)), (b"x", 1))

    def test_killed(self) -> None:
        """Whenever a kernel is killed, all that it was done with is sent once, and of the rest all or nothing."""
        feed = self.feed
        feed.add(_line(0), self.pipe)
        chance = random.Random(1)
        taken, done = b"", 1
        for _ in range(60):
            done, rest = self.run_and_kill(done, chance.uniform(0, 0.02))
            taken += rest
        self.feed = Feed(self.fail, [os.dup(self.files[0])])
        while self.feed.waiting:
            self.send_all()
            taken += self.taken()
        taken += self.taken()
        lines = taken.splitlines(keepends=True)
        self.assertGreater(len(lines), 60)
        # What was not answered for may have been done, and was then done again.
        numbers = [int(line.split()[0]) for line in lines]
        self.assertEqual(taken, b"".join(map(_line, numbers)))
        self.assertEqual(sorted(set(numbers)), list(range(done)) if numbers[-1] < done else list(range(done + 1)))
        self.assertEqual(sorted(numbers), numbers)
        self.assertLessEqual(len(numbers) - len(set(numbers)), 60)

    def run_and_kill(self, number: int, after: float) -> tuple[int, bytes]:
        """Have a kernel send lines from that number on, and kill it; up to where it was done, and what was taken."""
        answers, answering = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(answering, b"!")
                _send_lines(Feed(sys.exit, [self.files[0]]), self.pipe, number, answering)
            finally:
                os._exit(1)
        os.close(answering)
        os.read(answers, 1)  # It has begun.
        taken, deadline = b"", time.monotonic() + after
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.reading], [], [], left)[0]:
                taken += self.taken()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        told = b""
        while data := os.read(answers, 65536):
            told += data
        os.close(answers)
        return number + len(told), taken


def _line(number: int) -> bytes:
    return b"%d %s\n" % (number, b"abcdefghij" * (number * 7919 % 3000))


def _send_lines(feed: Feed, pipe: int, number: int, answering: int) -> None:
    while True:
        if feed.waiting < 65536:
            feed.add(_line(number), pipe)
            os.write(answering, b".")
            number += 1
        try:
            feed.send(pipe)
        except BlockingIOError:
            select.select([], [pipe], [])


def _without_room() -> list[Any]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    reading, pipe = os.pipe()
    feed = Feed(print)
    feed.add(b"abc", pipe)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 100, resource.RLIM_INFINITY))
    said: list[Any] = []
    for _ in range(2):
        try:
            feed.add(b"x" * 200, pipe)
        except LimitReached as error:
            said.append(str(error))
    feed.send(pipe)
    return [*said, len(os.read(reading, 1000))]
