"""Cursors and events of a real kernel, by the client that programs use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import papa
from papa.records import Closed, Output
from tests.support import PATIENCE, KernelTestCase, RealKernel, until

#: Reads with a cursor, says what it has read, acknowledges only the first batch, and then waits to be killed.
_SHIPPER = """
import sys, papa
watcher = papa.Papa(sys.argv[1]).watch_processes("job.*", cursor="ship")
for number in range(2):
    for item in watcher.read_items():
        print(item.data.decode(), end="", flush=True)
sys.stdin.read()
"""


class CursorTests(KernelTestCase):
    """Readers with a name."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel: RealKernel = self.serve()
        self.papa = papa.Papa(self.kernel.path)
        self.addCleanup(self.papa.close)

    def shell(self, name: str) -> None:
        self.papa.make_process(name, "/bin/cat", stdin=papa.PIPE)

    def test_reader_killed(self) -> None:
        """A reader that is killed is followed by one that goes on behind what was acknowledged: nothing is lost."""
        self.shell("job.1")
        shipper = subprocess.Popen(
            [sys.executable, "-c", _SHIPPER, self.kernel.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert shipper.stdout is not None
        with shipper:
            for line in ("one\n", "two\n"):
                until(lambda: self.papa.list_cursors().get("ship"), "the shipper's reading")
                self.papa.write_process("job.1", line.encode())
                self.assertEqual(shipper.stdout.readline(), line)
            shipper.send_signal(signal.SIGKILL)
            shipper.wait(PATIENCE)
        until(lambda: not self.papa.list_cursors()["ship"]["reading"], "the loss of the reader")
        self.assertEqual(self.papa.list_cursors()["ship"]["marks"], {"job.1": 4})
        with papa.Papa(self.kernel.path).watch_processes("job.*", cursor="ship") as watcher:
            (item,) = watcher.read_items() or []
            assert isinstance(item, Output)
            self.assertEqual((item.data, item.mark), (b"two\n", 8))

    def test_later_process(self) -> None:
        """A process that is made while a reading waits is read, and forgotten once its end was acknowledged."""
        with papa.Papa(self.kernel.path).watch_processes("job.*", cursor="ship") as watcher:
            self.shell("job.2")
            self.papa.write_process("job.2", b"hello\n")
            (item,) = watcher.read_items() or []
            assert isinstance(item, Output)
            self.assertEqual((item.name, item.data), ("job.2", b"hello\n"))
            self.papa.close_stdin("job.2")
            (closed,) = watcher.read_items() or []
            assert isinstance(closed, Closed)
            self.assertEqual(list(self.papa.list_processes()), ["job.2"])
            watcher.acknowledge()
            until(lambda: not self.papa.list_processes(), "the process's going")

    def test_taken_over(self) -> None:
        """A second reading with the cursor goes on; the first one finds its end."""
        self.shell("job.1")
        first = papa.Papa(self.kernel.path).watch_processes("job.1", cursor="ship")
        second = papa.Papa(self.kernel.path).watch_processes("job.1", cursor="ship")
        self.assertIsNone(first.read())
        self.papa.write_process("job.1", b"x\n")
        (item,) = second.read_items() or []
        assert isinstance(item, Output)
        self.assertEqual(item.data, b"x\n")
        second.close()

    def test_moved_and_removed(self) -> None:
        """A cursor can be moved back to what is still held, and removed; errors say what is wrong."""
        self.shell("job.1")
        papa.Papa(self.kernel.path).watch_processes("job.1", cursor="keep").close()
        self.papa.write_process("job.1", b"0123456789\n")
        with papa.Papa(self.kernel.path).watch_processes("job.1", cursor="ship") as watcher:
            watcher.read()
        until(lambda: self.papa.list_cursors()["ship"]["behind"] == 0, "the acknowledgement")
        self.papa.move_cursor("ship", "job.1", 5)
        with papa.Papa(self.kernel.path).watch_processes("job.1", cursor="ship") as watcher:
            (item,) = watcher.read_items() or []
            assert isinstance(item, Output)
            self.assertEqual(item.data, b"56789\n")
        self.assertTrue(self.papa.remove_cursors("ship"))
        self.assertEqual(list(self.papa.list_cursors()), ["keep"])
        for refused in (
            lambda: self.papa.remove_cursors("ship"),
            lambda: self.papa.move_cursor("keep", "job.9", 0),
            lambda: self.papa.move_cursor("keep", "job.1", 99),
            lambda: self.papa.watch_processes("job.1", cursor="a b"),
        ):
            self.assertRaises(papa.Error, refused)

    def test_on_the_console(self) -> None:
        """A person can read with a cursor as well, list it and remove it."""
        self.shell("job.1")
        self.papa.write_process("job.1", b"hello\n")
        with self.kernel.talk() as talk:
            talk.send(b"watch processes cursor=me job.*\n")
            self.assertIn(b"hello\n", talk.read_until(b"\n] "))
            self.assertEqual(talk.ask("q"), "Stopped watching")
            self.assertEqual(talk.ask("list cursors"), "me reading=False behind=0 marks=job.1:6")
            self.assertEqual(talk.ask("remove cursors me"), "")


class EventTests(KernelTestCase):
    """Following what happens."""

    def test_followed(self) -> None:
        """Events come in order, with numbers that leave none out, and can be asked for again."""
        kernel = self.serve()
        with papa.Papa(kernel.path) as client, papa.Papa(kernel.path).watch_events() as reader:
            client.set("v", "1")
            client.make_process("job", "/bin/sh", ["-c", "exit 3"])
            seen = []
            for event in reader:
                seen.append((event.number, event.kind, event.name))
                if event.kind == "process-closed":
                    break
            self.assertEqual(
                seen,
                [
                    (1, "value-set", "v"),
                    (2, "process-made", "job"),
                    (3, "process-exited", "job"),
                    (4, "process-closed", "job"),
                ],
            )
            with papa.Papa(kernel.path).watch_events(since=2, follow=False) as again:
                self.assertEqual([event.detail for event in again], [3, None])
            self.assertRaises(papa.Error, client.watch_events, since=99)

    def test_clients(self) -> None:
        """Who asks for it is told who comes and goes, as it happens; a console that speaks AMP is one client."""
        kernel = self.serve()
        with papa.Papa(kernel.path).watch_events(clients=True) as reader:
            events = iter(reader)
            kernel.talk().close()
            come, gone = next(events), next(events)
            self.assertEqual([come.kind, gone.kind, come.name], ["client-came", "client-gone", gone.name])
            self.assertRegex(come.name, r"^127\.0\.0\.1:\d+$")
            for where in (kernel.path, kernel.port):
                with papa.Papa(where) as client:
                    client.set("x", "1")
                told = [next(events) for _ in range(3)]
                self.assertEqual([each.kind for each in told], ["client-came", "value-set", "client-gone"])
                self.assertEqual(told[0].name == f"pid {os.getpid()}", where == kernel.path)
        with papa.Papa(kernel.path).watch_events(since=0, follow=False, clients=True) as again:
            self.assertEqual([event.kind for event in again], ["value-set", "value-set"])
