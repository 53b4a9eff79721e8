"""Clients that mean harm, are broken, or vanish: none of them may cost the others, or the processes, anything."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import socket
import struct
import time

from tests.support import PATIENCE, KernelTestCase, RealKernel, Talk, hold_descriptors, until

#: How much more memory than before a kernel may have had at its worst, in bytes.
GROWTH = 12 << 20


def reset(sock: socket.socket) -> None:
    """Close a connection as a crashed machine does, with everything that is under way lost."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def push(sock: socket.socket, data: bytes, size: int) -> int:
    """Send C{data} again and again without ever reading, C{size} bytes in all or until nobody takes more."""
    sent = 0
    sock.settimeout(0)
    with contextlib.suppress(OSError):
        while sent < size:
            if not select.select([], [sock], [], 0.5)[1]:
                break
            sent += sock.send(data)
    return sent


class HostileTestCase(KernelTestCase):
    """Tests of a kernel whose other clients must not notice anything."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve()

    def connect(self) -> socket.socket:
        """A connection that is closed after the test, and that nobody reads."""
        sock = self.kernel.connect()
        self.addCleanup(sock.close)
        return sock

    def check_unharmed(self, *, descriptors: int) -> None:
        """It still serves, and has let go of everybody."""
        until(lambda: self.kernel.descriptors() <= descriptors, "letting go of descriptors")
        with self.kernel.talk() as talk:
            self.assertEqual(talk.ask("get x"), "")
            self.assertEqual(talk.ask("list processes"), "")


class GarbageTests(HostileTestCase):
    """Bytes that are no commands."""

    def test_random_bytes(self) -> None:
        """Binary garbage on many connections changes nothing and leaves nothing behind."""
        base = self.kernel.descriptors()
        chance = random.Random(7)
        for _ in range(40):
            with self.kernel.connect() as sock, contextlib.suppress(OSError):
                sock.sendall(chance.randbytes(50_000))
                sock.sendall(b"\n" + bytes(chance.choices(b"\n\r\0 \\\xff\"'=*$(", k=20_000)))
        self.check_unharmed(descriptors=base)

    def test_garbage_behind_a_command(self) -> None:
        """Once there was a command, each line of garbage is answered with an error, and commands are still done."""
        chance = random.Random(8)
        with self.kernel.talk() as talk:
            talk.ask("get x")
            for _ in range(200):
                garbage = chance.randbytes(chance.randrange(1, 300)).translate(None, b"\n\xff\0")
                self.assertIn("Error: ", talk.ask(b"x\x80" + garbage))
            self.assertEqual(talk.ask("get x"), "")
            talk.ask("set x 1")
            self.assertEqual(talk.ask("get x"), "1")
            talk.ask("set x")

    def test_private_names(self) -> None:
        """Only the words of the table are commands; nothing of the program's inside is reached by a name."""
        with self.kernel.talk() as talk:
            talk.ask("get x")
            for line in ("__init__", "list __doc__", "_kernel", "perform", "kernel.idle", "make __class__", "set.x y"):
                self.assertRegex(talk.ask(line), "^Error: ")

    def test_endless_line(self) -> None:
        """24 MB without a newline are refused once and not kept; the same connection is served behind them."""
        before = self.kernel.memory()
        with self.kernel.talk() as talk, self.kernel.talk() as other:
            for _ in range(24):
                talk.send(b"x" * 1_000_000)
                self.assertEqual(other.ask("get x"), "")
            self.assertRegex(talk.ask(b"x"), r"\AError: The line is longer than \d+ bytes[^\n]*\Z")
            self.assertEqual(talk.ask("get x"), "")
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)

    def test_many_arguments(self) -> None:
        """A line of half a million words is answered, and the next one too."""
        with self.kernel.talk() as talk:
            self.assertEqual(talk.ask("list processes" + " a" * 500_000), "")
            self.assertRegex(talk.ask("make process p /bin/true" + " a" * 500_000), "^Error: Cannot start")
            self.assertEqual(talk.ask("list processes"), "")


class SlownessTests(HostileTestCase):
    """Clients that take their time."""

    def test_dribble(self) -> None:
        """A line that comes byte by byte is done when it is whole; others are served in between."""
        with self.kernel.talk() as slow, self.kernel.talk() as other:
            slow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"set x slowly":
                slow.send(bytes([byte]))
                self.assertEqual(other.ask("get x"), "")
            slow.send(b"\n")
            slow.read_until(b"\n> ")
            self.assertEqual(other.ask("get x"), "slowly")

    def test_half_a_line(self) -> None:
        """Half a line is never done, not even when its client has gone."""
        base = self.kernel.descriptors()
        for ending in (socket.socket.close, reset):
            talk = self.kernel.talk()
            talk.send(b"set x 1")
            ending(talk.sock)
        self.check_unharmed(descriptors=base)

    def test_pipelined(self) -> None:
        """500 commands in one piece are answered in order."""
        with self.kernel.talk() as talk:
            talk.send(b"".join(b"set x %d\nget x\n" % number for number in range(500)))
            expected = b"".join(b"\n> %d\n> " % number for number in range(500))
            self.assertEqual(talk.read_exactly(len(expected)), expected)

    def test_never_reads_answers(self) -> None:
        """A client that asks for listings and never reads them does not fill the kernel's memory."""
        with self.kernel.talk() as other:
            for number in range(8):
                other.ask(f"set x{number} " + "v" * 100_000)
            before = self.kernel.memory()
            sock = self.connect()
            push(sock, b"list values\n" * 4000, 4 << 20)
            self.assertEqual(other.ask("get x"), "")
            self.assertLess(self.kernel.peak_memory() - before, GROWTH)

    def test_answers_wait_for_a_slow_reader(self) -> None:
        """What was asked in advance is answered in full and in order when the client comes to read."""
        with self.kernel.talk() as talk:
            talk.ask("set x " + "v" * 50_000)
            talk.send(b"list values\n" * 300)
            expected = (b"x " + b"v" * 50_000 + b"\n> ") * 300
            self.assertTrue(talk.read_exactly(len(expected)) == expected, "the answers are not what was asked")

    def test_never_reads_output(self) -> None:
        """A watcher that never reads costs no memory, while its process prints a gigabyte and ends as it will."""
        before = self.kernel.memory()
        talk = self.kernel.talk()
        self.addCleanup(talk.close)
        talk.send(b"make process p watch=1 /usr/bin/head -c 1073741824 /dev/zero\n")
        with self.kernel.talk() as other:
            line = until(lambda: re.fullmatch(".* running=False .*exit_code=0 dropped=(\\d+)", other.ask("list proc")))
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)
        self.assertGreaterEqual(int(line[1]), (1 << 30) - (2 << 20))

    def test_acknowledges_but_never_reads(self) -> None:
        """A watcher that acknowledges in advance and never reads costs no memory either."""
        before = self.kernel.memory()
        sock = self.connect()
        sock.sendall(b"make process p watch=1 /usr/bin/head -c 536870912 /dev/zero\n")
        push(sock, b"\n" * 65536, 32 << 20)
        with self.kernel.talk() as other:
            until(lambda: " running=False " in other.ask("list processes"))
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)


class CrowdTests(HostileTestCase):
    """Many clients."""

    def test_idle_connections(self) -> None:
        """With 10 000 idle connections others are greeted and answered, on little memory and one thread."""
        hold_descriptors(self, 10_200)
        base, before = self.kernel.descriptors(), self.kernel.memory()
        programs = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        idle = []
        for number in range(10_000):
            idle.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(idle[-1].close)
            # Without a timeout, as connecting then waits where the queue is full.
            idle[-1].connect(programs if number % 2 else self.kernel.path)
        for sock in idle:
            sock.settimeout(PATIENCE)
            self.assertTrue(sock.recv(100))
        with self.kernel.talk() as talk:
            for _ in range(100):
                self.assertEqual(talk.ask("get x"), "")
        self.assertLess(self.kernel.memory() - before, len(idle) * 6 << 10)
        self.assertEqual(len(os.listdir(f"/proc/{self.kernel.pid}/task")), 1)
        for sock in idle:
            sock.close()
        self.check_unharmed(descriptors=base)

    def test_burst(self) -> None:
        """Of 500 clients that connect at the same moment, all are greeted."""
        hold_descriptors(self, 700)
        waiting = select.poll()
        crowd = {}
        for _ in range(500):
            sock = socket.socket()
            self.addCleanup(sock.close)
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.kernel.port))
            crowd[sock.fileno()] = sock
            waiting.register(sock, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while crowd and time.monotonic() < deadline:
            for descriptor, _ in waiting.poll(1000):
                self.assertEqual(crowd.pop(descriptor).recv(4), b"Papa")
                waiting.unregister(descriptor)
        self.assertEqual(len(crowd), 0)

    def test_burst_on_unix_path(self) -> None:
        """While the kernel is busy, 500 clients can queue at its Unix path; all are greeted when it comes to them."""
        hold_descriptors(self, 700)
        self.kernel.process.send_signal(signal.SIGSTOP)
        try:
            crowd = []
            for _ in range(500):
                sock = socket.socket(socket.AF_UNIX)
                self.addCleanup(sock.close)
                sock.setblocking(False)
                sock.connect(self.kernel.path)
                crowd.append(sock)
        finally:
            self.kernel.process.send_signal(signal.SIGCONT)
        for sock in crowd:
            sock.settimeout(PATIENCE)
            self.assertEqual(sock.recv(4), b"Papa")

    def test_connect_and_reset(self) -> None:
        """300 clients that connect and crash at once leave nothing behind."""
        base = self.kernel.descriptors()
        for _ in range(300):
            reset(self.kernel.connect())
        self.check_unharmed(descriptors=base)


class VanishingTests(HostileTestCase):
    """Watchers that go away, at every point of a watch."""

    def make_output(self) -> None:
        """A process that has printed and ended, unread."""
        with self.kernel.talk() as talk:
            talk.ask("make process p /bin/sh -c echo\\ one;echo\\ two>&2;exit\\ 3")
            until(lambda: " running=False " in talk.ask("list processes"))

    def check_kept(self) -> None:
        """What nobody has acknowledged is all there for the next one, who ends the matter."""
        with self.kernel.talk() as talk:
            captured = talk.watch_to_end("p")["p"]
        self.assertEqual((bytes(captured.out), bytes(captured.err), captured.code), (b"one\n", b"two\n", 3))

    def test_before_anything_is_acknowledged(self) -> None:
        """Wherever a watcher breaks off, by a close or a reset, everything unacknowledged is kept."""
        self.make_output()
        base = self.kernel.descriptors()
        for ending in (socket.socket.close, reset):
            for request, size in (
                (b"watch pro", 0),
                (b"watch processes p\n", 0),
                (b"watch processes p\n", len("Watching 1\n")),
                (b"watch processes p\n", len("Watching 1\nout:p:12")),
                (b"watch processes observe=1 p\n", len("Watching 1\n")),
                (b"watch processes p\nq", len("Watching 1\n")),
            ):
                talk = self.kernel.talk()
                talk.send(request)
                talk.read_exactly(size)
                ending(talk.sock)
            talk = self.kernel.talk()
            talk.watch("p")
            talk.read_batch()
            ending(talk.sock)
        until(lambda: self.kernel.descriptors() <= base, "letting go of watchers")
        self.check_kept()
        self.check_unharmed(descriptors=base)

    def test_behind_the_acknowledgement(self) -> None:
        """An acknowledgement counts even though its client crashes right behind it, if it has come at all."""
        base = self.kernel.descriptors()
        for acknowledgement in (b"\n", b"q\n"):
            self.make_output()
            talk = self.kernel.talk()
            talk.watch("p")
            while talk.read_batch()[-1].kind != "closed":
                talk.send(b"\n")
            talk.send(acknowledgement)
            talk.close()
            with self.kernel.talk() as other:
                until(lambda: not other.ask("list processes"), "the acknowledgement")
            self.check_unharmed(descriptors=base)

    def test_while_nothing_comes(self) -> None:
        """30 watchers of a silent process that go away are gone for the kernel too; the process does not notice."""
        with self.kernel.talk() as talk:
            talk.ask("make process p stdin=pipe /bin/cat")
            base = self.kernel.descriptors()
            watchers = [self.kernel.talk() for _ in range(30)]
            for watcher in watchers:
                self.assertEqual(watcher.watch("p"), "Watching 1")
            self.assertEqual(self.kernel.descriptors(), base + 30)
            for number, watcher in enumerate(watchers):
                (reset if number % 2 else socket.socket.close)(watcher.sock)
            until(lambda: self.kernel.descriptors() == base, "letting go of watchers")
            talk.ask("write process p hello")
            talk.ask("close stdin p")
            self.assertEqual(bytes(talk.watch_to_end("p")["p"].out), b"hello\n")

    def test_in_the_middle_of_a_large_batch(self) -> None:
        """A watcher that crashes with megabytes under way: the next one gets them all."""
        size = 3_000_000
        with self.kernel.talk() as talk:
            talk.ask(f"make process p bufsize=4m /usr/bin/head -c {size} /dev/zero")
            until(lambda: " running=False " in talk.ask("list processes"))
            base = self.kernel.descriptors()
            for _ in range(5):
                self.break_off_in_batch(self.kernel)
            until(lambda: self.kernel.descriptors() <= base, "letting go of watchers")
            self.assertEqual(len(talk.watch_to_end("p")["p"].out), size)

    @staticmethod
    def break_off_in_batch(kernel: RealKernel) -> None:
        talk = Talk(kernel.connect())
        talk.send(b"watch processes p\n")
        talk.read_exactly(40_000)
        reset(talk.sock)
