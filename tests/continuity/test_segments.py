"""Bytes in a memory file whose parts are written over: what is where, how much memory that takes, and who goes on."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from papa.continuity.segments import SEGMENT, Segments, Spare, punch
from tests.continuity.leftovers import TidyTestCase

_PIECE = 65536


class SegmentsTests(TidyTestCase):
    """One tape's bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.file = os.memfd_create("test")
        self.addCleanup(os.close, self.file)
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, self.writing)
        self.spare = Spare()
        self.segments = Segments(self.file, self.spare)

    def fill(self, size: int, segments: Segments | None = None) -> None:
        """Record so many bytes, each of which says where it is."""
        segments = segments or self.segments
        end = segments.end + size
        while segments.end < end:
            os.write(self.writing, expected(segments.end, min(_PIECE, end - segments.end)))
            while True:
                try:
                    segments.record(self.reading, _PIECE)
                except BlockingIOError:
                    break

    def memory(self) -> int:
        """What the file takes, in bytes."""
        return os.fstat(self.file).st_blocks * 512

    def indexed(self, begin: int, end: int) -> dict[int, int]:
        """What an index has between two marks."""
        return {(mark - 1) // SEGMENT: self.segments.slot(mark) for mark in range(begin + 1, end + 1)}

    def test_read(self) -> None:
        """Everything is found again, over the bounds of segments too."""
        self.fill(3 * SEGMENT + 100)
        for mark, size in ((0, 10), (SEGMENT - 5, 10), (100, 2 * SEGMENT), (3 * SEGMENT + 99, 1), (7, 0)):
            self.assertEqual(self.segments.read(mark, size), expected(mark, size))

    def test_written_over(self) -> None:
        """A stream that is released as it comes takes no more memory than what is kept to write over."""
        self.fill(SEGMENT)
        for _ in range(40):
            self.segments.release(self.segments.end - 10)
            self.fill(SEGMENT)
            self.assertEqual(self.segments.read(self.segments.end - 10, 10), expected(self.segments.end - 10, 10))
        self.assertLessEqual(self.memory(), 4 * SEGMENT)
        self.assertLess(os.fstat(self.file).st_size, 5 * SEGMENT)

    def test_burst(self) -> None:
        """Of a burst that was read, no more stays than one tape may keep."""
        self.fill(20 * SEGMENT)
        self.segments.release(self.segments.end)
        self.assertLessEqual(self.memory(), 4 * SEGMENT)
        self.fill(20 * SEGMENT)
        self.assertEqual(self.segments.read(20 * SEGMENT, 20 * SEGMENT), expected(20 * SEGMENT, 20 * SEGMENT))
        self.assertLess(os.fstat(self.file).st_size, 22 * SEGMENT)

    def test_all_together(self) -> None:
        """All tapes together keep no more than that; who was used last keeps it."""
        others = [SegmentsTests("fill") for _ in range(40)]
        for other in others:
            other.setUp()
            self.addCleanup(other.doCleanups)
            other.segments = Segments(other.file, self.spare)
            other.fill(4 * SEGMENT + SEGMENT // 2)
            other.segments.release(other.segments.end)
        kept = [other.memory() for other in others]
        self.assertLessEqual(sum(kept), 128 * SEGMENT)
        self.assertGreater(kept[-1], 3 * SEGMENT)
        self.assertEqual(kept[0], 0)
        # What was given back can be used all the same.
        others[0].fill(SEGMENT)
        self.assertEqual(
            others[0].segments.read(others[0].segments.end - 9, 9), expected(others[0].segments.end - 9, 9)
        )

    def test_what_is_unread_is_not_given_back(self) -> None:
        """What all tapes keep to write over has no unread bytes in it."""
        self.fill(2 * SEGMENT + 50_000)
        self.segments.release(SEGMENT + 1)
        self.segments.give_back()
        self.assertEqual(self.segments.read(SEGMENT + 1, SEGMENT + 49_999), expected(SEGMENT + 1, SEGMENT + 49_999))

    def test_next_kernel(self) -> None:
        """Another goes on where one has ended, at any place in a segment."""
        for size in (1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 7):
            self.fill(size)
            self.segments.release(self.segments.end - 1)
            begin = self.segments.end - 1
            slots = self.indexed(begin, begin + 1)
            successor = Segments(self.file, Spare())
            successor.restore(begin + 1, slots)
            self.assertEqual(successor.end, self.segments.end)
            self.fill(SEGMENT // 2, successor)
            self.assertEqual(successor.read(begin, SEGMENT // 2), expected(begin, SEGMENT // 2))
            self.segments = successor

    def test_next_kernel_gives_back(self) -> None:
        """Another gives back what one has kept to write over, and writes over that all the same."""
        self.fill(5 * SEGMENT + 1)
        self.segments.release(5 * SEGMENT)
        self.assertGreater(self.memory(), 4 * SEGMENT)
        successor = Segments(self.file, Spare())
        successor.restore(5 * SEGMENT + 1, self.indexed(5 * SEGMENT, 5 * SEGMENT + 1))
        self.assertLessEqual(self.memory(), SEGMENT)
        size = os.fstat(self.file).st_size
        self.fill(4 * SEGMENT, successor)
        self.assertEqual(successor.read(5 * SEGMENT, 4 * SEGMENT + 1), expected(5 * SEGMENT, 4 * SEGMENT + 1))
        self.assertLessEqual(os.fstat(self.file).st_size, -(-size // SEGMENT) * SEGMENT)

    def test_written_over_what_was_given_back(self) -> None:
        """What was given back of what was kept to write over is written over, and each part of it once."""
        self.fill(4 * SEGMENT)
        self.segments.release(4 * SEGMENT)
        self.segments.give_back()
        self.assertEqual(self.memory(), 0)
        self.fill(5 * SEGMENT)
        self.assertEqual(self.segments.read(4 * SEGMENT, 5 * SEGMENT), expected(4 * SEGMENT, 5 * SEGMENT))
        self.assertLessEqual(os.fstat(self.file).st_size, 6 * SEGMENT)

    def test_closed(self) -> None:
        """A tape that was closed is not asked to give anything back, and takes nothing from what others may keep."""
        self.fill(3 * SEGMENT)
        self.segments.release(3 * SEGMENT)
        self.segments.close()
        self.assertEqual((self.spare._kept, self.spare._total), ({}, 0))

    def test_far_behind(self) -> None:
        """What lies far behind in a file is given back as well, in whole pages."""
        begin = 5 << 30
        os.pwrite(self.file, bytes(3 * SEGMENT), begin)
        before = self.memory()
        self.assertEqual(punch(self.file, begin, begin + 2 * SEGMENT + 1), begin + 2 * SEGMENT)
        self.assertEqual(before - self.memory(), 2 * SEGMENT)
        self.assertEqual(os.fstat(self.file).st_size, begin + 3 * SEGMENT)

    def test_piece_in_flight(self) -> None:
        """What was moved in the last call and noted by nobody is found, in a new segment too."""
        for before, size in ((10, 10), (SEGMENT - 30, 30), (0, 40), (3, _PIECE), (SEGMENT - _PIECE - 3, _PIECE)):
            self.fill(before)
            self.segments.release(max(0, self.segments.end - 1))
            noted = self.segments.end
            slots = self.indexed(noted - 1, noted) if noted else {}
            self.fill(size)
            successor = Segments(self.file, Spare())
            successor.restore(noted, slots)
            self.assertEqual(successor.end, noted + size)
            self.assertEqual(successor.read(noted, size), expected(noted, size))
            self.segments = successor

    def test_piece_in_flight_behind_what_was_released(self) -> None:
        """So is what fills a segment of which nothing is noted any more."""
        self.fill(SEGMENT - 30)
        self.segments.release(SEGMENT - 30)
        self.fill(30)
        successor = Segments(self.file, Spare())
        successor.restore(SEGMENT - 30, {})
        self.assertEqual(successor.end, SEGMENT)
        self.assertEqual(successor.read(SEGMENT - 30, 30), expected(SEGMENT - 30, 30))

    def test_next_kernel_releases(self) -> None:
        """Another keeps no more of a burst than one tape may, whether it has come before or after."""
        self.fill(8 * SEGMENT)
        successor = Segments(self.file, Spare())
        successor.restore(8 * SEGMENT, {number: self.segments.slot(number * SEGMENT + 1) for number in range(8)})
        successor.release(8 * SEGMENT)
        self.assertLessEqual(self.memory(), 4 * SEGMENT)
        last = Segments(self.file, Spare())
        last.restore(8 * SEGMENT, {})
        self.fill(8 * SEGMENT, last)
        last.release(16 * SEGMENT)
        self.assertLessEqual(self.memory(), 4 * SEGMENT)

    def test_killed_before_the_move(self) -> None:
        """A kernel that was killed having chosen a slot, and moved nothing there, has moved nothing."""
        self.fill(2 * SEGMENT)
        self.segments.release(2 * SEGMENT - 5)
        self.assertRaises(BlockingIOError, self.segments.record, self.reading, _PIECE)
        successor = Segments(self.file, Spare())
        successor.restore(2 * SEGMENT, self.indexed(2 * SEGMENT - 5, 2 * SEGMENT))
        self.assertEqual(successor.end, 2 * SEGMENT)
        self.fill(100, successor)
        self.assertEqual(successor.read(2 * SEGMENT - 5, 105), expected(2 * SEGMENT - 5, 105))

    def test_first_format(self) -> None:
        """A file in which every byte lies at its mark is gone on with."""
        size = 2 * SEGMENT + 1000
        os.pwrite(self.file, expected(0, size), 0)
        self.segments.restore(
            size - 500, {(mark - 1) // SEGMENT: (mark - 1) // SEGMENT for mark in (1, SEGMENT + 1, size)}
        )
        self.assertEqual(self.segments.end, size)
        self.fill(SEGMENT)
        self.assertEqual(self.segments.read(0, size + SEGMENT), expected(0, size + SEGMENT))

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("fill"), st.integers(1, 3 * SEGMENT)),
                st.tuples(st.just("release"), st.floats(0, 1)),
                st.tuples(st.just("give back"), st.just(0)),
                st.tuples(st.just("succeed"), st.just(0)),
            ),
            max_size=20,
        )
    )
    @settings(max_examples=60)
    def test_anything(self, steps: list[tuple[str, int | float]]) -> None:
        """Whatever is done in whatever order, what was not released is there."""
        self.doCleanups()
        self.setUp()
        released = 0
        for step, how in steps:
            if step == "fill":
                self.fill(int(how))
            elif step == "release":
                released += int((self.segments.end - released) * how)
                self.segments.release(released)
            elif step == "give back":
                self.segments.give_back()
            else:
                slots = self.indexed(released, self.segments.end)
                end = self.segments.end
                self.segments = Segments(self.file, self.spare)
                self.segments.restore(end, slots)
            held = self.segments.end - released
            self.assertEqual(self.segments.read(released, held), expected(released, held))


_PATTERN = bytes(range(251)) * (21 * SEGMENT // 251 + 2)


def expected(mark: int, size: int) -> bytes:
    """The bytes at a mark: of each, where it is."""
    return _PATTERN[mark % 251 : mark % 251 + size]
