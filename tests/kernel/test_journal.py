"""What a process printed and nobody has acknowledged: bounds, marks, holes, readers."""

from __future__ import annotations

import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.memory import MemoryTape
from papa.kernel.journal import Journal, Place
from papa.records import STDERR, STDOUT, Hole, Output

PLENTY = 1 << 30


def filled(limit: int, *pieces: bytes, lossless: bool = False) -> Journal:
    """A journal that was given each piece a second after the one before, the first at second 0."""
    journal = Journal(limit, lossless=lossless)
    for second, piece in enumerate(pieces):
        journal.append(STDOUT, piece, float(second))
    return journal


def taken(journal: Journal, place: Place, limit: int = PLENTY) -> list[Output | Hole]:
    return list(journal.take(place, limit, "job", "7@0.5"))


def text(items: list[Output | Hole]) -> bytes:
    return b"".join(item.data for item in items if isinstance(item, Output))


class TakeTests(SynchronousTestCase):
    """Reading."""

    def test_order_and_marks(self) -> None:
        """Output comes in the order in which it was read, each piece with its channel, its time and its mark."""
        journal = Journal(1000)
        journal.append(STDOUT, b"one", 5.0)
        journal.append(STDERR, b"two!", 6.0)
        self.assertEqual(
            taken(journal, journal.join(holding=True)),
            [
                Output(name="job", channel=STDOUT, timestamp=5.0, data=b"one", mark=3, invocation="7@0.5"),
                Output(name="job", channel=STDERR, timestamp=6.0, data=b"two!", mark=7, invocation="7@0.5"),
            ],
        )

    def test_limit(self) -> None:
        """A taking ends at its limit, in the middle of a piece if need be, and the next goes on there."""
        journal = filled(1000, b"hello", b"world")
        place = journal.join(holding=True)
        self.assertEqual([text(taken(journal, place, 4)) for _ in range(4)], [b"hell", b"owor", b"ld", b""])
        self.assertEqual(place.mark, 10)

    def test_each_reader_has_its_own_place(self) -> None:
        """What one reader takes is there for the others."""
        journal = filled(1000, b"hello")
        first, second, third = (journal.join(holding=holding) for holding in (True, True, False))
        for place in (first, second, third):
            self.assertEqual(text(taken(journal, place)), b"hello")

    def test_empty_append(self) -> None:
        """Nothing is no output."""
        journal = filled(1000, b"")
        self.assertEqual((journal.tail, taken(journal, journal.join(holding=True))), (0, []))


class CoalesceTests(SynchronousTestCase):
    """Single bytes become pieces."""

    def pieces(self, *appended: tuple[int, bytes, float]) -> list[tuple[int, bytes, float]]:
        journal = Journal(1 << 20)
        for channel, written, now in appended:
            journal.append(channel, written, now)
        items = taken(journal, journal.join(holding=True))
        return [(item.channel, item.data, item.timestamp) for item in items if isinstance(item, Output)]

    def test_in_one_moment(self) -> None:
        """What a channel prints byte by byte within ten milliseconds is one piece, of the first byte's time."""
        self.assertEqual(
            self.pieces((STDOUT, b"a", 1.0), (STDOUT, b"b", 1.004), (STDOUT, b"c", 1.009)), [(STDOUT, b"abc", 1.0)]
        )

    def test_not_beyond(self) -> None:
        """Another moment, another channel, and a clock that was set back begin a new piece."""
        for apart in (
            ((STDOUT, b"a", 1.0), (STDOUT, b"b", 1.02)),
            ((STDOUT, b"a", 1.0), (STDERR, b"b", 1.0)),
            ((STDOUT, b"a", 1.0), (STDOUT, b"b", 0.5)),
        ):
            self.assertEqual(self.pieces(*apart), list(apart))

    def test_long_pieces_stay_apart(self) -> None:
        """A read of 64 bytes and more keeps its own time, to the millisecond."""
        line = b"x" * 64
        self.assertEqual(
            self.pieces((STDOUT, line, 1.0), (STDOUT, line, 1.002)), [(STDOUT, line, 1.0), (STDOUT, line, 1.002)]
        )

    def test_long_pieces_at_once(self) -> None:
        """Reads within a millisecond come as one, as long as that fits into a value of a box, and is of one channel."""
        long = bytes(range(250)) * 80
        read = [(STDOUT, long, 1.0 + number / 10_000) for number in range(5)]
        self.assertEqual(self.pieces(*read), [(STDOUT, long * 3, 1.0), (STDOUT, long * 2, 1.0003)])
        read[1] = (STDERR, b"x", 1.0001)
        self.assertEqual([data for _, data, _ in self.pieces(*read)], [long, b"x", long * 3])
        self.assertEqual([len(data) for _, data, _ in self.pieces((STDOUT, bytes(65536), 1.0))], [65536])


class EntriesTests(SynchronousTestCase):
    """What a tape is told."""

    def test_not_over_the_end_of_a_slot(self) -> None:
        """No piece grows over a multiple of 256 KiB, where a tape is not in one piece."""
        tape = MemoryTape()
        journal = Journal(1 << 20, tape=tape)
        for size in ((1 << 18) - 10, 5, 5, 5):
            journal.stored(STDOUT, size, 1.0)
        ends = [end for end, _, _ in tape.entries(0, 0)]
        self.assertEqual(ends, [(1 << 18) - 10, 1 << 18, (1 << 18) + 5])


class BoundTests(SynchronousTestCase):
    """How much is kept."""

    def kept(self, journal: Journal) -> bytes:
        return text(taken(journal, journal.join(holding=False)))

    def test_newest_is_kept(self) -> None:
        """What is kept is the end of what was printed, no more than the limit and no less than half of it."""
        for limit in (100, 1000, 65536, 100_000):
            for size in (1, 7, 64, 100, 4095, 4096, 65536, 150_001):
                if size < limit / 5000:
                    continue  # Slow, and seen in MemoryTests.
                journal, written = Journal(limit), bytearray()
                while len(written) < 3 * limit:
                    piece = bytes((len(written) + offset) % 251 for offset in range(size))
                    journal.append(STDOUT, piece, len(written) * 1e-6)
                    written += piece
                kept = self.kept(journal)
                self.assertTrue(written.endswith(kept), (limit, size))
                self.assertLessEqual(len(kept), limit, (limit, size))
                self.assertGreaterEqual(len(kept), limit // 2, (limit, size))
                self.assertEqual(journal.dropped, len(written) - len(kept))

    def test_nothing_is_dropped_below_the_limit(self) -> None:
        """Output in lines that fits is all there."""
        journal = Journal(10_000)
        for second in range(75):
            journal.append(STDOUT, b"x" * 100, float(second))
        self.assertEqual((len(self.kept(journal)), journal.dropped), (7500, 0))

    def test_one_read_larger_than_the_limit(self) -> None:
        """Of one read that is larger than the limit, the newest part is kept and the rest is reported."""
        written = bytes(number % 251 for number in range(60_000))
        journal = filled(1000, written)
        place = journal.join(holding=True)
        hole, *rest = taken(journal, place)
        self.assertEqual(hole, Hole(name="job", size=59_000, first=0.0, last=0.0, mark=59_000, invocation="7@0.5"))
        self.assertEqual(text(rest), written[-1000:])

    def test_lossless_drops_nothing(self) -> None:
        """A lossless journal says that it is full, and keeps what it is given all the same."""
        journal = filled(100, b"x" * 99, lossless=True)
        self.assertFalse(journal.full)
        journal.append(STDOUT, b"y" * 50, 1.0)
        self.assertTrue(journal.full)
        self.assertEqual((len(self.kept(journal)), journal.dropped), (149, 0))

    def test_lossless_has_room_again(self) -> None:
        """It is no longer full once enough was acknowledged."""
        journal = filled(100, b"x" * 150, lossless=True)
        journal.acknowledge(50)
        self.assertTrue(journal.full)
        journal.acknowledge(51)
        self.assertFalse(journal.full)

    def test_readers_that_come_and_go_leave_nothing(self) -> None:
        """When all is acknowledged and everybody has gone, nothing is held and nothing is counted."""
        journal = filled(100_000, b"x" * 5000, b"y", b"z" * 5000)
        places = [journal.join(holding=holding) for holding in (True, False)]
        for place in places:
            taken(journal, place)
        journal.acknowledge(places[0].mark)
        for place in places:
            journal.leave(place)
        self.assertEqual((journal.head, journal.overhead), (journal.tail, 0))
        self.assertEqual(self.kept(journal), b"")


class MemoryTests(SynchronousTestCase):
    """What the kept bytes really cost; measured, not counted."""

    LIMIT = 1 << 17
    BOUND = 2 * (LIMIT + 65536)

    def test_large_reads_are_not_copied(self) -> None:
        """A large read is given to every reader as the very object that was appended."""
        large = bytes(65536)
        journal = filled(1 << 20, b"small", large, b"small")
        for _ in range(2):
            items = taken(journal, journal.join(holding=True))
            self.assertIs(items[1].data if isinstance(items[1], Output) else None, large)

    def measured(self, pieces: int, size: int, *, step: float, channels: tuple[int, ...] = (STDOUT,)) -> Journal:
        """Fill a journal, and fail if it ever cost more than the bound."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        journal = Journal(self.LIMIT)
        for number in range(pieces):
            piece = b"x" if size == 1 else bytes(size)
            journal.append(channels[number % len(channels)], piece, number * step)
        _, peak = tracemalloc.get_traced_memory()
        self.assertLessEqual(peak - before, self.BOUND)
        return journal

    def test_single_bytes(self) -> None:
        """A program that writes byte by byte costs no more than twice what is kept, of which half the limit is left."""
        journal = self.measured(170_000, 1, step=1e-5)
        self.assertGreaterEqual(journal.tail - journal.head, self.LIMIT // 2)

    def test_slow_single_bytes_of_two_channels(self) -> None:
        """Where every byte has a time and a channel of its own, less is kept, but it costs no more."""
        journal = self.measured(40_000, 1, step=1.0, channels=(STDOUT, STDERR))
        self.assertGreater(journal.tail - journal.head, 0)

    def test_lines(self) -> None:
        """Lines cost no more, and at least half of the limit is kept."""
        journal = self.measured(8_000, 80, step=1e-3)
        self.assertGreaterEqual(journal.tail - journal.head, self.LIMIT // 2)

    def test_firehose(self) -> None:
        """Nor do reads of 64 KiB, and of odd sizes around it."""
        for size in (65536, 65537, 40_000, 4096):
            journal = self.measured(200, size, step=1e-4)
            self.assertGreaterEqual(journal.tail - journal.head, self.LIMIT // 2)
            tracemalloc.stop()

    def test_part_of_a_read(self) -> None:
        """Of a large read that is kept in part no more than twice that is held; where little may be, no more at all."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for limit, kept, most in ((1000, 1000, 2000), (40_000, 40_000, 42_000), (1 << 20, 20_000, 22_000)):
            before, _ = tracemalloc.get_traced_memory()
            journal = Journal(limit)
            journal.append(STDOUT, bytes(65536), 0.0)
            journal.acknowledge(65536 - kept)
            held, _ = tracemalloc.get_traced_memory()
            self.assertEqual(journal.tail - journal.head, kept)
            self.assertLess(held - before, most, limit)
            del journal

    def test_readers_that_stand_still(self) -> None:
        """A reader in the middle of what was dropped or let go keeps none of it alive."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        journal = Journal(self.LIMIT)
        journal.append(STDOUT, bytes(65536), 0.0)
        standing = [journal.join(holding=holding) for holding in (True, False)]
        for place in standing:
            taken(journal, place, 10)
        for second in range(1, 50):
            journal.append(STDOUT, bytes(65536), float(second))
        held, _ = tracemalloc.get_traced_memory()
        self.assertLessEqual(held - before, self.BOUND)
        self.assertEqual({place.mark for place in standing}, {10})

    def test_acknowledged_memory_comes_back(self) -> None:
        """What was acknowledged costs nothing any more, also in the middle of a block."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for size, count in ((50, 1), (65536, 1), (50, 1300)):
            before, _ = tracemalloc.get_traced_memory()
            journal = Journal(1 << 24, lossless=True)
            for number in range(100):
                journal.append(STDOUT, bytes(65536), number * 1.0)
                journal.append(STDERR, b"x" * 50, number * 1.0)
            for number in range(count):
                journal.append(STDERR, bytes(size), 100.0 + number)
            journal.acknowledge(journal.tail - 10)
            held, _ = tracemalloc.get_traced_memory()
            self.assertLess(held - before, 4096, (size, count))
            del journal


class HoleTests(SynchronousTestCase):
    """What a full buffer dropped is reported exactly."""

    def test_first_and_last_time(self) -> None:
        """A hole says how much is missing, and when the first and the last of it were read."""
        journal = filled(100, *[b"x" * 40] * 10)
        hole = taken(journal, journal.join(holding=True))[0]
        self.assertIsInstance(hole, Hole)
        assert isinstance(hole, Hole)
        self.assertEqual((hole.size, hole.mark), (journal.head, journal.head))
        self.assertEqual((hole.first, hole.last), (0.0, float((journal.head - 1) // 40)))

    def test_one_hole_for_all_that_is_missing(self) -> None:
        """However often something was dropped meanwhile, a reader that comes back is told once, and then goes on."""
        journal = filled(100, b"a" * 80)
        place = journal.join(holding=True)
        self.assertEqual(text(taken(journal, place, 30)), b"a" * 30)
        for second in range(1, 6):
            journal.append(STDOUT, b"b" * 80, float(second))
        hole, *rest = taken(journal, place)
        self.assertEqual(
            hole,
            Hole(
                name="job",
                size=journal.head - 30,
                first=0.0,
                last=(journal.head - 1) // 80,
                mark=journal.head,
                invocation="7@0.5",
            ),
        )
        self.assertEqual(text(rest), b"b" * (480 - journal.head))
        self.assertEqual(taken(journal, place), [])

    def test_second_hole_has_its_own_times(self) -> None:
        """A hole that was told, and one that was acknowledged, are over: the next begins where it begins."""
        journal = filled(100, b"a" * 80, b"b" * 80, b"c" * 80)
        place = journal.join(holding=True)
        taken(journal, place)
        journal.acknowledge(place.mark)
        for second in (10, 11, 12):
            journal.append(STDOUT, b"d" * 80, float(second))
        expected = Hole(
            name="job", size=journal.head - 240, first=10.0, last=11.0, mark=journal.head, invocation="7@0.5"
        )
        self.assertEqual(taken(journal, place)[0], expected)
        self.assertEqual(taken(journal, journal.join(holding=True))[0], expected)

    def test_acknowledged_hole_is_over(self) -> None:
        """A mark behind a hole ends it, though no reader stands there; a later hole begins with its own time."""
        journal = filled(100, b"a" * 80, b"b" * 80)
        journal.acknowledge(journal.tail - 5)
        for second in (10, 11):
            journal.append(STDOUT, b"c" * 80, float(second))
        hole = taken(journal, journal.join(holding=True))[0]
        expected = Hole(
            name="job", size=journal.head - 155, first=1.0, last=10.0, mark=journal.head, invocation="7@0.5"
        )
        self.assertEqual(hole, expected)

    def test_observer_is_told_too(self) -> None:
        """A reader that only looks learns of what was dropped before it came, and takes that knowledge from nobody."""
        journal = Journal(100)
        for second in range(30):
            journal.append(STDOUT, bytes(10), float(second))
        looking = taken(journal, journal.join(holding=False))
        self.assertEqual(
            looking[0],
            Hole(
                name="job",
                size=journal.head,
                first=0.0,
                last=journal.head / 10 - 1,
                mark=journal.head,
                invocation="7@0.5",
            ),
        )
        self.assertEqual(taken(journal, journal.join(holding=True)), looking)

    def test_no_hole_for_who_has_it(self) -> None:
        """What a reader took before it was dropped is no hole for that reader."""
        journal = filled(100, b"x" * 80)
        place = journal.join(holding=True)
        taken(journal, place)
        journal.append(STDOUT, b"y" * 80, 1.0)
        self.assertEqual(text(taken(journal, place)), b"y" * 80)

    def test_next_reader_misses_only_what_was_not_stored(self) -> None:
        """A hole begins at what was acknowledged, with the time of the byte behind that, though it is long gone."""
        journal = filled(100, b"a" * 40, b"b" * 40)
        place = journal.join(holding=True)
        taken(journal, place, 40)
        journal.append(STDOUT, b"c" * 100, 2.0)
        self.assertEqual(journal.head, 80)
        journal.acknowledge(40)
        journal.leave(place)
        hole = taken(journal, journal.join(holding=True))[0]
        self.assertEqual(hole, Hole(name="job", size=40, first=1.0, last=1.0, mark=80, invocation="7@0.5"))

    def test_stored_output_is_not_counted_as_dropped(self) -> None:
        """What one reader has stored was not lost when it goes before a slower one had it; that one is told."""
        journal = filled(100, b"a" * 80)
        quick, slow = journal.join(holding=True), journal.join(holding=True)
        taken(journal, quick, 50)
        journal.acknowledge(50)
        journal.append(STDOUT, b"b" * 80, 1.0)
        self.assertGreater(journal.head, 50)
        self.assertEqual(journal.dropped, journal.head - 50)
        hole = Hole(name="job", size=journal.head, first=0.0, last=0.0, mark=journal.head, invocation="7@0.5")
        self.assertEqual(taken(journal, slow)[0], hole)

    def test_looking_reader_misses_what_others_let_go(self) -> None:
        """Output does not wait for one who only looks; what was acknowledged before it came by is a hole for it."""
        journal = filled(1000, b"aa", b"bb", b"cc")
        holding, looking = journal.join(holding=True), journal.join(holding=False)
        taken(journal, holding, 4)
        journal.acknowledge(4)
        hole, *rest = taken(journal, looking)
        self.assertEqual(hole, Hole(name="job", size=4, first=0.0, last=1.0, mark=4, invocation="7@0.5"))
        self.assertEqual((text(rest), journal.dropped), (b"cc", 0))


class AcknowledgeTests(SynchronousTestCase):
    """Letting go."""

    def test_waits_for_every_holding_reader(self) -> None:
        """Nobody's acknowledgement removes what another has not been given."""
        journal = filled(1000, b"abcdef")
        quick, slow = journal.join(holding=True), journal.join(holding=True)
        taken(journal, quick)
        taken(journal, slow, 2)
        journal.acknowledge(6)
        self.assertEqual(journal.head, 2)
        self.assertEqual(text(taken(journal, slow)), b"cdef")

    def test_one_who_only_looks_begins_with_the_oldest(self) -> None:
        """What is kept for a slow reader alone is there for one who only looks, too."""
        journal = filled(1000, b"abcdef")
        journal.join(holding=True)
        journal.acknowledge(6)
        self.assertEqual(text(taken(journal, journal.join(holding=False))), b"abcdef")

    def test_moved_where_nothing_is_held(self) -> None:
        """Forwards into what it misses a place has the rest of the hole before it; backwards, the oldest there is."""
        journal = filled(100, b"a" * 80)
        behind, ahead = journal.join(holding=True), journal.join(holding=True)
        taken(journal, ahead, 50)
        journal.append(STDOUT, b"b" * 80, 1.0)
        self.assertEqual(journal.head, 60)
        for _ in range(2):
            journal.move(behind, 20)
        hole, *rest = taken(journal, behind)
        self.assertEqual(hole, Hole(name="job", size=40, first=0.0, last=0.0, mark=60, invocation="7@0.5"))
        journal.move(ahead, 20)
        self.assertEqual((ahead.mark, text(taken(journal, ahead))), (60, text(rest)))

    def test_slow_reader_leaves(self) -> None:
        """What was only kept for a reader goes when it leaves."""
        journal = filled(1000, b"abcdef")
        slow = journal.join(holding=True)
        journal.acknowledge(6)
        self.assertEqual(journal.head, 0)
        journal.leave(slow)
        self.assertEqual(journal.head, 6)

    def test_unacknowledged_is_given_again(self) -> None:
        """What was taken and not acknowledged is there for the next reader."""
        journal = filled(1000, b"abcdef")
        first = journal.join(holding=True)
        taken(journal, first)
        journal.acknowledge(2)
        journal.leave(first)
        self.assertEqual(text(taken(journal, journal.join(holding=True))), b"cdef")

    def test_never_goes_back(self) -> None:
        """An older mark takes nothing back."""
        journal = filled(1000, b"abcdef")
        journal.acknowledge(4)
        journal.acknowledge(1)
        expected = Output(name="job", channel=STDOUT, timestamp=0.0, data=b"ef", mark=6, invocation="7@0.5")
        self.assertEqual(taken(journal, journal.join(holding=True)), [expected])

    def test_time_plays_no_part(self) -> None:
        """Two pieces of one moment, and one of an earlier moment read later, are told apart."""
        journal = Journal(1000)
        for data, now in ((b"a" * 64, 1.0), (b"b" * 64, 1.0), (b"c" * 64, -3600.0)):
            journal.append(STDOUT, data, now)
        place = journal.join(holding=True)
        taken(journal, place, 64)
        journal.acknowledge(place.mark)
        self.assertEqual(text(taken(journal, journal.join(holding=True))), b"b" * 64 + b"c" * 64)


class DiscardTests(SynchronousTestCase):
    """Throwing away."""

    def test_discard(self) -> None:
        """All is let go, now and from then on, without a hole for anybody; no memory is held."""
        journal = filled(100, b"x" * 80, b"y" * 80)
        places = [journal.join(holding=holding) for holding in (True, False)]
        journal.discard()
        journal.append(STDOUT, b"z" * 80, 2.0)
        self.assertEqual((journal.head, journal.tail, journal.overhead), (160, 160, 0))
        for place in (*places, journal.join(holding=True), journal.join(holding=False)):
            self.assertEqual(taken(journal, place), [])


class _Reader:
    """A reader in the reference: the place in the journal, and where it ought to be."""

    def __init__(self, place: Place, mark: int, *, holding: bool) -> None:
        self.place = place
        self.mark = mark
        self.holding = holding


class JournalMachine(RuleBasedStateMachine):
    """
    A journal beside a reference that remembers everything ever printed.

    The reference leaves to the journal only how far a full one drops; all else it derives: what each reader must be
    given, what is a hole for it and of what times, and how much may be held after each acknowledgement. The clock only
    makes steps of whole seconds, forth and back, so that pieces that are put together have one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.runs: list[tuple[int, int, float]] = []  # Where each ends, its channel, its time.
        self.readers: list[_Reader] = []
        self.now = 1000.0
        self.head = self.acknowledged = self.dropped = self.counter = 0
        self.discarded = False

    @initialize(limit=st.sampled_from([1, 2, 63, 64, 100, 1000, 5000, 65536, 200_000]), lossless=st.booleans())
    def begin(self, limit: int, lossless: bool) -> None:
        self.journal = Journal(limit, lossless=lossless)

    def at(self, mark: int) -> tuple[int, float]:
        """Channel and time of the byte at a mark."""
        return next((channel, now) for end, channel, now in self.runs if end > mark)

    @rule(step=st.sampled_from([0, 0, 1, 60, -3600]))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(
        channel=st.sampled_from([STDOUT, STDERR]),
        size=st.one_of(st.integers(1, 200), st.sampled_from([63, 64, 4095, 4096, 4097, 65536, 70_000])),
        times=st.sampled_from([1, 1, 2, 5, 40]),
    )
    def print(self, channel: int, size: int, times: int) -> None:
        for _ in range(times if size <= 4096 else 1):
            self.counter += 1
            piece = (self.counter.to_bytes(3, "big") * (size // 3 + 1))[:size]
            self.journal.append(channel, piece, self.now)
            if self.discarded:
                return
            self.written += piece
            self.runs.append((len(self.written), channel, self.now))
            after = self.journal.head
            if self.journal.lossless:
                assert after == self.head
            assert self.head <= after
            self.dropped += max(0, after - max(self.head, self.acknowledged))
            self.head = after

    @rule(holding=st.booleans())
    def join(self, holding: bool) -> None:
        if len(self.readers) < 5:
            mark = self.acknowledged if holding else min(self.acknowledged, self.head)
            self.readers.append(_Reader(self.journal.join(holding=holding), mark, holding=holding))

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 4), limit=st.sampled_from([1, 3, 64, 1000, 65536, PLENTY]))
    def take(self, which: int, limit: int) -> None:
        reader = self.readers[which % len(self.readers)]
        items = taken(self.journal, reader.place, limit)
        if reader.mark < self.head:
            expected = Hole(
                name="job",
                size=self.head - reader.mark,
                first=self.at(reader.mark)[1],
                last=self.at(self.head - 1)[1],
                mark=self.head,
                invocation="7@0.5",
            )
            assert items.pop(0) == expected
            reader.mark = self.head
        end = min(reader.mark + limit, len(self.written))
        for item in items:
            assert isinstance(item, Output)
            assert item.data == self.written[reader.mark : item.mark] != b""
            assert (item.channel, item.timestamp) == self.at(reader.mark) == self.at(item.mark - 1)
            reader.mark = item.mark
        assert reader.mark == reader.place.mark == end

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 4))
    def acknowledge(self, which: int) -> None:
        reader = self.readers[which % len(self.readers)]
        if reader.holding:
            self.journal.acknowledge(reader.mark)
            self.acknowledged = max(self.acknowledged, reader.mark)
            self.let_go()

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 4), limit=st.sampled_from([1, 64, 1000, 65536, PLENTY]))
    def store(self, which: int, limit: int) -> None:
        self.take(which, limit)
        self.acknowledge(which)

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 4))
    def leave(self, which: int) -> None:
        reader = self.readers.pop(which % len(self.readers))
        self.journal.leave(reader.place)
        self.let_go()

    def let_go(self) -> None:
        """What everybody who is waited for has, and somebody has stored, is held no longer; all else is."""
        wanted = min([self.acknowledged, *(reader.mark for reader in self.readers if reader.holding)])
        self.head = max(self.head, wanted)

    @precondition(lambda self: not self.discarded and self.counter > 20)
    @rule()
    def discard(self) -> None:
        self.journal.discard()
        self.discarded = True
        self.head = self.acknowledged = len(self.written)
        for reader in self.readers:
            reader.mark = self.head

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "journal"):
            return
        journal = self.journal
        assert (journal.head, journal.tail, journal.dropped) == (self.head, len(self.written), self.dropped)
        held = journal.tail - journal.head
        assert journal.overhead >= 0
        if journal.lossless:
            assert journal.full or held < journal.limit
            assert held or not journal.full
        else:
            assert held <= journal.limit


class ModelTests(SynchronousTestCase):
    """Everything together."""

    def test_is_as_the_reference(self) -> None:
        """Whatever is printed, taken, acknowledged and left in whatever order, bytes, marks and holes are exact."""
        run_state_machine_as_test(JournalMachine, settings=settings(max_examples=60, stateful_step_count=50))
