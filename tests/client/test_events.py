"""Following what happens through Deferreds, over connections that are cut, and with the blocking client."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papa.client.blocking import Papa
from papa.client.deferred import RemoteEvents
from papa.client.watcher import EventReader
from papa.commands import WatchEvents
from papa.errors import BadRequest, ConnectionLost, Error, TooOld
from papa.records import Happened
from papa.testing import MemoryKernel, result_of
from papa.wire import schema
from papa.wire.messages import WatchEnded, Watching
from tests.client.sharing import is_readable, wait_readable
from tests.client.test_connection import GREETING, Partner, PlayedTestCase, push
from tests.support import PATIENCE

#: More events than a kernel keeps.
TOO_MANY = 10_001


class EventTests(SynchronousTestCase):
    """The events of a kernel in memory."""

    def setUp(self) -> None:
        self.papa = MemoryKernel()
        self.kernel = result_of(self.papa.client())

    def happen(self, *names: str) -> None:
        """Something happens to these values, whoever sees it."""
        other = result_of(self.papa.client())
        for name in names:
            result_of(other.set(name, "x"))
        other.close()
        self.papa.clock.advance(0)

    def cut(self) -> None:
        """Lose the connection, and wait until there is another."""
        self.papa.cut()
        self.go_on()

    def go_on(self) -> None:
        """Wait until there is a connection."""
        for _ in range(20):
            self.papa.clock.advance(1)

    def asked(self, events: RemoteEvents) -> Deferred[Happened]:
        """The next event, which may not have happened yet."""
        return Deferred.fromCoroutine(events.__anext__())

    def test_from_now_on(self) -> None:
        """What happens is told with its number, from the moment that it was asked for."""
        self.happen("before")
        events = self.kernel.watch_events()
        asked = self.asked(events)
        self.assertNoResult(asked)
        self.happen("one", "two")
        told = [self.successResultOf(asked), result_of(events.__anext__())]
        self.assertEqual(
            [(each.number, each.kind, each.name) for each in told], [(2, "value-set", "one"), (3, "value-set", "two")]
        )

    def test_what_is_there(self) -> None:
        """Without following it ends with what has happened."""
        self.happen("one", "two", "three")

        async def read() -> list[str]:
            return [event.name async for event in self.kernel.watch_events(since=1, follow=False)]

        reading = Deferred.fromCoroutine(read())
        self.papa.clock.advance(0)
        self.assertEqual(self.successResultOf(reading), ["two", "three"])

    def test_goes_on_after_a_cut(self) -> None:
        """When the connection is lost no event is lost or told twice, nor those that were waiting to be read."""
        events = self.kernel.watch_events(since=0)
        self.happen("one", "two", "three")
        numbers = [result_of(events.__anext__()).number]
        self.papa.cut()
        self.happen("four")
        self.go_on()
        numbers += [result_of(events.__anext__()).number for _ in range(3)]
        self.assertEqual(numbers, [1, 2, 3, 4])

    def test_cut_before_the_first(self) -> None:
        """What happens while the connection is lost is told even if nothing had been told before."""
        for before in ((), ("before",)):
            self.happen(*before)
            events = self.kernel.watch_events()
            asked = self.asked(events)
            self.papa.cut()
            self.happen("meanwhile")
            self.assertNoResult(asked)
            self.go_on()
            self.assertEqual(self.successResultOf(asked).name, "meanwhile")

    def test_too_old(self) -> None:
        """A number that is no longer kept is refused, and one that is yet to come."""
        self.happen(*["x"] * TOO_MANY)
        for since, refusal in ((0, None), (1, None), (TOO_MANY, None), (TOO_MANY + 1, BadRequest)):
            asked = self.asked(self.kernel.watch_events(since=since, follow=False))
            self.papa.clock.advance(0)
            if refusal is None and since < TOO_MANY:
                self.assertEqual(self.successResultOf(asked).number, 2)
            else:
                self.failureResultOf(asked, refusal or StopAsyncIteration)
        self.happen("more")
        asked = self.asked(self.kernel.watch_events(since=1))
        self.papa.clock.advance(0)
        self.failureResultOf(asked, TooOld)

    def test_too_much_happens_while_the_connection_is_lost(self) -> None:
        """Where events are missing that is said, even of a reader that had begun with the very first."""
        for _ in range(2):
            events = self.kernel.watch_events()
            asked = self.asked(events)
            self.papa.cut()
            self.happen(*["x"] * TOO_MANY)
            self.go_on()
            self.failureResultOf(asked, TooOld)

    def test_too_much_happens_while_nobody_reads(self) -> None:
        """A reader that does not keep up is told that it has missed something, behind all that it got."""
        events = self.kernel.watch_events()
        self.assertNoResult(self.asked(events))
        self.happen(*["x"] * (2 * TOO_MANY))

        async def read() -> int:
            last = 1
            with self.assertRaises(TooOld):
                async for event in events:
                    self.assertEqual(event.number, last + 1)
                    last = event.number
            return last

        reading = Deferred.fromCoroutine(read())
        self.papa.clock.advance(0)
        self.assertIn(self.successResultOf(reading), range(2, TOO_MANY))

    def test_another_kernel(self) -> None:
        """The numbers of another kernel are others: the reader is told, and does not go on."""
        asked = self.asked(self.kernel.watch_events())
        self.papa.restart()
        self.go_on()
        self.failureResultOf(asked, ConnectionLost)

    def test_stopped(self) -> None:
        """Who has seen enough is told nothing more, and the kernel has one connection less."""
        events = self.kernel.watch_events()
        asked = self.asked(events)
        self.assertEqual(len(self.papa.attendance.guests), 2)
        stopping = events.stop()
        self.papa.clock.advance(0)
        self.successResultOf(stopping)
        self.failureResultOf(asked, StopAsyncIteration)
        self.assertEqual(len(self.papa.attendance.guests), 1)


class BlockingTests(PlayedTestCase):
    """The blocking client's end of it."""

    EVENTS = tuple(Happened(number=number, kind="value-set", name="x", timestamp=1.0) for number in (1, 2))

    def setUp(self) -> None:
        self.requests: list[object] = []

    def reader(self, *parts: Callable[[Partner], None], follow: bool) -> EventReader:
        """A reader, and what is played to it on one connection after the other once it has begun."""

        def whole(part: Callable[[Partner], None]) -> Callable[[Partner], None]:
            def play(partner: Partner) -> None:
                partner.say(GREETING)
                begun = schema.to_box(Watching(watch=7, count=1, processes={}))
                asked, box = partner.hear()
                self.requests.append(asked)
                partner.say(partner.answer_with(box, begun))
                part(partner)

            return play

        papa = Papa(self.play(*map(whole, parts)).port, connection_timeout=PATIENCE)
        self.addCleanup(papa.close)
        reader = papa.watch_events(follow=follow)
        self.addCleanup(reader.close)
        return reader

    @staticmethod
    def end(partner: Partner) -> None:
        """There is nothing left to tell."""
        partner.say(push(WatchEnded(watch=7)))
        partner.hear()

    @staticmethod
    def listen(partner: Partner) -> None:
        """Nothing happens."""
        partner.hear()

    def test_fell_behind(self) -> None:
        """A reader that was to go on, and is told no more, has missed something."""
        self.assertRaises(TooOld, self.reader(self.end, follow=True).read)

    def test_that_was_all(self) -> None:
        """One that was not ends."""
        self.assertEqual(list(self.reader(self.end, follow=False)), [])
        self.assertEqual(self.reader(self.end, follow=False).read(), [])

    def test_closed(self) -> None:
        """A block closes it; then there is nothing to select on, or to read."""
        with self.reader(self.listen, follow=True) as reader:
            self.assertGreaterEqual(reader.fileno(), 0)
        for ask in (reader.fileno, reader.read):
            with self.assertRaisesRegex(Error, "^This reader of events is closed$"):
                ask()
        reader.close()

    def tell(self, event: Happened) -> Callable[[Partner], None]:
        return lambda partner: partner.say(push(event, 7))

    def test_nothing_new_behind_a_lost_connection(self) -> None:
        """A read that select has called for returns, though nothing has happened."""
        reader = self.reader(self.tell(self.EVENTS[0]), self.listen, follow=True)
        self.assertEqual(reader.read(), [self.EVENTS[0]])
        wait_readable(reader)
        self.assertEqual(reader.read(), [])
        self.assertFalse(is_readable(reader))

    def test_iterating_over_a_lost_connection(self) -> None:
        """Whoever follows goes on; whoever wanted what there was gets that, and then the end."""

        def last(partner: Partner) -> None:
            self.tell(self.EVENTS[1])(partner)
            self.end(partner)

        following = iter(self.reader(*map(self.tell, self.EVENTS), follow=True))
        self.assertEqual([next(following), next(following)], list(self.EVENTS))
        self.assertEqual(self.requests[1], WatchEvents(since=1, follow=True))
        self.assertEqual(list(self.reader(self.tell(self.EVENTS[0]), last, follow=False)), list(self.EVENTS))
