"""What happened: numbers without a gap, how far back they go, and those who follow."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from papa.commands import MakeSocket, RemoveSockets, Set, WatchEvents
from papa.errors import BadRequest, NotFound, TooOld
from papa.interfaces import IWatch
from papa.kernel.history import Following, History
from papa.kernel.remembered import Forgetful
from papa.records import Event, Happened
from papa.steps import all_at_once
from tests.kernel.building import Bell, Diary, House


def a_history(count: int, kept: int = 10) -> History:
    """A history in which so much has happened, one event a second."""
    history = History(Diary(), Forgetful(), wall=itertools.count(1).__next__, kept=kept)
    for number in range(1, count + 1):
        history.happened(Event(kind="value-set", name=f"v{number}"))
    return history


class FollowingTests(SynchronousTestCase):
    """Reading the history."""

    def numbers(self, history: History, request: WatchEvents) -> list[int]:
        return [event.number for event in history.follow(request, Bell()).take(1 << 20)]

    def test_all_that_is_kept(self) -> None:
        """From 0 on, everything that is kept is given, in order and without a gap."""
        self.assertEqual(self.numbers(a_history(25), WatchEvents(since=0)), list(range(16, 26)))

    def test_behind_a_number(self) -> None:
        """From a number on, what came behind it is given, and nothing twice."""
        self.assertEqual(self.numbers(a_history(25), WatchEvents(since=22)), [23, 24, 25])

    def test_from_now_on(self) -> None:
        """Without a number, only what happens later is given."""
        history = a_history(3)
        follower = history.follow(WatchEvents(), Bell())
        self.assertFalse(follower.pending)
        history.happened(Event(kind="process-exited", name="job", detail=3))
        self.assertEqual(
            follower.take(1000), [Happened(number=4, timestamp=4, kind="process-exited", name="job", detail=3)]
        )
        self.assertFalse(follower.pending)

    def test_too_old(self) -> None:
        """What is no longer kept is refused, with the oldest that is; the event before that is still enough."""
        history = a_history(25)
        self.assertIn("the oldest is 16", str(self.assertRaises(TooOld, history.follow, WatchEvents(since=14), Bell())))
        self.assertEqual(self.numbers(history, WatchEvents(since=15))[0], 16)

    def test_not_yet(self) -> None:
        """An event that has not happened is refused: the number is another kernel's."""
        self.assertRaises(BadRequest, a_history(3).follow, WatchEvents(since=4), Bell())

    def test_bounded_takes(self) -> None:
        """What is taken at once is bounded, and the next take goes on behind it."""
        follower = a_history(10).follow(WatchEvents(since=0), Bell())
        self.assertEqual(
            [[event.number for event in follower.take(300)] for _ in range(4)], [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
        )

    def test_woken_once(self) -> None:
        """A follower is told when there is something again, not of each event."""
        history, bell = a_history(0), Bell()
        follower = history.follow(WatchEvents(), bell)
        for _ in range(3):
            history.happened(Event(kind="value-set", name="v"))
        self.assertEqual(bell.rung, 1)
        follower.take(1000)
        history.happened(Event(kind="value-set", name="v"))
        self.assertEqual(bell.rung, 2)

    def test_left_behind(self) -> None:
        """A follower that needs what is no longer kept is ended, and never given a gap."""
        history = a_history(1)
        follower = history.follow(WatchEvents(since=0), Bell())
        for _ in range(20):
            history.happened(Event(kind="value-set", name="v"))
        self.assertEqual((list(follower.take(1000)), follower.count, follower.pending), ([], 0, False))

    def test_a_follower_that_makes_something_happen(self) -> None:
        """Who does something when it is woken does not keep others from being woken, now and later."""
        history = a_history(0)
        numbers: dict[str, list[int]] = {"acts": [], "reads": []}
        followers: dict[str, Following] = {}

        class Waker:
            def __init__(self, name: str) -> None:
                self.name = name

            def output_ready(self) -> None:
                numbers[self.name] += [event.number for event in followers[self.name].take(1000)]
                if self.name == "acts" and numbers["acts"][-1] < 3:
                    history.happened(Event(kind="value-set", name="reaction"))

        for name in numbers:
            followers[name] = history.follow(WatchEvents(), Waker(name))
        history.happened(Event(kind="value-set", name="v"))
        history.happened(Event(kind="value-set", name="v"))
        self.assertEqual(numbers, {"acts": [1, 2, 3, 4], "reads": [1, 2, 3, 4]})

    def test_noticed(self) -> None:
        """Who asks for clients is told of them between what had happened by then; nobody else is, nor later."""
        history, bell = a_history(1), Bell()
        plain = history.follow(WatchEvents(since=0), Bell())
        follower = history.follow(WatchEvents(since=0, clients=True), bell)
        history.noticed(Event(kind="client-came", name="a"))
        history.happened(Event(kind="value-set", name="v2"))
        history.noticed(Event(kind="client-gone", name="a"))
        self.assertEqual(
            [[(event.number, event.name) for event in follower.take(size)] for size in (300, 300)],
            [[(1, "v1"), (1, "a"), (2, "v2")], [(2, "a")]],
        )
        self.assertEqual([event.number for event in plain.take(1000)], [1, 2])
        rung = bell.rung
        history.noticed(Event(kind="client-came", name="b"))
        history.noticed(Event(kind="client-gone", name="b"))
        history.happened(Event(kind="value-set", name="v3"))
        self.assertEqual((bell.rung, plain.pending), (rung + 1, True))
        self.assertEqual([event.name for event in follower.take(1000)], ["b", "b", "v3"])
        later = history.follow(WatchEvents(since=0, clients=True), Bell())
        self.assertEqual([event.name for event in later.take(1000)], ["v1", "v2", "v3"])

    def test_left_behind_by_clients(self) -> None:
        """A follower that does not read is not told of clients without end: it is ended."""
        history = a_history(0)
        follower = history.follow(WatchEvents(clients=True), Bell())
        for _ in range(10_000):
            history.noticed(Event(kind="client-came", name="a"))
        self.assertTrue(follower.pending)
        history.noticed(Event(kind="client-came", name="a"))
        self.assertEqual((follower.pending, follower.done), (False, True))

    def test_stopped(self) -> None:
        """A follower that has stopped is told nothing any more, and may stop again."""
        history, bell = a_history(1), Bell()
        follower = history.follow(WatchEvents(), bell)
        follower.stop()
        follower.stop()
        history.happened(Event(kind="value-set", name="v"))
        self.assertEqual((bell.rung, follower.pending), (0, False))
        verifyObject(IWatch, follower)


class KernelTests(SynchronousTestCase):
    """The history of a kernel."""

    def test_what_happens_is_numbered(self) -> None:
        """Whatever the kernel does is an event, and a request that is refused is none."""
        house = House()
        house.kernel.perform(MakeSocket(name="web"))
        house.kernel.perform(Set(name="v", value="1"))
        self.assertRaises(NotFound, house.kernel.perform, RemoveSockets(names=("nope",)))
        house.kernel.perform(RemoveSockets(names=("web",)))
        follower = all_at_once(house.kernel.watch(WatchEvents(since=0), Bell()))
        self.assertEqual(
            [(event.number, event.kind, event.name) for event in follower.take(1000)],
            [(1, "socket-made", "web"), (2, "value-set", "v"), (3, "socket-removed", "web")],
        )
