"""Cursors: readers with a name, whose places outlive whoever reads with them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import (
    ListCursors,
    ListProcesses,
    MakeProcess,
    MoveCursor,
    RemoveCursors,
    RemoveProcesses,
    WatchProcesses,
)
from papa.drivers.memory import MemoryChild
from papa.errors import BadRequest, NotFound
from papa.interfaces import IWatch
from papa.records import Closed, Cursor, Hole, Output
from papa.steps import Steps, all_at_once
from tests.kernel.building import Bell, House


class CursorTestCase(SynchronousTestCase):
    """A house, and what is done in it."""

    def setUp(self) -> None:
        self.house = House()
        self.kernel = self.house.kernel

    def make(self, name: str = "job", bufsize: int = 1 << 20) -> MemoryChild:
        self.kernel.perform(MakeProcess(name=name, args=("program",), bufsize=bufsize))
        return self.house.children.latest()

    def read(self, cursor: str, *names: str, bell: Bell | None = None) -> IWatch:
        return all_at_once(self.kernel.watch(WatchProcesses(names=names, cursor=cursor), bell or Bell()))

    def cursor(self, name: str) -> Cursor:
        cursors = self.kernel.list_cursors(ListCursors(names=(name,)))
        return cursors[name]

    def text(self, watch: IWatch) -> bytes:
        """What there is to take, which must be output only."""
        data = b""
        for item in watch.take(1 << 20):
            assert isinstance(item, Output), item
            data += item.data
        return data


class ReadingTests(CursorTestCase):
    """Reading with a cursor."""

    def test_goes_on_where_it_was_safe(self) -> None:
        """A reader that goes without acknowledging is followed by one that gets the same again; else by what is new."""
        child = self.make()
        child.print(b"one ")
        first = self.read("ship", "job")
        self.assertEqual(self.text(first), b"one ")
        first.stop()
        second = self.read("ship", "job")
        self.assertEqual(self.text(second), b"one ")
        second.acknowledge()
        second.stop()
        child.print(b"two ")
        self.assertEqual(self.text(self.read("ship", "job")), b"two ")

    def test_each_has_its_own(self) -> None:
        """Output waits for every cursor, whoever else has acknowledged it, and then goes."""
        child = self.make()
        child.print(b"one ")
        for name in ("a", "b"):
            self.read(name, "job").stop()
        watch = self.read("a", "job")
        self.text(watch)
        watch.acknowledge()
        classic = all_at_once(self.kernel.watch(WatchProcesses(names=("job",)), Bell()))
        self.assertFalse(classic.pending)
        behind = self.read("b", "job")
        self.assertEqual(self.text(behind), b"one ")
        behind.acknowledge()
        observer = all_at_once(self.kernel.watch(WatchProcesses(names=("job",), observe=True), Bell()))
        self.assertFalse(observer.pending)

    def test_acknowledges_by_mark(self) -> None:
        """What was acknowledged up to a mark is not given to the next reading; the rest is."""
        child = self.make()
        child.print(b"0123456789")
        watch = self.read("ship", "job")
        self.text(watch)
        watch.acknowledge_to("job", watch.processes.get("job", ""), 4, end=False)
        watch.stop()
        self.assertEqual(self.text(self.read("ship", "job")), b"456789")

    def test_dead_cursor_pins_no_more_than_the_bound(self) -> None:
        """A cursor that nobody reads with keeps no more than the buffer, and is told exactly what it missed."""
        child = self.make(bufsize=1000)
        self.read("ship", "job").stop()
        for second in range(50):
            self.house.wall.now = float(second)
            child.print(bytes(100))
        hole, *rest = self.read("ship", "job").take(1 << 20)
        assert isinstance(hole, Hole)
        held = sum(len(item.data) for item in rest if isinstance(item, Output))
        self.assertLessEqual(held, 1000)
        self.assertEqual((hole.size, hole.first, hole.last), (5000 - held, 0.0, float(hole.size // 100 - 1)))

    def test_hole_is_told_until_it_is_acknowledged(self) -> None:
        """A hole that was told to a reader that died is told to the next one as well."""
        child = self.make(bufsize=1000)
        self.read("ship", "job").stop()
        for _ in range(50):
            child.print(bytes(100))
        told = self.read("ship", "job").take(1 << 20)
        again = self.read("ship", "job")
        self.assertEqual(again.take(1 << 20), told)
        again.acknowledge()
        again.stop()
        child.print(b"x")
        self.assertEqual(self.text(self.read("ship", "job")), b"x")

    def test_newest_reader_takes_over(self) -> None:
        """A second reading with one cursor ends the first, which finds that nothing will come any more."""
        child = self.make()
        bell = Bell()
        first = self.read("ship", "job", bell=bell)
        second = self.read("ship", "job")
        self.assertEqual((bell.rung, first.done, first.pending), (1, True, False))
        child.print(b"x")
        self.assertEqual(self.text(second), b"x")
        self.assertFalse(first.pending)

    def test_late_acknowledgement_of_a_former_reader(self) -> None:
        """What a reader that was taken over still acknowledges moves nothing."""
        child = self.make()
        child.print(b"x")
        first = self.read("ship", "job")
        self.text(first)
        second = self.read("ship", "job")
        first.acknowledge()
        first.acknowledge_to("job", first.processes.get("job", ""), 1, end=False)
        self.assertEqual(self.text(second), b"x")
        self.assertEqual(self.cursor("ship").marks, {"job": 0})

    def begin(self, cursor: str, *names: str) -> Steps[IWatch]:
        """A reading, of which each step is taken by the test."""
        steps = self.kernel.watch(WatchProcesses(names=names, cursor=cursor), Bell())
        next(steps)
        return steps

    def test_taken_over_while_it_begins(self) -> None:
        """A reading that is not all there when another begins with the same cursor is over, and has nothing."""
        children = [self.make(name) for name in "abc"]
        beginning = self.begin("ship", "*")
        second = self.read("ship", "*")
        first = all_at_once(beginning)
        for child in children:
            child.print(b"x")
        self.assertEqual((first.done, first.pending, first.count), (True, False, 0))
        self.assertEqual((self.text(second), second.count), (b"xxx", 3))

    def test_removed_while_reading_begins(self) -> None:
        """A cursor that is removed meanwhile is not there again, and its reading is over."""
        for name in "abc":
            self.make(name).print(b"x")
        beginning = self.begin("ship", "*")
        self.kernel.perform(RemoveCursors(names=("ship",)))
        watch = all_at_once(beginning)
        self.assertEqual((watch.done, self.kernel.list_cursors(ListCursors())), (True, {}))
        self.text(reader := self.house.watch("*"))
        reader.acknowledge()
        self.assertEqual([self.house.process(name).buffered for name in "abc"], [0, 0, 0])

    def test_processes_come_and_go_while_reading_begins(self) -> None:
        """One that is forgotten meanwhile is not read; one that is made is, also if it has the name of the other."""
        for name in "abc":
            self.make(name)
        beginning = self.begin("ship", "*")
        self.kernel.perform(RemoveProcesses(names=("b",)))
        self.house.children.children[self.house.process("b").pid].exit()
        for name in "bd":
            self.make(name).print(name.encode())
        watch = all_at_once(beginning)
        self.assertEqual((self.text(watch), sorted(watch.processes)), (b"bd", list("abcd")))
        self.assertEqual(self.cursor("ship").marks, dict.fromkeys("abcd", 0))

    def test_no_place_for_an_observer(self) -> None:
        """A cursor that only looks is refused."""
        self.assertRaises(BadRequest, WatchProcesses, cursor="ship", observe=True)
        self.assertRaises(BadRequest, WatchProcesses, cursor="a b")

    def test_refused_reading_makes_no_cursor(self) -> None:
        """A reading of a process that is not held is refused, and leaves no cursor behind."""
        self.assertRaises(NotFound, self.read, "ship", "nope")
        self.assertEqual(self.kernel.list_cursors(ListCursors()), {})


class ProcessTests(CursorTestCase):
    """The processes that a cursor reads."""

    def test_end_waits_for_all(self) -> None:
        """A process is forgotten when every cursor has acknowledged its end."""
        child = self.make()
        for name in ("a", "b"):
            self.read(name, "job").stop()
        child.exit(3)
        for name, left in (("a", ["job"]), ("b", [])):
            watch = self.read(name, "job")
            (closed,) = watch.take(1000)
            assert isinstance(closed, Closed)
            self.assertEqual(closed.exit_code, 3)
            watch.acknowledge()
            self.assertTrue(watch.done)
            self.assertEqual(list(self.kernel.list_processes(ListProcesses())), left)

    def test_classic_reader_does_not_end_it(self) -> None:
        """An end that was acknowledged without a cursor is still kept for the cursors."""
        child = self.make()
        self.read("ship", "job").stop()
        child.exit(0)
        classic = all_at_once(self.kernel.watch(WatchProcesses(names=("job",)), Bell()))
        classic.take(1000)
        classic.acknowledge()
        watch = self.read("ship", "job")
        self.assertEqual(len(watch.take(1000)), 1)
        watch.acknowledge()
        self.assertEqual(self.kernel.list_processes(ListProcesses()), {})

    def test_what_it_is_done_with_does_not_come_again(self) -> None:
        """A process whose end this cursor has, and another has not, is not read again by it."""
        child = self.make()
        child.print(b"x")
        first, other = self.read("ship", "*"), self.read("other", "*")
        child.exit(0)
        for _ in range(2):
            first.take(1000)
            first.acknowledge()
            first.stop()
            first = self.read("ship", "*")
            self.assertFalse(first.pending)
        self.assertTrue(self.read("plain", "job").pending)
        self.assertTrue(other.pending)
        self.assertTrue(self.read("ship", "job").done)

    def test_later_processes_join(self) -> None:
        """A process that is made later and matches joins, whether or not somebody reads just then."""
        bell = Bell()
        watch = self.read("ship", "web.*", bell=bell)
        self.assertFalse(watch.done)
        self.make("web.1").print(b"1")
        self.make("db").print(b"no")
        self.assertEqual((bell.rung, self.text(watch)), (1, b"1"))
        watch.stop()
        self.make("web.2").print(b"2")
        self.assertEqual(self.cursor("ship").marks, {"web.1": 0, "web.2": 0})
        self.assertEqual(self.text(self.read("ship", "web.*")), b"12")

    def test_joins_no_reading_that_is_over(self) -> None:
        """A process that is made when nobody reads, and removed before anybody does, is held by nobody."""
        self.read("ship", "*").stop()
        child = self.make()
        self.kernel.perform(RemoveProcesses(names=("job",)))
        child.exit(0)
        self.assertTrue(child.forgotten)

    def test_plain_names_end(self) -> None:
        """A reading of plain names is over when these processes are; one with a pattern beside them goes on."""
        child = self.make()
        plain, mixed = self.read("plain", "job"), self.read("mixed", "job", "web.*")
        child.exit(0)
        for watch in (plain, mixed):
            watch.take(1000)
            watch.acknowledge()
        self.assertEqual((plain.done, mixed.done), (True, False))
        self.make("web.1").print(b"1")
        self.assertEqual(self.text(mixed), b"1")

    def test_removed_process(self) -> None:
        """A process that is removed is gone for cursors too, and its name can be used again."""
        child = self.make()
        watch = self.read("ship", "*")
        child.print(b"seen")
        self.assertEqual(self.text(watch), b"seen")
        child.print(b"lost")
        self.kernel.perform(RemoveProcesses(names=("job",)))
        watch.acknowledge()
        child.exit(0)
        self.assertEqual(self.cursor("ship").marks, {})
        self.make().print(b"new")
        self.assertEqual(self.text(watch), b"new")

    def test_reading_what_was_removed(self) -> None:
        """Where a process was removed, and still runs, a cursor that begins to read it has no place once it is gone."""
        child = self.make()
        self.kernel.perform(RemoveProcesses(names=("job",)))
        watch = self.read("ship", "*")
        child.exit(3)
        self.assertEqual(self.cursor("ship").marks, {})
        self.assertEqual([each.exit_code for each in watch.take(1000) if isinstance(each, Closed)], [3])

    def test_acknowledgement_of_the_process_that_had_the_name(self) -> None:
        """An acknowledgement that crosses with another process of the name counts for nothing that this one printed."""
        child = self.make()
        watch = self.read("ship", "*")
        child.print(b"old")
        (old,) = watch.take(1000)
        self.kernel.perform(RemoveProcesses(names=("job",)))
        child.exit(0)
        self.make().print(b"new")
        (new,) = watch.take(1000)
        self.assertNotEqual(old.invocation, new.invocation)
        watch.acknowledge_to("job", old.invocation, 3, end=True)
        self.assertEqual(self.cursor("ship").marks, {"job": 0})
        watch.acknowledge_to("job", new.invocation, 2, end=False)
        self.assertEqual(self.cursor("ship").marks, {"job": 2})


class KeepingTests(CursorTestCase):
    """Listing, moving and removing cursors."""

    def test_listed(self) -> None:
        """A cursor tells where it is, how far behind, and whether somebody reads with it."""
        self.make().print(b"0123456789")
        watch = self.read("ship", "job")
        watch.take(1000)
        watch.acknowledge_to("job", watch.processes.get("job", ""), 4, end=False)
        self.assertEqual(
            self.cursor("ship"), Cursor(name="ship", patterns=("job",), marks={"job": 4}, behind=6, reading=True)
        )
        watch.stop()
        self.assertFalse(self.cursor("ship").reading)

    def test_listed_when_it_is_done(self) -> None:
        """A process that this cursor is done with, and another is not, is not among those that it is behind in."""
        child = self.make()
        first = self.read("ship", "*")
        self.read("other", "*").stop()
        child.print(b"x")
        child.exit(0)
        first.take(1000)
        first.acknowledge()
        self.assertEqual((self.cursor("ship").marks, self.cursor("other").marks), ({}, {"job": 0}))

    def test_moved(self) -> None:
        """A cursor that was moved reads on from there, forwards and backwards, as far as is held."""
        self.make().print(b"0123456789")
        self.read("keep", "job").stop()
        self.read("ship", "job").stop()
        for mark, expected in ((7, b"789"), (2, b"23456789"), (10, b"")):
            self.kernel.perform(MoveCursor(name="ship", process="job", mark=mark))
            watch = self.read("ship", "job")
            self.assertEqual(self.text(watch), expected)
            watch.stop()

    def test_moving_is_refused(self) -> None:
        """A cursor cannot be moved where it does not read, nor behind what was printed."""
        self.make().print(b"x")
        self.make("other")
        self.read("ship", "job").stop()
        for name, process, mark, error in (
            ("shop", "job", 0, NotFound),
            ("ship", "other", 0, NotFound),
            ("ship", "nope", 0, NotFound),
            ("ship", "job", 2, BadRequest),
        ):
            self.assertRaises(error, self.kernel.perform, MoveCursor(name=name, process=process, mark=mark))
        self.assertEqual(self.cursor("ship").marks, {"job": 0})

    def test_removed(self) -> None:
        """Nothing waits for a cursor that was removed, and its reader finds the end."""
        child = self.make()
        child.print(b"x")
        bell = Bell()
        watch = self.read("ship", "job", bell=bell)
        other = self.read("other", "job")
        other.take(1000)
        other.acknowledge()
        other.stop()
        self.kernel.perform(RemoveCursors(names=("*",)))
        self.assertEqual((bell.rung, watch.done, self.kernel.list_cursors(ListCursors())), (1, True, {}))
        self.assertFalse(all_at_once(self.kernel.watch(WatchProcesses(names=("job",), observe=True), Bell())).pending)
        self.assertRaises(NotFound, self.kernel.perform, RemoveCursors(names=("ship",)))

    def test_made_anew_while_others_are_removed(self) -> None:
        """A cursor that has the name of one that was to be removed, and is gone, stays."""
        for name in ("a", "b"):
            self.make(name)
            self.read(name, "*").stop()
        removal = self.kernel.steps(RemoveCursors(names=("*",)))
        next(removal)
        self.kernel.perform(RemoveCursors(names=("b",)))
        self.read("b", "*").stop()
        all_at_once(removal)
        self.assertEqual(list(self.kernel.list_cursors(ListCursors())), ["b"])

    def test_removed_after_the_end(self) -> None:
        """A process whose end waited for a removed cursor only is forgotten."""
        child = self.make()
        self.read("ship", "job").stop()
        child.exit(0)
        classic = all_at_once(self.kernel.watch(WatchProcesses(names=("job",)), Bell()))
        classic.take(1000)
        classic.acknowledge()
        self.kernel.perform(RemoveCursors(names=("ship",)))
        self.assertEqual(self.kernel.list_processes(ListProcesses()), {})
