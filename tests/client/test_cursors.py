"""Reading with a cursor through Deferreds, over connections that are cut."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papa.client.watching import RemoteWatch
from papa.records import Closed, Item, Output
from papa.testing import MemoryKernel, result_of


class CursorTests(SynchronousTestCase):
    """A watch with a cursor."""

    def setUp(self) -> None:
        self.papa = MemoryKernel()
        self.kernel = result_of(self.papa.client())
        self.watch: RemoteWatch = self.kernel.watch_processes("job.*", cursor="ship")

    def make(self, name: str) -> None:
        result_of(self.kernel.make_process(name, ["program"]))

    def asked(self) -> Deferred[Item]:
        """The next item, which may not be there yet."""
        return Deferred.fromCoroutine(self.watch.__anext__())

    def cut(self) -> None:
        """Lose the connection, and wait until there is another."""
        self.papa.cut()
        for _ in range(20):
            self.papa.clock.advance(1)

    def test_later_process(self) -> None:
        """A process that is made while the watch waits is read."""
        asked = self.asked()
        self.assertNoResult(asked)
        self.make("job.1")
        self.papa.child("job.1").print(b"hello")
        item = self.successResultOf(asked)
        assert isinstance(item, Output)
        self.assertEqual((item.name, item.data), ("job.1", b"hello"))

    def test_goes_on_after_a_cut(self) -> None:
        """When the connection is lost nothing is lost or given twice, of processes old and new."""
        self.make("job.1")
        self.papa.child("job.1").print(b"one ")
        first = result_of(self.watch.__anext__())
        self.watch.acknowledge(first)
        self.papa.child("job.1").print(b"two ")
        second = result_of(self.watch.__anext__())
        self.cut()
        self.make("job.2")
        self.papa.child("job.2").print(b"new ")
        self.papa.child("job.1").print(b"three ")
        found = sorted(
            (item.name, item.data)
            for item in (result_of(self.watch.__anext__()) for _ in range(2))
            if isinstance(item, Output)
        )
        self.assertEqual(found, [("job.1", b"three "), ("job.2", b"new ")])
        self.watch.acknowledge(second)
        cursors = result_of(self.kernel.list_cursors())
        self.assertEqual(cursors["ship"].patterns, ("job.*",))
        self.assertEqual(cursors["ship"].marks["job.1"], 8)

    def test_same_name_again(self) -> None:
        """Another process of a name that was there before is read from its beginning."""
        for text in (b"first", b"second"):
            self.make("job.1")
            self.papa.child("job.1").print(text)
            item = result_of(self.watch.__anext__())
            assert isinstance(item, Output)
            self.assertEqual(item.data, text)
            self.papa.child("job.1").exit(0)
            end = result_of(self.watch.__anext__())
            self.assertIsInstance(end, Closed)
            self.watch.acknowledge(end)
            self.assertEqual(result_of(self.kernel.list_processes()), {})

    def test_moved_and_removed(self) -> None:
        """A cursor can be moved and removed; a watch whose cursor was removed ends."""
        self.make("job.1")
        self.papa.child("job.1").print(b"0123456789")
        result_of(self.watch.__anext__())
        result_of(self.kernel.move_cursor("ship", "job.1", 5))
        self.assertEqual(result_of(self.kernel.list_cursors("ship"))["ship"].marks, {"job.1": 5})
        result_of(self.kernel.remove_cursors("ship"))
        asked = self.asked()
        for _ in range(20):
            self.papa.clock.advance(1)
        self.failureResultOf(asked, StopAsyncIteration)

    def test_acknowledgement_of_the_process_that_had_the_name(self) -> None:
        """Acknowledging what a former process of the name printed does not let go of what this one has."""
        self.make("job.1")
        self.papa.child("job.1").print(b"old")
        old = result_of(self.watch.__anext__())
        result_of(self.kernel.remove_processes("job.1"))
        self.papa.child("job.1").exit(0)
        self.make("job.1")
        self.papa.child("job.1").print(b"new")
        self.assertEqual(result_of(self.watch.__anext__()).name, "job.1")
        self.watch.acknowledge(old)
        self.assertEqual(result_of(self.kernel.list_cursors())["ship"].marks, {"job.1": 0})
