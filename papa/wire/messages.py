"""What is said on the program wire beside the commands of papa."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

__all__ = [
    "PROTOCOL_VERSION",
    "Acknowledge",
    "Greeting",
    "Message",
    "Received",
    "Refused",
    "StopWatching",
    "WatchEnded",
    "Watching",
]

#: Counted up when a client that knows the former would misunderstand.
PROTOCOL_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something said that is no command of the kernel."""

    words: ClassVar[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting(Message):
    """
    The first box that the kernel sends.

    @ivar kernel: differs for each kernel that ever ran, but is the same for those that go on from each other: whoever
        meets another one has to start anew.
    @ivar anchor: the pid of the anchor; 0 where there is none.
    @ivar kernels: how many kernels that were, with this one.
    """

    words = ("greeting",)

    version: int
    kernel: str
    pid: int
    anchor: int = 0
    kernels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Message):
    """
    The last box on a connection that the kernel ends: of somebody who is not let in, or whose boxes are none.

    @ivar code: of the error that this is.
    """

    words = ("refused",)

    reason: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching(Message):
    """
    The answer to C{watch processes} and C{watch events}.

    @ivar watch: the number by which the watch is called on this connection.
    @ivar count: how many processes it watches.
    @ivar processes: by name, what tells each of them from any other that has had the name.
    @ivar since: of events, the number of the one behind which they begin.
    """

    words = ("watching",)

    watch: int
    count: int
    processes: Mapping[str, str]
    since: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge(Message):
    """
    A client has stored what a process printed.

    @ivar name: of the process; C{invocation}: as its output says it.
    @ivar mark: of the last piece that is safe.
    @ivar end: whether it has taken note of the process's end, too.
    """

    words = ("acknowledge",)

    watch: int
    name: str
    invocation: str
    mark: int = 0
    end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWatching(Message):
    """A client has seen enough; what it did not acknowledge is kept."""

    words = ("stop", "watching")

    watch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnded(Message):
    """The kernel has nothing left to send for a watch; what it has sent may still be acknowledged."""

    words = ("watch", "ended")

    watch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Message):
    """A client has got the descriptor that came with an answer; until then the kernel keeps its duplicate."""

    words = ("received",)
