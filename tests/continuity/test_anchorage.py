"""One anchor after the other, with a test at the other end of each line."""

from __future__ import annotations

import os

from papa.continuity.door import knock
from papa.continuity.knocking import AWAITED
from papa.continuity.link import CannotGoOn
from papa.errors import SpawnFailed
from tests.continuity.links import LinkTestCase, ServingTestCase, child_spec
from tests.daemon.test_systemd import EnvironTestCase


class LostTests(ServingTestCase):
    """The anchor goes while the kernel serves."""

    def test_anchor_has_just_gone(self) -> None:
        """What is held as the anchor goes is held by the next."""
        self.anchor.close()
        self.link.hold("a", [self.file()])
        self.hear()
        self.reactor.advance(0)
        self.anchor.send({"hear": 55})
        self.hear()
        self.assertEqual([message.get("key") for message, _ in self.told()], ["a", None])

    def test_anchor_gone(self) -> None:
        """Another anchor is told, once it hears, of what is held by then, in order, and of children and their ends."""
        for key in ("a", "b", "c"):
            self.link.hold(key, [self.file()])
        for key in ("one", "two"):
            self.anchor.send({"spawned": key, "pid": 70}, [self.file()])
            self.link.spawn(key, child_spec(), {}, [self.file()])
        self.anchor.send({"exited": "one", "code": 3})
        self.anchor.close()
        self.hear()
        self.assertEqual(self.starts, [])
        self.reactor.advance(0)
        self.assertEqual(self.starts, [3])
        self.link.hold("a", [self.file(), self.file()])
        self.link.drop("b")
        self.assertEqual(self.told(), [])
        moves: list[int] = []
        self.link.moved = lambda: moves.append(self.link.anchor)
        self.anchor.send({"hear": 55})
        self.hear()
        adopt = {"do": "adopt", "pid": None, "code": None}
        self.assertEqual(
            self.told(),
            [
                (adopt | {"key": "a"}, 2),
                (adopt | {"key": "c"}, 1),
                (adopt | {"key": "one", "pid": 70, "code": 3}, 2),
                (adopt | {"key": "two", "pid": 70}, 2),
                ({"do": "ready"}, 0),
            ],
        )
        self.assertEqual(moves, [55])
        self.link.drop("a", "c", "one", "two")

    def test_next_anchor_refused(self) -> None:
        """If no anchor can be started it is tried again, with growing pauses; nothing that is said meanwhile fails."""
        self.refusal = OSError("no")
        self.anchor.close()
        self.hear()
        for pause, count in ((0, 1), (0.1, 2), (0.1, 2), (0.1, 3), (0.4, 4)):
            self.reactor.advance(pause)
            self.assertEqual(len(self.starts), count)
        self.link.hold("a", [])
        with self.assertRaisesRegex(SpawnFailed, "Cannot start 'x': no"):
            self.link.spawn("a", child_spec(), {}, ())
        refusal = self.failureResultOf(self.link.upgrade(["python"], self.file()), CannotGoOn).value
        self.assertEqual((str(refusal), refusal.reads), ("no", ()))

    def test_upgrade_ends_with_the_anchor(self) -> None:
        """If the anchor goes while an upgrade is under way, nothing comes of that."""
        upgraded = self.link.upgrade(["python"], self.file())
        self.anchor.close()
        self.hear()
        self.reactor.advance(0)
        refusal = self.failureResultOf(upgraded, CannotGoOn).value
        self.assertEqual((str(refusal), refusal.reads), ("the anchor has gone", ()))


class ManagedTests(LinkTestCase, EnvironTestCase):
    """Where a service manager has started the anchor, and starts another in its place."""

    def setUp(self) -> None:
        super().setUp()
        self.set(NOTIFY_SOCKET="/nowhere", FDSTORE="8", SYSTEMD_EXEC_PID="7")
        self.hand_over()
        self.link.serve()
        # As the anchor that comes finds it.
        message, (self.outside,) = self.anchor.receive(wait=False) or ({}, [])
        self.assertEqual(message, {"do": "hold", "key": "door"})
        self.link.hold("a", [self.file()])
        self.told()

    def lose_anchor(self) -> None:
        self.anchor.close()
        self.hear()
        self.reactor.advance(0)

    def come(self) -> None:
        """Another anchor comes, and hears."""
        answered = knock(self.outside)
        assert answered is not None
        pid, self.anchor = answered
        self.assertEqual(pid, os.getpid())
        self.anchor.send({"hear": 9})
        self.hear()  # There is somebody.
        self.hear()

    def adopted(self) -> list[object]:
        """What the anchor was told that it is to hold."""
        told = [message for message, _ in self.told()]
        self.assertEqual(told.pop(), {"do": "ready"})
        return [message["key"] for message in told if message["do"] == "adopt"]

    def test_waits_for_it(self) -> None:
        """The kernel starts none, and tells the one that comes everything."""
        self.lose_anchor()
        self.come()
        self.assertEqual((self.adopted(), self.link.anchor), (["door", "a"], 9))
        self.reactor.advance(AWAITED)
        self.assertEqual(self.starts, [])
        self.link.hold("b", [self.file()])
        self.assertEqual(self.told(), [({"do": "hold", "key": "b"}, 1)])

    def test_needs_it_at_once(self) -> None:
        """What needs an anchor waits for the one that comes."""
        self.lose_anchor()
        answered = knock(self.outside)
        assert answered is not None
        _, self.anchor = answered
        self.anchor.send({"hear": 9})
        self.link.secure()
        self.assertEqual((self.adopted(), self.starts), (["door", "a"], []))

    def test_none_comes(self) -> None:
        """If none comes the kernel starts one itself, and turns to one that comes late."""
        self.lose_anchor()
        self.reactor.advance(AWAITED)
        self.assertEqual(self.starts, [3])
        self.anchor.send({"hear": 8})
        self.hear()
        self.assertEqual(self.adopted(), ["door", "a"])
        own = self.anchor
        self.come()
        self.assertEqual((self.adopted(), self.link.anchor), (["door", "a"], 9))
        self.assertEqual(own.receive(), ({"do": "drop", "keys": ["door", "a"]}, []))
        self.assertEqual(own.receive(), ({"do": "goodbye"}, []))
        self.assertIsNone(own.receive())
