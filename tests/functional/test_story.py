"""One story, told over every way to a kernel: in memory, by Unix socket and port with Deferreds, and blocking."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

import papa
from papa.client.deferred import RemoteKernel, connect
from papa.errors import AlreadyDiffers, BadRequest, NotAllowed, NotFound, SpawnFailed
from papa.records import STDERR, STDOUT, Closed, Happened, Item, Output
from papa.testing import MemoryKernel
from tests.support import KernelTestCase

#: A program that does what it is told, line by line.
SHELL = ("/bin/sh", "-c", 'while read -r line; do eval "$line"; done')
#: Arguments that a line could not say, or would change.
ODD = (
    "new\nline",
    "",
    " leading",
    "trailing ",
    'quo"te',
    "back\\slash\\",
    "\udcff\udcfe",
    "ä€😀",
    "a=b",
    "$HOME",
    "--",
    "\r",
)
#: Two variables of as much as the system takes in one, nearly.
LARGE = {"FIRST": "x" * 100_000, "SECOND": "y\n" * 50_000, "ODD": ' "\udcff\n\\'}

#: Tells its arguments and its environment, and ends with 7.
PROGRAM = """
import os, sys
for each in [*map(os.fsencode, sys.argv[1:]), *(os.environb[name] for name in (b"FIRST", b"SECOND", b"ODD"))]:
    sys.stdout.buffer.write(each + b"\\0")
sys.stdout.buffer.flush()
os.write(2, b"oops")
sys.exit(7)
"""


def told(args: tuple[str, ...], env: Mapping[str, str]) -> bytes:
    """What that program tells."""
    return b"".join(os.fsencode(each) + b"\0" for each in (*args, env["FIRST"], env["SECOND"], env["ODD"]))


#: Texts that a wire could spoil.
TEXTS = (*ODD[:1], *ODD[2:], "v\n" * 5_000_000, '\udcff\n"\\\0 ]> ', "Error: no")


class Way(Protocol):
    """A way to a kernel."""

    #: Whether descriptors can be lent.
    lends: bool

    async def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask for something; a record, a mapping, a value or nothing."""

    async def read(
        self, *names: str, until: type[Item] = Output, acknowledged: bool = True, **options: Any
    ) -> list[Item]:
        """Everything until something of that kind has come; output in one piece where it follows each other."""

    async def events(self, since: int) -> list[Happened]:
        """What has happened since."""

    def play(self, name: str, out: bytes, err: bytes, code: int) -> None:
        """Have a program do what it does, where it does not do that by itself."""

    async def say(self, name: str, data: bytes, channel: int = STDOUT) -> None:
        """Have a process print something."""

    async def exit(self, name: str, code: int) -> None:
        """Have it end."""

    async def close(self) -> None:
        """Disconnect."""


def field(thing: Any, name: str) -> Any:
    """What a record says, or a mapping of version 1."""
    return thing[name] if isinstance(thing, dict) else getattr(thing, name)


def joined(items: list[Item]) -> list[Item]:
    """The same with one piece where several of one channel follow each other."""
    together: list[Item] = []
    for item in items:
        last = together[-1] if together else None
        if (
            isinstance(item, Output)
            and isinstance(last, Output)
            and (last.name, last.channel) == (item.name, item.channel)
        ):
            together[-1] = Output(
                name=item.name,
                channel=item.channel,
                timestamp=last.timestamp,
                data=last.data + item.data,
                mark=item.mark,
                invocation=item.invocation,
            )
        else:
            together.append(item)
    return together


class DeferredWay:
    """The client for Twisted programs."""

    def __init__(self, kernel: RemoteKernel, *, lends: bool) -> None:
        self.kernel = kernel
        self.lends = lends

    async def ask(self, method: str, *args: Any, **options: Any) -> Any:
        return await getattr(self.kernel, method)(*args, **options)

    async def read(
        self, *names: str, until: type[Item] = Output, acknowledged: bool = True, **options: Any
    ) -> list[Item]:
        items: list[Item] = []
        async with self.kernel.watch_processes(*names, **options) as watch:
            async for item in watch:
                items = joined([*items, item])
                if acknowledged:
                    watch.acknowledge(item)
                if isinstance(item, until):
                    break
        return items

    async def events(self, since: int) -> list[Happened]:
        return [event async for event in self.kernel.watch_events(since=since, follow=False)]

    def play(self, name: str, out: bytes, err: bytes, code: int) -> None:
        """It does."""

    async def say(self, name: str, data: bytes, channel: int = STDOUT) -> None:
        await self.kernel.write_process(name, said(data, channel))

    async def exit(self, name: str, code: int) -> None:
        await self.kernel.write_process(name, b"exit %d\n" % code)

    async def close(self) -> None:
        await self.kernel.close()


class MemoryWay(DeferredWay):
    """The same, with a kernel in memory, where the test plays the programs."""

    def __init__(self, memory: MemoryKernel, kernel: RemoteKernel) -> None:
        super().__init__(kernel, lends=False)
        self._memory = memory

    def play(self, name: str, out: bytes, err: bytes, code: int) -> None:
        child = self._memory.child(name)
        child.print(out)
        child.print(err, STDERR)
        child.exit(code)

    async def say(self, name: str, data: bytes, channel: int = STDOUT) -> None:
        self._memory.child(name).print(data, channel)

    async def exit(self, name: str, code: int) -> None:
        self._memory.child(name).exit(code)


class BlockingWay:
    """The client of version 1."""

    def __init__(self, client: papa.Papa, *, lends: bool = True) -> None:
        self.client = client
        self.lends = lends

    async def ask(self, method: str, *args: Any, **options: Any) -> Any:
        if method == "make_process":
            name, (program, *arguments) = args
            args = (name, program, arguments)
            options = {key: papa.PIPE if value == "pipe" else value for key, value in options.items()}
        return getattr(self.client, method)(*args, **options)

    async def read(
        self, *names: str, until: type[Item] = Output, acknowledged: bool = True, **options: Any
    ) -> list[Item]:
        items: list[Item] = []
        watcher = self.client.watch_processes(*names, **options)
        while not any(isinstance(item, until) for item in items) and (batch := watcher.read_items()) is not None:
            items = joined([*items, *batch])
        if acknowledged:
            watcher.close()
        elif watcher.connection is not None:
            watcher.__exit__(None, ValueError(), None)
        return items

    async def events(self, since: int) -> list[Happened]:
        with self.client.watch_events(since=since, follow=False) as reader:
            return list(reader)

    def play(self, name: str, out: bytes, err: bytes, code: int) -> None:
        """It does."""

    async def say(self, name: str, data: bytes, channel: int = STDOUT) -> None:
        self.client.write_process(name, said(data, channel))

    async def exit(self, name: str, code: int) -> None:
        self.client.write_process(name, b"exit %d\n" % code)

    async def close(self) -> None:
        self.client.close()


def said(data: bytes, channel: int) -> bytes:
    """The line that has L{SHELL} print something."""
    return f"printf %s {shlex.quote(data.decode())} >&{channel}\n".encode()


class Story:
    """What must be the same whatever the way; mixed into a test case."""

    def open(self) -> Deferred[Way]:
        """A way to a kernel that holds nothing."""
        raise NotImplementedError

    async def refused(self, kind: type[Exception], asked: Coroutine[Any, Any, Any]) -> None:
        """Something is refused for a reason; as the very leaf of the tree."""
        try:
            answer = await asked
        except kind as error:
            self.assertIs(type(error), kind)
            self.assertNotEqual(str(error), "")
        else:
            self.fail(f"{answer!r} instead of {kind.__name__}")

    async def test_values(self) -> None:
        """Values are set, listed and removed; every text arrives as it was sent."""
        way = await self.open()
        for number, text in enumerate(TEXTS):
            await way.ask("set", f"v{number}", text)
        for number, text in enumerate(TEXTS):
            self.assertTrue(await way.ask("get", f"v{number}") == text, number)
        listed = await way.ask("list_values", "v*")
        self.assertTrue(listed == {f"v{number}": text for number, text in enumerate(TEXTS)})
        await way.ask("set", "v0")
        self.assertIsNone(await way.ask("get", "v0"))
        await way.ask("remove_values", "v1", "v2")
        await self.refused(BadRequest, way.ask("remove_values"))
        await self.refused(BadRequest, way.ask("set", "a b", "x"))
        self.assertEqual({*await way.ask("list_values")}, {f"v{number}" for number in range(3, len(TEXTS))})
        await way.close()

    async def test_sockets(self) -> None:
        """Sockets are made once, listed and removed."""
        way = await self.open()
        made = await way.ask("make_socket", "web", host="127.0.0.1", backlog=7)
        self.assertGreater(field(made, "port"), 0)
        again = await way.ask("make_socket", "web", host="127.0.0.1", backlog=7)
        self.assertEqual(field(again, "fileno"), field(made, "fileno"))
        await self.refused(AlreadyDiffers, way.ask("make_socket", "web", host="127.0.0.1", backlog=8))
        self.assertEqual(list(await way.ask("list_sockets", "w*")), ["web"])
        if way.lends:
            lent = await way.ask("lend_socket", "web")
            with lent if isinstance(lent, socket.socket) else socket.socket(fileno=lent.descriptor) as duplicate:
                self.assertEqual(duplicate.getsockname()[1], field(made, "port"))
        await way.ask("remove_sockets", "web")
        await self.refused(NotFound, way.ask("remove_sockets", "web"))
        self.assertEqual(await way.ask("list_sockets"), {})
        await way.close()

    async def test_processes(self) -> None:
        """Processes are made once, watched to their end, and forgotten."""
        way = await self.open()
        made = await way.ask("make_process", "job", SHELL, stdin="pipe")
        self.assertTrue(field(made, "running"))
        again = await way.ask("make_process", "job", SHELL, stdin="pipe")
        self.assertEqual(field(again, "pid"), field(made, "pid"))
        await self.refused(AlreadyDiffers, way.ask("make_process", "job", ["/bin/true"]))
        await self.refused(BadRequest, way.ask("make_process", "nul", ["/bin/echo", "a\0b"]))
        await self.refused(SpawnFailed, way.ask("make_process", "no", ["/nothing/there"]))
        await self.refused(NotFound, way.read("other"))
        await way.say("job", b"out")
        self.assertEqual([told.data for told in await way.read("job", observe=True)], [b"out"])
        first = await way.read("job", acknowledged=False)
        self.assertEqual(joined([*first, *await way.read("job")])[0].name, "job")
        await way.say("job", b"err", STDERR)
        await way.exit("job", 3)
        err, end = await way.read("job", until=Closed)
        assert isinstance(err, Output)
        assert isinstance(end, Closed)
        self.assertEqual((err.channel, err.data, err.mark, end.exit_code), (STDERR, b"err", 6, 3))
        self.assertEqual((err.invocation, first[0].invocation), (end.invocation, end.invocation))
        self.assertEqual(await way.ask("list_processes"), {})
        await way.close()

    async def test_program(self) -> None:
        """Arguments, environment and output of any bytes arrive as they were sent, to each reader."""
        way = await self.open()
        args = [sys.executable, "-c", PROGRAM, *ODD]
        await way.ask("make_process", "job", args, env=LARGE)
        way.play("job", told(ODD, LARGE), b"oops", 7)
        items = await way.read("job", until=Closed, observe=True)
        again = await way.read("job", until=Closed)
        for each in (items, again):
            end = each.pop()
            assert isinstance(end, Closed)
            self.assertEqual(end.exit_code, 7)
            for channel, expected in ((STDOUT, told(ODD, LARGE)), (STDERR, b"oops")):
                data = b"".join(item.data for item in each if isinstance(item, Output) and item.channel == channel)
                self.assertTrue(data == expected, channel)
        self.assertEqual(items[-1].mark, len(told(ODD, LARGE)) + 4)
        self.assertEqual(await way.ask("list_processes"), {})
        await way.close()

    async def test_cursors(self) -> None:
        """Readers with a name have places of their own."""
        way = await self.open()
        await way.ask("make_process", "job.1", SHELL, stdin="pipe")
        await way.say("job.1", b"one")
        (one,) = await way.read("job.*", cursor="ship")
        await way.say("job.1", b"two")
        (two,) = await way.read("job.*", cursor="other")
        assert isinstance(two, Output)
        self.assertEqual((two.data, two.invocation), (b"onetwo"[-len(two.data) :], one.invocation))
        cursor = (await way.ask("list_cursors", "ship"))["ship"]
        self.assertEqual((field(cursor, "patterns"), field(cursor, "marks")), (("job.*",), {"job.1": 3}))
        await way.ask("move_cursor", "ship", "job.1", 1)
        await self.refused(BadRequest, way.ask("move_cursor", "ship", "job.1", 99))
        await self.refused(NotFound, way.ask("move_cursor", "none", "job.1", 0))
        await way.ask("remove_cursors", "*")
        self.assertEqual(await way.ask("list_cursors"), {})
        await way.exit("job.1", 0)
        self.assertIsInstance((await way.read("job.1", until=Closed))[-1], Closed)
        await way.close()

    async def test_events(self) -> None:
        """What has happened is told, with numbers."""
        way = await self.open()
        await way.ask("set", "x", "1")
        await way.ask("make_process", "job", SHELL, stdin="pipe")
        await way.exit("job", 3)
        await way.read("job", until=Closed)
        await way.ask("remove_values", "x")
        told = await way.events(0)
        kinds = ["value-set", "process-made", "process-exited", "process-closed", "process-removed", "value-removed"]
        self.assertEqual([(event.number, event.kind) for event in told], list(enumerate(kinds, 1)))
        self.assertEqual(next(event.detail for event in await way.events(2)), 3)
        await self.refused(BadRequest, way.events(99))
        self.assertTrue(await way.ask("exit_if_idle"))
        await way.close()


class MemoryTests(Story, KernelTestCase, TestCase):
    """In memory."""

    def open(self) -> Deferred[Way]:
        memory = MemoryKernel(reactor)
        memory.children.missing.add("/nothing/there")
        return memory.client().addCallback(lambda kernel: MemoryWay(memory, kernel))


class UnixTests(Story, KernelTestCase, TestCase):
    """Over a Unix socket."""

    def open(self) -> Deferred[Way]:
        self.serve()
        where = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        return connect(reactor, where).addCallback(lambda kernel: DeferredWay(kernel, lends=True))


class PortTests(Story, KernelTestCase, TestCase):
    """Over a console's port, after the line C{amp}."""

    def open(self) -> Deferred[Way]:
        return connect(reactor, self.serve().port).addCallback(lambda kernel: DeferredWay(kernel, lends=False))

    async def test_lends_nothing(self) -> None:
        """Descriptors do not go this way, and the refusal says which does."""
        way = await self.open()
        await way.ask("make_socket", "web")
        await self.refused(NotAllowed, way.ask("lend_socket", "web"))
        await way.close()


class BlockingTests(Story, KernelTestCase, TestCase):
    """With the blocking client, over a Unix socket."""

    def open(self) -> Deferred[Way]:
        self.serve()
        return succeed(BlockingWay(papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))))


class BlockingPortTests(Story, KernelTestCase, TestCase):
    """With the blocking client, at a console's port."""

    def open(self) -> Deferred[Way]:
        return succeed(BlockingWay(papa.Papa(self.serve().port), lends=False))
