"""What a watch on the program wire sends by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from papa.commands import WatchEvents, WatchProcesses
from papa.interfaces import IKernel, IWatch, IWatchObserver
from papa.server.sending import Outlet
from papa.steps import Steps
from papa.wire import program
from papa.wire.messages import WatchEnded, Watching

__all__ = ["CHUNK", "Stream"]

#: How much output is taken from a watch at a time, in bytes: with 64 KiB it takes one and a half times as long.
CHUNK: Final = 1 << 18


@implementer(IWatchObserver)
class Stream:
    """
    Sends a chunk whenever the client has taken all that was sent before.

    @ivar watch: what it sends from, once it has begun.
    """

    watch: IWatch

    def __init__(
        self, send: Callable[..., None], outlet: Outlet, number: int, request: WatchProcesses | WatchEvents
    ) -> None:
        """
        @param send: says boxes.
        @param outlet: where it says them.
        @param number: by which the client calls the watch.
        """
        self._send = send
        self._outlet = outlet
        self._number = number
        self._request = request
        self._ended = False
        self._begun = False

    def begin(self, kernel: IKernel) -> Steps[Watching]:
        """Start watching, and say what."""
        self.watch = yield from kernel.watch(self._request, self)
        self._begun = True
        return Watching(
            watch=self._number, count=self.watch.count, processes=self.watch.processes, since=self.watch.since
        )

    def output_ready(self) -> None:
        """There is something to take."""
        if self._begun and not self._outlet.unsent:
            self.push()

    def push(self) -> None:
        """Send a chunk, if there is any."""
        if self.watch.pending and not self._ended:
            self._send(*(program.push_box(item, self._number) for item in self.watch.take(CHUNK)))
        self.end_if_done()

    def end_if_done(self) -> None:
        """Say so if nothing will come any more."""
        done = self.watch.done or not (self._request.follow or self.watch.pending)
        if done and not self._ended:
            self._ended = True
            self._send(program.push_box(WatchEnded(watch=self._number)))
