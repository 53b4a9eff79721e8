"""When papa has no descriptor left: a clear refusal, no harm to anybody, and all as before once there are some."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator

from tests.support import KernelTestCase, RealKernel, Talk, limited_to, until


class LimitedTestCase(KernelTestCase):
    """Tests with a kernel that may have few descriptors."""

    def start(self, descriptors: int, most: int | None = None) -> None:
        """Start the kernel, and talk to it."""
        self.kernel: RealKernel = self.serve(under=limited_to(descriptors, most))
        self.talk: Talk = self.kernel.talk()
        self.addCleanup(self.talk.close)

    def fill(self) -> int:
        """Make sockets until no descriptor is left; how many were made."""
        for number in range(1 << 20):
            answer = self.talk.ask(f"make socket fill{number}")
            if answer.startswith("Error: "):
                self.assertRegex(answer, rf"^Error: Cannot bind fill{number} to .*: Too many open files$")
                return number
        raise AssertionError("there was no end to it")

    def free(self, made: int, count: int) -> None:
        """Of the sockets that were made, remove the last ones."""
        names = [f"fill{number}" for number in range(made - count, made)]
        self.assertEqual(self.talk.ask(f"remove sockets {' '.join(names)}") if names else "", "")

    def starved(self) -> Iterator[int]:
        """The kernel with no descriptor left, with one, two and so on."""
        made = self.fill()
        for count in range(14):
            self.free(made, count)
            yield count
            for number in range(made - count, made):
                self.talk.ask(f"make socket fill{number}")
            self.assertEqual(self.fill_again(made), made, "descriptors are missing")

    def fill_again(self, made: int) -> int:
        """How many sockets there are when one more has been refused."""
        self.assertRegex(self.talk.ask("make socket another"), "^Error: ")
        self.assertEqual(len(self.talk.ask("list sockets fill*").split("\n")), made)
        return made


class AcceptTests(LimitedTestCase):
    """Connections that cannot be accepted."""

    def attempt(self, path: bool = False) -> bytes:
        """Connect, and see what happens: everything that is said until the connection is closed."""
        with Talk(self.kernel.connect_unix() if path else self.kernel.connect()) as talk:
            return talk.read_to_end()

    def test_refuses_and_recovers(self) -> None:
        """Those who come are sent away, those who are there are served; with descriptors free again all can come."""
        self.start(64)
        made = self.fill()
        before = self.kernel.processor_time()
        for _ in range(100):
            self.assertNotIn(b"Papa is home", self.attempt())
            self.assertNotIn(b"Papa is home", self.attempt(path=True))
            self.assertEqual(self.talk.ask("get x"), "")
        self.assertLess(self.kernel.processor_time() - before, 5)
        self.assertEqual(len(self.talk.ask("list sockets").split("\n")), made)
        self.free(made, 5)
        with self.kernel.talk() as other, Talk(self.kernel.connect_unix()) as another:
            self.assertEqual(other.ask("get x"), "")
            another.read_until(b"> ")
            self.assertEqual(another.ask("get x"), "")

    def test_does_not_spin(self) -> None:
        """With no descriptor left and clients at the door the kernel sleeps."""
        self.start(64)
        self.fill()
        waiting = [self.kernel.connect() for _ in range(50)]
        for sock in waiting:
            self.addCleanup(sock.close)
        self.talk.ask("get x")
        before = self.kernel.processor_time()
        # A second in which nobody asks anything is the subject here.
        self.assertEqual(select.select([self.talk.sock], [], [], 1)[0], [])
        self.assertLess(self.kernel.processor_time() - before, 0.3)

    def test_without_tcp(self) -> None:
        """A kernel that only serves Unix paths neither spins nor leaves its clients waiting."""
        self.kernel = self.serve("-u", os.path.join(self.folder, "console"), under=limited_to(64))
        self.talk = self.kernel.talk()
        self.addCleanup(self.talk.close)
        made = self.fill()
        before = self.kernel.processor_time()
        for _ in range(50):
            self.assertNotIn(b"Papa is home", self.attempt(path=True))
        self.assertEqual(self.talk.ask("get x"), "")
        self.assertLess(self.kernel.processor_time() - before, 3)
        self.free(made, 5)
        with self.kernel.talk() as other:
            self.assertEqual(other.ask("get x"), "")

    def test_too_many_connections(self) -> None:
        """Connections alone never take all descriptors: one too many is told so, and processes can still be made."""
        self.start(64)
        with contextlib.ExitStack() as stack:
            for _ in range(1, 32):
                stack.enter_context(self.kernel.talk())
            said = self.attempt()
            self.assertEqual(said, b"Error: Refused: papa has as many connections as it can serve\n> ")
            self.assertIn(" running=True ", self.talk.ask("make process p /bin/true"))
            self.assertEqual(self.talk.watch_to_end("p")["p"].code, 0)
        until(lambda: b"Papa is home" in self.first_words(), "being let in again")

    def first_words(self) -> bytes:
        with self.kernel.connect() as sock:
            return sock.recv(100)


class SpawnTests(LimitedTestCase):
    """Processes that cannot be started for want of descriptors."""

    def check_every_shortage(self, words: str) -> None:
        """
        However many descriptors are free: either the process runs, or a clear error says why not.

        @param words: a request for a process that prints nothing and exits with 3.
        """
        started = failed = 0
        for free in self.starved():
            descriptors = self.kernel.descriptors()
            answer = self.talk.ask(f"make process p {words}")
            if answer.startswith("Error: "):
                self.assertRegex(answer, "^Error: Cannot start '[^']+' now: Too many open files$", f"{free} free")
                self.assertEqual(self.talk.ask("list processes"), "")
                failed += 1
            else:
                self.assertIn(" running=True ", answer)
                self.assertEqual(self.talk.watch_to_end("p")["p"].code, 3)
                started += 1
            self.assertEqual(self.kernel.children(), [])
            self.assertEqual(self.kernel.descriptors(), descriptors, f"{answer} with {free} free")
        self.assertGreater(failed, 1)
        self.assertGreater(started, 1)

    def test_pipes(self) -> None:
        """Two pipes for output."""
        self.start(64)
        self.check_every_shortage("/bin/sh -c exit\\ 3")

    def test_stdin_too(self) -> None:
        """One more for its input."""
        self.start(64)
        self.check_every_shortage("stdin=pipe /bin/sh -c exit\\ 3")

    def test_prepared_child(self) -> None:
        """A child that sets a limit before its program starts."""
        self.start(64)
        self.check_every_shortage("rlimit.core=0 /bin/sh -c exit\\ 3")

    def test_handed_over_socket(self) -> None:
        """A child that is handed a socket over."""
        self.start(64)
        self.talk.ask("make socket web")
        self.check_every_shortage("listen=web /bin/sh -c exit\\ 3")

    def test_shared_port(self) -> None:
        """A child that gets a socket of its own to a shared port."""
        self.start(64)
        self.talk.ask("make socket web reuseport=1")
        for free in self.starved():
            descriptors = self.kernel.descriptors()
            answer = self.talk.ask("make process p /bin/sh -c exit\\ 3 sh $(socket.web.fileno)")
            if answer.startswith("Error: "):
                self.assertRegex(answer, "^Error: .*: Too many open files$")
            else:
                self.assertEqual(self.talk.watch_to_end("p")["p"].code, 3)
            self.assertEqual(self.kernel.descriptors(), descriptors, f"{answer} with {free} free")

    def test_under_a_low_soft_limit(self) -> None:
        """Papa rises above the limit it was started with, and still starts children; they have the original limit."""
        self.start(50, 200)
        for number in range(100):
            self.assertIn("fileno=", self.talk.ask(f"make socket s{number}"))
        self.talk.ask("make process p /bin/sh -c ulimit\\ -Sn;ulimit\\ -Hn")
        self.assertEqual(bytes(self.talk.watch_to_end("p")["p"].out), b"50\n200\n")

    def test_every_shortage_under_a_low_soft_limit(self) -> None:
        """A shortage at the higher limit is no different."""
        self.start(50, 120)
        self.check_every_shortage("/bin/sh -c exit\\ 3")

    def test_running_children_are_read(self) -> None:
        """Those that run already are read and reaped while there is no descriptor for another."""
        self.start(64)
        self.talk.ask("make process p stdin=pipe /bin/cat")
        made = self.fill()
        self.talk.ask("write process p hello")
        self.talk.ask("close stdin p")
        captured = self.talk.watch_to_end("p")["p"]
        self.assertEqual((bytes(captured.out), captured.code), (b"hello\n", 0))
        self.assertEqual(len(self.talk.ask("list sockets").split("\n")), made)


class SocketTests(LimitedTestCase):
    """Sockets that cannot be made for want of descriptors."""

    def test_unix_socket(self) -> None:
        """However many are free, a Unix socket is made or refused; its path is left as it was or taken, never half."""
        self.start(64)
        path = os.path.join(self.folder, "app")
        for free in self.starved():
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(path)
            descriptors = self.kernel.descriptors()
            answer = self.talk.ask(f"make socket app path={path} umask=077")
            if answer.startswith("Error: "):
                self.assertRegex(answer, "Too many open files$")
            else:
                self.assertTrue(answer.startswith("app family=unix "), answer)
                self.assertEqual(self.talk.ask("remove sockets app"), "")
            self.assertEqual(self.kernel.descriptors(), descriptors, f"{answer} with {free} free")
            self.assertEqual([name for name in os.listdir(self.folder) if name.endswith(".lock")], [])
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def test_named_host(self) -> None:
        """A host that cannot be looked up for want of descriptors is a refusal too."""
        self.start(64)
        for _ in self.starved():
            descriptors = self.kernel.descriptors()
            answer = self.talk.ask("make socket web host=localhost")
            if not answer.startswith("Error: "):
                self.talk.ask("remove sockets web")
            self.assertEqual(self.kernel.descriptors(), descriptors, answer)


class EndTests(LimitedTestCase):
    """Ending without a descriptor."""

    def test_ends_cleanly(self) -> None:
        """A kernel with no descriptor left ends on SIGTERM like any other."""
        self.start(64)
        self.fill()
        self.kernel.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.kernel.process.wait(30), 0)
        self.assertEqual([name for name in os.listdir(self.environ["PAPA_RUNTIME_DIR"]) if ".sock" in name], [])

    def test_too_few_to_start(self) -> None:
        """However few there are, a kernel starts with what it gets or says why not, and leaves nothing behind."""
        for descriptors in range(9, 15):
            try:
                self.kernel = self.serve(under=limited_to(descriptors))
            except AssertionError as error:
                self.assertRegex(str(error), "Too many open files|There is no place left to listen at")
                self.assertNotIn("Traceback", str(error))
            else:
                self.kernel.process.terminate()
                self.assertEqual(self.kernel.process.wait(30), 0)
            self.assertEqual([name for name in os.listdir(self.environ["PAPA_RUNTIME_DIR"]) if ".sock" in name], [])
            os.unlink(os.path.join(self.folder, "kernel.log"))
