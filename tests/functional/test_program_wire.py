"""The program wire as a whole: one story over every way to it, and a watcher that stops reading."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from twisted.trial.unittest import TestCase

from papa.client.deferred import RemoteKernel, connect
from papa.client.location import Location
from papa.client.program import Connection
from papa.commands import (
    Command,
    Get,
    LendSocket,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    TakeSocket,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import AlreadyDiffers, BadRequest, NotFound, SpawnFailed
from papa.records import Closed, Hole, Item, Output
from papa.testing import MemoryKernel
from tests.support import PATIENCE, KernelTestCase, RealKernel, until

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


class Client(Protocol):
    """Somebody who speaks to a kernel, in whatever way."""

    async def ask(self, command: Command) -> Any:
        """Ask for something."""

    async def collect(self, *names: str, acknowledging: bool = True) -> list[Item]:
        """Read what processes print, to their end; without acknowledging, stop there."""

    async def close(self) -> None:
        """Disconnect."""


class DeferredClient:
    """The client for Twisted programs."""

    def __init__(self, kernel: RemoteKernel) -> None:
        self._kernel = kernel

    async def ask(self, command: Command) -> Any:
        kernel = self._kernel
        if isinstance(command, MakeProcess):
            return await kernel.make_process(command.name, command.args, env=command.env)
        if isinstance(command, MakeSocket):
            return await kernel.make_socket(command.name, host=command.host, port=command.port)
        if isinstance(command, Set):
            return await kernel.set(command.name, command.value)
        if isinstance(command, Get):
            return await kernel.get(command.name)
        return await getattr(kernel, "_".join(command.words))(*getattr(command, "names", ()))

    async def collect(self, *names: str, acknowledging: bool = True) -> list[Item]:
        items: list[Item] = []
        async with self._kernel.watch_processes(*names) as watch:
            async for item in watch:
                items.append(item)
                if acknowledging:
                    watch.acknowledge(item)
                elif isinstance(item, Closed):
                    break
        return items

    async def close(self) -> None:
        await self._kernel.close()


class BlockingClient:
    """The connection for everyone else."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._connection = Connection(location, PATIENCE)

    async def ask(self, command: Command) -> Any:
        return self._connection.ask(command)

    async def collect(self, *names: str, acknowledging: bool = True) -> list[Item]:
        items: list[Item] = []
        self._connection.begin_watch(WatchProcesses(names=names))
        while (batch := self._connection.read_batch()) is not None:
            items += batch
            if acknowledging:
                self._connection.acknowledge()
            elif isinstance(items[-1], Closed):
                self._connection.close()
                self._connection = Connection(self._location, PATIENCE)
                break
        return items

    async def close(self) -> None:
        self._connection.close()


class Story(KernelTestCase, TestCase):
    """What everybody must be able to do, in whatever way they are connected."""

    async def tell(self, client: Client) -> None:
        """The whole story."""
        await self._hold_a_socket(client)
        await self._run_a_program(client)
        await self._read_without_acknowledging(client)
        await self._keep_values(client)
        await self._be_refused(client)
        self.assertEqual(
            [await client.ask(kind()) for kind in (ListSockets, ListProcesses, ListValues)],
            [{}, {}, {}],
        )
        await client.close()

    async def _hold_a_socket(self, client: Client) -> None:
        made = await client.ask(MakeSocket(name="web"))
        self.assertTrue(made.port)
        self.assertEqual(await client.ask(MakeSocket(name="web")), made)
        self.assertEqual(await client.ask(ListSockets(names=("w*",))), {"web": made})
        with self.assertRaises(AlreadyDiffers):
            await client.ask(MakeSocket(name="web", port=made.port % 65535 + 1))
        await client.ask(RemoveSockets(names=("web",)))

    async def _run_a_program(self, client: Client) -> None:
        args = (sys.executable, "-c", PROGRAM, *ODD)
        made = await client.ask(MakeProcess(name="job", args=args, env=LARGE))
        self.assertEqual((made.args, made.running), (args, True))
        self.play(ODD, LARGE)
        items = await client.collect("job")
        out, err, end = _told(items)
        self.assertEqual((out, err), (told(ODD, LARGE), b"oops"))
        marks = [item.mark for item in items if isinstance(item, Output)]
        self.assertEqual((marks, marks[-1]), (sorted(marks), len(out) + len(err)))
        assert isinstance(end, Closed)
        self.assertEqual(end.exit_code, 7)
        self.assertEqual(await client.ask(ListProcesses()), {})

    async def _read_without_acknowledging(self, client: Client) -> None:
        await client.ask(MakeProcess(name="job", args=(sys.executable, "-c", PROGRAM, "x"), env=LARGE))
        self.play(("x",), LARGE)
        first = await client.collect("job", acknowledging=False)
        again = await client.collect("job", acknowledging=False)
        self.assertEqual(_told(again), _told(first))
        self.assertEqual(_told(again), (told(("x",), LARGE), b"oops", first[-1]))
        await client.ask(RemoveProcesses(names=("job",)))

    async def _keep_values(self, client: Client) -> None:
        values = {"large": "v\n" * 5_000_000, "odd": '\udcff\n"\\\0 ]> ', "plain": "x"}
        for name, value in values.items():
            await client.ask(Set(name=name, value=value))
        for name, value in values.items():
            self.assertEqual(await client.ask(Get(name=name)), value)
        self.assertEqual(await client.ask(ListValues()), values)
        await client.ask(Set(name="plain"))
        self.assertIsNone(await client.ask(Get(name="plain")))
        await client.ask(RemoveValues(names=("large", "odd")))

    async def _be_refused(self, client: Client) -> None:
        for kind, command in (
            (NotFound, RemoveProcesses(names=("nothing",))),
            (NotFound, RemoveSockets(names=("nothing",))),
            (SpawnFailed, MakeProcess(name="job", args=("/nonexistent/program",))),
        ):
            with self.assertRaises(kind) as caught:
                await client.ask(command)
            self.assertIs(type(caught.exception), kind)
        with self.assertRaises(NotFound):
            await client.collect("nothing")
        with self.assertRaisesRegex(BadRequest, "cannot hold a NUL"):
            await client.ask(MakeProcess(name="job", args=("/bin/echo", "a\0b")))

    def play(self, args: tuple[str, ...], env: Mapping[str, str]) -> None:
        """Have the program do what it does, where it does not do that by itself."""

    def papa_sock(self) -> str:
        """Where the kernel serves programs."""
        return os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")


class MemoryTests(Story):
    """The kernel in memory."""

    def play(self, args: tuple[str, ...], env: Mapping[str, str]) -> None:
        child = self.memory.child("job")
        self.assertEqual((child.spec.args[3:], child.spec.env), (args, env))
        child.print(told(args, env))
        child.print(b"oops", 2)
        child.exit(7)

    async def test_story(self) -> None:
        """A Twisted client of a kernel in memory lives through it."""
        from twisted.internet import reactor

        self.memory = MemoryKernel(reactor)
        self.memory.children.missing.add("/nonexistent/program")
        await self.tell(DeferredClient(await self.memory.connect()))


class RealTests(Story):
    """A kernel of its own process."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve()

    async def test_twisted_client_over_unix(self) -> None:
        """A Twisted client at papa.sock lives through it."""
        from twisted.internet import reactor

        await self.tell(DeferredClient(await connect(reactor, self.papa_sock())))

    async def test_twisted_client_over_tcp(self) -> None:
        """A Twisted client at the console's port, which it asks for AMP, lives through it."""
        from twisted.internet import reactor

        await self.tell(DeferredClient(await connect(reactor, self.kernel.port)))

    async def test_blocking_client_over_unix(self) -> None:
        """A blocking connection to papa.sock lives through it."""
        await self.tell(BlockingClient(Location(path=self.papa_sock())))

    async def test_blocking_client_over_tcp(self) -> None:
        """A blocking connection to the console's port lives through it."""
        await self.tell(BlockingClient(Location(port=self.kernel.port)))

    async def test_descriptors_go_both_ways(self) -> None:
        """A socket that is lent serves the same port; one that is taken is held; on every Unix connection."""
        from twisted.internet import reactor

        for where in (self.papa_sock(), os.path.join(self.environ["PAPA_RUNTIME_DIR"], "console.sock")):
            kernel = await connect(reactor, where)
            connection = Connection(Location(path=where), PATIENCE)
            self.addCleanup(connection.close)
            made = await kernel.make_socket("web")
            for lent in (await kernel.lend_socket("web"), connection.lend(LendSocket(name="web"))):
                with socket.socket(fileno=lent.descriptor) as sock:
                    self.assertEqual((sock.getsockname(), lent.record), (("127.0.0.1", made.port), made))
                    self.assertFalse(sock.get_inheritable())
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                sock.listen()
                first = await kernel.take_socket("first", sock.fileno())
                second = connection.take(TakeSocket(name="second", descriptor=sock.fileno()))
                self.assertEqual({first.port, second.port}, {sock.getsockname()[1]})
            self.assertEqual(set(await kernel.list_sockets()), {"web", "first", "second"})
            await kernel.remove_sockets()
            await kernel.close()

    def test_select_tells_when_there_is_something(self) -> None:
        """Whoever waits with select before each read is woken for each, whatever kind the watch is of."""
        connection = Connection(Location(path=self.papa_sock()), PATIENCE)
        self.addCleanup(connection.close)
        for follow in (True, False):
            connection.ask(MakeProcess(name="job", args=("/bin/sh", "-c", "echo one; echo two >&2"), stdin="pipe"))
            until(lambda: not connection.ask(ListProcesses())["job"].running)
            connection.begin_watch(WatchProcesses(names=("job",), follow=follow))
            items: list[Item] = []
            while True:
                self.assertTrue(select.select([connection], [], [], PATIENCE)[0])
                batch = connection.read_batch()
                if batch is None:
                    break
                items += batch
                connection.acknowledge()
            self.assertEqual(_told(items)[:2], (b"one\n", b"two\n"))
            self.assertEqual(connection.ask(ListProcesses()), {})

    def test_more_than_the_system_takes(self) -> None:
        """A variable that is longer than the system takes is refused, and nothing is left of the attempt."""
        connection = Connection(Location(path=self.papa_sock()), PATIENCE)
        self.addCleanup(connection.close)
        with self.assertRaises(SpawnFailed) as caught:
            connection.ask(MakeProcess(name="job", args=("/bin/true",), env={"LARGE": "x" * 200_000}))
        self.assertIn("Argument list too long", str(caught.exception))
        self.assertEqual(connection.ask(ListProcesses()), {})


def _told(items: list[Item]) -> tuple[bytes, bytes, Item]:
    """Standard output, standard error and the end, however they were cut."""
    out, err = (
        b"".join(item.data for item in items if isinstance(item, Output) and item.channel == channel)
        for channel in (1, 2)
    )
    return out, err, items[-1]


def peer(test: KernelTestCase, kernel: RealKernel) -> Connection:
    """A blocking connection."""
    connection = Connection(Location(port=kernel.port), PATIENCE)
    test.addCleanup(connection.close)
    return connection


class DeafWatcherTests(KernelTestCase):
    """A watcher that stops reading."""

    SIZE = 1 << 30

    def test_costs_no_memory_and_no_truth(self) -> None:
        """While its process prints a gigabyte the kernel stays small; then come exact holes and the newest output."""
        kernel = self.serve()
        watcher, other = peer(self, kernel), peer(self, kernel)
        script = f"read go; head -c {self.SIZE} /dev/zero; printf 'the end'"
        other.ask(MakeProcess(name="loud", args=("/bin/sh", "-c", script), stdin="pipe"))
        watcher.begin_watch(WatchProcesses(names=("loud",)))
        before = kernel.memory()
        other.ask(WriteProcess(name="loud", data=b"\n"))
        process = until(lambda: _ended(other), "the end of a loud process")
        self.assertEqual(process.captured, self.SIZE + 7)
        self.assertLess(kernel.peak_memory() - before, 24 << 20)
        items = _read_to_end(watcher)
        holes = [item for item in items if isinstance(item, Hole)]
        outputs = [item for item in items if isinstance(item, Output)]
        dropped = sum(hole.size for hole in holes)
        self.assertEqual(dropped + sum(len(item.data) for item in outputs), self.SIZE + 7)
        self.assertGreater(dropped, self.SIZE // 2)
        mark = 0
        for item in items[:-1]:
            assert isinstance(item, Output | Hole)
            mark += item.size if isinstance(item, Hole) else len(item.data)
            self.assertEqual(item.mark, mark)
        newest = b"".join(item.data for item in outputs if item.mark > holes[-1].mark)
        self.assertTrue(newest.endswith(b"the end"))
        self.assertGreater(len(newest), 500_000)
        self.assertEqual(other.ask(ListProcesses()), {})

    def test_others_are_served(self) -> None:
        """Whoever does not read, asks for much or sends nonsense does not keep others from being answered."""
        kernel = self.serve()
        other = peer(self, kernel)
        other.ask(Set(name="x", value="v" * 1_000_000))
        for said in (
            b"\0\10_command\0\4list",
            b"\xff\xff\xff",
            b"\0\10_command\0\3get\0\4_ask\0\0011\0\4name\0\1x\0\0" * 500,
        ):
            sock = kernel.connect()
            self.addCleanup(sock.close)
            sock.recv(100)
            sock.sendall(b"amp\n")
            sock.sendall(said)
        self.assertEqual(other.ask(Get(name="x")), "v" * 1_000_000)
        self.assertLess(kernel.memory(), 150 << 20)


def _ended(connection: Connection) -> Any:
    process = connection.ask(ListProcesses())["loud"]
    return None if process.running else process


def _read_to_end(connection: Connection) -> list[Item]:
    items: list[Item] = []
    while (batch := connection.read_batch()) is not None:
        items += batch
        connection.acknowledge()
    return items
