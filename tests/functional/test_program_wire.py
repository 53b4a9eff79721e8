"""The program wire as a whole: descriptors, select, and a watcher that stops reading."""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Any

from twisted.trial.unittest import TestCase

from papa import Papa
from papa.client.deferred import connect
from papa.client.location import Location
from papa.client.program import Connection
from papa.commands import (
    Get,
    LendSocket,
    ListProcesses,
    MakeProcess,
    RemoveSockets,
    Set,
    TakeSocket,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import SpawnFailed
from papa.records import Hole, Item, Output
from tests.support import PATIENCE, KernelTestCase, RealKernel, until


class ConnectionTests(KernelTestCase, TestCase):
    """Connections to a kernel of its own process."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve()

    def papa_sock(self) -> str:
        """Where the kernel serves programs."""
        return os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")

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


class LendingTests(KernelTestCase):
    """Many programs that lend and give descriptors."""

    def test_no_descriptor_is_lost(self) -> None:
        """A hundred programs borrow, give and return sockets in a loop, some die over it; then all is as before."""
        kernel = self.serve()
        where = Location(path=os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))
        with Papa(kernel.path) as papa:
            papa.make_socket("web")
            base = kernel.descriptors()
            programs = [self.fork(where, number) for number in range(100)]
            for pid in programs[::7]:
                os.kill(pid, signal.SIGKILL)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in programs]
            self.assertEqual({code for code in codes if code != -signal.SIGKILL}, {0})
            held = [name for name in papa.list_sockets() if name != "web"]
            if held:
                papa.remove_sockets(*held)
            until(lambda: kernel.descriptors() == base, "as many descriptors as before")
            self.assertEqual(list(papa.list_sockets()), ["web"])

    def fork(self, where: Location, number: int) -> int:
        """A program that lends and gives, ten times, and sees that it has no more descriptors than before."""
        pid = os.fork()
        if not pid:
            code = 1
            try:
                connection = Connection(where, PATIENCE)
                before = len(os.listdir("/proc/self/fd"))
                for turn in range(10):
                    lent = connection.lend(LendSocket(name="web"))
                    with socket.socket(fileno=lent.descriptor) as sock, socket.socket() as own:
                        own.bind(("127.0.0.1", 0))
                        connection.take(TakeSocket(name=f"own.{number}.{turn}", descriptor=own.fileno()))
                        assert sock.getsockname() != own.getsockname()
                    connection.ask(RemoveSockets(names=(f"own.{number}.{turn}",)))
                assert len(os.listdir("/proc/self/fd")) == before
                code = 0
            finally:
                os._exit(code)
        return pid


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

    SIZE = 10 << 30

    def test_costs_no_memory_and_no_truth(self) -> None:
        """While its process prints 10 GiB the kernel stays small; then come exact holes and the newest output."""
        kernel = self.serve()
        watcher, other = peer(self, kernel), peer(self, kernel)
        script = f"read go; head -c {self.SIZE} /dev/zero; printf 'the end'"
        other.ask(MakeProcess(name="loud", args=("/bin/sh", "-c", script), stdin="pipe"))
        watcher.begin_watch(WatchProcesses(names=("loud",)))
        before = kernel.memory()
        other.ask(WriteProcess(name="loud", data=b"\n"))
        for step in range(0, self.SIZE, 1 << 30):
            until(lambda: other.ask(ListProcesses())["loud"].captured > step, f"byte {step}")  # noqa: B023
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
