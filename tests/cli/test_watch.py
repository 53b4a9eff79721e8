"""C{papa watch}: output in files, each byte once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess

from papa.cli.shipping import Shipper
from papa.errors import BadRequest, NotAllowed
from papa.records import Closed, Hole, Output
from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE, KernelTestCase, script, unmeasured, until


def printed(data: bytes, mark: int, invocation: str = "1@0.0", name: str = "job") -> Output:
    """A piece of output."""
    return Output(name=name, channel=1, timestamp=0.0, data=data, mark=mark, invocation=invocation)


def missing(size: int, mark: int, invocation: str = "1@0.0") -> Hole:
    """A piece that was dropped."""
    return Hole(name="job", size=size, first=1.0, last=2.0, mark=mark, invocation=invocation)


class ShipperTests(KernelTestCase):
    """What is written, whenever the writer ends."""

    def setUp(self) -> None:
        super().setUp()
        self.out = os.path.join(self.folder, "out")

    def ship(self, *items: Output | Hole | Closed) -> None:
        """A writer that gets these, and ends."""
        shipper = Shipper(self.out)
        try:
            shipper.show(items)
        finally:
            shipper.finish()

    def read(self, name: str = "job.log") -> bytes:
        with open(os.path.join(self.out, name), "rb") as file:
            return file.read()

    def test_what_comes_again_is_left_out(self) -> None:
        """What was written and not acknowledged comes again, from anywhere behind what was; it is there once."""
        self.ship(printed(b"0123456789", 10))
        for mark in range(11):
            self.ship(printed(b"0123456789"[mark:], 10))
            self.assertEqual(self.read(), b"0123456789")
        self.ship(printed(b"56789abc", 13))
        self.assertEqual(self.read(), b"0123456789abc")

    def test_cut_within_a_piece(self) -> None:
        """A piece of which a part was written is gone on with behind that part."""
        self.ship(printed(b"01234", 5))
        with open(os.path.join(self.out, "job.log"), "ab") as file:
            file.write(b"567")
        self.ship(printed(b"56789", 10))
        self.assertEqual(self.read(), b"0123456789")

    def test_begins_in_the_middle(self) -> None:
        """What others had acknowledged before is not missed."""
        self.ship(printed(b"789", 10))
        self.ship(printed(b"9abc", 13))
        self.assertEqual(self.read(), b"789abc")

    def test_another_process_of_the_name(self) -> None:
        """What another process of the name prints follows, though its marks begin anew."""
        self.ship(printed(b"first", 5), Closed(name="job", timestamp=0.0, exit_code=0, invocation="1@0.0"))
        self.ship(printed(b"second", 6, "2@1.0"))
        self.ship(printed(b"second", 6, "2@1.0"), printed(b"third", 5, "3@2.0"))
        self.assertEqual(self.read(), b"firstsecondthird")

    def test_holes(self) -> None:
        """What was dropped is told beside the file, once, with exactly what is missing there."""
        self.ship(printed(b"0123", 4), missing(6, 10), printed(b"abc", 13))
        self.ship(missing(9, 13), printed(b"def", 16))
        self.ship(missing(2, 18))
        self.assertEqual(self.read(), b"0123abcdef")
        told = [json.loads(line) for line in self.read("job.holes").splitlines()]
        self.assertEqual([(each["offset"], each["bytes"]) for each in told], [(4, 6), (10, 2)])

    def test_ends(self) -> None:
        """How each process ended is told beside the file, once, also if papa was not told that it was."""
        ends = [
            Closed(name="job", timestamp=float(number), exit_code=number, invocation=f"{number}@") for number in (3, 4)
        ]
        for _ in range(2):
            self.ship(printed(b"0123", 4, "3@"), ends[0])
        self.ship(printed(b"56", 2, "4@"), ends[1])
        self.ship(ends[1])
        told = [json.loads(line) for line in self.read("job.ends").splitlines()]
        self.assertEqual(
            [(each["exit_code"], each["time"], each["offset"]) for each in told], [(3, 3.0, 4), (4, 4.0, 6)]
        )

    def test_hole_that_takes_what_was_written(self) -> None:
        """What was written before it was dropped is not missing."""
        self.ship(printed(b"0123", 4))
        self.ship(missing(6, 6), printed(b"67", 8))
        told = [json.loads(line) for line in self.read("job.holes").splitlines()]
        self.assertEqual((self.read(), [each["bytes"] for each in told]), (b"012367", [2]))

    def test_rotated(self) -> None:
        """A file that was given another name meanwhile is not written to again, and nothing of it is written twice."""
        self.ship(printed(b"0123", 4))
        os.rename(os.path.join(self.out, "job.log"), os.path.join(self.out, "job.log.1"))
        self.ship(printed(b"23456", 7))
        self.assertEqual((self.read("job.log.1"), self.read()), (b"0123", b"456"))
        self.ship(printed(b"23456789", 10))
        self.assertEqual(self.read(), b"456789")

    def test_rotated_while_it_runs(self) -> None:
        """On SIGHUP the writer goes on in a new file."""
        shipper = Shipper(self.out)
        shipper.show([printed(b"0123", 4)])
        os.rename(os.path.join(self.out, "job.log"), os.path.join(self.out, "job.log.1"))
        shipper.show([printed(b"45", 6)])
        shipper.reopen()
        shipper.show([printed(b"67", 8)])
        shipper.finish()
        self.ship(printed(b"45678", 9))
        self.assertEqual((self.read("job.log.1"), self.read()), (b"012345", b"678"))

    def test_another_with_its_number(self) -> None:
        """A file that has got the number of the one that was deleted is not taken for it."""
        self.ship(printed(b"0123", 4))
        other = os.path.join(self.out, ".job.note.new")
        os.rename(os.path.join(self.out, "job.log"), other)
        os.truncate(other, 100)
        self.ship(printed(b"45", 6))
        self.assertEqual(self.read(), b"45")

    def test_taken_away(self) -> None:
        """A file that was deleted or emptied is begun anew."""
        self.ship(printed(b"0123", 4))
        os.remove(os.path.join(self.out, "job.log"))
        self.ship(printed(b"45", 6))
        self.assertEqual(self.read(), b"45")
        os.truncate(os.path.join(self.out, "job.log"), 0)
        self.ship(printed(b"67", 8))
        self.ship(printed(b"678", 9))
        self.assertEqual(self.read(), b"678")

    def test_links(self) -> None:
        """What somebody else has put in the way, to lead it elsewhere or to have it wait, is refused or replaced."""
        victim = os.path.join(self.folder, "victim")
        with open(victim, "w", encoding="ascii") as file:
            file.write("precious")
        for name in ("job.log", "job.ends", "job.holes", ".job.note"):
            for make in (os.symlink, os.link, lambda _, path: os.mkfifo(path)):
                shutil.rmtree(self.out, ignore_errors=True)
                os.mkdir(self.out)
                path = os.path.join(self.out, name)
                make(victim, path)
                with self.assertRaisesRegex(BadRequest, "is a link or no file: move it away"):
                    self.ship(missing(10, 10), Closed(name="job", timestamp=0.0, exit_code=0, invocation="1@0.0"))
                os.unlink(path)
        os.symlink(victim, os.path.join(self.out, ".job.note.new"))
        self.ship(printed(b"x", 1, "2@0.0"))
        with open(victim, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_one_at_a_time(self) -> None:
        """Two writers would not know of each other: the second is refused."""
        shipper = Shipper(self.out)
        self.addCleanup(shipper.finish)
        self.assertIn("Somebody else writes to", str(self.assertRaises(NotAllowed, Shipper, self.out)))

    def test_unusable(self) -> None:
        """A folder that cannot be made, and a note that is none, are refused."""
        self.assertRaises(BadRequest, Shipper, "/proc/x/y")
        self.ship(printed(b"x", 1))
        with open(os.path.join(self.out, ".job.note"), "w", encoding="utf-8") as note:
            note.write("[]")
        self.assertIn("is no note of papa's", str(self.assertRaises(BadRequest, self.ship, printed(b"y", 2))))


class WatchTests(SharedKernelTestCase):
    """The verb."""

    #: How often the writer is killed.
    KILLS = 40

    def setUp(self) -> None:
        super().setUp()
        self.out = os.path.join(self.folder, "out")
        self.client = self.connect_papa()
        self.random = random.Random(7)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.begin_papa("watch", *arguments, stderr=subprocess.STDOUT, text=False)

    def size(self) -> int:
        try:
            return os.stat(os.path.join(self.out, "job.log")).st_size
        except FileNotFoundError:
            return 0

    def test_killed_at_any_point(self) -> None:
        """A writer that is killed again and again while megabytes are printed misses no byte and writes none twice."""
        script = "while read -r from to; do seq $from $to; done"
        self.client.make_process("job", "/bin/sh", ["-c", script], stdin=subprocess.PIPE, overflow="block")
        lines = 0
        for _ in range(self.KILLS):
            self.client.write_process("job", b"%d %d\n" % (lines + 1, lines + 20_000))
            lines += 20_000
            writer = self.start("job", "--cursor", "ship", "--to-dir", self.out)
            goal = self.size() + self.random.randrange(1, 100_000)
            until(lambda: self.size() >= goal or writer.poll() is not None, "some output")  # noqa: B023
            writer.kill()
            writer.wait(PATIENCE)
        self.client.close_stdin("job")
        writer = self.start("job", "--cursor", "ship", "--to-dir", self.out)
        self.assertEqual(writer.wait(PATIENCE), 0)
        with open(os.path.join(self.out, "job.log"), "rb") as file:
            self.assertTrue(file.read() == b"".join(b"%d\n" % number for number in range(1, lines + 1)))
        self.assertEqual(self.client.list_processes(), {})

    def test_pipe(self) -> None:
        """What is printed is forgotten once it is, with its end."""
        self.client.make_process("job", "/bin/sh", ["-c", "echo out; echo err >&2; exit 3"])
        finished = self.papa("watch", "job", "--raw")
        self.assertEqual((finished.stdout, finished.stderr), ("out\n", "err\n"))
        self.assertEqual(self.client.list_processes(), {})
        self.papa("watch", "job", code=4)

    def test_no_room(self) -> None:
        """A file that cannot grow ends it with one sentence, and what was not written stays with papa."""
        self.client.make_process("job", "/bin/sh", ["-c", "PATH=/usr/bin:/bin seq 100000"])
        until(lambda: not self.client.list_processes()["job"]["running"], "its end")
        words = [script("papa"), "watch", "job", "--to-dir", self.out, "--no-follow"]
        finished = subprocess.run(
            ["bash", "-c", "ulimit -f 8; trap '' XFSZ; exec \"$@\"", "bash", *words],
            # What measures coverage has no room either, and says so.
            env=unmeasured(self.environ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((finished.returncode, finished.stdout), (1, ""))
        self.assertEqual(
            finished.stderr, f"papa: cannot write to {self.out}: File too large; what was not written stays with papa\n"
        )
        self.papa(*words[1:])
        with open(os.path.join(self.out, "job.log"), encoding="ascii") as file:
            self.assertEqual([int(line) for line in file], list(range(1, 100_001)))

    def test_reader_that_goes(self) -> None:
        """Where the pipe has no reader any more, what was not read stays with papa."""
        self.client.make_process("job", "/bin/sh", ["-c", "echo kept; sleep 1000"])
        until(lambda: self.client.list_processes()["job"].get("captured"), "output")
        reading, writing = os.pipe()
        os.close(reading)
        finished = self.papa("watch", "job", "--raw", capture_output=False, stdout=writing, stderr=writing, code=None)
        os.close(writing)
        self.assertEqual(finished.returncode, 128 + signal.SIGPIPE)
        self.assertIn("kept", self.papa("logs", "--raw", "job").stdout)

    def test_interrupted(self) -> None:
        """SIGTERM and the interrupt key end it, and leave what was not acknowledged."""
        self.client.make_process("job", "/bin/sh", ["-c", "sleep 1000"])
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            writer = self.start("job", "--to-dir", self.out)
            until(lambda: os.path.exists(os.path.join(self.out, ".papa-watch.pid")), "its lock")
            writer.send_signal(number)
            self.assertEqual(writer.wait(PATIENCE), code)
            self.assertFalse(os.path.exists(os.path.join(self.out, ".papa-watch.pid")))
