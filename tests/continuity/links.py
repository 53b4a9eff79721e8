"""A kernel's line to its anchor, with a test at the other end."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from papa.childspec import ChildSpec, Identity
from papa.continuity.channel import Channel
from papa.continuity.link import AnchorLink
from tests.continuity.leftovers import TidyTestCase
from tests.drivers.contracts import spec


def child_spec(**fields: Any) -> ChildSpec:
    """What is asked of an anchor: a child."""
    return spec("x", key="1", identity=Identity(uid=1, gid=2), **fields)


class LinkTestCase(TidyTestCase):
    """Tests with a line."""

    def setUp(self) -> None:
        super().setUp()
        ours, self.anchor = Channel.pair()
        self.addCleanup(self.anchor.close)
        self.addCleanup(ours.close)
        self.reactor = MemoryReactorClock()
        self.starts: list[int] = []
        self.says: list[dict[str, Any]] = []
        self.refusal: OSError | None = None
        self.link = AnchorLink(ours, self.reactor, self.start)

    def start(self, kernels: int) -> Channel:
        """Another anchor, in place of the one that has gone; it says C{says} at once."""
        self.starts.append(kernels)
        if self.refusal is not None:
            raise self.refusal
        ours, self.anchor = Channel.pair()
        self.addCleanup(self.anchor.close)
        self.addCleanup(ours.close)
        for message in self.says:
            self.anchor.send(message)
        return ours

    def told(self) -> list[tuple[dict[str, Any], int]]:
        """What the anchor was told since, and with how many descriptors."""
        found = []
        while True:
            try:
                received = self.anchor.receive(wait=False)
            except BlockingIOError:
                return found
            assert received is not None
            message, descriptors = received
            found.append((message, len(descriptors)))
            for each in descriptors:
                os.close(each)

    def file(self) -> int:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def hand_over(self, **held: int | None) -> None:
        """Tell of what is held, each with a descriptor; the pid is that of a child."""
        for key, pid in held.items():
            self.anchor.send({"held": key, "pid": pid}, [self.file()])
        self.anchor.send({"welcome": 3, "anchor": 7})
        self.link.receive_all(self.fail)

    def lose_anchor(self) -> None:
        """The anchor goes, and that is heard."""
        self.anchor.close()
        self.hear()
        self.reactor.advance(0)

    def hear(self) -> None:
        """Hear all that has come."""
        for reader in self.reactor.getReaders():
            self.assertIsNone(reader.doRead())


class ServingTestCase(LinkTestCase):
    """Tests with a kernel that serves."""

    def setUp(self) -> None:
        super().setUp()
        self.hand_over()
        self.link.serve()
        self.told()
