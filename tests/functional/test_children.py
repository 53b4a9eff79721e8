"""Real children of a real kernel: their output, their ends, and what they cost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import sys
import time

from tests.support import Frame, RealKernel, Talk, TalkTestCase, hold_descriptors, until

#: How much more memory than before a kernel may have had at its worst, in bytes.
GROWTH = 12 << 20


def sh(program: str, *arguments: str) -> str:
    """The words that run a shell program."""
    return " ".join(["/bin/sh -c", program.replace(" ", "\\ "), *arguments])


class Gate:
    """Something that children wait at: C{exec 3<PATH} goes through, C{read x <&3} waits until it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.mkfifo(path)
        self._held = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def await_visitors(self, *pids: int) -> None:
        """Until these stand at it."""
        for pid in pids:
            until(lambda: self._is_at(f"/proc/{pid}/fd/3"), "coming to the gate")  # noqa: B023

    def _is_at(self, descriptor: str) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(descriptor) == self.path
        return False

    def open(self) -> None:
        """Let everybody through that stands at it, for good."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


class ChildrenTestCase(TalkTestCase):
    """What tests of children share."""

    def gate(self, name: str = "gate") -> Gate:
        """A closed gate; it is opened after the test."""
        gate = Gate(os.path.join(self.folder, name))
        self.addCleanup(gate.open)
        return gate

    def file(self, name: str, content: bytes = b"", mode: int = 0o644) -> str:
        """A file of that content."""
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def make(self, words: str) -> int:
        """Make a process; its pid."""
        line = self.talk.ask(f"make process {words}")
        found = re.search(r" pid=(\d+) running=True ", line)
        self.assertTrue(found, line)
        assert found is not None
        return int(found[1])

    def await_exit(self, name: str, talk: Talk | None = None) -> str:
        """How a process is listed once it has exited."""
        talk = talk or self.talk
        return until(lambda: line if " running=False " in (line := talk.ask(f"list processes {name}")) else "")

    def content(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()


class CaptureTests(ChildrenTestCase):
    """What children print arrives, all of it."""

    def test_a_thousand_at_once(self) -> None:
        """1 000 children that live at the same time: each one's output is complete and its exit code right."""
        hold_descriptors(self, 4000)
        base = self.kernel.descriptors()
        gate = self.gate()
        program = sh(f"exec 3<{gate.path}; read x <&3; echo out $1; seq 300 >&2; exit $2", "sh")
        requests = [f"make process p{number} {program} {number} {number % 256}\n" for number in range(1000)]
        self.talk.send("".join(requests).encode())
        for number in range(1000):
            self.assertRegex(self.talk.read_line(), f"^(> )?p{number} args=.* running=True ")
        self.talk.read_until(b"> ")
        children = self.kernel.children()
        self.assertEqual(len(children), 1000)
        gate.await_visitors(*children)
        gate.open()
        captured = self.talk.watch_to_end()
        expected = "".join(f"{number}\n" for number in range(1, 301)).encode()
        wrong = [
            number
            for number in range(1000)
            if (bytes(captured[f"p{number}"].out), bytes(captured[f"p{number}"].err), captured[f"p{number}"].code)
            != (b"out %d\n" % number, expected, number % 256)
        ]
        self.assertEqual(wrong, [])
        self.assertEqual(self.kernel.children(), [])
        self.assertEqual(self.kernel.descriptors(), base)

    def test_large_random_output(self) -> None:
        """16 children with 4 MB of random bytes each at once: what arrives has the same checksums."""
        for number in range(16):
            original = os.path.join(self.folder, f"original.{number}")
            self.make(f"p{number} bufsize=5m " + sh(f"head -c 4194304 /dev/urandom | tee {original}"))
        captured = self.talk.watch_to_end()
        for number in range(16):
            original = self.content(os.path.join(self.folder, f"original.{number}"))
            self.assertEqual(len(original), 4 << 20)
            self.assertEqual(
                hashlib.sha256(captured[f"p{number}"].out).hexdigest(), hashlib.sha256(original).hexdigest()
            )
            self.assertEqual(captured[f"p{number}"].code, 0)

    def test_closes_stdout_early(self) -> None:
        """A child that closes one stream and goes on in the other is read to its end, and is not killed."""
        for closed, redirection, stream in ((1, ">&2", "err"), (2, "", "out")):
            base = self.kernel.descriptors()
            name = f"p{closed}"
            gate = self.gate(f"gate.{closed}")
            self.make(f"{name} " + sh(f"exec 3<{gate.path} {closed}>&-; read x <&3; seq 1000 {redirection}; exit 4"))
            # Its pidfd and the other stream are left.
            until(lambda: self.kernel.descriptors() == base + 2, "noticing the end of one stream")  # noqa: B023
            gate.open()
            captured = self.talk.watch_to_end(name)[name]
            expected = "".join(f"{number}\n" for number in range(1, 1001)).encode()
            self.assertEqual(bytes(getattr(captured, stream)), expected)
            self.assertEqual(captured.code, 4)

    def test_grandchild_holds_the_pipe(self) -> None:
        """The exit is known at once; what a grandchild still prints is captured, and the end comes behind it."""
        gate = self.gate()
        self.make("p " + sh(f"exec 3<{gate.path}; (read x <&3; echo late) & echo early; exit 3"))
        self.assertIn(" exit_code=3", self.await_exit("p"))
        self.assertEqual(self.kernel.children(), [])
        watcher = self.converse()
        watcher.watch("p")
        self.assertEqual(watcher.read_batch()[0].data, b"early\n")
        watcher.send(b"\n")
        self.assertIn(" running=False ", self.talk.ask("list processes p"))
        gate.open()
        frames: list[Frame] = []
        while not frames or frames[-1].kind != "closed":
            frames += watcher.read_batch()
            watcher.send(b"\n")
        self.assertEqual([(frame.kind, frame.data) for frame in frames], [("out", b"late\n"), ("closed", b"")])
        self.assertEqual(frames[-1].figures[-1], "3")

    def test_exits_before_anyone_looks(self) -> None:
        """Output and exit code are kept for whoever comes, however late."""
        self.make("p " + sh("echo out; echo err >&2; exit 7"))
        self.make("killed " + sh("kill -9 $$"))
        self.talk.close()
        talk = self.converse()
        self.assertIn(" exit_code=7", self.await_exit("p", talk))
        self.assertIn(" exit_code=-9", self.await_exit("killed", talk))
        self.assertEqual(self.kernel.children(), [])
        found = talk.watch_to_end()
        self.assertEqual((bytes(found["p"].out), bytes(found["p"].err), found["p"].code), (b"out\n", b"err\n", 7))
        self.assertEqual(found["killed"].code, -9)
        self.assertEqual(talk.ask("list processes"), "")

    def test_streams_together(self) -> None:
        """stderr=stdout keeps the order of both; what is sent to null is nowhere, not in the kernel's own output."""
        self.make("both stderr=stdout " + sh("echo one; echo two >&2; echo three"))
        self.make("nothing stdout=0 stderr=stdout " + sh("echo lost; echo lost >&2"))
        self.make("unwanted bufsize=0 " + sh("echo lost; exit 2"))
        found = self.talk.watch_to_end()
        self.assertEqual(bytes(found["both"].out), b"one\ntwo\nthree\n")
        for name, code in (("nothing", 0), ("unwanted", 2)):
            self.assertEqual((bytes(found[name].out + found[name].err), found[name].code), (b"", code))
        self.assertNotIn("lost", self.kernel.said())

    def test_many_in_a_row(self) -> None:
        """100 short processes, one after the other: each has its output in front of its end, and nothing is left."""
        base = self.kernel.descriptors()
        for number in range(100):
            self.make(f"p {sh('echo $1; exit $2', 'sh')} {number} {number % 256}")
            captured = self.talk.watch_to_end("p")["p"]
            self.assertEqual((bytes(captured.out), captured.code), (b"%d\n" % number, number % 256))
        self.assertEqual(self.kernel.descriptors(), base)
        self.assertEqual(self.kernel.children(), [])


class BoundTests(ChildrenTestCase):
    """What unread output may cost."""

    def test_noisy(self) -> None:
        """Two children that print as fast as they can, with a buffer of 1 MiB each: the kernel stays small."""
        before = self.kernel.memory()
        for name in ("a", "b"):
            self.make(f"{name} bufsize=1m /usr/bin/head -c 536870912 /dev/zero")
        for name in ("a", "b"):
            dropped = int(self.await_exit(name).rpartition(" dropped=")[2])
            self.assertGreaterEqual(dropped, (512 << 20) - (2 << 20))
            self.assertLess(dropped, 512 << 20)
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)

    def test_single_bytes(self) -> None:
        """Writes of one byte, alternating between both streams, cost no more memory than large ones."""
        before = self.kernel.memory()
        writer = self.file("writer.py", b"import os\nfor _ in range(700_000): os.write(1, b'o'); os.write(2, b'e')\n")
        self.make("one bufsize=1m /bin/dd bs=1 count=1500000 if=/dev/zero")
        self.make(f"two bufsize=1m {sys.executable} -S {writer}")
        self.await_exit("one")
        self.await_exit("two")
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)

    def test_more_than_the_buffer_at_once(self) -> None:
        """60 000 bytes at once into a buffer of 1 000: the newest are kept, no more than fit, and the rest is told."""
        data = b"".join(b"%09d\n" % number for number in range(6000))
        source = self.file("data", data)
        self.make(f"p bufsize=1000 /bin/cat {source}")
        until(lambda: re.search(r" dropped=59\d\d\d$", self.talk.ask("list processes")), "reading it all")
        self.talk.watch("holes=1 p")
        hole, *frames = [frame for frame in self.talk.read_batch() if frame.kind != "closed"]
        kept = b"".join(frame.data for frame in frames)
        self.assertLessEqual(len(kept), 1000)
        self.assertGreaterEqual(len(kept), 500)
        self.assertTrue(data.endswith(kept))
        self.assertEqual((hole.kind, int(hole.figures[-1])), ("hole", len(data) - len(kept)))

    def test_blocking(self) -> None:
        """With overflow=block nothing is dropped: the child waits until somebody reads."""
        before = self.kernel.memory()
        source = self.file("data", os.urandom(4 << 20))
        self.make(f"p bufsize=64k overflow=block /bin/cat {source}")
        self.assertIn(" running=True ", self.talk.ask("list processes p"))
        captured = self.talk.watch_to_end("p")["p"]
        self.assertTrue(bytes(captured.out) == self.content(source), "the output is not what was printed")
        self.assertEqual(captured.code, 0)
        self.assertLess(self.kernel.peak_memory() - before, GROWTH)


class FailureTests(ChildrenTestCase):
    """Programs that cannot be started."""

    def test_leaves_nothing_behind(self) -> None:
        """Each says why, and leaves no descriptor, no process and no name."""
        plain = self.file("plain", b"#!/bin/sh\n")
        empty = self.file("nonsense", b"\x01\x02\x03", 0o755)
        orphan = self.file("orphan", b"#!/no/such/interpreter\n", 0o755)
        base = self.kernel.descriptors()
        for words, reason in (
            ("/no/such/program", "No such file or directory"),
            ("no-such-program", "not found in"),
            (self.folder, "Permission denied"),
            (plain, "Permission denied"),
            (empty, "it is no program for this machine"),
            (orphan, "the interpreter that its first line names does not exist"),
            ("working_dir=/no/such/folder /bin/true", "Bad working_dir '/no/such/folder': No such file or directory"),
            (f"working_dir={plain} /bin/true", "Bad working_dir"),
            ("uid=no-such-user /bin/true", "There is no user 'no-such-user'"),
            ("gid=no-such-group /bin/true", "There is no group 'no-such-group'"),
            ("stdin=pipe /no/such/program", "No such file or directory"),
            ("rlimit.nofile=5:99999999999 /bin/true", "could not set rlimit nofile"),
            ("/bin/echo $(socket.none.fileno)", "Socket 'none' not found"),
            ("listen=none /bin/true", "Socket 'none' not found"),
        ):
            answer = self.talk.ask(f"make process p {words}")
            self.assertTrue(answer.startswith("Error: ") and reason in answer, (words, answer))
        self.assertEqual(self.kernel.descriptors(), base)
        self.assertEqual(self.kernel.children(), [])
        self.assertEqual(self.talk.ask("list processes"), "")

    def test_name_is_free(self) -> None:
        """A name whose program did not start can be used at once."""
        self.assertRegex(self.talk.ask("make process p /no/such/program"), "^Error: ")
        self.make("p /bin/echo hello")
        self.assertEqual(bytes(self.talk.watch_to_end("p")["p"].out), b"hello\n")


class RemovalTests(ChildrenTestCase):
    """Removing, and names that come again."""

    def test_running_child_is_drained(self) -> None:
        """A removed process runs on and prints as much as it likes, for nobody; when it has ended its name is free."""
        gate = self.gate()
        proof = os.path.join(self.folder, "proof")
        pid = self.make(
            "p overflow=block bufsize=4k "
            + sh(f"exec 3<{gate.path}; seq 100000; read x <&3; seq 100000 && echo whole > {proof}")
        )
        self.assertEqual(self.talk.ask("remove processes p"), "")
        self.assertRegex(self.talk.ask("list processes"), rf"^p .* pid={pid} running=True ")
        gate.await_visitors(pid)
        gate.open()
        until(lambda: not self.talk.ask("list processes"), "the end of the process")
        self.assertEqual(self.content(proof), b"whole\n")
        self.assertEqual(self.kernel.children(), [])

    def test_watcher_of_a_removed_process(self) -> None:
        """A watcher of a removed process is told of its end."""
        self.make("p stdin=pipe /bin/cat")
        watcher = self.converse()
        watcher.watch("p")
        self.talk.ask("remove processes p")
        self.talk.ask("close stdin p")
        self.assertEqual([frame.kind for frame in watcher.read_batch()], ["closed"])
        watcher.send(b"\n")
        self.assertEqual(watcher.read_until(b"> "), b"Nothing left to watch\n> ")

    def test_name_made_again(self) -> None:
        """An end that is acknowledged late does not touch the process that has the name by then."""
        self.make("p " + sh("echo old; exit 3"))
        self.await_exit("p")
        watcher = self.converse()
        watcher.watch("p")
        while watcher.read_batch()[-1].kind != "closed":
            watcher.send(b"\n")
        self.talk.ask("remove processes p")
        pid = self.make("p /bin/sleep 1000")
        watcher.send(b"\n")
        self.assertEqual(watcher.read_until(b"> "), b"Nothing left to watch\n> ")
        self.assertRegex(self.talk.ask("list processes"), rf"^p .* pid={pid} running=True ")


class InheritanceTests(ChildrenTestCase):
    """What a child finds open."""

    def test_descriptors(self) -> None:
        """A child has its three streams and the sockets it was promised, however much the kernel holds."""
        self.kernel = self.serve_with_stray_descriptors()
        self.talk = self.converse()
        self.assertTrue(os.path.exists(f"/proc/{self.kernel.pid}/fd/251"))
        others = [self.converse() for _ in range(10)]
        for number in range(10):
            self.talk.ask(f"make socket s{number}")
        promised = self.talk.ask("list sockets s3").rpartition("fileno=")[2]
        self.talk.ask("make process noisy /bin/sleep 1000")
        for name, words, expected in (
            ("none", "/bin/ls /proc/self/fd", ["0", "1", "2", "3"]),  # ls itself has the folder open as 3
            ("one", f"{sh('ls /proc/$$/fd; : $1', 'sh')} $(socket.s3.fileno)", ["0", "1", "2", promised]),
        ):
            self.make(f"{name} {words}")
            found = self.talk.watch_to_end(name)[name].out.decode().split()
            self.assertEqual(sorted(found, key=int), expected)
        self.assertEqual(others[0].ask("get x"), "")

    def serve_with_stray_descriptors(self) -> RealKernel:
        """A kernel that was started with descriptors that are none of its business."""
        stray = "import os, sys; os.dup2(0, 40); os.dup2(0, 251); os.execv(sys.argv[1], sys.argv[1:])"
        return self.serve(under=(sys.executable, "-c", stray))


class QuietTests(ChildrenTestCase):
    """Waiting costs nothing, and ends at once."""

    def test_line_after_silence(self) -> None:
        """A line that is printed after a silence reaches a waiting watcher at once."""
        self.make("p stdin=pipe /bin/cat")
        watcher = self.converse()
        watcher.watch("p")
        begun = time.monotonic()
        for number in range(200):
            self.talk.ask(f"write process p {number}")
            frames = watcher.read_batch()
            self.assertEqual(frames[0].data, b"%d\n" % number)
            watcher.send(b"\n")
        self.assertLess(time.monotonic() - begun, 10)

    def test_idle(self) -> None:
        """A kernel with idle processes, watchers and connections sleeps: it does not wake up to look."""
        for number in range(20):
            self.make(f"p{number} stdin=pipe /bin/cat")
        watchers = [self.converse() for _ in range(5)]
        for watcher in watchers:
            watcher.watch("p*")
        self.talk.ask("get x")
        # What a watch's first line holds back for a moment is over by then.
        self.assertEqual(select.select([watcher.sock for watcher in watchers], [], [], 0.5)[0], [])
        woken, computed = self.kernel.wake_ups(), self.kernel.processor_time()
        # Two seconds in which nothing happens are the subject here.
        self.assertEqual(select.select([watcher.sock for watcher in watchers], [], [], 2)[0], [])
        self.assertLessEqual(self.kernel.wake_ups() - woken, 2)
        self.assertLess(self.kernel.processor_time() - computed, 0.1)
        self.talk.ask("write process p7 hello")
        for watcher in watchers:
            self.assertEqual(watcher.read_batch()[0].data, b"hello\n")
