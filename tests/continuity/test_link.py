"""The kernel's end of the line to its anchor, with a test at the other."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from papa.childspec import ChildSpec, Identity
from papa.continuity.channel import Channel
from papa.continuity.door import knock
from papa.continuity.knocking import AWAITED
from papa.continuity.link import AnchorLink, CannotGoOn
from papa.errors import BadRequest, LimitReached, SpawnFailed
from tests.continuity.leftovers import TidyTestCase
from tests.daemon.test_systemd import EnvironTestCase
from tests.drivers.apart import apart, not_here
from tests.drivers.contracts import spec

#: A user without privileges.
_NOBODY = 65534


def _spec(**fields: Any) -> ChildSpec:
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
        self.refusal: OSError | None = None
        self.link = AnchorLink(ours, self.reactor, self.start)

    def start(self, kernels: int) -> Channel:
        """Another anchor, in place of the one that has gone."""
        self.starts.append(kernels)
        if self.refusal is not None:
            raise self.refusal
        ours, self.anchor = Channel.pair()
        self.addCleanup(self.anchor.close)
        self.addCleanup(ours.close)
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


class TakingOverTests(LinkTestCase):
    """Before the kernel serves."""

    def test_everything(self) -> None:
        """What is held is there to be taken, once; and it is known which of it are children."""
        self.hand_over(a=None, b=77)
        self.assertEqual((self.link.kernels, self.link.pid_of("a"), self.link.pid_of("b")), (3, None, 77))
        (taken,) = self.link.take("a")
        os.close(taken)
        self.assertEqual((self.link.take("a"), self.link.take("c")), ((), ()))
        for each in self.link.take("b"):
            os.close(each)

    def test_what_nobody_took(self) -> None:
        """What this kernel has no use for is held no more when it serves, by neither."""
        before = len(os.listdir("/proc/self/fd"))
        self.hand_over(a=None, b=None)
        os.close(self.link.take("b")[0])
        self.link.serve()
        self.assertEqual(self.told(), [({"do": "drop", "keys": ["a"]}, 0), ({"do": "ready"}, 0)])
        # Those of the test, and what the next anchor would be given of what was taken.
        self.assertEqual(len(os.listdir("/proc/self/fd")) - before, 3)
        self.link.drop("b")
        self.assertEqual(len(os.listdir("/proc/self/fd")) - before, 2)
        self.assertEqual(self.reactor.getReaders(), [self.link])

    def test_anchor_gone(self) -> None:
        """A kernel whose anchor has gone before it knew everything cannot go on."""
        self.anchor.send({"held": "a", "pid": None}, [self.file()])
        self.anchor.close()
        self.assertRaises(ConnectionError, self.link.receive_all, self.fail)

    def test_numbers(self) -> None:
        """What children know by number lies there before anything else does, whatever lay there."""
        sockets = [socket.socket() for _ in range(3)]
        for each in sockets:
            self.addCleanup(each.close)
        inodes = [os.fstat(each.fileno()).st_ino for each in sockets]
        for key, each in zip("abc", sockets, strict=True):
            self.anchor.send({"held": key, "pid": None}, [each.fileno(), self.file()])
        self.anchor.send({"welcome": 2, "anchor": 7})
        self.link.receive_all(self.fail)
        held = {key: self.link._held[key][0] for key in "abc"}
        # The number of one is where another has come to lie, and that of the other beyond all.
        self.link.place({"a": held["c"], "b": 300, "gone": 301})
        taken = {key: self.link.take(key) for key in "abc"}
        self.assertEqual((taken["a"][0], taken["b"][0]), (held["c"], 300))
        self.assertEqual([os.fstat(taken[key][0]).st_ino for key in "abc"], inodes)
        for each in taken.values():
            for descriptor in each:
                os.close(descriptor)

    def test_rehearsal(self) -> None:
        """Whether it could go on it tells before it does, with why not."""
        failures = [None, ValueError("no")]

        def rehearse(descriptor: int) -> None:
            os.fstat(descriptor)
            failure = failures.pop(0)
            if failure is not None:
                raise failure

        for _ in range(2):
            self.anchor.send({"rehearse": True}, [self.file()])
        self.anchor.send({"welcome": 1, "anchor": 7})
        before = len(os.listdir("/proc/self/fd"))
        self.link.receive_all(rehearse)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        said = [message["error"] for message, _ in self.told()]
        self.assertEqual(said, [None, "ValueError: no"])


class ServingTests(LinkTestCase):
    """While the kernel serves."""

    def setUp(self) -> None:
        super().setUp()
        self.hand_over()
        self.link.serve()
        self.told()

    def hear(self) -> None:
        self.assertIsNone(self.link.doRead())

    def test_hold_and_drop(self) -> None:
        """What is to be held goes with its key; to drop nothing is not worth a word."""
        self.link.hold("a", [self.file()])
        self.link.drop("a", "b")
        self.link.drop()
        self.link.goodbye()
        self.assertEqual(
            self.told(),
            [({"do": "hold", "key": "a"}, 1), ({"do": "drop", "keys": ["a", "b"]}, 0), ({"do": "goodbye"}, 0)],
        )

    def test_cannot_be_held(self) -> None:
        """Too many descriptors of this user are on their way: it is refused, and what was held is still."""
        refused, kept, told = apart(_crowded)
        self.assertEqual((kept, told), ([["a"], True], ["a", "b"]))
        self.assertEqual(
            [why.partition(": ")[0] for why in refused], [f"The anchor cannot be given {key} now" for key in "ab"]
        )

    def test_no_number_left(self) -> None:
        """Nor is anything held without a duplicate for the next anchor."""
        self.assertRaises(LimitReached, self.link.hold, "a", [1 << 20])
        self.assertEqual(self.told(), [])

    def test_nothing_left_to_hold(self) -> None:
        """That no descriptor is left of something needs no room, and fails for nobody; the next anchor is told."""
        self.link.hold("a", [self.file()])
        self.anchor.close()
        self.link.empty("a")
        self.hear()
        self.reactor.advance(0)
        self.anchor.send({"hear": 55})
        self.hear()
        self.assertEqual([(message.get("key"), came) for message, came in self.told()][:1], [("a", 0)])

    def test_anchor_has_just_gone(self) -> None:
        """What is held as the anchor goes is held by the next."""
        self.anchor.close()
        self.link.hold("a", [self.file()])
        self.hear()
        self.reactor.advance(0)
        self.anchor.send({"hear": 55})
        self.hear()
        self.assertEqual([message.get("key") for message, _ in self.told()], ["a", None])

    def test_exits(self) -> None:
        """An exit is told once to who asked, and to nobody if that is not wanted any more."""
        codes: list[int] = []
        for key in "ab":
            self.link.when_exited(key, codes.append)
        self.link.drop("b")
        for key in "aabc":
            self.anchor.send({"exited": key, "code": 3})
        self.hear()
        self.assertEqual(codes, [3])

    def test_who_fails_at_it(self) -> None:
        """If one thing fails that the anchor tells, the next is heard all the same."""
        codes: list[int] = []
        self.link.when_exited("a", lambda code: 1 // 0)
        self.link.when_exited("b", codes.append)
        for key in "ab":
            self.anchor.send({"exited": key, "code": 3})
        self.hear()
        self.assertEqual(codes, [3])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_upgrade(self) -> None:
        """It is told once why nothing comes of it, or to retire; then who has asked knows before."""
        happened: list[str] = []
        self.link.retire = lambda: happened.append("retired")
        upgraded = self.link.upgrade(["python", "x"], self.file())
        self.assertEqual(self.told(), [({"do": "upgrade", "argv": ["python", "x"]}, 1)])
        for _ in range(2):
            self.anchor.send({"refused": "no", "reads": [1, 3]})
        self.hear()
        refusal = self.failureResultOf(upgraded, CannotGoOn).value
        self.assertEqual((str(refusal), refusal.reads), ("no", [1, 3]))
        self.link.upgrade(["python"], self.file()).addCallback(lambda done: happened.append("upgraded"))
        for _ in range(2):
            self.anchor.send({"retire": True})
        self.hear()
        self.assertEqual(happened, ["upgraded", "retired", "retired"])

    def test_anchor_gone(self) -> None:
        """Another anchor is told, once it hears, of what is held by then, in order, and of children and their ends."""
        for key in ("a", "b", "c"):
            self.link.hold(key, [self.file()])
        for key in ("one", "two"):
            self.anchor.send({"spawned": key, "pid": 70}, [self.file()])
            self.link.spawn(key, _spec(), {}, [self.file()])
        self.anchor.send({"exited": "one", "code": 3})
        self.anchor.close()
        self.hear()
        self.assertEqual((self.link.logPrefix(), self.starts), ("papa anchor", []))
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
            self.link.spawn("a", _spec(), {}, ())
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
        self.link.doRead()
        self.reactor.advance(0)

    def come(self) -> None:
        """Another anchor comes, and hears."""
        answered = knock(self.outside)
        assert answered is not None
        pid, self.anchor = answered
        self.assertEqual(pid, os.getpid())
        self.anchor.send({"hear": 9})
        for reader in self.reactor.getReaders():
            reader.doRead()
        self.link.doRead()

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
        self.link.doRead()
        self.assertEqual(self.adopted(), ["door", "a"])
        own = self.anchor
        self.come()
        self.assertEqual((self.adopted(), self.link.anchor), (["door", "a"], 9))
        self.assertEqual(own.receive(), ({"do": "drop", "keys": ["door", "a"]}, []))
        self.assertEqual(own.receive(), ({"do": "goodbye"}, []))
        self.assertIsNone(own.receive())


class SpawnTests(LinkTestCase):
    """Having children started."""

    def test_started(self) -> None:
        """The anchor is told all it needs, and what it tells meanwhile of others is told them later."""
        codes: list[int] = []
        self.link.when_exited("other", codes.append)
        for code in (3, 4):
            self.anchor.send({"exited": "other", "code": code})
        self.anchor.send({"spawned": "process 1", "pid": 77}, [self.file()])
        asked = _spec(env={"A": "\udcff"}, descriptors={64: self.file()}, listen=(("web", self.file()),), umask=0o77)
        pid, handle = self.link.spawn("process 1", asked, {1: self.file()}, [self.file()])
        assert handle is not None
        os.close(handle)
        self.assertEqual((pid, codes), (77, []))
        self.reactor.advance(0)
        self.assertEqual(codes, [3])
        ((told, descriptors),) = self.told()
        self.assertEqual((told["streams"], told["inherited"], told["listen"], descriptors), ([1], [64], ["web"], 4))
        self.assertEqual(
            (told["spec"]["env"], told["spec"]["umask"], told["spec"]["identity"]["gid"]), ({"A": "\udcff"}, 0o77, 2)
        )

    def test_without_a_pidfd(self) -> None:
        """Where the system has no such thing, there is none."""
        self.anchor.send({"spawned": "a", "pid": 77})
        self.assertEqual(self.link.spawn("a", _spec(), {}, ()), (77, None))

    def test_failed(self) -> None:
        """Why it does not start comes as the error that it was there; one that is no longer known as a failed start."""
        for name, expected in (("BadRequest", BadRequest), ("NewerError", SpawnFailed)):
            self.anchor.send({"failed": "a", "error": name, "message": "because"})
            with self.assertRaisesRegex(expected, "because"):
                self.link.spawn("a", _spec(), {}, ())

    def test_anchor_goes(self) -> None:
        """Nobody waits for an anchor that has gone before it answered."""
        self.link._channel._socket.shutdown(socket.SHUT_RD)
        self.assertRaises(SpawnFailed, self.link.spawn, "a", _spec(), {}, ())

    def test_too_many_sockets(self) -> None:
        """What cannot be sent is refused in words, and nothing is waited for."""
        listen = tuple((f"s{number}", self.file()) for number in range(260))
        with self.assertRaisesRegex(LimitReached, "too many sockets: 260"):
            self.link.spawn("a", _spec(listen=listen), {}, ())
        self.assertEqual(self.told(), [])

    def test_no_descriptor_left(self) -> None:
        """
        Without a descriptor for the answer, or for a large question, nothing is asked; with one, there is room for the
        pidfd.
        """
        self.assertEqual(apart(_hardly_any), [["LimitReached", 0]] * 3 + [[77, 1]])


def _hardly_any() -> list[list[Any]]:
    ours, anchor = Channel.pair()
    link = AnchorLink(ours, MemoryReactorClock(), print)  # type: ignore[arg-type]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    used = {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
    for number in set(range(highest)) - used:
        os.dup2(0, number)
    found: list[list[Any]] = []
    for free, size in ((0, 1), (5, 1), (6, 100_000), (6, 1)):
        anchor.send({"spawned": "a", "pid": 77}, [0])
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + free, limit[1]))
        try:
            said: Any = link.spawn("a", _spec(env={"A": "x" * size}), {}, ())[0]
        except LimitReached:
            said = "LimitReached"
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        asked = 0
        try:
            while anchor.receive(wait=False):
                asked += 1
        except BlockingIOError:
            pass
        found.append([said, asked])
    return found


def _crowded() -> list[Any]:
    ours, anchor = Channel.pair()
    link = AnchorLink(ours, MemoryReactorClock(), print)  # type: ignore[arg-type]
    link.hold("a", [0])
    if not os.geteuid():
        os.setuid(_NOBODY)  # Whoever has privileges may have any number of them on their way.
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.ExitStack() as crowd:
        ends = [crowd.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)]
        with contextlib.suppress(OSError):
            for _ in range(4):
                socket.send_fds(ends[0], [b"x"], [0] * 32)
            not_here("may have any number of descriptors on their way")
        refused: list[str] = []
        for key, descriptor in (("a", 1), ("b", 0)):
            try:
                link.hold(key, [descriptor])
            except LimitReached as error:
                refused.append(str(error))
    kept = list(link._holdings), os.path.sameopenfile(0, link._holdings.get("a")[0])
    link.hold("b", [0])
    return [refused, kept, [(anchor.receive(wait=False) or [{}])[0].get("key") for _ in range(2)]]
