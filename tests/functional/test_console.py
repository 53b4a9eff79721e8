"""The console over real connections: what programs written for version 1 parse, to the byte, and what people type."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from tests.client.sharing import shared_kernel
from tests.support import PATIENCE, Frame, RealKernel, Talk, TalkTestCase, program, until

GREETING = b'Papa is home. Type "help" for commands.\n> '


class ConsoleTestCase(TalkTestCase):
    """What tests of the console share: a kernel, too."""

    def begin(self) -> RealKernel:
        return shared_kernel(self)

    def exchange(self, request: bytes, reply: bytes) -> None:
        """Send bytes, and expect exactly these back."""
        self.talk.send(request)
        self.assertEqual(self.talk.read_exactly(len(reply)), reply)


class PromptTests(ConsoleTestCase):
    """Requests and their replies."""

    def test_greets(self) -> None:
        """The greeting comes by itself, and is the one of version 1."""
        with Talk(self.kernel.connect()) as talk:
            self.assertEqual(talk.read_exactly(len(GREETING)), GREETING)

    def test_greets_on_unix_path(self) -> None:
        """The Unix path has the same console."""
        with Talk(self.kernel.connect_unix()) as talk:
            talk.send(b"get x\nquit\n")
            self.assertEqual(talk.read_to_end(), GREETING + b"\n> ok\n")

    def test_empty_line(self) -> None:
        """An empty line, and one of nothing but spaces, get the prompt alone."""
        self.exchange(b"\n", b"> ")
        self.exchange(b"\r\n", b"> ")
        self.exchange(b"   \n", b"> ")
        self.exchange(b"get x\n", b"\n> ")

    def test_values(self) -> None:
        """Values are kept, shown, listed by name and removed; an empty reply is an empty line."""
        self.exchange(b"set b two words\n", b"\n> ")
        self.exchange(b"set a 1\r\n", b"\n> ")
        self.exchange(b"get b\n", b"two words\n> ")
        self.exchange(b"get nothing\n", b"\n> ")
        self.exchange(b"list values\n", b"a 1\nb two words\n> ")
        self.exchange(b"list values b*\n", b"b two words\n> ")
        self.exchange(b"set b\n", b"\n> ")
        self.exchange(b"remove values a\n", b"\n> ")
        self.exchange(b"list values\n", b"\n> ")

    def test_text_is_utf8(self) -> None:
        """Text of any script comes back as it was sent; what is no text is refused."""
        self.exchange("set grüße žluťoučký\n".encode(), b"Error: ")
        self.talk.read_until(b"\n> ")
        self.exchange("set hello žluťoučký kůň 馬\n".encode(), b"\n> ")
        self.exchange(b"get hello\n", "žluťoučký kůň 馬\n> ".encode())
        self.exchange(b"set hello \xe4\n", b"Error: The line is not UTF-8: ")
        self.talk.read_until(b"\n> ")
        self.exchange(b"get hello\n", "žluťoučký kůň 馬\n> ".encode())

    def test_joined_words(self) -> None:
        """A backslash at the end of a word joins it to the next by a space."""
        self.exchange(b"set a one\\ \\ three\n", b"\n> ")
        self.exchange(b"get a\n", b"one  three\n> ")

    def test_shortened_words(self) -> None:
        """Every word may be shortened, in any case of letters; the first in alphabetical order wins."""
        self.exchange(b"s a 1\n", b"\n> ")
        self.exchange(b"L V\n", b"a 1\n> ")
        self.exchange(b"g a\n", b"1\n> ")
        self.exchange(b"l p\n", b"\n> ")
        self.assertIn("list processes", self.talk.ask("h l p"))

    def test_errors(self) -> None:
        """A refusal is one line that begins with Error."""
        for request in (b"frobnicate", b"make", b"list what", b"get a:b", b"make process x", b"watch processes none"):
            self.talk.send(request + b"\n")
            self.assertRegex(self.talk.read_until(b"> "), rb"\AError: [^\n]+\n> \Z")

    def test_what_it_cannot_say(self) -> None:
        """What would be misread is refused, and nothing is changed."""
        self.talk.ask("set a before")
        for value in (b"Error: boom", b"a\x1b[31mred", b"bell\x07"):
            self.exchange(b"set a " + value + b"\n", b"Error: ")
            self.talk.read_until(b"\n> ")
        self.exchange(b"get a\n", b"before\n> ")

    def test_quit(self) -> None:
        """quit says ok and closes; what stands behind it is not done."""
        self.talk.send(b"quit\nset a 1\n")
        self.assertEqual(self.talk.read_to_end(), b"ok\n")
        self.assertEqual(self.converse().ask("get a"), "")

    def test_shortened_quit_word(self) -> None:
        """q is quit at the prompt."""
        self.talk.send(b"q\n")
        self.assertEqual(self.talk.read_to_end(), b"ok\n")

    def test_pipelined(self) -> None:
        """Requests that are sent together are answered in order."""
        self.exchange(b"set a 1\nget a\n\nset a 2\nget a\n", b"\n> 1\n> > \n> 2\n> ")

    def test_longest_line(self) -> None:
        """A line of nearly a mebibyte is taken; a longer one is refused and the conversation goes on behind it."""
        value = b"v" * ((1 << 20) - 16)
        self.exchange(b"set a " + value + b"\n", b"\n> ")
        self.exchange(b"get a\n", value + b"\n> ")
        self.exchange(b"set b " + b"v" * (1 << 20) + b"\nget b\n", b"Error: The line is longer than 1048576 bytes")
        self.assertTrue(self.talk.read_until(b"\n> \n> "))

    def test_last_words_of_a_unix_client(self) -> None:
        """A client that says nothing more, but still listens, gets its answers."""
        with Talk(self.kernel.connect_unix()) as talk:
            talk.send(b"set a 1\nget a\n")
            talk.shutdown()
            self.assertEqual(talk.read_to_end(), GREETING + b"\n> 1\n> ")


class ListingTests(ConsoleTestCase):
    """How things are listed."""

    def test_inet_socket(self) -> None:
        """An inet socket's line has the fields of version 1 in its order; making it again gives the same line."""
        self.talk.send(b"make socket web backlog=7\n")
        line = self.talk.read_until(b"\n> ")
        self.assertRegex(
            line,
            rb"\Aweb family=inet type=stream backlog=7 host=127\.0\.0\.1 port=[1-9]\d* fileno=\d+\n> \Z",
        )
        self.exchange(b"make socket web backlog=7\n", line)
        self.exchange(b"list sockets\n", line)

    def test_unix_socket(self) -> None:
        """A Unix socket's line has its path, and its mask where one was given."""
        path = os.path.join(self.folder, "app")
        self.talk.send(f"make socket app path={path} umask=077\n".encode())
        self.assertRegex(
            self.talk.read_until(b"\n> ").decode(),
            rf"\Aapp family=unix type=stream backlog=5 path={path} umask=63 fileno=\d+\n> \Z",
        )

    def test_shared_port(self) -> None:
        """A socket with reuseport has no descriptor of its own."""
        self.talk.send(b"make socket web reuseport=1\n")
        self.assertRegex(self.talk.read_until(b"\n> "), rb" port=[1-9]\d* reuseport=1\n> \Z")

    def test_process(self) -> None:
        """A process's line has its arguments first, and its exit code once it has one."""
        self.talk.ask("make process p /bin/cat")
        until(lambda: "running=False" in self.talk_line("p"))
        self.assertRegex(
            self.talk_line("p"),
            rf"\Ap args=/bin/cat pid=[1-9]\d* running=False started=\d+\.\d+ uid={os.geteuid()} gid={os.getegid()}"
            r" exit_code=0\Z",
        )

    def talk_line(self, name: str) -> str:
        """How a process is listed, in a conversation of its own."""
        return self.converse().ask(f"list processes {name}")

    def test_argument_cannot_pose_as_pid(self) -> None:
        """Where an argument looks like a field, the true field stands behind it: there the last one counts."""
        line = self.talk.ask(r"make process p /bin/sh -c exec\ sleep\ 1000 sh pid=1 running=False")
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        self.assertIn(int(fields["pid"]), self.kernel.children())
        self.assertEqual(fields["running"], "True")

    def test_argument_with_control_characters(self) -> None:
        """Nothing that a terminal acts on is listed raw."""
        self.talk.send(b"make process p /bin/echo \x1b]52;c;AAAA\x07 \xe2\x80\xae\n")
        line = self.talk.read_until(b"\n> ")
        self.assertIn(rb"args=/bin/echo \x1b]52;c;AAAA\x07 \u202e pid=", line)
        self.assertNotIn(b"\x1b", line)

    def test_sorted_by_name(self) -> None:
        """Processes are listed by name, and found by pattern and pid."""
        for name in ("b.2", "a", "b.1"):
            self.talk.ask(f"make process {name} /bin/sleep 1000")
        names = [line.split()[0] for line in self.talk.ask("list processes").split("\n")]
        self.assertEqual(names, ["a", "b.1", "b.2"])
        names = [line.split()[0] for line in self.talk.ask("list processes b*").split("\n")]
        self.assertEqual(names, ["b.1", "b.2"])
        line = self.talk.ask("list processes a")
        pid = line.split(" pid=")[1].split()[0]
        self.assertEqual(self.talk.ask(f"list processes {pid}"), line)

    def test_environment_quotes(self) -> None:
        """A program's quotes around a value are part of it, but for those around a value that ends in a backslash."""
        self.talk.ask(rb'make process p env.A="x" env.B="C:\dir\" env.C= env.D=a=b /usr/bin/env')
        self.assertEqual(self.talk.watch_to_end("p")["p"].out.splitlines(), [b'A="x"', b"B=C:\\dir\\", b"C=", b"D=a=b"])


class WatchTests(ConsoleTestCase):
    """Watching, to the byte."""

    def test_frames(self) -> None:
        """Output, errors and the end come as frames; the watch ends when the end is acknowledged."""
        self.talk.ask("make process p stdin=pipe /bin/sh -c read\\ a;echo\\ $a;read\\ b;echo\\ $b>&2;exit\\ 3")
        self.exchange(b"watch processes p\n", b"Watching 1\n")
        other = self.converse()
        other.ask("write process p hello")
        self.assertRegex(self.talk.read_until(b"] "), rb"\Aout:p:\d+\.\d+:6\nhello\n\n\] \Z")
        self.talk.send(b"\n")
        other.ask("write process p sorry")
        received = self.talk.read_until(b"] ")
        if b"closed" not in received:
            self.talk.send(b"\n")
            received = received[:-2] + self.talk.read_until(b"] ")
        self.assertRegex(received, rb"\Aerr:p:\d+\.\d+:6\nsorry\n\nclosed:p:\d+\.\d+:3\n\] \Z")
        self.exchange(b"\n", b"Nothing left to watch\n> ")
        self.exchange(b"list processes\n", b"\n> ")

    def test_watch_from_the_start(self) -> None:
        """make process with watch=1 says the process's line, and then is a watch."""
        self.talk.send(b"make process p watch=1 /bin/echo hello\n")
        self.assertRegex(self.talk.read_line(), r"\Ap args=/bin/echo hello pid=\d+ running=True started=\S+ uid=")
        self.assertEqual(self.talk.read_batch()[0].data, b"hello\n")

    def test_watch_from_the_start_twice(self) -> None:
        """The same request for a process that is held already watches that one."""
        self.talk.ask("make process p /bin/sleep 1000")
        self.talk.send(b"make process p watch=1 /bin/sleep 1000\n")
        self.assertIn(" running=True ", self.talk.read_line())
        self.exchange(b"q\n", b"Stopped watching\n> ")

    def test_stop_without_output(self) -> None:
        """q stops a watch that has nothing; other lines do nothing there, and acknowledge nothing that comes later."""
        self.talk.ask("make process p stdin=pipe /bin/cat")
        self.exchange(b"watch processes p\n", b"Watching 1\n")
        self.talk.send(b"\n\n\n")
        self.converse().ask("write process p one")
        self.assertEqual(self.talk.read_batch()[0].data, b"one\n")
        self.talk.close()
        again = self.converse()
        again.watch("p")
        self.assertEqual(again.read_batch()[0].data, b"one\n")
        again.send(b"q\n")
        self.assertEqual(again.read_until(b"> "), b"Stopped watching\n> ")
        again.watch("p")
        again.send(b"Q\n")
        self.assertEqual(again.read_until(b"> "), b"Stopped watching\n> ")

    def test_acknowledge_and_stop(self) -> None:
        """q behind the last end acknowledges it, and says that nothing is left."""
        self.talk.ask("make process p /bin/true")
        self.talk.watch("p")
        self.assertEqual([frame.kind for frame in self.talk.read_batch()], ["closed"])
        self.exchange(b"q\n", b"Nothing left to watch\n> ")
        self.exchange(b"list processes\n", b"\n> ")

    def test_imitations(self) -> None:
        """Output that looks like frames, prompts and ends arrives as the bytes it is."""
        data = bytes(range(256)) + b"\n> ] \n] closed:p:1.0:0\nout:p:1.0:3\nError: no\n> Nothing left to watch\n> "
        source = os.path.join(self.folder, "data")
        with open(source, "wb") as file:
            file.write(data)
        self.talk.ask(f"make process p /bin/cat {source}")
        captured = self.talk.watch_to_end("p")["p"]
        self.assertEqual((bytes(captured.out), bytes(captured.err), captured.code), (data, b"", 0))
        self.exchange(b"get x\n", b"\n> ")

    def test_two_watchers(self) -> None:
        """Each of two watchers gets everything, the end too, however slowly the other acknowledges."""
        self.talk.ask("make process p /bin/sh -c echo\\ one;echo\\ two>&2;exit\\ 5")
        other = self.converse()
        self.talk.watch("p")
        other.watch("p")
        found: list[list[Frame]] = []
        for talk in (self.talk, other):
            frames: list[Frame] = []
            while not frames or frames[-1].kind != "closed":
                frames += talk.read_batch()
                talk.send(b"\n")
            found.append(frames)
        self.assertEqual(found[0], found[1])
        self.assertEqual(sorted(frame.data for frame in found[0]), [b"", b"one\n", b"two\n"])

    def test_hole(self) -> None:
        """Whoever asks for holes is told how much was dropped; the rest is the newest."""
        source = os.path.join(self.folder, "data")
        data = b"".join(b"%07d\n" % number for number in range(5000))
        with open(source, "wb") as file:
            file.write(data)
        self.talk.ask(f"make process p bufsize=1000 /bin/cat {source}")
        until(lambda: re.search(r" dropped=39\d\d\d$", self.talk.ask("list processes")), "reading it all")
        self.talk.watch("holes=1 p")
        frames = self.talk.read_batch()
        kept = b"".join(frame.data for frame in frames)
        self.assertEqual(frames[0].kind, "hole")
        self.assertEqual(int(frames[0].figures[-1]), len(data) - len(kept))
        self.assertTrue(kept)
        self.assertTrue(data.endswith(kept))


class ExitTests(ConsoleTestCase):
    """exit-if-idle."""

    def begin(self) -> RealKernel:
        return self.serve()

    def test_cannot_be_shortened(self) -> None:
        """It has to be written out."""
        self.exchange(b"exit-if-idl\n", b"Error: ")
        self.assertIsNone(self.kernel.process.poll())

    def test_not_idle(self) -> None:
        """A kernel that holds anything refuses, and the conversation goes on."""
        self.talk.ask("set a 1")
        self.exchange(b"exit-if-idle\n", b"not idle\n> ")
        self.exchange(b"get a\n", b"1\n> ")

    def test_idle(self) -> None:
        """An idle kernel says so, closes the connection and ends with exit code 0."""
        self.talk.send(b"exit-if-idle\n")
        self.assertEqual(self.talk.read_to_end(), b"Exiting papa!\n> ")
        self.assertEqual(self.kernel.process.wait(PATIENCE), 0)

    def test_others_are_connected(self) -> None:
        """It ends with its last connection only."""
        other = self.converse()
        self.talk.send(b"exit-if-idle\n")
        self.talk.read_to_end()
        self.assertEqual(other.ask("get a"), "")
        other.close()
        self.assertEqual(self.kernel.process.wait(PATIENCE), 0)

    def test_something_was_made_meanwhile(self) -> None:
        """It does not end when it is no longer idle."""
        other = self.converse()
        self.talk.send(b"exit-if-idle\n")
        self.talk.read_to_end()
        other.ask("set a 1")
        other.send(b"quit\n")
        other.read_to_end()
        self.assertEqual(self.converse().ask("get a"), "1")

    def test_somebody_connects_meanwhile(self) -> None:
        """It does not end when somebody has connected in between."""
        other = self.converse()
        self.talk.send(b"exit-if-idle\n")
        self.talk.read_to_end()
        self.converse().close()
        other.close()
        self.assertEqual(self.converse().ask("get a"), "")


class TelnetTests(ConsoleTestCase):
    """Real clients, and what they negotiate."""

    def test_negotiation(self) -> None:
        """Offers and demands are refused, settings are skipped, and the line behind them is what it says."""
        self.exchange(b"\xff\xfb\x18\xff\xfd\x03", b"\xff\xfe\x18\xff\xfc\x03")
        self.exchange(b"\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0set a 1\r\n", b"\n> ")
        self.exchange(b"get a\r\n", b"1\n> ")

    def test_interrupt(self) -> None:
        """The interrupt key stops a watch, and a client that waits for the timing mark gets it."""
        self.talk.ask("make process p /bin/sleep 1000")
        self.exchange(b"watch processes p\r\n", b"Watching 1\n")
        self.talk.send(b"\xff\xf4\xff\xfd\x06")
        reply = self.talk.read_until(b"> ")
        self.assertEqual(sorted(reply), sorted(b"\xff\xfb\x06Stopped watching\n> "))
        self.exchange(b"get a\r\n", b"\n> ")

    def test_typed_quotes(self) -> None:
        """In a line that ends in CR LF quotes hold words together."""
        self.exchange(b"set a 'two  words'\r\n", b"\n> ")
        self.exchange(b"get a\r\n", b"two  words\n> ")
        self.exchange(b"set a 'two\r\n", b"Error: The quote ' is not closed\n> ")

    def test_telnet(self) -> None:
        """A real telnet on a terminal: typed quotes, an interrupt key's worth of nothing, and a clean end."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        try:
            telnet = subprocess.Popen(
                [program("telnet"), "127.0.0.1", str(self.kernel.port)],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        self.addCleanup(telnet.wait)
        typed = [b"set a 'two  words'", b"get a", b"quit"]
        os.write(ours, b"".join(line + b"\n" for line in typed))
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:
            pass  # A terminal whose program has ended says so with EIO.
        for (
            line
        ) in typed:  # The terminal shows it as it is typed, or when telnet reads it: before the greeting or behind.
            shown = shown.replace(line + b"\r\n", b"", 1)
        self.assertIn(b'Papa is home. Type "help" for commands.\r\n> \r\n> two  words\r\n> ok\r\n', shown)
        self.assertEqual(telnet.wait(PATIENCE), 0)

    def test_telnet_in_a_pipeline(self) -> None:
        """A real telnet whose input is no terminal."""
        telnet = subprocess.Popen(
            [program("telnet"), "127.0.0.1", str(self.kernel.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert telnet.stdin is not None
        assert telnet.stdout is not None
        with telnet, telnet.stdin, telnet.stdout:
            telnet.stdin.write(b"set a b\nget a\nquit\n")
            telnet.stdin.flush()
            self.assertTrue(telnet.stdout.read().endswith(b"\n" + GREETING + b"\n> b\n> ok\n"))
        self.assertEqual(telnet.returncode, 0)

    def test_nc(self) -> None:
        """A real nc, over TCP and over the Unix path, until the kernel closes."""
        for address in (["127.0.0.1", str(self.kernel.port)], ["-U", self.kernel.path]):
            found = subprocess.run(
                [program("nc"), *address],
                input=b"set a b\nget a\nlist values\nquit\n",
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
            self.assertEqual(found.stdout, GREETING + b"\n> b\n> a b\n> ok\n")
