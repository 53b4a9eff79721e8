"""What takes long for one connection, with turns for all others in between."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from papa.steps import Steps, all_at_once, for_a_while

__all__ = ["Turns"]


class Turns:
    """
    What a connection has asked for, done for a while in every other turn of the reactor.

    It is done to its end, also if the connection has gone meanwhile.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._steps: Steps[None] | None = None

    @property
    def left(self) -> bool:
        """Whether there is something left for later turns."""
        return self._steps is not None

    def take(self, steps: Steps[None], then: Callable[[], object]) -> None:
        """
        Take what can be taken in this turn, and leave the rest for later ones.

        @param steps: what fails in them is their own to handle.
        @param then: called after the last step, if that was left for a later turn.
        """
        if not for_a_while(steps):
            self._steps = steps
            self._leave_turns(then)

    def rest(self, then: Callable[[], object]) -> None:
        """
        Others have waited long enough: let them have turns first.

        @param then: called behind those.
        """
        self._steps = _nothing()
        self._leave_turns(then)

    def _take_more(self, then: Callable[[], object]) -> None:
        if self._steps is None:
            return
        if for_a_while(self._steps):
            self._steps = None
            then()
        else:
            self._leave_turns(then)

    def _leave_turns(self, then: Callable[[], object]) -> None:
        """Go on in the second turn from now: what others ask for is heard in the first, and sent in that after it."""
        self._clock.callLater(0, self._clock.callLater, 0, self._take_more, then)

    def finish(self) -> None:
        """Take all that is left, and call nobody."""
        if self._steps is not None:
            steps, self._steps = self._steps, None
            all_at_once(steps)


def _nothing() -> Steps[None]:
    yield from ()
