"""Conversations on the console: with people, with clients of version 1, and with noise."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from papa.commands import Get, ListProcesses, ListSockets, MakeProcess, Set
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySockets
from papa.errors import BadRequest
from papa.interfaces import IEventObserver
from papa.kernel.core import Kernel
from papa.records import STDERR, Event
from papa.steps import Steps, all_at_once
from papa.visible import has_controls
from papa.wire.session import BATCH_SIZE, Session

QUICK = settings(max_examples=100)

GREETING = b'Papa is home. Type "help" for commands.\n> '
STARTED = 1795246405.25


@implementer(IEventObserver)
class Events:
    """What happened to what the kernel holds."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def happened(self, event: Event) -> None:
        self.kinds.append(event.kind)


class World:
    """A kernel that holds nothing but memory, at a time that stands still."""

    def __init__(self) -> None:
        self.children = MemoryChildren()
        self.events = Events()
        self.kernel = Kernel(sockets=MemorySockets(), children=self.children, wall=lambda: STARTED, events=self.events)

    def start(self, name: str = "job", **fields: Any) -> MemoryChild:
        """A process that a test can make print and exit."""
        self.kernel.perform(MakeProcess(name=name, args=("/bin/job",), **fields))
        return self.children.latest()

    def holds(self) -> tuple[object, ...]:
        """All there is."""
        return (self.kernel.list_sockets(ListSockets()), self.kernel.list_processes(ListProcesses()))

    def talk(self) -> Conversation:
        """A conversation, greeted."""
        conversation = Conversation(self)
        conversation.session.begin()
        assert conversation.heard() == GREETING
        return conversation


class Conversation:
    """A session, and what its client hears."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reasons: list[str | None] = []
        self.leaving = False
        self.speaks_amp: bool | None = False
        self.apart: list[bytes] = []
        self._heard = b""
        self.session = Session(world.kernel, self, self)

    def send(self, data: bytes) -> None:
        self._heard += data

    def take_steps(self, steps: Steps[None]) -> None:
        all_at_once(steps)

    def set_apart(self) -> None:
        """Everything is heard at once here; what was said before is noted."""
        self.apart.append(self._heard)

    def hang_up(self, reason: str | None = None) -> None:
        self.reasons.append(reason)

    def speak_amp(self) -> None:
        if self.speaks_amp is None:
            raise BadRequest("This host does not speak AMP")
        self.speaks_amp = True

    def exit_if_idle(self) -> bool:
        self.leaving = self.world.kernel.idle
        return self.leaving

    def heard(self) -> bytes:
        """What was said since this was last asked."""
        heard, self._heard = self._heard, b""
        return heard

    def say(self, line: bytes | str) -> bytes:
        """Say a line; what is said in return."""
        self.session.receive_line(line.encode() if isinstance(line, str) else line)
        return self.heard()

    def ask(self, line: bytes | str) -> str:
        """Ask something at the prompt; the answer without the prompt."""
        answer = self.say(line)
        assert answer.endswith(b"\n> "), answer
        return answer[:-3].decode()


class Starved(Exception):
    """A client waits for what will never come."""


class OldClient:
    """How the client of version 1 speaks and listens, fed byte by byte."""

    def __init__(self, world: World) -> None:
        self.conversation = Conversation(world)
        self.conversation.session.begin()
        self.buffer = b""
        self.reply()

    def receive(self) -> bytes:
        """One byte of what has come."""
        self.buffer += self.conversation.heard()
        if not self.buffer:
            raise Starved
        byte, self.buffer = self.buffer[:1], self.buffer[1:]
        return byte

    def say(self, *words: object) -> None:
        """Send a command: empty words go, spaces and newlines in the others are marked."""
        marked = [re.sub("[ \n]", r"\\ ", str(word)) for word in words if word]
        self.conversation.session.receive_line(" ".join(marked).encode())

    def reply(self) -> str:
        """Listen until the first prompt."""
        data = b""
        while not data.endswith(b"\n> "):
            data += self.receive()
        text = data[:-3].decode()
        if text.startswith("Error:"):
            raise ValueError(text[7:])
        return text

    def ask(self, *words: object) -> str:
        """Send a command and listen; nothing may be left to hear afterwards."""
        self.say(*words)
        reply = self.reply()
        assert not self.buffer + self.conversation.heard(), "more was said than is listened to"
        return reply

    def line(self) -> str:
        """Listen until the end of a line, or of a batch."""
        data = b""
        while not data.endswith(b"\n") and data != b"] ":
            data += self.receive()
        return data.decode().removesuffix("\n")

    def read(self) -> list[tuple[str, str, object]] | None:
        """Listen to a batch: kind, name and data or exit code of each; nothing once the watch has ended."""
        found: list[tuple[str, str, object]] = []
        while True:
            fields = self.line().split(":")
            if len(fields) < 4:
                break
            kind, name, _, figure = fields
            data = int(figure) if kind == "closed" else b"".join(self.receive() for _ in range(int(figure) + 1))[:-1]
            found.append((kind, name, data))
        if fields == ["] "]:
            return found
        assert (self.receive(), self.receive()) == (b">", b" ")
        return None

    def options(self, **fields: object) -> list[str]:
        """Options, as this client writes them: quotes around a backslash at the end."""
        texts = {key.replace("__", "."): str(value) for key, value in fields.items()}
        return [f'{key}="{text}"' if text.endswith("\\") else f"{key}={text}" for key, text in texts.items()]

    @staticmethod
    def process(line: str) -> dict[str, Any]:
        """The fields of a process; a word without a key belongs to the field before it."""
        found: dict[str, Any] = {}
        key = ""
        for word in line.split(" ")[1:]:
            before, equals, after = word.partition("=")
            if equals or not key:
                key = before
                found[key] = int(after) if key == "pid" else after == "True" if key == "running" else after
            else:
                found[key] += f" {before}"
        return found


class PromptTests(SynchronousTestCase):
    """Lines at the prompt, byte for byte."""

    def setUp(self) -> None:
        self.world = World()
        self.talk = self.world.talk()

    def test_empty_line(self) -> None:
        """An empty line gets the bare prompt; so does one of spaces."""
        for line in (b"", b"\r", b"  ", b" \r"):
            self.assertEqual(self.talk.say(line), b"> ")

    def test_values(self) -> None:
        """An answer without words is a newline and the prompt; a value is the value."""
        self.assertEqual(self.talk.say("set x one two"), b"\n> ")
        self.assertEqual(self.talk.say("get x"), b"one two\n> ")
        self.assertEqual(self.talk.say("get y"), b"\n> ")
        self.assertEqual(self.talk.say("list values"), b"x one two\n> ")
        self.assertEqual(self.talk.say("remove values x"), b"\n> ")
        self.assertEqual(self.talk.say("list values"), b"\n> ")

    def test_sockets(self) -> None:
        """A made socket is answered with its line; so it is listed, by name and by descriptor."""
        line = b"web family=inet type=stream backlog=5 host=127.0.0.1 port=40001 fileno=64\n> "
        self.assertEqual(self.talk.say("make socket web"), line)
        self.assertEqual(self.talk.say("make socket web"), line)
        self.assertEqual(self.talk.say("l s w*"), line)
        self.assertEqual(self.talk.say("l s 64"), line)
        self.assertEqual(self.talk.say("r s 64"), b"\n> ")
        self.assertEqual(self.talk.say("l s"), b"\n> ")

    def test_processes(self) -> None:
        """A made process is answered with its line; so it is listed, and with its exit code once it has ended."""
        line = b"job args=/bin/echo a b pid=1001 running=True started=1795246405.25 uid=1000 gid=1000"
        self.assertEqual(self.talk.say(r"m p job /bin/echo a\ b"), line + b"\n> ")
        self.assertEqual(self.talk.say("l p 1001"), line + b"\n> ")
        self.world.children.latest().exit(3)
        ended = line.replace(b"True", b"False") + b" exit_code=3\n> "
        self.assertEqual(self.talk.say("l p"), ended)
        self.assertEqual(self.talk.say("r p job"), b"\n> ")
        self.assertEqual(self.talk.say("l p"), b"\n> ")

    def test_standard_input(self) -> None:
        """A line is written to a process with its newline, and its input can be ended."""
        self.talk.ask("make process sh stdin=pipe /bin/sh")
        self.assertEqual(self.talk.say(r"write process sh echo  a\ \ b"), b"\n> ")
        self.assertEqual(self.talk.say('write process sh ""\r'), b"\n> ")
        self.assertEqual(self.talk.say("close stdin sh"), b"\n> ")
        child = self.world.children.latest()
        self.assertEqual((child.stdin, child.stdin_open), ([b"echo a  b\n", b"\n"], False))
        self.assertEqual(self.talk.say("c s sh"), b"Error: The standard input of the process is closed\n> ")

    def test_help(self) -> None:
        """Help ends in one newline and the prompt, and is the same however it is asked for."""
        answer = self.talk.say("help make process")
        self.assertTrue(answer.startswith(b"make process NAME "))
        self.assertRegex(answer, rb"[^\n]\n> $")
        self.assertEqual(self.talk.say("H M P"), answer)

    def test_quit(self) -> None:
        """C{quit} is answered with C{ok} and no prompt, and the connection ends; so is any prefix of it."""
        for word in ("quit", "qu", "q", "Q "):
            talk = self.world.talk()
            self.assertEqual((talk.say(word), talk.reasons), (b"ok\n", [None]))

    def test_exit_if_idle(self) -> None:
        """C{exit-if-idle} ends the connection if papa holds nothing, and else does not."""
        self.talk.ask("set x 1")
        self.assertEqual(self.talk.say("exit-if-idle"), b"not idle\n> ")
        self.assertEqual((self.talk.reasons, self.talk.leaving), ([], False))
        self.talk.ask("set x")
        self.assertEqual(self.talk.say("exit-if-idle"), b"Exiting papa!\n> ")
        self.assertEqual((self.talk.reasons, self.talk.leaving), ([None], True))

    def test_amp(self) -> None:
        """C{amp}, in full, hands the connection over without a word; the conversation is over."""
        self.assertTrue(self.talk.ask("am").startswith("Error: Unknown command"))
        for line in (b"amp", b"AMP\r"):
            talk = self.world.talk()
            self.assertEqual((talk.say(line), talk.speaks_amp), (b"", True))
            self.assertEqual(talk.say("set x 1"), b"")
        self.assertEqual(self.talk.ask("get x"), "")

    def test_amp_that_is_not_to_be_had(self) -> None:
        """Where the host speaks no AMP, C{amp} is refused like any command."""
        self.talk.speaks_amp = None
        self.assertEqual(self.talk.ask("amp"), "Error: This host does not speak AMP")
        self.assertEqual(self.talk.ask("get x"), "")

    def test_interrupt(self) -> None:
        """The interrupt key gives a new prompt."""
        self.talk.session.interrupt()
        self.assertEqual(self.talk.heard(), b"\n> ")
        self.assertEqual(self.talk.ask("get x"), "")

    def test_lines_of_people_and_of_programs(self) -> None:
        """Quotes count on a line that ends in CR LF, and are characters on one that ends in LF."""
        self.talk.ask(b'set x "a  b"')
        self.assertEqual(self.talk.ask("get x"), '"a b"')
        self.talk.ask(b'set x "a  b"\r')
        self.assertEqual(self.talk.ask("get x"), "a  b")
        self.assertIn("not closed", self.talk.ask(b'set x "a\r'))

    def test_telnet_carriage_returns(self) -> None:
        """A carriage return alone, which telnet writes with a NUL behind it, does not become part of a value."""
        self.assertEqual(self.talk.say(b"set x a\r\0\r"), b"\n> ")
        self.assertEqual(self.talk.ask("get x"), "a")

    def test_pipelined(self) -> None:
        """Five hundred commands in a row are answered in their order."""
        for number in range(500):
            self.talk.session.receive_line(b"set x %d" % number)
            self.talk.session.receive_line(b"get x")
        expected = b"".join(b"\n> %d\n> " % number for number in range(500))
        self.assertEqual(self.talk.heard(), expected)


class RefusalTests(SynchronousTestCase):
    """Every way to go wrong: one line that begins with Error, a prompt, and nothing has changed."""

    REFUSED = (
        ("nonsense", "Unknown command 'nonsense'. Type help for a list"),
        ("exit", '"exit-if-idle" cannot be abbreviated'),
        ("list", '"list" must be followed by one of: cursors, processes, sockets, values'),
        ("list x", 'Bad "list" command. "list" must be followed by one of: cursors, processes, sockets, values'),
        ("help nonsense", "Unknown command 'nonsense'. Type help for a list"),
        ("get", "Value requires a name"),
        ("get a:b", "Value name 'a:b' is not valid: use 1 to 128 of the characters A-Z a-z 0-9 . _ @ % + -"),
        ("set *", "Value name '*' is not valid: use 1 to 128 of the characters A-Z a-z 0-9 . _ @ % + -"),
        ("remove values", "Values cannot all be removed at once: name them, or use a pattern such as web.*"),
        ("r v *", "Values cannot all be removed at once: name them, or use a pattern such as web.*"),
        ("remove processes nobody", "Process 'nobody' not found"),
        ("remove processes jbo", "Process 'jbo' not found; did you mean 'job'?"),
        ("remove sockets 4711", "Socket 4711 not found"),
        ("watch processes nobody", "Process 'nobody' not found"),
        ("watch processes nobody*", "Nothing to watch: no process matches"),
        ("make process job /bin/other", "Process job has already been created with another args: "),
        ("make process job watch=1 /bin/other", "Process job has already been created with another args: "),
        ("make socket web port=1", "Socket web has already been created with port=40001: "),
        ("make process new /missing", "Program '/missing' not found"),
        ("make process new $(socket.nope.port)", "Socket 'nope' not found"),
        ("make process new $(socket.web.portx)", "'$(socket.web.portx)' must end in .fileno or .port"),
        ("make process new $(socket.web.port", "'$(socket.web.port' has no closing parenthesis"),
        ("write process job hello", "Process job has no standard input to write to"),
        ("close stdin nobody", "Process 'nobody' not found"),
        ("set x Error: no", 'Value x begins with "Error:", which on the console would read as one'),
        ("set x a\x1b[0m", "Value x holds newlines or control characters: the console cannot say it"),
        ("list sockets " + "9" * 5000, None),
        ("remove sockets " + "9" * 5000, "Socket 9999"),
        ("set x " + "y" * 1000 + "\u202e", "Value x holds newlines or control characters"),
    )

    def test_said_of_which(self) -> None:
        """That a value cannot be said is said with its name, however it was asked for."""
        world = World()
        world.kernel.set(Set(name="letter", value="two\nlines"))
        talk = world.talk()
        for asked in ("get letter", "list values"):
            self.assertIn("Error: Value letter holds newlines", talk.ask(asked))

    def test_every_refusal(self) -> None:
        """Each says what was wrong, nothing is made or lost, and the next command is served."""
        world = World()
        world.start()
        world.children.missing.add("/missing")
        talk = world.talk()
        talk.ask("make socket web")
        before = world.holds()
        for line, refusal in self.REFUSED:
            answer = talk.ask(line)
            if refusal is None:
                self.assertEqual(answer, "")
            else:
                self.assertTrue(answer.startswith(f"Error: {refusal}"), answer)
                self.assertFalse(has_controls(answer), answer)
            self.assertEqual(world.holds(), before, line)
            self.assertEqual((talk.ask("get x"), talk.reasons), ("", []), line)

    def test_removed_process_that_still_runs(self) -> None:
        """The name of a removed process is free once it has exited; before, making it again is refused."""
        world = World()
        child = world.start()
        talk = world.talk()
        talk.ask("remove processes job")
        before = world.holds()
        for line in ("make process job /bin/job", "make process job watch=1 /bin/job", "make process job /bin/other"):
            self.assertEqual(
                talk.ask(line),
                "Error: Process job was removed and still runs, with pid 1001: "
                "its name is free once it has exited; choose another until then",
            )
            self.assertEqual((world.holds(), talk.ask("get x")), (before, ""))
        child.exit(0)
        self.assertIn(" pid=1002 running=True ", talk.ask("make process job /bin/job"))

    def test_not_text(self) -> None:
        """A line that is not UTF-8 is refused, and the next one is served."""
        talk = World().talk()
        talk.ask("get x")
        self.assertEqual(
            talk.ask(b"set x caf\xe9"),
            "Error: The line is not UTF-8: unexpected end of data at byte 9; the program wire takes any bytes",
        )
        self.assertEqual(talk.ask("get x"), "")

    def test_refused_by_the_host(self) -> None:
        """What never became a line is answered like a command that is wrong."""
        talk = World().talk()
        talk.session.refuse("The line is too long")
        self.assertEqual(talk.heard(), b"Error: The line is too long\n> ")

    def test_value_of_another_wire(self) -> None:
        """A value that was kept by other means, and that this wire cannot say, is refused alone and in a list."""
        world = World()
        world.kernel.perform(Set(name="x", value="a\n> b"))
        talk = world.talk()
        for line in ("get x", "list values"):
            self.assertTrue(talk.ask(line).startswith("Error: Value "), line)
        self.assertEqual(talk.ask("remove values x"), "")
        self.assertEqual(talk.ask("list values"), "")


class StrangerTests(SynchronousTestCase):
    """Clients that have found the wrong port."""

    def test_http(self) -> None:
        """A first line of HTTP ends the conversation without an answer, and nothing behind it is done."""
        world = World()
        talk = world.talk()
        for line in (b"POST / HTTP/1.1\r", b"Host: localhost:20202\r", b"\r", b"set x pwned"):
            self.assertEqual(talk.say(line), b"")
        self.assertEqual(len(talk.reasons), 1)
        self.assertIn("POST / HTTP/1.1", talk.reasons[0] or "")
        self.assertIsNone(world.kernel.perform(Get(name="x")))

    def test_tls(self) -> None:
        """So does a first line of TLS; the log is shown its bytes, and no control character of it."""
        talk = World().talk()
        self.assertEqual(talk.say(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"), b"")
        self.assertEqual(len(talk.reasons), 1)
        self.assertFalse(has_controls(talk.reasons[0] or ""))

    def test_three_unknown_commands(self) -> None:
        """Three unknown commands at the beginning end the conversation; empty lines do not count for either side."""
        talk = World().talk()
        for line in ("EHLO x", "", "Host: x", ""):
            talk.say(line)
            self.assertEqual(talk.reasons, [])
        self.assertTrue(talk.say("MAIL FROM:x").startswith(b"Error: Unknown command"))
        self.assertEqual(talk.reasons, ["the first 3 lines were no commands"])

    def test_after_a_command(self) -> None:
        """After a command, right or wrong, any number of unknown ones is only refused."""
        for first in ("get x", "get", "help nonsense", "watch processes x", "set x Error: a"):
            talk = World().talk()
            talk.ask("nonsense")
            talk.ask(first)
            for _ in range(5):
                self.assertTrue(talk.ask("nonsense").startswith("Error: Unknown command"))
            self.assertEqual(talk.reasons, [], first)

    def test_only_the_first_line(self) -> None:
        """Later lines that look like HTTP are unknown commands."""
        talk = World().talk()
        talk.ask("get x")
        self.assertTrue(talk.ask("POST / HTTP/1.1").startswith("Error: Unknown command"))
        self.assertEqual(talk.reasons, [])


class VisibilityTests(SynchronousTestCase):
    """Whatever is held, an answer is visible, and ends where it seems to end."""

    def test_arguments(self) -> None:
        """Control characters, newlines, turned writing and prompts in arguments are written out."""
        world = World()
        world.kernel.perform(
            MakeProcess(name="job", args=("/bin/x", "a\n> b", "\x1b]52;c;\x07", "\u202egnp", "\r\n", "\x85\u2028"))
        )
        answer = world.talk().say("list processes")
        self.assertFalse(has_controls(answer[:-3].decode()))
        self.assertEqual(answer.count(b"\n"), 1)
        self.assertIn(rb"args=/bin/x a\x0a> b \x1b]52;c;\x07 \u202egnp \x0d\x0a \x85\u2028 pid=1001", answer)

    def test_argument_that_is_no_pid(self) -> None:
        """An argument where a client of version 1 would read a number breaks no listing."""
        world = World()
        old = OldClient(world)
        made = old.ask("m", "p", "job", "/bin/x", "pid=abc", "running=?")
        self.assertIn(r"args=/bin/x pid\x3dabc running\x3d? pid=1001 ", made)
        self.assertEqual(world.children.latest().spec.args, ("/bin/x", "pid=abc", "running=?"))
        for line in (made, old.ask("l", "p")):
            self.assertEqual((old.process(line)["pid"], old.process(line)["running"]), (1001, True))

    def test_argument_that_poses_as_a_pid(self) -> None:
        """A client of version 1 is given the true pid, whatever the arguments say."""
        world = World()
        old = OldClient(world)
        line = old.ask("m", "p", "job", "/bin/x", "pid=1 running=False", "uid=0")
        self.assertEqual((old.process(line)["pid"], old.process(line)["running"]), (1001, True))
        self.assertEqual(old.process(old.ask("l", "p"))["uid"], "1000")

    @QUICK
    @given(st.lists(st.text(), min_size=1, max_size=3), st.text())
    def test_anything(self, args: list[str], path: str) -> None:
        """Arguments and paths of any text leave listings of one line each, without a control character."""
        world = World()
        talk = world.talk()
        args = [arg.replace("\0", "") or "x" for arg in args]
        args = [arg.replace("$(socket", "") or "x" for arg in args]
        world.kernel.perform(MakeProcess(name="job", args=tuple(args)))
        answer = talk.ask("list processes")
        self.assertFalse(has_controls(answer))
        self.assertTrue(answer.startswith("job args="))
        self.assertRegex(answer, r" pid=1001 running=True started=1795246405\.25 uid=1000 gid=1000$")


class OldClientTests(SynchronousTestCase):
    """The client of version 1, its words and its ears, with nothing in between."""

    def setUp(self) -> None:
        self.world = World()
        self.client = OldClient(self.world)

    def test_values(self) -> None:
        """Values come back as they were, whatever spaces and backslashes they have; an empty one clears."""
        for value in ("one", "two  words", " outer ", "C:\\dir\\", '"quoted"', "caf\u00e9", "a=b", "> ", "x\\ y"):
            self.assertEqual(self.client.ask("set", "x", value), "")
            self.assertEqual(self.client.ask("get", "x"), value)
        self.client.ask("set", "x", "")
        self.assertEqual(self.client.ask("get", "x"), "")

    @QUICK
    @given(st.text(alphabet="ab \\\"'=>q:\u00e9\t", min_size=1, max_size=12))
    def test_any_value(self, value: str) -> None:
        """A value of any text is kept exactly, and given back exactly."""
        world = World()
        client = OldClient(world)
        client.ask("set", "x", value)
        self.assertEqual(world.kernel.perform(Get(name="x")), value)
        self.assertEqual(client.ask("get", "x"), value)

    def test_newlines_become_spaces(self) -> None:
        """This client turns newlines into spaces itself, as ever."""
        self.client.ask("set", "x", "a\nb")
        self.assertEqual(self.client.ask("get", "x"), "a b")

    def test_long_listings(self) -> None:
        """However long a listing is, no client takes part of it for its end."""
        for number in range(300):
            self.client.ask("set", f"x.{number:03}", "> " * 20)
        lines = self.client.ask("l", "v").split("\n")
        self.assertEqual(lines, [f"x.{number:03} {'> ' * 20}" for number in range(300)])

    def test_sockets(self) -> None:
        """Sockets are made, listed and removed with the words of this client."""
        made = self.client.ask(
            "m", "s", "web", "family=inet", "type=stream", *self.client.options(backlog=5, port=8080)
        )
        fields = dict(word.partition("=")[::2] for word in made.split(" ")[1:])
        self.assertEqual((fields["port"], fields["host"], fields["backlog"]), ("8080", "127.0.0.1", "5"))
        self.assertEqual(self.client.ask("l", "s"), made)
        self.assertEqual(self.client.ask("r", "s", "web"), "")
        self.client.ask("m", "s", "u", "path=/run/x.sock", *self.client.options(umask=0))
        self.client.ask("m", "s", "r", *self.client.options(host="0.0.0.0", interface="lo"), "reuseport=1")
        self.assertEqual(self.client.ask("l", "s").count("\n"), 1)

    def test_processes(self) -> None:
        """A process gets just what this client was told."""
        line = self.client.ask(
            "m",
            "p",
            "web",
            *self.client.options(working_dir="/srv/a b\\", uid=7, gid=8, bufsize="2m"),
            "stdout=0",
            "stderr=stdout",
            *self.client.options(env__PATH="/bin:/usr/bin", env__D="C:\\", env__Q='"x"', rlimit__nofile=64),
            "/usr/bin/serve",
            "--bind=x y",
            "a=b",
            "",
            "env.X=1",
        )
        spec = self.world.children.latest().spec
        self.assertEqual(spec.args, ("/usr/bin/serve", "--bind=x y", "a=b", "env.X=1"))
        self.assertEqual(spec.env, {"PATH": "/bin:/usr/bin", "D": "C:\\", "Q": '"x"'})
        self.assertEqual((spec.working_dir, spec.identity.uid, spec.identity.gid), ("/srv/a b\\", 7, 8))
        self.assertEqual((spec.stdout, spec.stderr, spec.rlimits), ("null", "stdout", {"nofile": (64, 64)}))
        found = self.client.process(line)
        self.assertEqual((found["pid"], found["running"], found["uid"]), (spec_pid(self.world), True, "7"))
        self.assertEqual(self.client.ask("l", "p", "web"), line)

    def test_errors(self) -> None:
        """An error is raised with its message, and the conversation goes on."""
        error = self.assertRaises(ValueError, self.client.ask, "r", "p", "nobody")
        self.assertEqual(str(error), "Process 'nobody' not found")
        self.assertRaises(ValueError, self.client.ask, "set", "x", "Error: boom")
        self.assertEqual(self.client.ask("get", "x"), "")

    def test_watch(self) -> None:
        """Output is read batch by batch, the end comes last, and the connection is free again."""
        child = self.world.start()
        child.print(b"early\n")
        self.client.say("w", "p", "job")
        self.assertEqual(self.client.line(), "Watching 1")
        self.assertEqual(self.client.read(), [("out", "job", b"early\n")])
        child.print(b"] \nout:x:1:2\n> ", STDERR)
        self.client.say("")
        self.assertEqual(self.client.read(), [("err", "job", b"] \nout:x:1:2\n> ")])
        self.client.say("")
        self.assertRaises(Starved, self.client.read)
        child.exit(-9)
        self.assertEqual(self.client.read(), [("closed", "job", -9)])
        self.client.say("")
        self.assertIsNone(self.client.read())
        self.assertEqual(self.client.ask("l", "p"), "")

    def test_watch_at_once(self) -> None:
        """C{watch=1} is answered with the process, and then its output; also of a process that was made before."""
        for _ in range(2):
            self.client.say("m", "p", "job", "watch=1", "/bin/job")
            self.assertEqual(self.client.process(self.client.line())["pid"], 1001)
            self.world.children.children[1001].print(b"x")
            self.assertEqual(self.client.read(), [("out", "job", b"x")])
            self.assertEqual(self.client.ask("q"), "Stopped watching")

    def test_watch_at_once_of_an_ended_process(self) -> None:
        """C{watch=1} on a process that has ended gives what it left, and its end."""
        child = self.world.start()
        child.print(b"last words")
        child.exit(4)
        self.client.say("m", "p", "job", "watch=1", "/bin/job")
        self.assertEqual(self.client.process(self.client.line())["running"], False)
        self.assertEqual(self.client.read(), [("out", "job", b"last words"), ("closed", "job", 4)])
        self.assertEqual(self.client.ask("q"), "Nothing left to watch")

    def test_watch_of_nothing(self) -> None:
        """A watch that cannot begin is an error on its first line, and the connection stays."""
        self.client.say("w", "p", "nobody")
        self.assertEqual(self.client.line(), "Error: Process 'nobody' not found")
        self.assertEqual((self.client.receive(), self.client.receive()), (b">", b" "))
        self.assertEqual(self.client.ask("l", "p"), "")

    def test_exit_if_idle(self) -> None:
        """The first word of the answer tells whether papa ends."""
        self.client.ask("set", "x", "1")
        self.assertFalse(self.client.ask("exit-if-idle").startswith("Exiting"))
        self.client.ask("set", "x")
        self.assertTrue(self.client.ask("exit-if-idle").startswith("Exiting"))

    @QUICK
    @given(st.lists(st.text(alphabet="ab \"'=:>\u00e9", min_size=1, max_size=8), min_size=1, max_size=5))
    def test_arguments(self, args: list[str]) -> None:
        """Arguments without a backslash arrive exactly, and the pid that is answered is the child's."""
        world = World()
        client = OldClient(world)
        line = client.ask("m", "p", "job", "/bin/job", *args)
        self.assertEqual(world.children.latest().spec.args, ("/bin/job", *args))
        self.assertEqual((client.process(line)["pid"], client.process(line)["running"]), (spec_pid(world), True))

    @QUICK
    @given(
        st.dictionaries(
            st.text("AB_%.", min_size=1, max_size=4).filter(lambda name: "__" not in name),
            st.text(alphabet="ab \\\"'=", max_size=8),
            max_size=3,
        )
    )
    def test_variables(self, env: dict[str, str]) -> None:
        """Variables of any text arrive exactly, but for quotes that hide a backslash, which version 1 cannot write."""
        env = {name: value for name, value in env.items() if value[:1] + value[-2:] != '"\\"'}
        world = World()
        client = OldClient(world)
        client.ask("m", "p", "job", *client.options(**{f"env__{name}": value for name, value in env.items()}), "x")
        self.assertEqual(dict(world.children.latest().spec.env), env)


def spec_pid(world: World) -> int:
    """The pid of the child that was started last."""
    return world.children.latest().pid


class MachineTests(SynchronousTestCase):
    """Every state and everything that can happen in it."""

    FRAME = b"out:job:1795246405.25:1\nx\n] "
    STOPPED = b"Stopped watching\n> "
    REFUSED = b"Error: The line is not UTF-8: invalid start byte at byte 0; the program wire takes any bytes\n> "

    #: State, happening, what is said, the state after it.
    TABLE = (
        ("commanding", "line", b"Error: Unknown command '-'. Type help for a list\n> ", "commanding"),
        ("commanding", "empty line", b"> ", "commanding"),
        ("commanding", "no text", REFUSED, "commanding"),
        ("commanding", "output", b"", "commanding"),
        ("commanding", "interrupt", b"\n> ", "commanding"),
        ("commanding", "loss", b"", "over"),
        ("waiting", "line", b"", "waiting"),
        ("waiting", "empty line", b"", "waiting"),
        ("waiting", "no text", REFUSED, "commanding"),
        ("waiting", "q", STOPPED, "commanding"),
        ("waiting", "output", FRAME, "offered"),
        ("waiting", "interrupt", STOPPED, "commanding"),
        ("waiting", "loss", b"", "over"),
        ("offered", "line", b"", "waiting"),
        ("offered", "empty line", b"", "waiting"),
        ("offered", "no text", REFUSED, "commanding"),
        ("offered", "q", STOPPED, "commanding"),
        ("offered", "output", b"", "offered"),
        ("offered", "interrupt", STOPPED, "commanding"),
        ("offered", "loss", b"", "over"),
        ("over", "line", b"", "over"),
        ("over", "empty line", b"", "over"),
        ("over", "no text", b"", "over"),
        ("over", "q", b"", "over"),
        ("over", "output", b"", "over"),
        ("over", "interrupt", b"", "over"),
        ("over", "loss", b"", "over"),
    )

    HAPPENINGS: ClassVar[dict[str, Callable[[Conversation, MemoryChild], object]]] = {
        "line": lambda talk, child: talk.session.receive_line(b"-"),
        "empty line": lambda talk, child: talk.session.receive_line(b"\r"),
        "no text": lambda talk, child: talk.session.receive_line(b"\xff"),
        "q": lambda talk, child: talk.session.receive_line(b" Q\r"),
        "output": lambda talk, child: child.print(b"x"),
        "interrupt": lambda talk, child: talk.session.interrupt(),
        "loss": lambda talk, child: talk.session.lost(),
    }

    def in_state(self, state: str) -> tuple[Conversation, MemoryChild]:
        """A conversation in a state, and the process that is watched in it."""
        world = World()
        child = world.start()
        talk = world.talk()
        talk.ask("get x")
        if state in ("waiting", "offered"):
            self.assertEqual(talk.say("watch processes"), b"Watching 1\n")
        if state == "offered":
            child.print(b"first")
            self.assertIn(b"first", talk.heard())
        if state == "over":
            talk.session.lost()
        return talk, child

    def state_of(self, talk: Conversation, child: MemoryChild) -> str:
        """The state that a conversation shows to be in."""
        child.print(b"probe")
        if b"probe\n] " in talk.heard():
            return "waiting"
        answer = talk.say("help quit")
        if b"Close this connection" in answer:
            return "commanding"
        return "offered" if b"probe\n] " in answer else "over"

    def test_every_state_and_happening(self) -> None:
        """What is said, and where the conversation then stands, for every combination."""
        for state, happening, said, after in self.TABLE:
            talk, child = self.in_state(state)
            self.assertEqual(self.state_of(*self.in_state(state)), state)
            self.HAPPENINGS[happening](talk, child)
            self.assertEqual(talk.heard(), said, (state, happening))
            self.assertEqual(self.state_of(talk, child), after, (state, happening))
            self.assertEqual(talk.reasons, [], (state, happening))

    def test_table_is_complete(self) -> None:
        """No combination is left out but C{q} at the prompt, which is C{quit}."""
        states = ("commanding", "waiting", "offered", "over")
        told = {(state, happening) for state, happening, _, _ in self.TABLE}
        self.assertEqual(set(itertools.product(states, self.HAPPENINGS)) - told, {("commanding", "q")})

    def test_end_of_a_process(self) -> None:
        """The end of a process is said where a watch waits, and behind its output where a batch is out."""
        for state, said, then in (
            ("commanding", b"", None),
            ("waiting", b"closed:job:1795246405.25:5\n] ", b"Nothing left to watch\n> "),
            ("offered", b"", b"closed:job:1795246405.25:5\n] "),
            ("over", b"", b""),
        ):
            talk, child = self.in_state(state)
            child.exit(5)
            self.assertEqual(talk.heard(), said, state)
            if then is not None:
                self.assertEqual(talk.say(""), then, state)


def parsed(batch: bytes) -> list[tuple[str, str, object]]:
    """The frames of one whole batch: kind, name and data or exit code."""
    return list(_frames(batch))


def output_in(batch: bytes) -> bytes:
    """All output in one whole batch."""
    return b"".join(data for _, _, data in parsed(batch) if isinstance(data, bytes))


def _frames(batch: bytes) -> Iterator[tuple[str, str, object]]:
    while batch != b"] ":
        header, newline, batch = batch.partition(b"\n")
        assert newline, header
        kind, name, *_, figure = header.decode().split(":")
        if kind in ("out", "err"):
            size = int(figure)
            assert batch[size : size + 1] == b"\n", batch[: size + 1]
            yield kind, name, batch[:size]
            batch = batch[size + 1 :]
        else:
            yield kind, name, int(figure)


class Watcher:
    """
    A client that watches one process, loses its connection and comes back.

    @ivar printed: all that the process has printed.
    @ivar offered: what was sent in the batch that waits to be acknowledged.
    @ivar safe: what was acknowledged.
    """

    def __init__(self) -> None:
        self.world = World()
        self.lookers: list[Conversation] = []
        self.child = self.world.start(bufsize=100 << 20)
        self.talk = self.world.talk()
        self.watching = False
        self.counter = itertools.count()
        self.printed = self.safe = self.offered = b""

    def listen(self) -> None:
        """Take what was said."""
        heard = self.talk.heard().removeprefix(b"Watching 1\n")
        if self.watching and heard:
            self.offered = output_in(heard)

    def print(self, times: int = 1) -> None:
        """The process prints."""
        data = b"%d\n" % next(self.counter) * times
        self.printed += data
        self.child.print(data)
        self.listen()

    def print_much(self) -> None:
        """The process prints more than a batch can hold."""
        self.print(BATCH_SIZE)

    def watch(self) -> None:
        """Begin, if it is not watching."""
        if not self.watching:
            self.watching = True
            self.talk.session.receive_line(b"watch processes")
            self.listen()

    def acknowledge(self) -> None:
        """Say that the batch is safe, and go on."""
        if self.watching:
            self.safe, self.offered = self.safe + self.offered, b""
            self.talk.session.receive_line(b"")
            self.listen()

    def stop(self) -> None:
        """Say that the batch is safe, and stop."""
        if self.watching:
            self.safe += self.offered
            self.leave(lambda: self.talk.session.receive_line(b"q"))

    def interrupt(self) -> None:
        """Stop without a word about the batch."""
        self.leave(self.talk.session.interrupt)

    def say_no_text(self) -> None:
        """Say what is no line."""
        self.leave(lambda: self.talk.session.receive_line(b"\xff"))

    def lose(self) -> None:
        """Lose the connection, and make another."""
        self.leave(self.talk.session.lost)
        self.talk = self.world.talk()

    def leave(self, how: Callable[[], object]) -> None:
        """Watch no more."""
        self.watching, self.offered = False, b""
        how()
        self.listen()

    def look(self) -> None:
        """Somebody else looks, and lets nothing go."""
        self.lookers.append(self.world.talk())
        self.lookers[-1].say("watch processes observe=1")


class WatchTests(SynchronousTestCase):
    """Batches, acknowledgements and the ends of watches."""

    def setUp(self) -> None:
        self.world = World()
        self.talk = self.world.talk()

    def kept(self) -> bytes:
        """What a watcher that only looks is given."""
        looking = self.world.talk()
        answer = looking.say("watch processes observe=1 follow=0").partition(b"\n")[2]
        if answer == b"Nothing left to watch\n> ":
            return b""
        return output_in(answer)

    def test_kept_output_comes_first(self) -> None:
        """What was printed before the watch began is sent at once, behind the headline."""
        child = self.world.start()
        child.print(b"a")
        child.print(b"b", STDERR)
        self.assertEqual(
            self.talk.say("w p"),
            b"Watching 1\nout:job:1795246405.25:1\na\nerr:job:1795246405.25:1\nb\n] ",
        )

    def test_headline_is_set_apart(self) -> None:
        """What follows the headline of a watch is set apart from it, and from nothing else."""
        child = self.world.start()
        child.print(b"a")
        self.talk.say("w p")
        self.assertEqual(self.talk.apart, [b"Watching 1\n"])
        child.print(b"b")
        for line in ("", "q", "get x", "list processes", "w p nobody"):
            self.talk.say(line)
        self.assertEqual(len(self.talk.apart), 1)
        answer = self.talk.say("make process job watch=1 /bin/job")
        self.assertEqual(self.talk.apart[1:], [answer])
        self.assertRegex(answer, rb"^job args=/bin/job [^\n]*\n$")

    def test_beginning_fails(self) -> None:
        """If its headline cannot be said, nobody watches, and no output waits for that."""
        child = self.world.start()
        self.patch(self.talk, "set_apart", lambda: 1 // 0)
        self.assertRaises(ZeroDivisionError, self.talk.say, "watch processes job")
        child.print(b"x")
        other = self.world.talk()
        other.say("watch processes job")
        other.say("q")
        (process,) = self.world.kernel.list_processes(ListProcesses()).values()
        self.assertEqual((process.captured, process.buffered), (1, 0))

    def test_acknowledged_is_let_go(self) -> None:
        """Any line acknowledges a batch; what was acknowledged is not sent again."""
        child = self.world.start()
        for line in (b"", b"\r", b"-", b"get x", b"quit"):
            child.print(line + b".")
            self.talk.say("w p")
            self.assertEqual(self.talk.say(line), b"")
            self.assertEqual(self.talk.say("q"), b"Stopped watching\n> ")
            self.assertEqual(self.kept(), b"")

    def test_q_acknowledges(self) -> None:
        """C{q} acknowledges the batch and stops."""
        child = self.world.start()
        child.print(b"a")
        self.talk.say("w p")
        self.assertEqual(self.talk.say("q"), b"Stopped watching\n> ")
        self.assertEqual(self.kept(), b"")

    def test_interrupt_acknowledges_nothing(self) -> None:
        """The interrupt key stops, and what was shown is kept."""
        child = self.world.start()
        child.print(b"a")
        self.talk.say("w p")
        self.talk.session.interrupt()
        self.assertEqual(self.talk.heard(), b"Stopped watching\n> ")
        self.assertEqual(self.kept(), b"a")

    def test_refused_line_acknowledges_nothing(self) -> None:
        """What is no line stops a watch with an error, and what was shown is kept."""
        child = self.world.start()
        child.print(b"a")
        self.talk.say("w p")
        self.talk.session.refuse("The line is too long")
        self.assertEqual(self.talk.heard(), b"Error: The line is too long\n> ")
        self.assertEqual(self.talk.ask("get x"), "")
        self.assertEqual(self.kept(), b"a")

    def test_output_waits_for_no_watch_that_is_over(self) -> None:
        """However a watch ends, with a batch to acknowledge or without, what is printed later does not wait for it."""
        endings: tuple[Callable[[Session], None], ...] = (
            lambda session: session.receive_line(b"q"),
            lambda session: session.interrupt(),
            lambda session: session.refuse("The line is too long"),
            lambda session: session.lost(),
        )
        for end, watch, offered in (
            *itertools.product(endings, ("watch processes job",), (False, True)),
            (lambda session: session.receive_line(b""), "watch processes follow=0 job", True),
        ):
            world = World()
            child = world.start()
            talk, other = world.talk(), world.talk()
            if offered:
                child.print(b"a")
            talk.say(watch)
            end(talk.session)
            child.print(b"b")
            other.say("watch processes job")
            other.say("q")
            self.assertEqual(world.kernel.list_processes(ListProcesses())["job"].buffered, 0, (end, offered))

    def test_one_batch_at_a_time(self) -> None:
        """Nothing is sent before the batch before it was acknowledged; then all that has come meanwhile."""
        child = self.world.start()
        self.talk.say("w p")
        child.print(b"1")
        self.assertEqual(parsed(self.talk.heard()), [("out", "job", b"1")])
        child.print(b"2")
        child.print(b"3", STDERR)
        self.assertEqual(self.talk.heard(), b"")
        self.assertEqual(parsed(self.talk.say("")), [("out", "job", b"2"), ("err", "job", b"3")])

    def test_early_acknowledgement(self) -> None:
        """A line before there is a batch acknowledges nothing that comes later."""
        child = self.world.start()
        self.talk.say("w p")
        self.assertEqual(self.talk.say(""), b"")
        child.print(b"a")
        self.talk.session.lost()
        self.assertEqual(self.kept(), b"a")

    def test_large_output_comes_in_pieces(self) -> None:
        """A batch has a bounded size; each is acknowledged by itself, and together they are everything."""
        child = self.world.start(bufsize=10 << 20)
        printed = b"".join(b"%07d\n" % number for number in range(100_000))
        child.print(printed)
        batches = []
        answer = self.talk.say("w p").partition(b"\n")[2]
        while answer:
            batches.append(output_in(answer))
            answer = self.talk.say("")
        self.assertEqual(b"".join(batches), printed)
        self.assertGreater(len(batches), 2)
        self.assertLessEqual(max(map(len, batches)), BATCH_SIZE)

    def test_several_processes(self) -> None:
        """A watch of several counts them, tells each end, and ends after the last."""
        first, second = self.world.start("a"), self.world.start("b")
        self.assertEqual(self.talk.say("w p"), b"Watching 2\n")
        first.exit(1)
        self.assertEqual(parsed(self.talk.heard()), [("closed", "a", 1)])
        self.assertEqual(self.talk.say(""), b"")
        self.assertEqual(list(self.world.kernel.list_processes(ListProcesses())), ["b"])
        second.exit(2)
        self.assertEqual(parsed(self.talk.heard()), [("closed", "b", 2)])
        self.assertEqual(self.talk.say("q"), b"Nothing left to watch\n> ")
        self.assertTrue(self.world.kernel.idle)

    def test_end_that_was_not_acknowledged(self) -> None:
        """A process whose end was told, but not acknowledged, stays; the next watcher is told again."""
        child = self.world.start()
        self.talk.say("w p")
        child.exit(7)
        self.talk.session.lost()
        self.assertEqual(self.world.talk().say("w p"), b"Watching 1\nclosed:job:1795246405.25:7\n] ")

    def test_name_that_was_made_anew(self) -> None:
        """The acknowledgement of an end forgets that process, not another that has its name by now."""
        child = self.world.start()
        self.talk.say("w p")
        child.exit(0)
        self.assertEqual(parsed(self.talk.heard()), [("closed", "job", 0)])
        other = self.world.talk()
        other.ask("remove processes job")
        other.ask("make process job /bin/other")
        self.assertEqual(self.talk.say(""), b"Nothing left to watch\n> ")
        self.assertIn("pid=1002 running=True", other.ask("list processes"))

    def test_process_that_is_removed_meanwhile(self) -> None:
        """A watch of a process that somebody removes is told of its end, and of no more output."""
        child = self.world.start()
        self.talk.say("w p")
        self.world.talk().ask("remove processes job")
        child.print(b"thrown away")
        child.exit(0)
        self.assertEqual(parsed(self.talk.heard()), [("closed", "job", 0)])
        self.assertEqual(self.talk.say(""), b"Nothing left to watch\n> ")

    def test_follow(self) -> None:
        """C{follow=0} ends when what is there has been acknowledged, also if there is nothing."""
        child = self.world.start()
        self.assertEqual(self.talk.say("w p follow=0"), b"Watching 1\nNothing left to watch\n> ")
        child.print(b"a")
        self.assertEqual(parsed(self.talk.say("w p follow=0").partition(b"\n")[2]), [("out", "job", b"a")])
        child.print(b"b")
        self.assertEqual(parsed(self.talk.say("")), [("out", "job", b"b")])
        self.assertEqual(self.talk.say(""), b"Nothing left to watch\n> ")
        self.assertEqual(self.talk.say("w p follow=0"), b"Watching 1\nNothing left to watch\n> ")
        self.assertIn("running=True", self.talk.ask("l p"))

    def test_observe(self) -> None:
        """C{observe=1} reads on without letting anything go, the end included."""
        child = self.world.start()
        child.print(b"a")
        self.talk.say("w p observe=1")
        child.print(b"b")
        self.assertEqual(parsed(self.talk.say("")), [("out", "job", b"b")])
        child.exit(3)
        self.assertEqual(parsed(self.talk.say("")), [("closed", "job", 3)])
        self.assertEqual(self.talk.say(""), b"Nothing left to watch\n> ")
        talk = self.world.talk()
        frames = parsed(talk.say("w p").partition(b"\n")[2])
        self.assertEqual(b"".join(data for _, _, data in frames if isinstance(data, bytes)), b"ab")
        self.assertEqual(frames[-1], ("closed", "job", 3))

    def test_holes(self) -> None:
        """C{holes=1} says how much a full buffer has dropped; a watch without it is not told."""
        child = self.world.start(bufsize=100)
        for number in range(30):
            child.print(b"%09d\n" % number)
        answer = self.talk.say("w p holes=1").partition(b"\n")[2]
        header, _, rest = answer.partition(b"\n")
        size = int(header.split(b":")[-1])
        self.assertEqual(header, b"hole:job:1795246405.25:1795246405.25:%d" % size)
        output = output_in(rest)
        self.assertEqual(size + len(output), 300)
        self.assertTrue(output.endswith(b"000000029\n"))
        self.assertLessEqual(len(output), 100)
        self.assertEqual(parsed(self.world.talk().say("w p").partition(b"\n")[2]), parsed(rest))

    def test_batch_of_nothing_but_a_hole(self) -> None:
        """Where all there was has been dropped, a watch that is told of no holes still stays in step."""
        child = self.world.start(bufsize=1)
        self.talk.say("w p")
        child.print(b"a")
        self.talk.heard()
        child.print(b"bc")
        self.assertEqual(self.talk.say(""), b"] ")
        self.assertEqual(self.talk.say(""), b"")
        child.print(b"d")
        self.assertEqual(parsed(self.talk.heard()), [("out", "job", b"d")])
        self.assertEqual(self.talk.say("q"), b"Stopped watching\n> ")

    def test_two_watchers(self) -> None:
        """Two sessions that watch one process are each sent everything, and each is told of its end."""
        child = self.world.start()
        other = self.world.talk()
        self.talk.say("w p")
        other.say("w p")
        child.print(b"a")
        for talk in (self.talk, other):
            self.assertEqual(parsed(talk.heard()), [("out", "job", b"a")])
        self.assertEqual(self.talk.say(""), b"")
        child.print(b"b")
        child.exit(1)
        self.assertEqual(parsed(self.talk.heard()), [("out", "job", b"b")])
        self.assertEqual(parsed(self.talk.say("")), [("closed", "job", 1)])
        self.assertEqual(self.talk.say(""), b"Nothing left to watch\n> ")
        self.assertEqual(parsed(other.say("")), [("out", "job", b"b"), ("closed", "job", 1)])
        self.assertEqual(other.say(""), b"Nothing left to watch\n> ")
        self.assertTrue(self.world.kernel.idle)

    def test_one_of_two_watchers_goes(self) -> None:
        """What one watcher has acknowledged is safe; what neither has is kept when both have gone."""
        child = self.world.start()
        other = self.world.talk()
        self.talk.say("w p")
        other.say("w p")
        child.print(b"a")
        other.session.lost()
        self.talk.say("")
        child.print(b"b")
        self.talk.session.lost()
        self.assertEqual(self.kept(), b"b")

    def test_commands_after_a_watch(self) -> None:
        """After a watch has ended, in any way, commands are served and another watch can begin."""
        child = self.world.start()
        for end in (lambda: self.talk.say("q"), self.talk.session.interrupt):
            self.talk.say("w p")
            child.print(b"x")
            end()
            self.talk.heard()
            self.assertEqual(self.talk.ask("get x"), "")

    @QUICK
    @given(
        st.lists(
            st.sampled_from(
                [
                    Watcher.print,
                    Watcher.print_much,
                    Watcher.watch,
                    Watcher.acknowledge,
                    Watcher.stop,
                    Watcher.interrupt,
                    Watcher.say_no_text,
                    Watcher.lose,
                    Watcher.look,
                ]
            ),
            max_size=25,
        )
    )
    def test_nothing_unacknowledged_is_lost(self, steps: list[Callable[[Watcher], None]]) -> None:
        """Whenever watches end, by whatever means, what was acknowledged and what is kept are all, in order."""
        watcher = Watcher()
        for step in steps:
            step(watcher)
        watcher.lose()
        watcher.watch()
        while watcher.offered:
            watcher.acknowledge()
        self.assertEqual(watcher.safe, watcher.printed)


commands = st.sampled_from(
    [
        b"list sockets",
        b"l p",
        b"m s a",
        b"m p a x",
        b"m p a watch=1 x",
        b"m p b stdin=pipe x",
        b"w p",
        b"w p observe=1 follow=0",
        b"write process b x",
        b"r p",
        b"r s",
        b"set x 1",
        b"help",
        b"",
        b"\r",
    ]
)
noise = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(
        st.sampled_from([b"m", b"s", b"p", b"env.X=", b"rlimit.", b"nofile=-1", b"--", b"a", b"=", b'"', b"\\", b"*"])
    ).map(b" ".join),
)


class NoiseTests(SynchronousTestCase):
    """Whatever comes, nothing breaks. C{amp} is noise, too: a conversation that it ended could not go on."""

    def talk(self, world: World) -> Conversation:
        """A conversation at a host that speaks no AMP."""
        talk = world.talk()
        talk.speaks_amp = None
        return talk

    def assert_in_step(self, talk: Conversation) -> None:
        """Stop whatever goes on, and be understood."""
        talk.session.interrupt()
        self.assertTrue(talk.heard().endswith(b"> "))
        self.assertEqual(talk.ask("set still here"), "")
        self.assertEqual(talk.ask("get still"), "here")

    @settings(QUICK, max_examples=300)
    @given(st.lists(st.one_of(noise, commands).filter(lambda line: b"\n" not in line), max_size=10))
    @example([b"AMP"])
    def test_any_lines(self, lines: list[bytes]) -> None:
        """No line raises, each at the prompt is answered with a prompt, and the conversation goes on behind them."""
        world = World()
        talk = self.talk(world)
        talk.ask("get x")
        for line in lines:
            talk.session.receive_line(line)
            if talk.reasons:
                talk.reasons.clear()
            for child in world.children.children.values():
                child.print(b"x")
        self.assert_in_step(talk)

    @settings(QUICK, max_examples=200)
    @given(st.one_of(noise, commands).filter(lambda line: b"\n" not in line))
    def test_any_line_has_one_answer(self, line: bytes) -> None:
        """A line at the prompt is answered with one prompt, a hang-up, or the headline of a watch."""
        world = World()
        world.start()
        talk = self.talk(world)
        talk.ask("get x")
        answer = talk.say(line)
        if talk.reasons:
            self.assertIn(answer, (b"ok\n", b"not idle\n> ", b"Exiting papa!\n> "))
        elif answer.endswith(b"\n> ") or answer == b"> ":
            self.assertEqual(answer.count(b"\n> "), answer != b"> ")
            self.assertEqual(talk.ask("get untouched"), "")
        else:
            self.assertRegex(answer, rb"^(Watching \d+|a args=.*)\n(out:|closed:|$)")

    @QUICK
    @given(st.lists(noise.filter(lambda line: b"\n" not in line), min_size=1, max_size=4))
    def test_any_first_lines(self, lines: list[bytes]) -> None:
        """Noise as the very first lines is refused, answered or hung up on; it makes nothing but what it says."""
        talk = self.talk(World())
        for line in lines:
            talk.session.receive_line(line)
        self.assertLessEqual(len(talk.reasons), len(lines))
