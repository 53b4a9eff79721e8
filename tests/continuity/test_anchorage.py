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
        self.assertEqual((self.reactor.getReaders(), self.link._anchorage.fileno()), ([], -1))
        self.link._anchorage.doRead()
        self.link.hold("a", [])
        with self.assertRaisesRegex(SpawnFailed, "Cannot start 'x': no"):
            self.link.spawn("a", child_spec(), {}, ())
        refusal = self.failureResultOf(self.link.upgrade(["python"], self.file()), CannotGoOn).value
        self.assertEqual((str(refusal), refusal.reads), ("no", ()))
        self.reactor.pump([30.0] * 12)
        before = len(self.starts)
        self.reactor.pump([30.0] * 3)
        self.assertEqual(len(self.starts), before + 3)

    def test_asked_as_it_goes(self) -> None:
        """What is asked of an anchor that has just gone the next one is asked, which is told all that is held first."""
        codes: list[int] = []
        for key in ("before", "after"):
            self.link.when_exited(key, codes.append)
        self.link.hold("a", [self.file()])
        self.told()
        self.anchor.send({"exited": "before", "code": 1})
        before = self.link._anchorage._channel
        assert before is not None
        self.anchor.close()
        self.says = [{"exited": "after", "code": 2}, {"hear": 55}]
        upgraded = self.link.upgrade(["python"], self.file())
        self.assertEqual([message["do"] for message, _ in self.told()], ["adopt", "ready", "upgrade"])
        self.assertNoResult(upgraded)
        self.assertEqual((self.starts, self.link.anchor, before.fileno()), ([3], 55, -1))
        # What either has said by itself is told in a turn of its own.
        self.assertEqual(codes, [])
        self.reactor.advance(0)
        self.assertEqual(codes, [1, 2])

    def test_asked_as_it_goes_and_there_is_no_other(self) -> None:
        """Where none can be started nothing is heard any more of the one that has gone."""
        (reader,) = self.reactor.getReaders()
        before = self.link._anchorage._channel
        assert before is not None
        self.assertEqual(reader.fileno(), before.fileno())
        self.refusal = OSError("no")
        self.anchor.close()
        self.failureResultOf(self.link.upgrade(["python"], self.file()), CannotGoOn)
        self.assertEqual((self.reactor.getReaders(), reader.fileno()), ([], -1))

    def test_one_thing_said_before_it_hears(self) -> None:
        """So it is where that is one thing only."""
        codes: list[int] = []
        self.link.when_exited("a", codes.append)
        self.anchor.close()
        self.says = [{"exited": "a", "code": 2}, {"hear": 55}]
        self.link.upgrade(["python"], self.file())
        self.reactor.advance(0)
        self.assertEqual(codes, [2])

    def test_asked_once_it_was_heard_to_go(self) -> None:
        """One that was heard to go is replaced once, though something is asked before that is done."""
        self.anchor.close()
        self.hear()
        self.assertEqual(self.reactor.getReaders(), [])
        self.says = [{"hear": 55}]
        self.link.upgrade(["python"], self.file())
        self.reactor.advance(0)
        self.assertEqual(self.starts, [3])
        self.assertEqual([message["do"] for message, _ in self.told()], ["ready", "upgrade"])

    def test_asked_as_something_is_heard(self) -> None:
        """What an anchor has said behind the word at which it was replaced is heard all the same."""
        codes: list[int] = []
        self.link.when_exited("a", lambda code: self.link.upgrade(["python"], self.file()))
        self.link.when_exited("b", codes.append)
        for key in "ab":
            self.anchor.send({"exited": key, "code": 3})
        self.anchor.close()
        self.says = [{"hear": 55}]
        self.hear()
        self.assertEqual((self.starts, codes), ([3], []))
        self.reactor.advance(0)
        self.assertEqual((self.starts, codes), ([3], [3]))

    def hold_everything(self) -> None:
        """The anchor that has just been started hears, and is told everything."""
        self.anchor.send({"hear": 55})
        self.hear()

    def test_goes_again_and_again(self) -> None:
        """One that does not hold for long is replaced after a pause, which grows; one that does, at once."""
        self.lose_anchor()
        count = 1
        for held, pause in ((0.0, 0.1), (59.0, 0.2), (2.0, 0.4), (60.0, 0.0)):
            self.assertEqual(len(self.starts), count)
            self.hold_everything()
            self.reactor.advance(held)
            self.lose_anchor()
            if pause:
                self.assertEqual(len(self.starts), count)
                self.reactor.advance(pause)
            count += 1
        self.assertEqual(len(self.starts), count)

    def test_goes_before_it_was_told_everything(self) -> None:
        """One that says that it hears, and goes, is replaced by one that is told the same."""
        self.link.hold("a", [self.file()])
        self.lose_anchor()
        self.anchor.send({"hear": 55})
        self.lose_anchor()
        self.assertEqual(self.link.anchor, 7)
        self.reactor.advance(0.1)
        self.hold_everything()
        self.assertEqual([message.get("key") for message, _ in self.told()], ["a", None])

    def test_turns(self) -> None:
        """Of very much that an anchor tells some is heard later, so that clients have their turn."""
        codes: list[int] = []
        for number in range(30):
            self.link.when_exited(f"{number}", codes.append)
            self.anchor.send({"exited": f"{number}", "code": 3})
        self.hear()
        self.assertEqual(len(codes), 16)
        self.hear()
        self.assertEqual(len(codes), 30)

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

    def test_one_after_the_other(self) -> None:
        """It is waited for each time that one has gone which the service manager had started."""
        for _ in range(2):
            self.lose_anchor()
            self.reactor.advance(AWAITED - 0.1)
            self.assertEqual(self.starts, [])
            self.come()
            self.assertEqual(self.adopted(), ["door", "a"])

    def test_one_comes_that_does_not_hear_yet(self) -> None:
        """While there is one the kernel starts none, however long that one takes."""
        self.lose_anchor()
        answered = knock(self.outside)
        assert answered is not None
        _, self.anchor = answered
        self.hear()
        self.reactor.advance(AWAITED)
        self.assertEqual(self.starts, [])

    def test_own_goes(self) -> None:
        """In place of one that the kernel has started no other is waited for."""
        self.lose_anchor()
        self.reactor.advance(AWAITED)
        self.anchor.send({"hear": 8})
        self.hear()
        self.lose_anchor()
        self.reactor.advance(0.1)
        self.assertEqual(self.starts, [3, 3])

    def test_own_has_just_gone(self) -> None:
        """One that comes as the kernel's own has gone is told everything, and another is not started."""
        self.lose_anchor()
        self.reactor.advance(AWAITED)
        self.anchor.send({"hear": 8})
        self.hear()
        self.anchor.close()
        self.come()
        self.assertEqual(self.adopted(), ["door", "a"])
        self.reactor.advance(1)
        self.assertEqual(self.starts, [3])
