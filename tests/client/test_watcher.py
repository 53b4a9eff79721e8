"""C{papa.Watcher} against a real kernel."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from papa import Error, Papa, ProcessOutput, Watcher
from papa.client.progress import Progress, behind
from papa.commands import ListProcesses, WatchProcesses
from papa.errors import ConnectionLost
from papa.records import Closed, Hole, Output, Process
from papa.wire import schema
from papa.wire.messages import Acknowledge, Watching
from tests.client.sharing import SharedKernelTestCase, is_readable, read_to_end, read_until, wait_readable
from tests.client.test_connection import GREETING, Partner, PlayedKernel, PlayedTestCase, push
from tests.support import PATIENCE, until

#: Prints a line for each that it is sent.
ECHO = ["sh", "-c", 'while read line; do echo "$line"; done']


class ProgressTests(SynchronousTestCase):
    """What has come, and what is to be asked for when another kernel goes on."""

    def test_pieces(self) -> None:
        """Of a piece that has come in part only the rest comes; of one that begins behind what has come, no more."""
        output = Output(name="a", channel=1, timestamp=1.0, data=b"abcd", mark=10, invocation="1@0")
        hole = Hole(name="a", size=4, first=1.0, last=2.0, mark=10, invocation="1@0")
        for mark, size in ((0, 4), (6, 4), (7, 3), (9, 1)):
            self.assertEqual(behind(output, mark), replace(output, data=b"abcd"[-size:]))
            self.assertEqual(behind(hole, mark), replace(hole, size=size))
        for mark in (10, 11):
            self.assertEqual((behind(output, mark), behind(hole, mark)), (None, None))

    def test_end_comes_once(self) -> None:
        """An end that comes again is no other end."""
        progress = Progress(WatchProcesses(names=("a",)))
        end = Closed(name="a", timestamp=1.0, exit_code=0, invocation="1@0")
        self.assertEqual((progress.fresh([end]), progress.fresh([end])), ([end], []))

    def test_same_processes(self) -> None:
        """Without a cursor the processes that were watched are, as far as they are held, though none has printed."""
        progress = Progress(WatchProcesses(names=("web.*",)))
        progress.began({"web.1": "1@0", "web.2": "2@0"})
        self.assertEqual(progress.left(["web.1", "web.3"]), WatchProcesses(names=("web.1",)))
        self.assertIsNone(progress.left(["web.3"]))

    def test_same_patterns(self) -> None:
        """With a cursor the patterns are, and the names that are held; what was asked for all, is again."""
        progress = Progress(WatchProcesses(names=("a", "b", "web.*"), cursor="ship"))
        progress.began({"a": "1@0", "b": "2@0"})
        self.assertEqual(progress.left(["b", "c"]), WatchProcesses(names=("b", "web.*"), cursor="ship"))
        self.assertEqual(Progress(WatchProcesses(cursor="ship")).left([]), WatchProcesses(cursor="ship"))
        self.assertIsNone(Progress(WatchProcesses(names=("a",), cursor="ship")).left(["b"]))


class WatcherTestCase(SharedKernelTestCase):
    """Tests with a process that prints when a test wants it to."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()
        self.other = self.connect_papa()

    def make_echo(self, name: str = "echo", **options: object) -> None:
        self.other.make_process(name, args=ECHO, stdin=-1, **options)

    def echo(self, line: str, name: str = "echo") -> None:
        self.other.write_process(name, f"{line}\n".encode())

    def watch(self, *names: str, **options: bool) -> Watcher:
        watcher = self.client.watch_processes(*names, **options)
        self.addCleanup(watcher.close)
        return watcher

    def wait_for_output(self, expected: bytes, name: str = "echo") -> None:
        """Wait until the kernel holds this output, without taking any of it away."""
        with self.connect_papa().watch_processes(name, observe=True) as observer:
            read_until(observer, lambda data: data.endswith(expected))


class ReadTests(WatcherTestCase):
    """Reading."""

    def test_shape(self) -> None:
        """A read is standard output, standard error and ends; each a name, a time and bytes or an exit code."""
        self.other.make_process("job", "sh", ["-c", "echo out; echo err >&2; exit 3"])
        until(lambda: not self.other.list_processes("job")["job"]["running"])
        out, err, closed = [], [], []
        with self.watch("job") as watcher:
            while (read := watcher.read()) is not None:
                self.assertIsInstance(read, tuple)
                out += read[0]
                err += read[1]
                closed += read[2]
            self.assertEqual(watcher.exit_code, {"job": 3})
        self.assertEqual([(each.name, each.data) for each in out], [("job", b"out\n")])
        self.assertEqual([(each.name, each.data) for each in err], [("job", b"err\n")])
        self.assertEqual([(each.name, each.data) for each in closed], [("job", 3)])
        for each in out + err + closed:
            self.assertIsInstance(each, ProcessOutput)
            self.assertIsInstance(each.timestamp, float)

    def test_records_in_order(self) -> None:
        """C{read_items} gives the same as records, in the order in which it happened, the end last."""
        self.other.make_process("job", "sh", ["-c", "echo 1; exec sleep 0"])
        items = []
        watcher = self.watch("job")
        while (batch := watcher.read_items()) is not None:
            items += batch
        self.assertEqual([type(each) for each in items], [Output, Closed])

    def test_killed_child(self) -> None:
        """The exit code of a killed process is the signal's number, negative."""
        pid = self.other.make_process("job", "sleep", "1000")["pid"]
        watcher = self.watch("job")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(read_to_end(watcher)[2], {"job": -9})

    def test_many(self) -> None:
        """Several processes are read together, until the last has ended."""
        for number in range(5):
            self.other.make_process(f"job.{number}", "sh", ["-c", f"echo {number}; exit {number}"])
        out, _, codes = read_to_end(self.watch("job.*"))
        self.assertEqual(sorted(out.split()), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(codes, {f"job.{number}": number for number in range(5)})

    def test_much(self) -> None:
        """Megabytes of any bytes arrive complete and in order."""
        size = 3 << 20
        self.other.make_process("job", "sh", ["-c", f"yes '] > out:job:1.0:5' | head -c {size}"], bufsize="8m")
        out = read_to_end(self.watch("job"))[0]
        self.assertEqual(len(out), size)
        self.assertEqual(out, (b"] > out:job:1.0:5\n" * (size // 18 + 1))[:size])

    def test_holes(self) -> None:
        """What a full buffer dropped is told, exactly, and what was kept is the newest."""
        self.other.make_process("job", "sh", ["-c", "yes | head -c 300000"], bufsize=10000)
        until(lambda: not self.other.list_processes("job")["job"]["running"])
        watcher = self.watch("job")
        out = read_to_end_with_holes(watcher)
        [hole] = watcher.holes
        self.assertIsInstance(hole, Hole)
        self.assertEqual(hole.size + len(out), 300000)
        self.assertLessEqual(len(out), 10000)
        self.assertLessEqual(hole.first, hole.last)

    def test_holes_of_one_watched_as_it_is_made(self) -> None:
        """So it is for a process that is watched from its start."""
        watcher = self.client.make_process(
            "job", "sh", ["-c", "yes | head -c 300000"], bufsize=10000, watch_immediately=True
        )
        until(lambda: not self.other.list_processes("job")["job"]["running"])
        out = read_to_end_with_holes(watcher)
        self.assertEqual(sum(hole.size for hole in watcher.holes) + len(out), 300000)

    def test_nothing_to_watch(self) -> None:
        """A name that is not held is refused, and the client goes on."""
        self.assertRaises(Error, self.client.watch_processes, "nobody")
        self.assertRaises(Error, self.client.watch_processes)
        self.client.set("x", "1")
        self.assertEqual(self.client.get("x"), "1")

    def test_without_following(self) -> None:
        """A watch that does not follow ends with what is there, though the process goes on."""
        self.make_echo()
        self.echo("kept")
        self.wait_for_output(b"kept\n")
        watcher = self.watch("echo", follow=False)
        data = b""
        while (read := watcher.read()) is not None:
            data += b"".join(each.data for each in read[0])
        self.assertEqual(data, b"kept\n")
        self.assertTrue(self.client.list_processes("echo")["echo"]["running"])


def read_to_end_with_holes(watcher: Watcher) -> bytes:
    """Standard output until nothing is left to watch."""
    out = b""
    while (read := watcher.read()) is not None:
        out += b"".join(each.data for each in read[0])
    return out


class EndTests(WatcherTestCase):
    """What is said once all is said."""

    def end(self) -> Watcher:
        """A watcher that has read a process to its end, but for the end of the watch."""
        self.other.make_process("job", "true")
        until(lambda: not self.other.list_processes("job")["job"]["running"])
        watcher = self.watch("job")
        while not watcher.exit_code:
            watcher.read()
        return watcher

    def test_told_once(self) -> None:
        """C{read} says once that nothing is left, and from then on gives nothing, as 1.0.6 did."""
        watcher = self.end()
        self.assertIsNone(watcher.read())
        for _ in range(2):
            self.assertEqual(watcher.read(), ([], [], []))
            self.assertIsNone(watcher.read_items())

    def test_seen_by_select(self) -> None:
        """Once the last end was acknowledged select wakes up for the end of the watch."""
        watcher = self.end()
        watcher.acknowledge()
        wait_readable(watcher)
        self.assertTrue(watcher.ready)
        self.assertIsNone(watcher.read())
        self.assertEqual(self.other.list_processes(), {})

    def test_not_acknowledged(self) -> None:
        """An end that was read and not acknowledged comes again, with its exit code."""
        self.end()._abandon()
        self.assertEqual(read_to_end(self.connect_papa().watch_processes("job"))[2], {"job": 0})
        self.assertEqual(self.other.list_processes(), {})


class SelectTests(WatcherTestCase):
    """What select and C{ready} say."""

    def test_silent(self) -> None:
        """While nothing was printed nothing is ready."""
        self.make_echo()
        watcher = self.watch("echo")
        self.assertFalse(watcher.ready)
        self.assertFalse(is_readable(watcher))

    def test_printed(self) -> None:
        """When something was printed select wakes up, and then a read gives it."""
        self.make_echo()
        watcher = self.watch("echo")
        self.echo("hello")
        wait_readable(watcher)
        self.assertTrue(watcher.ready)
        read = watcher.read()
        assert read is not None
        self.assertEqual([each.data for each in read[0]], [b"hello\n"])
        self.assertFalse(watcher.ready)
        self.assertFalse(is_readable(watcher))

    def test_kept_output(self) -> None:
        """Right after the watch began select tells of output that was there before."""
        self.make_echo()
        self.echo("early")
        self.wait_for_output(b"early\n")
        for _ in range(20):
            watcher = self.client.watch_processes("echo", observe=True)
            wait_readable(watcher)
            self.assertTrue(watcher.ready)
            read = watcher.read()
            assert read is not None
            self.assertEqual([each.data for each in read[0]], [b"early\n"])
            watcher.close()

    def test_watched_as_it_is_made(self) -> None:
        """The same holds for a process that is watched from its start."""
        with self.client.make_process("job", "echo", "hello", watch_immediately=True) as watcher:
            wait_readable(watcher)
            self.assertEqual(read_to_end(watcher), (b"hello\n", b"", {"job": 0}))

    def test_acknowledged(self) -> None:
        """Acknowledging makes the next output come, for a program that waits with select only."""
        self.make_echo()
        watcher = self.watch("echo")
        for number in range(5):
            self.echo(str(number))
            wait_readable(watcher)
            read = watcher.read()
            assert read is not None
            self.assertEqual(read[0][0].data, f"{number}\n".encode())
            watcher.acknowledge()


class AcknowledgeTests(WatcherTestCase):
    """What the kernel may let go of."""

    def setUp(self) -> None:
        super().setUp()
        self.make_echo()
        self.echo("one")
        self.wait_for_output(b"one\n")

    def test_not_acknowledged(self) -> None:
        """What was read but not acknowledged comes again to the next watcher."""
        client = Papa(self.kernel.path)
        watcher = client.watch_processes("echo")
        self.assertEqual(read_until(watcher, lambda data: data.endswith(b"\n")), b"one\n")
        assert watcher.connection is not None
        watcher.connection.close()
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"one\n")

    def test_acknowledged(self) -> None:
        """What was acknowledged does not come again."""
        with self.watch("echo") as watcher:
            watcher.read()
            watcher.acknowledge()
        self.echo("two")
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"two\n")

    def test_next_read_acknowledges(self) -> None:
        """Reading on acknowledges what was read before, and not what is read then."""
        watcher = self.client.watch_processes("echo")
        watcher.read()
        self.echo("two")
        watcher.read()
        assert watcher.connection is not None
        watcher.connection.close()
        self.assertEqual(read_until(self.connect_watch(), lambda data: data.endswith(b"\n")), b"two\n")

    def connect_watch(self) -> Watcher:
        watcher = self.connect_papa().watch_processes("echo")
        self.addCleanup(watcher.close)
        return watcher

    def test_close_acknowledges(self) -> None:
        """Closing acknowledges what was read."""
        watcher = self.watch("echo")
        watcher.read()
        watcher.close()
        watcher.acknowledge()
        self.echo("two")
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"two\n")

    def test_block_acknowledges(self) -> None:
        """So does leaving a block."""
        with self.watch("echo") as watcher:
            watcher.read()
        self.echo("two")
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"two\n")

    def test_failure_is_no_acknowledgement(self) -> None:
        """A block that ends in an exception has not stored what it read: it comes again."""
        with self.assertRaises(ZeroDivisionError), self.watch("echo") as watcher:
            watcher.read()
            raise ZeroDivisionError
        self.assertFalse(watcher)
        watcher.acknowledge()
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"one\n")

    def test_observer_takes_nothing(self) -> None:
        """An observer may acknowledge as it likes: everything is still there for others."""
        with self.watch("echo", observe=True) as watcher:
            watcher.read()
            watcher.acknowledge()
        self.assertEqual(read_until(self.watch("echo"), lambda data: data.endswith(b"\n")), b"one\n")

    def test_acknowledging_twice(self) -> None:
        """Acknowledging again, or before anything was read, says nothing."""
        watcher = self.watch("echo")
        watcher.acknowledge()
        watcher.read()
        watcher.acknowledge()
        watcher.acknowledge()
        self.echo("two")
        self.assertEqual(read_until(watcher, lambda data: data.endswith(b"\n")), b"two\n")


class ConnectionTests(WatcherTestCase):
    """Whose connection it is."""

    def test_own_while_watching(self) -> None:
        """The watcher has the client's connection; the client makes another when it is asked."""
        self.make_echo()
        before = self.client.fileno()
        watcher = self.watch("echo")
        self.assertEqual(watcher.fileno(), before)
        self.assertIsNone(self.client.fileno())
        self.client.set("x", "1")
        self.assertNotEqual(self.client.fileno(), watcher.fileno())

    def test_handed_back_at_the_end(self) -> None:
        """When nothing is left to watch the client has its connection back, and it works."""
        watcher = self.client.make_process("job", "true", watch_immediately=True)
        before = watcher.fileno()
        read_to_end(watcher)
        self.assertEqual(self.client.fileno(), before)
        self.client.set("x", "1")
        self.assertEqual(self.client.get("x"), "1")

    def test_handed_back_by_close(self) -> None:
        """So it does when a watcher is closed after it has read."""
        self.make_echo()
        watcher = self.watch("echo")
        before = watcher.fileno()
        self.echo("x")
        watcher.read()
        watcher.close()
        self.assertEqual(self.client.fileno(), before)
        self.assertEqual(self.client.list_values(), {})

    def test_closed_without_having_read(self) -> None:
        """A watcher that waits for nothing more ends its connection; the client makes another."""
        self.make_echo()
        watcher = self.watch("echo")
        connection = watcher.connection
        assert connection is not None
        watcher.close()
        self.assertEqual(connection.fileno(), -1)
        self.assertIsNone(self.client.fileno())
        self.assertEqual(self.client.list_values(), {})

    def test_not_handed_back_to_one_that_has_another(self) -> None:
        """A client that has made another connection keeps that one, and no descriptor is left open."""
        before = len(os.listdir("/proc/self/fd"))
        watcher = self.client.make_process("job", "true", watch_immediately=True)
        self.client.set("x", "1")
        own = self.client.fileno()
        read_to_end(watcher)
        self.assertEqual(self.client.fileno(), own)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_not_handed_back_to_one_that_is_closed(self) -> None:
        """A client that was closed meanwhile leaves no connection open, and may be used again."""
        self.make_echo()
        self.echo("x")
        client = self.connect_papa()
        with client.watch_processes("echo") as watcher:
            client.close()
            connection = watcher.connection
            watcher.read()
        assert connection is not None
        self.assertEqual(connection.fileno(), -1)
        self.assertIsNone(client.fileno())
        self.assertEqual(client.list_values(), {})
        self.assertIsNotNone(client.fileno())

    def test_truth(self) -> None:
        """A watcher is true and of length 1 while it watches; then false, empty and not ready, and reads nothing."""
        self.make_echo()
        with self.client.watch_processes("echo") as watcher:
            self.assertIsInstance(watcher, Watcher)
            self.assertTrue(watcher)
            self.assertEqual(len(watcher), 1)
        self.assertFalse(watcher)
        self.assertEqual(len(watcher), 0)
        self.assertFalse(watcher.ready)
        self.assertIsNone(watcher.read())
        self.assertRaises(Error, watcher.fileno)
        watcher.acknowledge()
        watcher.close()

    def test_leaving_early_leaves_the_process(self) -> None:
        """Closing a watcher does nothing to the process."""
        self.make_echo()
        self.watch("echo").close()
        self.echo("still there")
        self.wait_for_output(b"still there\n")


class LostConnectionTests(PlayedTestCase):
    """Reading on when the connection was lost and the kernel goes on, in a program that waits with select."""

    ONE, TWO = (
        Output(name="job", channel=1, timestamp=1.0, data=data, mark=mark, invocation="7@0.5")
        for data, mark in ((b"one", 3), (b"two", 6))
    )
    NOTHING: tuple[list[object], ...] = ([], [], [])

    def setUp(self) -> None:
        self.told = threading.Event()

    def watch(self, *rest: Callable[[Partner], None]) -> Watcher:
        """
        A watcher that has read one item.

        @param rest: what is played to it on the same connection then, and on the next.
        """

        def first(partner: Partner) -> None:
            partner.say(GREETING)
            self.begin(partner)
            partner.say(push(self.ONE, 7))
            rest[0](partner)

        def second(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say(partner.answer(partner.hear()[1], {}, ListProcesses))
            self.begin(partner)
            rest[1](partner)

        watcher = self.reach(first, second).watch_processes(cursor="ship")
        self.addCleanup(watcher._abandon)
        self.assertEqual(watcher.read_items(), [self.ONE])
        return watcher

    def reach(self, *parts: Callable[[Partner], None]) -> Papa:
        """A client to whose connections this is played."""
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "s")
        self.addCleanup(PlayedKernel(*parts, path=path).end)
        self.addCleanup(self.told.set)
        return Papa(path)

    @staticmethod
    def begin(partner: Partner, **processes: str) -> tuple[str, ...]:
        """Hear a request to watch, answer it with the invocations of these, and say for what it asked."""
        asked, box = partner.hear()
        assert isinstance(asked, WatchProcesses)
        partner.say(partner.answer_with(box, schema.to_box(Watching(watch=7, count=1, processes=processes))))
        return asked.names

    def wait_ready(self, watcher: Watcher) -> None:
        wait_readable(watcher)
        self.assertTrue(watcher.ready)

    @staticmethod
    def hang_up(partner: Partner) -> None:
        """Lose the connection."""

    @staticmethod
    def hear(partner: Partner) -> None:
        """Say nothing until something, or the end, is heard."""
        partner.hear()

    def repeat(self, partner: Partner) -> None:
        """Say what was not acknowledged, and something new only when it is known that it was."""
        partner.say(push(self.ONE, 7))
        self.assertEqual(partner.hear()[0], Acknowledge(watch=7, name="job", invocation="7@0.5", mark=3))
        self.told.wait(PATIENCE)
        partner.say(push(self.TWO, 7))

    def test_nothing_new(self) -> None:
        """A read that select has called for returns though all that comes is known already; that is acknowledged."""
        watcher = self.watch(self.hang_up, self.repeat)
        for _ in ("lost", "repeated"):
            self.wait_ready(watcher)
            self.assertEqual(watcher.read(), self.NOTHING)
        self.assertFalse(watcher.ready)
        self.assertFalse(is_readable(watcher))
        self.told.set()
        self.assertEqual(watcher.read_items(), [self.TWO])

    def test_nothing_at_all(self) -> None:
        """It returns though nothing comes: what was read has gone, or somebody else has acknowledged it."""
        watcher = self.watch(self.hang_up, self.hear)
        self.wait_ready(watcher)
        self.assertEqual(watcher.read_items(), [])
        self.assertFalse(watcher.ready)

    def test_nothing_to_acknowledge(self) -> None:
        """So it does where everything was acknowledged before."""
        watcher = self.watch(self.hear, self.hear)
        watcher.acknowledge()
        self.wait_ready(watcher)
        self.assertEqual(watcher.read_items(), [])
        self.assertFalse(watcher.ready)

    def test_acknowledged_meanwhile(self) -> None:
        """Where the acknowledgement finds the connection lost, select tells of what comes behind it, also if known."""
        watcher = self.watch(self.hang_up, self.repeat)
        self.wait_ready(watcher)
        watcher.acknowledge()
        self.wait_ready(watcher)
        self.assertEqual(watcher.read_items(), [])
        self.assertFalse(watcher.ready)
        self.told.set()
        self.wait_ready(watcher)
        self.assertEqual(watcher.read_items(), [self.TWO])

    def begin_silent(self, partner: Partner) -> None:
        """Begin to watch a process that prints nothing, and hang up."""
        partner.say(GREETING)
        self.begin(partner, job="7@0.5")

    def test_silent_process(self) -> None:
        """A process that had printed nothing when the connection was lost is watched on."""

        def second(partner: Partner) -> None:
            partner.say(GREETING)
            job = Process(name="job", args=("x",), pid=7, running=True, started=0.5, uid=0, gid=0)
            partner.say(partner.answer(partner.hear()[1], {"job": job}, ListProcesses))
            self.assertEqual(self.begin(partner, job="7@0.5"), ("job",))
            partner.say(push(self.ONE, 7))
            partner.hear()

        watcher = self.reach(self.begin_silent, second).watch_processes("j*")
        self.addCleanup(watcher._abandon)
        self.assertEqual(watcher.read_items(), [])
        self.assertEqual(watcher.read_items(), [self.ONE])

    def test_nothing_left(self) -> None:
        """Where the next kernel holds nothing of what was watched, the read that finds that out says so."""

        def second(partner: Partner) -> None:
            partner.say(GREETING)
            partner.say(partner.answer(partner.hear()[1], {}, ListProcesses))
            partner.hear()

        client = self.reach(self.begin_silent, second)
        self.addCleanup(client.close)
        self.assertIsNone(client.watch_processes("job").read_items())

    def test_lost_as_it_is_closed(self) -> None:
        """Whoever closes a watcher is told that what was read could not be acknowledged; it is closed all the same."""

        def part(partner: Partner) -> None:
            partner.say(GREETING)
            self.begin(partner)
            partner.say(push(self.ONE, 7))

        watcher = self.reach(part).watch_processes(cursor="ship")
        self.assertEqual(watcher.read_items(), [self.ONE])
        self.assertRaises(ConnectionLost, watcher.close)
        self.assertFalse(watcher)
        watcher.close()
