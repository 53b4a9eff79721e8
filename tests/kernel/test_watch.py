"""Readers of processes: what they are given, when they are woken, and what their acknowledgements let go."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from papa.commands import RemoveProcesses, WatchProcesses
from papa.errors import NotFound
from papa.interfaces import IWatch
from papa.records import STDERR, STDOUT, Closed, Hole, Output
from papa.steps import all_at_once
from tests.kernel.building import PLENTY, Bell, House, data, ends, everything, holes


class TakingTests(SynchronousTestCase):
    """What a watch gives."""

    def test_provides_the_interface(self) -> None:
        """A watch is what the wires are promised."""
        house = House()
        house.make()
        verifyObject(IWatch, house.watch("job"))

    def test_kept_output_then_new_output_then_the_end(self) -> None:
        """What was printed before comes first; the end comes last and once."""
        house = House()
        child = house.child()
        child.print(b"before\n")
        watch = house.watch("job")
        child.print(b"after\n", STDERR)
        house.wall.now += 5
        child.exit(3)
        items = everything(watch)
        self.assertEqual(
            items,
            [
                Output(
                    name="job",
                    channel=STDOUT,
                    timestamp=1_000_000.0,
                    data=b"before\n",
                    mark=7,
                    invocation="1001@1000000.0",
                ),
                Output(
                    name="job",
                    channel=STDERR,
                    timestamp=1_000_000.0,
                    data=b"after\n",
                    mark=13,
                    invocation="1001@1000000.0",
                ),
                Closed(name="job", timestamp=1_000_005.0, exit_code=3, invocation="1001@1000000.0"),
            ],
        )
        self.assertEqual((watch.pending, watch.take(PLENTY)), (False, []))

    def test_end_waits_for_the_output_before_it(self) -> None:
        """However little is taken at a time, the end comes after the last byte."""
        house = House()
        child = house.child()
        child.print(b"abcdef")
        child.exit(0)
        watch = house.watch("job")
        batches = [watch.take(2) for _ in range(3)]
        self.assertEqual([data(items) for items in batches], [b"ab", b"cd", b"ef"])
        self.assertEqual([len(ends(items)) for items in batches], [0, 0, 1])

    def test_loud_one_does_not_silence_others(self) -> None:
        """A process with more than its turn goes to the end of the row."""
        house = House()
        loud, quiet = house.child("loud"), house.child("quiet")
        watch = house.watch()
        loud.print(b"x" * 100_000)
        quiet.print(b"hello")
        first, second = watch.take(65536), watch.take(65536)
        self.assertEqual({item.name for item in first}, {"loud"})
        self.assertEqual(second[0].name, "quiet")

    def test_small_pieces(self) -> None:
        """A taking has no more pieces than a wire can say in about its limit, though each is a single byte."""
        house = House()
        for number in range(300):
            house.child(str(number)).print(b"x")
        watch = house.watch()
        sizes = []
        while watch.pending:
            sizes.append(len(watch.take(6400)))
        self.assertEqual(sizes, [100] * 3)

    def test_selects_at_its_start(self) -> None:
        """A watch is of the processes that are there when it begins."""
        house = House()
        house.make("web.1")
        watch = house.watch("web.*")
        house.child("web.2").print(b"unseen")
        self.assertEqual((watch.count, watch.pending), (1, False))

    def test_nothing_to_watch(self) -> None:
        """A name that is not held, and a pattern that matches nothing, are refused."""
        house = House()
        self.assertRaises(NotFound, house.watch)
        house.make("job")
        self.assertRaises(NotFound, house.watch, "x*")
        error = self.assertRaises(NotFound, house.watch, "jbo")
        self.assertIn("did you mean 'job'?", str(error))


class ManyEndsTests(SynchronousTestCase):
    """Thousands of processes end at once."""

    def test_a_few_at_a_time(self) -> None:
        """An end takes long to acknowledge: a batch has no more than a hundred of them, and none is lost."""
        house = House()
        names = [f"{number:04}" for number in range(500)]
        children = [house.child(name) for name in names]
        watch = house.watch("*")
        for child in children:
            child.exit(3)
        found: list[tuple[str, int]] = []
        while watch.pending:
            batch = ends(watch.take(200_000))
            self.assertLessEqual(len(batch), 100)
            watch.acknowledge()
            found += batch
        self.assertEqual(sorted(found), [(name, 3) for name in names])


class BeginningTests(SynchronousTestCase):
    """A watch begins with one process after the other, with time for others in between."""

    def setUp(self) -> None:
        self.house = House()
        self.jobs = {name: self.house.child(name) for name in "abc"}
        self.bell = Bell()
        self.steps = self.house.kernel.watch(WatchProcesses(), self.bell)

    def begun(self) -> IWatch:
        """The watch, when the rest of the steps was taken."""
        return all_at_once(self.steps)

    def test_forgotten_meanwhile(self) -> None:
        """Of what is forgotten in between nothing is held."""
        next(self.steps)
        for name in "ab":
            self.house.kernel.remove_processes(RemoveProcesses(names=(name,)))
            self.jobs[name].exit()
        watch = self.begun()
        self.assertEqual(list(watch.processes), ["a", "c"])
        self.assertEqual((self.jobs["a"].forgotten, self.jobs["b"].forgotten), (False, True))
        self.assertEqual([name for name, code in ends(watch.take(PLENTY))], ["a"])

    def test_made_meanwhile(self) -> None:
        """What is made in between is not watched, also under a name that was: it was not there when that was asked."""
        next(self.steps)
        self.house.kernel.remove_processes(RemoveProcesses(names=("b",)))
        self.jobs["b"].exit()
        for name in "bd":
            self.house.make(name)
        self.assertEqual(list(self.begun().processes), ["a", "c"])

    def test_printed_meanwhile(self) -> None:
        """What is printed in between is not lost on whoever begins."""
        next(self.steps)
        for name in "ab":
            self.jobs[name].print(name.encode())
        watch = self.begun()
        self.assertEqual(data(watch.take(PLENTY)), b"ab")

    def test_given_up(self) -> None:
        """For a watch that never begins no output is kept."""
        self.jobs["a"].print(b"x")
        next(self.steps)
        other = self.house.watch("a")
        everything(other)
        self.steps.close()
        other.acknowledge()
        self.assertEqual(self.house.process("a").buffered, 0)
        self.assertFalse(self.house.watch("a").pending)


class WakingTests(SynchronousTestCase):
    """When an observer is told."""

    def test_rung_once_until_taken(self) -> None:
        """The observer is told when there is something and there was nothing; not for every byte."""
        house, bell = House(), Bell()
        child = house.child()
        watch = house.watch("job", bell=bell)
        self.assertEqual((bell.rung, watch.pending), (0, False))
        child.print(b"a")
        child.print(b"b")
        self.assertEqual((bell.rung, watch.pending), (1, True))
        everything(watch)
        child.print(b"c")
        self.assertEqual(bell.rung, 2)

    def test_rung_once_for_many(self) -> None:
        """It is told once, however many of its processes have something."""
        house, bell = House(), Bell()
        children = [house.child(name) for name in "abc"]
        watch = house.watch(bell=bell)
        for child in children:
            child.print(b"x")
        self.assertEqual((bell.rung, len(everything(watch))), (1, 3))

    def test_not_rung_for_what_was_there(self) -> None:
        """What was there when the watch began is pending, without a ring."""
        house, bell = House(), Bell()
        house.child().print(b"a")
        watch = house.watch("job", bell=bell)
        self.assertEqual((bell.rung, watch.pending), (0, True))

    def test_rung_for_the_end(self) -> None:
        """A process that ends in silence rings too."""
        house, bell = House(), Bell()
        child = house.child()
        house.watch("job", bell=bell)
        child.exit(0)
        self.assertEqual(bell.rung, 1)

    def test_not_rung_after_stop(self) -> None:
        """One that has stopped is told nothing more."""
        house, bell = House(), Bell()
        child = house.child()
        child.print(b"unread")
        watch = house.watch("job", bell=bell)
        watch.stop()
        child.print(b"a")
        child.exit(0)
        self.assertEqual((bell.rung, watch.count, watch.pending), (0, 0, False))

    def test_not_rung_by_removal(self) -> None:
        """When output is thrown away, nothing is left to take but, later, the end."""
        house, bell = House(), Bell()
        child = house.child()
        watch = house.watch("job", bell=bell)
        house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        child.print(b"unseen")
        self.assertEqual(bell.rung, 0)
        child.exit(1)
        self.assertEqual((bell.rung, ends(everything(watch))), (1, [("job", 1)]))


class TwoWatchersTests(SynchronousTestCase):
    """Several readers of one process."""

    def test_both_get_everything(self) -> None:
        """Both are given all output and the end, whoever acknowledges first."""
        house = House()
        child = house.child()
        first, second = house.watch("job"), house.watch("job")
        for number in range(400):
            child.print(b"line %d\n" % number)
            if number % 3 == 0:
                everything(first)
                first.acknowledge()
        child.exit(0)
        all_of_it = b"".join(b"line %d\n" % number for number in range(400))
        self.assertEqual(ends(everything(first)), [("job", 0)])
        first.acknowledge()
        items = everything(second)
        self.assertEqual((data(items), holes(items), ends(items)), (all_of_it, [], [("job", 0)]))
        second.acknowledge()
        self.assertEqual((first.count, second.count, house.names()), (0, 0, []))

    def test_acknowledged_end_does_not_end_the_others_watch(self) -> None:
        """When one has acknowledged the end and the name is free, the other still gets output and end."""
        house = House()
        child = house.child()
        first, second = house.watch("job"), house.watch("job")
        child.print(b"hello")
        child.exit(7)
        everything(first)
        first.acknowledge()
        self.assertEqual(house.names(), [])
        house.child("job", "other").print(b"of another process")
        items = everything(second)
        self.assertEqual((data(items), ends(items)), (b"hello", [("job", 7)]))
        second.acknowledge()
        self.assertEqual(house.process("job").args, ("other",))

    def test_one_dies(self) -> None:
        """A watcher that goes without a word holds nothing back, and takes nothing away from the other."""
        house = House()
        child = house.child()
        first, second = house.watch("job"), house.watch("job")
        child.print(b"hello")
        everything(first)
        first.stop()
        self.assertEqual(data(everything(second)), b"hello")

    def test_slow_one_keeps_what_it_has_not_been_sent(self) -> None:
        """An acknowledgement removes nothing that another has not been given yet."""
        house = House()
        child = house.child()
        quick, slow = house.watch("job"), house.watch("job")
        child.print(b"abcdef")
        everything(quick)
        quick.acknowledge()
        self.assertEqual(data(everything(slow)), b"abcdef")


class ObserverTests(SynchronousTestCase):
    """Readers that only look."""

    def test_takes_nothing_away(self) -> None:
        """What an observer read and acknowledged, the end included, is there for a watcher."""
        house = House()
        child = house.child()
        observer = house.watch("job", observe=True)
        child.print(b"hello")
        child.exit(0)
        seen = everything(observer)
        observer.acknowledge()
        self.assertEqual((data(seen), ends(seen), observer.count), (b"hello", [("job", 0)], 0))
        items = everything(house.watch("job"))
        self.assertEqual((data(items), ends(items)), (b"hello", [("job", 0)]))

    def test_holds_nothing_back(self) -> None:
        """A watcher's acknowledgement lets go of what an observer has not looked at; it is told how much."""
        house = House()
        child = house.child()
        observer, watcher = house.watch("job", observe=True), house.watch("job")
        child.print(b"hello")
        everything(watcher)
        watcher.acknowledge()
        child.print(b"world")
        items = everything(observer)
        self.assertEqual([hole.size for hole in holes(items)], [5])
        self.assertEqual((data(items), house.process().dropped), (b"world", 0))


class AcknowledgingTests(SynchronousTestCase):
    """What an acknowledgement lets go, and what it does not."""

    def test_redelivered_after_stop(self) -> None:
        """What was taken and not acknowledged is given to the next watcher, the end too."""
        house = House()
        child = house.child()
        child.print(b"stored")
        first = house.watch("job")
        everything(first)
        first.acknowledge()
        child.print(b"lost on the way")
        child.exit(1)
        everything(first)
        first.stop()
        items = everything(house.watch("job"))
        self.assertEqual((data(items), ends(items)), (b"lost on the way", [("job", 1)]))

    def test_only_what_was_taken(self) -> None:
        """Output that came between taking and acknowledging is not acknowledged."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        child.print(b"one")
        everything(watch)
        child.print(b"two")
        child.exit(0)
        watch.acknowledge()
        watch.stop()
        items = everything(house.watch("job"))
        self.assertEqual((data(items), ends(items)), (b"two", [("job", 0)]))

    def test_without_anything_taken(self) -> None:
        """An acknowledgement of nothing does nothing."""
        house = House()
        house.child().print(b"hello")
        watch = house.watch("job")
        watch.acknowledge()
        self.assertEqual(data(everything(watch)), b"hello")

    def test_end_forgets_the_process(self) -> None:
        """A process whose end was acknowledged is forgotten; watching it is then over."""
        house = House()
        house.child().exit(0)
        watch = house.watch("job")
        everything(watch)
        self.assertEqual((house.names(), watch.count), (["job"], 1))
        watch.acknowledge()
        self.assertEqual((house.names(), watch.count), ([], 0))

    def test_by_marks_and_not_by_time(self) -> None:
        """Two pieces of one moment, and one from before the clock was set back, are acknowledged one by one."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        for step, letter in ((0, b"a"), (0, b"b"), (-3600, b"c")):
            house.wall.now += step
            child.print(letter * 100)
        watch.take(100)
        watch.acknowledge()
        watch.stop()
        self.assertEqual(data(everything(house.watch("job"))), b"b" * 100 + b"c" * 100)

    def test_hole_is_told_to_watchers_that_were_away(self) -> None:
        """A watcher that was too slow is told exactly what is missing, and the process counts it."""
        house = House()
        child = house.child(bufsize=1000)
        watch = house.watch("job")
        started = house.wall.now
        for _ in range(20):
            child.print(b"x" * 100)
            house.wall.now += 1
        items = everything(watch)
        (hole,) = holes(items)
        self.assertIs(items[0], hole)
        self.assertEqual(hole.size + len(data(items)), 2000)
        self.assertEqual((hole.first, hole.last), (started, started + (hole.size - 1) // 100))
        self.assertEqual((house.process().captured, house.process().dropped), (2000, hole.size))


class AcknowledgeToTests(SynchronousTestCase):
    """Acknowledging one process up to a mark."""

    def test_part(self) -> None:
        """What lies behind the mark is given to the next watcher; other processes are not touched."""
        house = House()
        house.child("a").print(b"abcdef")
        house.child("b").print(b"other")
        watch = house.watch()
        everything(watch)
        watch.acknowledge_to("a", watch.processes.get("a", ""), 4, end=False)
        watch.stop()
        self.assertEqual(data(everything(house.watch("a"))), b"ef")
        self.assertEqual(data(everything(house.watch("b"))), b"other")

    def test_not_beyond_what_was_taken(self) -> None:
        """A mark beyond what was taken, and an end that was not, are not believed."""
        house = House()
        child = house.child()
        child.print(b"abcdef")
        child.exit(0)
        watch = house.watch("job")
        watch.take(2)
        watch.acknowledge_to("job", watch.processes.get("job", ""), 1000, end=True)
        self.assertEqual((house.names(), watch.count), (["job"], 1))
        watch.stop()
        self.assertEqual(data(everything(house.watch("job"))), b"cdef")

    def test_end(self) -> None:
        """With the end, the process is forgotten."""
        house = House()
        child = house.child()
        child.print(b"abc")
        child.exit(0)
        watch = house.watch("job")
        everything(watch)
        watch.acknowledge_to("job", watch.processes.get("job", ""), 3, end=True)
        self.assertEqual((house.names(), watch.count, watch.pending), ([], 0, False))
        watch.acknowledge()

    def test_output_without_the_end(self) -> None:
        """An end that was taken, and is not acknowledged with the output before it, is given to the next watcher."""
        house = House()
        child = house.child()
        child.print(b"abc")
        child.exit(3)
        watch = house.watch("job")
        everything(watch)
        watch.acknowledge_to("job", watch.processes.get("job", ""), 3, end=False)
        watch.stop()
        items = everything(house.watch("job"))
        self.assertEqual((data(items), ends(items)), (b"", [("job", 3)]))

    def test_unknown_name(self) -> None:
        """A name that is not watched, or no longer, is passed over."""
        house = House()
        house.child().print(b"abc")
        house.child("other").print(b"xyz")
        watch = house.watch("job")
        everything(watch)
        watch.acknowledge_to("other", watch.processes.get("other", ""), 3, end=True)
        self.assertEqual(data(everything(house.watch("other"))), b"xyz")


class StoreTests(SynchronousTestCase):
    """What a watcher stores before it acknowledges, over any number of watchers' lives."""

    @settings(max_examples=60)
    @given(
        st.integers(100, 3000),
        st.lists(
            st.one_of(
                st.tuples(st.just("print"), st.integers(1, 500)),
                st.tuples(st.just("take"), st.integers(1, 700)),
                st.tuples(st.just("acknowledge"), st.just(0)),
                st.tuples(st.just("die"), st.just(0)),
            ),
            max_size=60,
        ),
    )
    def test_every_byte_is_stored_or_reported(self, bufsize: int, story: list[tuple[str, int]]) -> None:
        """Each byte was stored once, in its place, or lies in a hole that was reported; no byte is just gone."""
        house = House()
        child = house.child(bufsize=bufsize)
        watch = house.watch("job")
        printed, stored, unsure = bytearray(), bytearray(), bytearray()
        for what, number in [*story, ("exit", 0), ("take", PLENTY), ("acknowledge", 0)]:
            if what == "print":
                piece = bytes((len(printed) + offset) % 251 for offset in range(number))
                printed += piece
                child.print(piece)
            elif what == "take":
                for item in watch.take(number):
                    if isinstance(item, Hole):
                        missing = len(stored) + len(unsure)
                        unsure += printed[missing : missing + item.size]
                        self.assertEqual(len(stored) + len(unsure), item.mark)
                    elif isinstance(item, Output):
                        unsure += item.data
                        self.assertEqual(len(stored) + len(unsure), item.mark)
            elif what == "acknowledge":
                watch.acknowledge()
                stored += unsure
                unsure.clear()
            elif what == "die":
                watch.stop()
                unsure.clear()
                watch = house.watch("job")
            else:
                child.exit(0)
        self.assertEqual(stored, printed)
        self.assertEqual(house.names(), [])
