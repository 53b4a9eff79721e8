"""A Twisted connection to a kernel that is made anew whenever it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from papa.client.link import Link, LinkFactory
from papa.errors import ConnectionLost, Error, Unreachable
from papa.wire.messages import Greeting

__all__ = ["ATTEMPTS", "PATIENCE", "Reconnecting"]

#: How many attempts to connect may fail in a row before whoever waits for the kernel is told so: about 25 seconds.
ATTEMPTS: Final = 9
#: How long a kernel may take to greet, or to take note of an end, in seconds.
PATIENCE: Final = 10.0

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 10.0


async def _as_it_is(link: Link, greeting: Greeting) -> None:
    """Nothing is to be done with a new connection before it is used."""


class Reconnecting:
    """
    Connects, and connects again when the connection is lost, until it is closed.

    Unlike Twisted's C{ClientService} it knows a kernel only once that has greeted, and says why there is none with the
    errors that the kernel has; whoever waits may have waited long enough before others have; and in the end it hangs up
    only once what was said has been sent, or that takes too long.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: Any,
        prepare: Callable[[Link, Greeting], Awaitable[None]] = _as_it_is,
    ) -> None:
        """
        @param prepare: what is done with a new connection before anybody else gets it.
        """
        self._endpoint = endpoint
        self._clock = clock
        self._prepare = prepare
        self._factory = LinkFactory()
        self._latest: Link | None = None
        self._link: Link | None = None
        self._waiting: dict[Deferred[Link], int] = {}
        self._running: Deferred[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Connect, unless that was begun before."""
        if self._running is None and not self._closed:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def get(self, attempts: int = ATTEMPTS) -> Deferred[Link]:
        """
        The connection, as soon as there is one.

        @param attempts: how many attempts to connect may fail in a row before this fails.
        @return: fails with C{Unreachable}, or with what the kernel refuses; with C{ConnectionLost} if it is closed.
        """
        if self._closed:
            return fail(ConnectionLost("This client was closed"))
        if self._link is not None and self._link.alive:
            return succeed(self._link)
        waiting: Deferred[Link] = Deferred(self._forget)
        self._waiting[waiting] = attempts
        return waiting

    def _forget(self, waiting: Deferred[Link]) -> None:
        self._waiting.pop(waiting, None)

    async def close(self) -> None:
        """Disconnect for good."""
        self._closed = True
        self._fail_waiting(ConnectionLost("This client was closed"))
        if self._running is None:
            return
        # What runs may be what has called this; it cannot be cancelled from within.
        await deferLater(self._clock, 0)
        self._running.cancel()
        link = self._latest
        if link is not None and link.alive:
            link.hang_up()
            try:
                await link.when_lost().addTimeout(PATIENCE, self._clock)
            except defer.TimeoutError:
                link.transport.abortConnection()
                await link.when_lost()

    async def _run(self) -> None:
        failures = 0
        while not self._closed:
            try:
                link = await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever an endpoint fails with
                if self._closed:
                    return
                failures += 1
                known = error if isinstance(error, Error) else Unreachable(f"No kernel answers: {error}")
                self._fail_waiting(known, failures)
            else:
                failures = 0
                self._serve(link)
                await link.when_lost()
            await deferLater(self._clock, min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))

    async def _connected(self) -> Link:
        link: Any = await self._endpoint.connect(self._factory)
        self._latest = link
        try:
            greeting = await link.greeted.addTimeout(PATIENCE, self._clock)
            await self._prepare(link, greeting)
        except defer.TimeoutError:
            link.hang_up()
            raise Unreachable("Something takes connections there, but does not greet as papa does") from None
        except BaseException:
            link.hang_up()
            raise
        assert isinstance(link, Link)
        return link

    def _serve(self, link: Link) -> None:
        self._link = link
        for each in list(self._waiting):
            # One of them may cancel another.
            if self._waiting.pop(each, None) is not None:
                each.callback(link)

    def _fail_waiting(self, error: Error, failures: int | None = None) -> None:
        """Tell those who wait for no more failures than these; all of them by default."""
        failed = [each for each, attempts in self._waiting.items() if failures is None or attempts <= failures]
        for each in failed:
            if self._waiting.pop(each, None) is not None:
                each.errback(error)
