"""The kernel's end of the line to its anchor, with a test at the other."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import threading
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from papa.continuity.channel import Channel
from papa.continuity.link import AnchorLink, CannotGoOn
from papa.errors import BadRequest, LimitReached, SpawnFailed
from tests.continuity.links import LinkTestCase, ServingTestCase, child_spec
from tests.drivers.apart import apart, not_here
from tests.support import PATIENCE

#: A user without privileges.
_NOBODY = 65534


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
        self.assertEqual(self.link.take("a"), ())
        self.assertEqual(self.told(), [({"do": "drop", "keys": ["a"]}, 0), ({"do": "ready"}, 0)])
        # Those of the test, and what the next anchor would be given of what was taken.
        self.assertEqual(len(os.listdir("/proc/self/fd")) - before, 3)
        self.link.drop("b")
        self.assertEqual(len(os.listdir("/proc/self/fd")) - before, 2)
        self.assertEqual([reader.logPrefix() for reader in self.reactor.getReaders()], ["papa anchor"])

    def test_anchor_gone(self) -> None:
        """A kernel whose anchor has gone before it knew everything cannot go on."""
        self.anchor.send({"held": "a", "pid": None}, [self.file()])
        self.anchor.close()
        self.assertRaises(ConnectionError, self.link.receive_all, self.fail)

    def test_door_of_the_kernel_before(self) -> None:
        """Nobody knocks any more at the door of a kernel that has ended: it is closed."""
        before = len(os.listdir("/proc/self/fd"))
        self.anchor.send({"held": "door", "pid": None}, [0])
        self.hand_over()
        self.link.serve()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_something_new(self) -> None:
        """What only a later version would understand is passed over."""
        self.anchor.send({"news": 1})
        self.hand_over()
        self.assertEqual(self.link.kernels, 3)

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


class ServingTests(ServingTestCase):
    """While the kernel serves."""

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
        self.link.empty("a")
        self.assertEqual(self.told(), [({"do": "hold", "key": "a"}, count) for count in (1, 0)])
        self.link.hold("a", [self.file()])
        self.anchor.close()
        self.link.empty("a")
        self.hear()
        self.reactor.advance(0)
        self.anchor.send({"hear": 55})
        self.hear()
        self.assertEqual([(message.get("key"), came) for message, came in self.told()][:1], [("a", 0)])

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


class SpawnTests(LinkTestCase):
    """Having children started."""

    def test_started(self) -> None:
        """The anchor is told all it needs, and what it tells meanwhile of others is told them later."""
        codes: list[int] = []
        self.link.when_exited("other", codes.append)
        for code in (3, 4):
            self.anchor.send({"exited": "other", "code": code})
        self.anchor.send({"spawned": "process 1", "pid": 77}, [self.file()])
        asked = child_spec(
            env={"A": "\udcff"}, descriptors={64: self.file()}, listen=(("web", self.file()),), umask=0o77
        )
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
        self.assertEqual(self.link.spawn("a", child_spec(), {}, ()), (77, None))

    def test_another_under_the_same_key(self) -> None:
        """Of a child that was dropped nothing is known any more, and nothing of it is taken for another's."""
        self.hand_over()
        self.link.serve()
        for pid, code in ((77, 3), (78, None)):
            self.anchor.send({"spawned": "a", "pid": pid})
            self.link.spawn("a", child_spec(), {}, ())
            self.assertEqual(self.link.pid_of("a"), pid)
            if code is not None:
                self.anchor.send({"exited": "a", "code": code})
                self.hear()
                self.link.drop("a")
                self.assertIsNone(self.link.pid_of("a"))
        self.lose_anchor()
        self.anchor.send({"hear": 55})
        self.hear()
        self.assertEqual(self.told()[0], ({"do": "adopt", "key": "a", "pid": 78, "code": None}, 0))

    def test_anchor_goes_without_having_heard(self) -> None:
        """What an anchor was asked and has not read was not done: the next one is asked."""
        self.says = [{"hear": 55}, {"spawned": "a", "pid": 77}]
        before = self.anchor

        def go() -> None:
            poll = select.poll()
            poll.register(before, select.POLLIN)
            poll.poll(PATIENCE * 1000)
            before.close()

        going = threading.Thread(target=go)
        going.start()
        self.addCleanup(going.join)
        self.assertEqual(self.link.spawn("a", child_spec(), {}, ()), (77, None))
        self.assertEqual([message["do"] for message, _ in self.told()], ["ready", "spawn"])

    def test_failed(self) -> None:
        """Why it does not start comes as the error that it was there; one that is no longer known as a failed start."""
        for name, expected in (("BadRequest", BadRequest), ("NewerError", SpawnFailed)):
            self.anchor.send({"failed": "a", "error": name, "message": "because"})
            with self.assertRaisesRegex(expected, "because"):
                self.link.spawn("a", child_spec(), {}, ())

    def test_anchor_goes(self) -> None:
        """Nobody waits for an anchor that has gone before it answered."""
        self.link._anchorage._channel._socket.shutdown(socket.SHUT_RD)
        self.assertRaises(SpawnFailed, self.link.spawn, "a", child_spec(), {}, ())

    def test_too_many_sockets(self) -> None:
        """What cannot be sent is refused in words, and nothing is waited for."""
        listen = tuple((f"s{number}", self.file()) for number in range(260))
        with self.assertRaisesRegex(LimitReached, "too many sockets: 260"):
            self.link.spawn("a", child_spec(listen=listen), {}, ())
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
            said: Any = link.spawn("a", child_spec(env={"A": "x" * size}), {}, ())[0]
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
