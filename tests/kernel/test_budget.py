"""What all processes together may have kept."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import MoveCursor, RemoveProcesses
from papa.errors import LimitReached
from papa.kernel import processes
from papa.records import STDERR, Output
from tests.kernel.building import House, data, everything, holes


class BudgetTests(SynchronousTestCase):
    """A kernel with little memory."""

    def setUp(self) -> None:
        self.house = House(most_output=1000)

    def kept(self, *names: str) -> list[int]:
        return [self.house.process(name).buffered for name in names]

    def test_within(self) -> None:
        """What is within the bound of all stays."""
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 400)
        two.print(b"y" * 600)
        self.assertEqual(self.kept("one", "two"), [400, 600])

    def test_beyond(self) -> None:
        """Who prints beyond it loses its own oldest, though its own bound would allow them, and is told how much."""
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 700)
        for _ in range(10):
            self.house.wall.now += 1
            two.print(b"y" * 100)
        self.assertEqual(self.kept("one")[0], 700)
        self.assertLessEqual(self.kept("two")[0], 300)
        items = everything(self.house.watch("two"))
        self.assertEqual(sum(each.size for each in holes(items)) + len(data(items)), 1000)

    def test_room_again(self) -> None:
        """What was acknowledged or forgotten makes room for others."""
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 900)
        watch = self.house.watch("one")
        everything(watch)
        watch.acknowledge()
        two.print(b"y" * 900)
        self.assertEqual(self.kept("two"), [900])
        two.exit()
        self.house.kernel.remove_processes(RemoveProcesses(names=("two",)))
        one.print(b"z" * 900)
        self.assertEqual(self.kept("one"), [900])

    def test_waits(self) -> None:
        """One that loses nothing waits, unless nothing of it is kept; and goes on when there is room."""
        one, two = self.house.child("one"), self.house.child("two", overflow="block")
        one.print(b"x" * 999)
        two.print(b"y" * 100)
        self.assertTrue(two.paused)
        watch = self.house.watch("two")
        self.assertEqual(len(data(everything(watch))), 100)
        watch.acknowledge()
        self.assertFalse(two.paused)

    def test_one_that_was_read_goes_on(self) -> None:
        """One of which nothing is kept does not wait for others, which nobody may ever read."""
        one, two = (self.house.child(name, overflow="block") for name in ("one", "two"))
        one.print(b"x" * 1100)
        two.print(b"y" * 100)
        self.assertEqual((one.paused, two.paused), (True, True))
        watch = self.house.watch("two")
        everything(watch)
        watch.acknowledge()
        self.assertEqual((one.paused, two.paused), (True, False))

    def test_room_for_those_who_wait(self) -> None:
        """One that loses nothing goes on as soon as others make room, whoever reads it."""
        one, two = self.house.child("one"), self.house.child("two", overflow="block")
        one.print(b"x" * 999)
        self.house.watch("two", observe=True)
        for _ in range(2):
            two.print(b"y" * 10)
            self.assertTrue(two.paused)
            watch = self.house.watch("one")
            everything(watch)
            watch.acknowledge()
            watch.stop()
            self.assertFalse(two.paused)
            one.print(b"x" * 990)
        self.assertEqual(self.kept("two"), [20])

    def test_as_much_room_as_there_may_be(self) -> None:
        """One that loses nothing goes on, too, when all that there may be is kept, and no more."""
        one, two = self.house.child("one"), self.house.child("two", overflow="block")
        one.print(b"x" * 990)
        two.print(b"y" * 20)
        self.assertTrue(two.paused)
        watch = self.house.watch("one")
        watch.take(10)
        watch.acknowledge()
        self.assertEqual((sum(self.kept("one", "two")), two.paused), (1000, False))

    def test_what_went_is_known_to_have_gone(self) -> None:
        """Who prints too much pays for it once; afterwards there is room again, if little."""
        one, two, three = (self.house.child(name) for name in ("one", "two", "three"))
        one.print(b"x" * 900)
        for _ in range(11):
            two.print(b"y" * 10)
            self.house.wall.now += 1
        three.print(b"z" * 40)
        kept = self.kept("one", "two", "three")
        self.assertEqual((kept[0], kept[2]), (900, 40))
        self.assertLessEqual(sum(kept), 1000)

    def test_no_more_than_must_go(self) -> None:
        """Many small pieces cost more than their bytes, and go all the same only as far as is needed."""
        self.house = House(most_output=20_000)
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 10_000)
        for _ in range(1001):
            self.house.wall.now += 1
            two.print(b"y" * 10)
        self.assertGreater(self.kept("two")[0], 9_900)

    def test_forgotten(self) -> None:
        """What is forgotten is kept no more, whatever a reader that has still got it acknowledges."""
        one = self.house.child("one")
        one.print(b"x" * 400)
        one.print(b"y" * 500, STDERR)
        one.exit()
        quick, slow = self.house.watch("one"), self.house.watch("one")
        everything(quick)
        quick.acknowledge()
        (first,) = slow.take(1)
        assert isinstance(first, Output)
        slow.acknowledge_to("one", first.invocation, first.mark, end=False)
        slow.stop()
        two = self.house.child("two")
        two.print(b"z" * 900)
        self.assertEqual(self.kept("two"), [900])

    def test_moved_cursor(self) -> None:
        """What no cursor needs any more since it was moved makes room."""
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 900)
        reader = self.house.watch("one", cursor="ship")
        classic = self.house.watch("one")
        everything(classic)
        classic.acknowledge()
        reader.stop()
        self.house.kernel.move_cursor(MoveCursor(name="ship", process="one", mark=900))
        two.print(b"y" * 900)
        self.assertEqual(self.kept("one", "two"), [0, 900])

    def test_another_kernel(self) -> None:
        """The next kernel knows how much is kept."""
        self.house = House(lasting=True, most_output=1000)
        one, two = self.house.child("one"), self.house.child("two")
        one.print(b"x" * 700)
        self.house.succeed()
        two.print(b"y" * 700)
        self.assertLessEqual(self.kept("two")[0], 300)

    def test_too_many_processes(self) -> None:
        """There is a bound to how many there are, ended ones too."""
        self.patch(processes, "_MOST", 2)
        self.house.child("one").exit()
        self.house.make("two")
        with self.assertRaisesRegex(LimitReached, "2 processes: remove some"):
            self.house.make("three")
        self.assertEqual(self.house.make("two").name, "two")
        self.house.kernel.remove_processes(RemoveProcesses(names=("one",)))
        self.house.make("three")
