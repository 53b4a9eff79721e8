"""One kernel goes on from another that was killed: what it must know of it, and that it knows it at every moment."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.commands import (
    Get,
    ListCursors,
    ListSockets,
    MoveCursor,
    RemoveCursors,
    RemoveProcesses,
    RemoveSockets,
    Set,
    TakeSocket,
    WatchEvents,
)
from papa.drivers.memory import MemoryChild
from papa.errors import AlreadyDiffers, LimitReached, SpawnFailed, TooOld
from papa.kernel.journal import UNTOUCHED
from papa.records import STDERR, STDOUT, Happened, Hole, Output
from papa.steps import Steps, all_at_once
from tests.kernel.building import PLENTY, Bell, House, Killed, data, ends, everything, holes


class HeldTests(SynchronousTestCase):
    """What is held."""

    def setUp(self) -> None:
        self.house = House(lasting=True)

    def test_nothing(self) -> None:
        """A kernel that held nothing is followed by one that holds nothing."""
        self.house.succeed()
        self.assertTrue(self.house.kernel.idle)

    def test_values(self) -> None:
        """Values are as they were last set."""
        for name, value in (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")):
            self.house.kernel.set(Set(name=name, value=value))
        self.house.kernel.set(Set(name="c"))
        self.house.succeed()
        self.assertEqual([self.house.kernel.get(Get(name=name)) for name in "abc"], ["3", "2", None])

    def test_all(self) -> None:
        """Sockets, values and processes are listed as before, and are the same when they are asked for again."""
        self.house.socket("web", port=8080)
        self.house.socket("any")
        self.house.kernel.set(Set(name="a", value="1"))
        job = self.house.make("job", "a", "$(socket.web.fileno)", env={"A": "1"}, rlimits={"core": (0, 1)}, uid=7)
        before = self.house.state()
        self.house.succeed()
        self.assertEqual(self.house.state(), before)
        self.assertEqual(self.house.socket("web", port=8080).fileno, 64)
        again = self.house.make("job", "a", "$(socket.web.fileno)", env={"A": "1"}, rlimits={"core": (0, 1)}, uid=7)
        self.assertEqual(again, job)
        with self.assertRaises(AlreadyDiffers):
            self.house.make("job", "b")

    def test_what_is_no_longer_there(self) -> None:
        """A socket that nobody holds any more is forgotten, and its name free; all else stays."""
        for name in ("web", "other"):
            self.house.socket(name)
        self.house.sockets.bound.popitem()
        self.house.diary.read()
        assert self.house.ledger is not None
        self.house.ledger.refusals = 1
        self.house.succeed()
        self.assertEqual(self.house.diary.read(), [("socket-removed", "other", None)])
        for _ in range(2):
            self.house.succeed()
            self.assertEqual(list(self.house.kernel.list_sockets(ListSockets())), ["web"])
        self.assertEqual(self.house.diary.read(), [("socket-removed", "other", None)])
        self.house.socket("other")

    def test_what_was_removed(self) -> None:
        """What was removed does not come back."""
        self.house.socket()
        self.house.child().exit()
        self.house.kernel.remove_sockets(RemoveSockets())
        self.house.kernel.remove_processes(RemoveProcesses())
        self.house.succeed()
        self.assertTrue(self.house.kernel.idle)

    def test_what_is_to_be_forgotten(self) -> None:
        """What was to be forgotten with its end goes too if its readers went with the kernel; the others stay."""
        self.house.child("read", forget=True)
        self.house.child("runs", forget=True)
        self.house.child("kept")
        self.house.watch("read", observe=True)
        for name in ("read", "kept"):
            self.house.children.children[self.house.process(name).pid].exit(3)
        self.assertEqual(self.house.names(), ["kept", "read", "runs"])
        self.house.succeed()
        self.assertEqual(self.house.names(), ["kept", "runs"])
        self.house.children.children[self.house.process("runs").pid].exit(0)
        self.assertEqual(self.house.names(), ["kept"])

    def test_start_that_failed(self) -> None:
        """Nothing is remembered of a process that did not start."""
        self.house.children.missing.add("gone")
        with self.assertRaisesRegex(Exception, "gone"):
            self.house.make("job", "gone")
        assert self.house.ledger is not None
        self.assertEqual(self.house.ledger.entries["process"], {})
        self.house.succeed()
        self.assertEqual(self.house.names(), [])

    def test_forgotten_and_made_again(self) -> None:
        """If it could not be noted that one was forgotten, another of its name is held, in whichever order they are."""
        self.house.make()
        assert self.house.ledger is not None
        self.house.watch("job")  # So it is not let go of.
        self.house.kernel.remove_processes(RemoveProcesses())
        self.house.ledger.refusals = 2
        self.house.children.latest().exit()
        new = self.house.make()
        entries = self.house.ledger.entries["process"]
        self.assertEqual(list(entries), ["1", "2"])
        self.house.ledger.entries["process"] = dict(reversed(entries.items()))
        self.house.succeed()
        self.assertEqual(self.house.process(), new)

    def test_killed_before_the_start(self) -> None:
        """A kernel that was killed between its intention and the start leaves no process."""
        self.house.make()
        assert self.house.ledger is not None
        entry = self.house.ledger.entries["process"]["1"]
        self.house.ledger.put("process", "2", {**entry, "request": {"name": "next", "args": ["x"]}})
        self.house.succeed()
        self.assertEqual(self.house.names(), ["job"])
        self.assertEqual(list(self.house.ledger.entries["process"]), ["1"])
        self.house.make("new")
        self.assertEqual(set(self.house.ledger.entries["process"]), {"1", "3"})

    def test_events(self) -> None:
        """The numbers of events go on without a gap, and what is kept is kept."""
        self.house.kernel.set(Set(name="a", value="1"))
        self.house.make()
        self.house.succeed()
        self.house.kernel.set(Set(name="b", value="1"))
        told = all_at_once(self.house.kernel.watch(WatchEvents(since=0), Bell())).take(PLENTY)
        self.assertEqual(
            [(each.number, each.kind, each.name) for each in told if isinstance(each, Happened)],
            [(1, "value-set", "a"), (2, "process-made", "job"), (3, "value-set", "b")],
        )


class ProcessTests(SynchronousTestCase):
    """The life of a process that has more than one kernel."""

    def setUp(self) -> None:
        self.house = House(lasting=True)

    def test_exit_before(self) -> None:
        """An exit that was known stays known, with the time of the end, and is told once."""
        self.house.child().exit(3)
        end = everything(self.house.watch("job"))
        self.house.wall.now += 10
        self.house.diary.read()
        self.house.succeed()
        self.assertEqual(self.house.process().exit_code, 3)
        self.assertEqual(everything(self.house.watch("job")), end)
        self.assertEqual(self.house.diary.read(), [])

    def test_exit_between(self) -> None:
        """An exit of the time when there was no kernel is told to the next."""
        child = self.house.child()
        child.code, child._exited = -9, True
        child._channels.clear()
        self.house.diary.read()
        self.house.succeed()
        self.assertEqual(ends(everything(self.house.watch("job"))), [("job", -9)])
        self.assertEqual(self.house.diary.read(), [("process-exited", "job", -9), ("process-closed", "job", None)])

    def test_forgotten_after_its_end(self) -> None:
        """Once its end was acknowledged, the next kernel does not know it either, and its name is free."""
        self.house.child().exit()
        self.house.succeed()
        watch = self.house.watch("job")
        everything(watch)
        watch.acknowledge()
        self.house.succeed()
        self.assertEqual(self.house.names(), [])
        self.assertEqual([child.forgotten for child in self.house.children.children.values()], [True])

    def test_removed_and_running(self) -> None:
        """One that was removed stays so until it exits: nothing is kept of what it prints."""
        child = self.house.child()
        self.house.watch("*", cursor="ship").stop()
        self.house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.assertIsNone(child.tape)
        for _ in range(2):
            self.assertEqual(self.house.kernel.list_cursors(ListCursors())["ship"].marks, {})
            self.house.succeed()
        child.print(b"x")
        with self.assertRaises(AlreadyDiffers):
            self.house.make()
        child.exit()
        self.assertEqual(self.house.names(), [])
        self.house.succeed()
        self.assertEqual(self.house.names(), [])

    def test_next_of_the_name(self) -> None:
        """A process that is made under a name that was free is another one."""
        self.house.child().exit()
        self.house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.house.succeed()
        child = self.house.child()
        child.print(b"new")
        self.assertEqual(data(everything(self.house.watch("job"))), b"new")

    def test_no_output_kept(self) -> None:
        """A process that nothing is kept of has no tape."""
        child = self.house.child(bufsize=0)
        child.print(b"x")
        self.assertIsNone(child.tape)
        self.house.succeed()
        child.exit(4)
        self.assertEqual(ends(everything(self.house.watch("job"))), [("job", 4)])


class OutputTests(SynchronousTestCase):
    """What was printed."""

    def setUp(self) -> None:
        self.house = House(lasting=True)

    def test_unread(self) -> None:
        """What nobody has read is there, each piece with its time and channel."""
        child = self.house.child()
        child.print(b"one")
        self.house.wall.now += 1
        child.print(b"two", STDERR)
        self.house.wall.now += 1
        child.print(b"three" * 2000)
        before = everything(self.house.watch("job", observe=True))
        self.house.succeed()
        self.assertEqual(everything(self.house.watch("job")), before)

    def test_pieces_that_grew(self) -> None:
        """Bytes that came one by one are one piece in the next kernel, too, of their own channel and time."""
        child = self.house.child()
        for channel in (STDOUT, STDERR, STDOUT):
            self.house.wall.now += 1
            for byte in b"text":
                child.print(bytes([byte]), channel)
        before = everything(self.house.watch("job", observe=True))
        self.house.succeed()
        self.assertEqual(everything(self.house.watch("job")), before)

    def test_acknowledged(self) -> None:
        """What was acknowledged does not come again, and what was taken only does."""
        child = self.house.child()
        watch = self.house.watch("job")
        child.print(b"one")
        self.assertEqual(data(everything(watch)), b"one")
        watch.acknowledge()
        self.house.wall.now += 1
        child.print(b"two")
        self.assertEqual(data(everything(watch)), b"two")
        self.house.succeed()
        child.print(b"three")
        self.assertEqual(data(everything(self.house.watch("job"))), b"twothree")

    def test_hole(self) -> None:
        """What had to be let go of is told to the bytes and the time, though another kernel did."""
        child = self.house.child(bufsize=100)
        for _ in range(30):
            self.house.wall.now += 1
            child.print(b"x" * 10)
        before = everything(self.house.watch("job", observe=True))
        self.assertIsInstance(before[0], Hole)
        self.house.succeed()
        self.assertEqual(everything(self.house.watch("job", observe=True)), before)
        self.assertEqual(self.house.process().dropped, before[0].mark)

    def test_cursors(self) -> None:
        """Each cursor goes on where it was, also in what it has to miss."""
        child = self.house.child(bufsize=100)
        slow, quick = self.house.watch("job", cursor="slow"), self.house.watch("job*", cursor="quick")
        child.print(b"a" * 60)
        everything(quick)
        quick.acknowledge()
        self.house.wall.now += 1
        child.print(b"b" * 60)
        before = {name: everything(self.house.watch(f"job{star}", cursor=name)) for name, star in self.cursors}
        listed = self.house.kernel.list_cursors(ListCursors())
        self.assertTrue(holes(before["slow"]))
        self.assertFalse(holes(before["quick"]))
        self.house.succeed()
        after = {name: everything(self.house.watch(f"job{star}", cursor=name)) for name, star in self.cursors}
        self.assertEqual(after, before)
        self.assertEqual(self.house.kernel.list_cursors(ListCursors()), listed)
        slow.stop()

    cursors = (("slow", ""), ("quick", "*"))

    def test_hole_of_a_cursor(self) -> None:
        """What a cursor had to miss is told to the bytes and the times, though another kernel let go of it."""
        child = self.house.child(bufsize=100)
        self.house.watch("job", cursor="slow").stop()
        for _ in range(30):
            self.house.wall.now += 1
            child.print(b"x" * 10)
        before = everything(self.house.watch("job", cursor="slow"))
        self.house.succeed()
        self.assertEqual(everything(self.house.watch("job", cursor="slow")), before)
        (hole,) = holes(before)
        self.assertLess(hole.first, hole.last)

    def test_overtaken_between_two_kernels(self) -> None:
        """A cursor is told when what it misses was read, also if the kernel had not noted yet that it was dropped."""
        child = self.house.child(bufsize=1000)
        self.house.watch("job", cursor="slow").stop()
        child.print(b"a" * 900)
        self.house.wall.now += 1
        child.print(b"b" * 200)
        self.assertEqual(self.noted(), 0)
        before = everything(self.house.watch("job", cursor="slow"))
        self.house.succeed()
        self.assertEqual(holes(everything(self.house.watch("job", cursor="slow"))), holes(before))
        self.assertEqual([(hole.first, hole.last) for hole in holes(before)], [(1_000_000.0, 1_000_000.0)])

    def test_cursor_that_has_finished(self) -> None:
        """A cursor that has read a process to its end does not read it again, while another still has to."""
        child = self.house.child()
        one = self.house.watch("*", cursor="one")
        self.house.watch("*", cursor="other").stop()
        child.print(b"x")
        child.exit()
        everything(one)
        one.acknowledge()
        self.house.succeed()
        self.assertEqual(everything(self.house.watch("*", cursor="one")), [])
        other = self.house.watch("*", cursor="other")
        self.assertEqual(data(everything(other)), b"x")
        other.acknowledge()
        self.assertEqual(self.house.names(), [])

    def test_cursor_reads_who_comes_after(self) -> None:
        """That a cursor is done with a process says nothing about those that later kernels make."""
        reader = self.house.watch("*", cursor="ship")
        self.house.child("one").exit()
        everything(reader)
        reader.acknowledge()
        self.house.succeed()
        self.house.child("two").exit(2)
        self.house.succeed()
        self.assertEqual(ends(everything(self.house.watch("*", cursor="ship"))), [("two", 2)])

    def test_end_is_noted_alone(self) -> None:
        """However many processes a cursor is done with, and another is not, it takes as little to note one more."""
        self.house.watch("*", cursor="behind").stop()
        ahead = self.house.watch("*", cursor="ahead")
        assert self.house.ledger is not None
        before = dict(self.house.ledger.entries["cursor"])
        for number in range(5):
            self.house.child(str(number)).exit()
            everything(ahead)
            ahead.acknowledge()
        self.assertEqual(self.house.ledger.entries["cursor"], before)
        self.house.succeed()
        self.assertFalse(self.house.watch("*", cursor="ahead").pending)
        behind = self.house.watch("*", cursor="behind")
        everything(behind)
        behind.acknowledge()
        self.assertEqual((self.house.names(), self.house.ledger.entries["place"]), ([], {}))

    def test_killed_as_a_process_is_forgotten(self) -> None:
        """Whenever it is killed, a cursor that was done with a process long before is so still."""
        for left in range(20):
            self.house = House(lasting=True)
            child = self.house.child()
            ahead, behind = self.house.watch("*", cursor="ahead"), self.house.watch("*", cursor="behind")
            child.exit()
            for watch in (ahead, behind):
                everything(watch)
            ahead.acknowledge()
            assert self.house.ledger is not None
            self.house.ledger.left = left
            with contextlib.suppress(Killed):
                behind.acknowledge()
            self.house.succeed()
            self.assertEqual(everything(self.house.watch("*", cursor="ahead")), [], left)

    def test_second_reader_of_what_is_forgotten(self) -> None:
        """What it acknowledges leaves nothing in the ledger."""
        self.house.child().print(b"x")
        self.house.children.latest().exit()
        for watch in [self.house.watch("job"), self.house.watch("job")]:
            everything(watch)
            watch.acknowledge()
        assert self.house.ledger is not None
        self.assertEqual([self.house.ledger.entries[kind] for kind in ("process", "journal")], [{}, {}])

    def test_cursor_that_was_moved_or_removed(self) -> None:
        """It is where it was moved to; one that was removed is not there."""
        child = self.house.child()
        for name in ("kept", "gone"):
            self.house.watch("*", cursor=name).stop()
        child.print(b"abc")
        self.house.kernel.move_cursor(MoveCursor(name="kept", process="job", mark=2))
        self.house.kernel.remove_cursors(RemoveCursors(names=("gone",)))
        self.house.succeed()
        self.assertEqual(data(everything(self.house.watch("*", cursor="kept"))), b"c")
        self.assertEqual(list(self.house.kernel.list_cursors(ListCursors())), ["kept"])

    def test_removed_before_anybody_reads_with_it(self) -> None:
        """A cursor of the kernel before can be removed at once."""
        self.house.child().print(b"x")
        self.house.watch("*", cursor="gone").stop()
        self.house.succeed()
        self.house.kernel.remove_cursors(RemoveCursors(names=("gone",)))
        self.assertEqual(self.house.kernel.list_cursors(ListCursors()), {})

    def begin_to_remove(self, cursor: str) -> tuple[list[MemoryChild], Steps[object]]:
        """A cursor reads three processes that have printed, and the first step of its removal is taken."""
        children = [self.house.child(name) for name in "abc"]
        for child in children:
            child.print(b"x")
        self.house.watch("*", cursor=cursor).stop()
        removal = self.house.kernel.steps(RemoveCursors(names=(cursor,)))
        next(removal)
        return children, removal

    def test_killed_while_a_cursor_is_removed(self) -> None:
        """Of a cursor that was being removed nothing is left, also for another of its name."""
        self.begin_to_remove("gone")
        self.house.succeed()
        assert self.house.ledger is not None
        self.assertEqual(self.house.ledger.entries["place"], {})
        self.assertEqual(self.house.kernel.list_cursors(ListCursors()), {})
        reader = self.house.watch("*")
        everything(reader)
        reader.acknowledge()
        self.assertEqual([self.house.process(name).buffered for name in "abc"], [0, 0, 0])

    def test_cursor_of_the_same_name_while_one_is_removed(self) -> None:
        """One that begins to read while another of its name is removed has its places, also in the next kernel."""
        children, removal = self.begin_to_remove("ship")
        new = self.house.watch("*", cursor="ship")
        self.assertEqual(data(everything(new)), b"x" * 3)
        new.acknowledge()
        all_at_once(removal)
        for child in children:
            child.print(b"two ")
        self.house.succeed()
        self.assertEqual(data(everything(self.house.watch("*", cursor="ship"))), b"two " * 3)

    def test_place_of_a_cursor_of_the_same_name(self) -> None:
        """What only such a cursor has not read yet is there for it in the next kernel."""
        _, removal = self.begin_to_remove("ship")
        self.house.watch("*", cursor="ship")
        other = self.house.watch("*")
        everything(other)
        other.acknowledge()
        all_at_once(removal)
        self.house.succeed()
        self.assertEqual(data(everything(self.house.watch("*", cursor="ship"))), b"x" * 3)

    def test_places_that_a_cursor_of_the_same_name_has_not(self) -> None:
        """What the one that was removed has read, and the other does not, is left nowhere."""
        _, removal = self.begin_to_remove("ship")
        self.house.watch("b", cursor="ship")
        all_at_once(removal)
        assert self.house.ledger is not None
        self.assertEqual(list(self.house.ledger.entries["place"]), ["ship 2"])

    def test_waits_still(self) -> None:
        """A process that waited because its buffer was full waits on, and goes on when there is room."""
        child = self.house.child(bufsize=10, overflow="block")
        child.print(b"x" * 12)
        self.assertTrue(child.paused)
        self.house.succeed()
        self.assertTrue(child.paused)
        watch = self.house.watch("job")
        self.assertEqual(data(everything(watch)), b"x" * 12)
        watch.acknowledge()
        self.assertFalse(child.paused)

    def test_killed_while_room_is_made(self) -> None:
        """However far an acknowledgement had come when the kernel was killed, what waits for room does not for ever."""
        for notes in range(6):
            name = f"job.{notes}"
            child = self.house.child(name, bufsize=10, overflow="block")
            watch = self.house.watch(name, cursor=name)
            child.print(b"x" * 12)
            child.print(b"y")
            everything(watch)
            assert self.house.ledger is not None
            self.house.ledger.left = notes
            with contextlib.suppress(Killed):
                watch.acknowledge()
            self.house.succeed()
            watch = self.house.watch(name, cursor=name)
            read = everything(watch)
            watch.acknowledge()
            read += everything(watch)
            self.assertEqual((child.paused, data(read)[-1:]), (False, b"y"), name)

    def test_space_is_given_back_last(self) -> None:
        """Nothing is given back to the system before it is remembered that nobody needs it."""
        child = self.house.child()
        child.print(b"abc")
        watch = self.house.watch("job")
        everything(watch)
        assert self.house.ledger is not None and child.tape is not None
        tape, seen = child.tape, []
        self.patch(tape, "release", lambda mark, number: seen.append((mark, self.noted())))
        watch.acknowledge()
        self.assertEqual(seen[0], (3, 3))

    def test_space_of_what_is_dropped(self) -> None:
        """What had to be let go of is given back to the system, though nobody reads, but for a part of the bound."""
        child = self.house.child(bufsize=1000)
        for _ in range(50):
            self.house.wall.now += 1
            child.print(b"x" * 100)
            assert child.tape is not None
            process = self.house.process()
            self.assertLessEqual(process.captured - process.buffered - child.tape.released[0], 250)

    def noted(self) -> int:
        assert self.house.ledger is not None
        head: int = self.house.ledger.entries.get("journal", {}).get("1", UNTOUCHED)[0]
        return head


class HalfwayTests(SynchronousTestCase):
    """Kernels that were killed in the middle of something."""

    def setUp(self) -> None:
        self.house = House(lasting=True)
        assert self.house.ledger is not None
        self.entries = self.house.ledger.entries

    def remembered(self, **changed: object) -> None:
        """Have the ledger be as it is in the middle of something."""
        assert self.house.ledger is not None
        self.house.ledger.put("process", "1", {**self.entries["process"]["1"], **changed})
        self.house.succeed()

    def test_removed_but_not_discarded(self) -> None:
        """A process that was just removed does not wait for somebody to read it."""
        child = self.house.child(bufsize=10, overflow="block")
        child.print(b"x" * 20)
        child.paused = False  # As the next kernel finds it.
        self.remembered(removed=True)
        self.assertFalse(child.paused)
        self.assertIsNone(child.tape)
        self.assertEqual(self.house.process().buffered, 0)
        child.exit()
        self.assertEqual(self.house.names(), [])

    def test_removed_but_not_forgotten(self) -> None:
        """One that had exited when it was removed does not keep its name for ever."""
        child = self.house.child()
        child.exit(3)
        self.remembered(removed=True)
        self.assertEqual(self.house.names(), [])
        self.assertTrue(child.forgotten)
        self.assertEqual(self.entries["process"], {})

    def test_collected_but_not_forgotten(self) -> None:
        """Nor does one whose end was acknowledged."""
        self.house.child().exit(3)
        self.remembered(collected=True)
        self.assertEqual(self.house.names(), [])

    def test_process_that_is_gone(self) -> None:
        """What is left in the ledger of a process that is forgotten goes, or is no obstacle if it cannot."""
        assert self.house.ledger is not None
        self.house.watch("*", cursor="ship")
        for refusals in (PLENTY, 0):
            for kind, key, value in (
                ("journal", "7", UNTOUCHED),
                ("place", "ship 7", (0, None)),
                ("left", "7", {"data": "", "closes": True}),
            ):
                self.house.ledger.put(kind, key, value)
            self.house.ledger.refusals = refusals
            self.house.succeed()
            self.house.ledger.refusals = 0
        self.assertEqual((self.entries["journal"], self.entries["place"]), ({}, {}))

    def test_input_on_its_way(self) -> None:
        """What a process had not taken yet of its input comes to it from the next kernel, and so does the end of it."""
        child = self.house.child(stdin="pipe")
        silent = self.house.child("silent", stdin="pipe")
        child.untaken = (b"\xffrest", True)
        self.house.kernel.leave()
        self.house.succeed()
        self.assertEqual((child.stdin, child.stdin_open), ([b"\xffrest"], False))
        self.assertEqual((silent.stdin, silent.stdin_open), ([], True))
        self.assertEqual(self.entries["left"], {})

    def test_input_or_the_end_of_it(self) -> None:
        """Where only bytes, or only the end, had not come to a process, it is given nothing else."""
        unended, ended, silent = (self.house.child(name, stdin="pipe") for name in ("unended", "ended", "silent"))
        unended.untaken, ended.untaken = (b"rest", False), (b"", True)
        self.house.kernel.leave()
        self.assertEqual(set(self.entries["left"]), {"1", "2"})
        self.house.succeed()
        self.assertEqual((unended.stdin, unended.stdin_open), ([b"rest"], True))
        self.assertEqual((ended.stdin, ended.stdin_open), ([], False))
        self.assertEqual((silent.stdin, silent.stdin_open), ([], True))

    def test_output_that_is_left(self) -> None:
        """What is kept of output is laid out, and noted, for a papa of another kind; what was removed has no tape."""
        child = self.house.child(bufsize=1000)
        self.house.make("removed")
        for _ in range(12):
            self.house.wall.now += 1
            child.print(b"x" * 100)
        self.house.kernel.remove_processes(RemoveProcesses(names=("removed",)))
        self.house.kernel.leave()
        assert child.tape is not None
        head = self.house.process().captured - self.house.process().buffered
        self.assertEqual(
            (child.tape.straightened, self.entries["journal"]["1"][:2]), ((head, head // 100), [head, head // 100])
        )

    def test_no_room_to_leave(self) -> None:
        """A papa that cannot lay output out for one of another kind says so, and does not give way."""
        child = self.house.child()
        child.print(b"x")

        def straighten(mark: int, number: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(child.tape, "straighten", straighten)
        with self.assertRaisesRegex(LimitReached, "no memory for another copy of output: No space left on device"):
            self.house.kernel.leave()

    def test_input_taken_up_before(self) -> None:
        """What a papa in between has taken up already, which then did not come to serve, is not taken up again."""
        child = self.house.child(stdin="pipe")
        child.untaken = (b"rest", True)
        self.house.kernel.leave()
        self.patch(child, "adopted", lambda observer: child)
        self.house.succeed()
        self.assertEqual((child.stdin, child.stdin_open), ([], True))

    def test_input_that_is_closed(self) -> None:
        """A process that has closed its input meanwhile is spared it."""
        child = self.house.child(stdin="pipe")
        child.untaken = (b"rest", False)
        self.house.kernel.leave()
        child.stdin_open = False
        self.house.succeed()
        self.assertEqual(child.stdin, [])


class NoMemoryTests(SynchronousTestCase):
    """There is nothing left to remember things in: what happens, happens all the same."""

    def setUp(self) -> None:
        self.house = House(lasting=True)

    def run_out(self) -> None:
        assert self.house.ledger is not None
        self.house.ledger.refusals = PLENTY

    def recover(self) -> None:
        assert self.house.ledger is not None
        self.house.ledger.refusals = 0

    def test_output_and_end(self) -> None:
        """Output is kept and bounded, an exit is known, and neither fails for whoever tells of it."""
        child = self.house.child(bufsize=100)
        watch = self.house.watch("job", observe=True)
        self.run_out()
        for _ in range(30):
            self.house.wall.now += 1
            child.print(b"x" * 10)
        child.exit(3)
        self.assertEqual(ends(everything(watch)), [("job", 3)])
        watch.stop()
        process = self.house.process()
        self.assertEqual((process.exit_code, process.captured), (3, 300))

    def test_the_next_kernel(self) -> None:
        """The next kernel finds out by itself what could not be remembered."""
        child = self.house.child(bufsize=100)
        self.run_out()
        for _ in range(30):
            self.house.wall.now += 1
            child.print(b"x" * 10)
        child.exit(3)
        before = everything(self.house.watch("job", observe=True))
        self.house.succeed()
        after = everything(self.house.watch("job", observe=True))
        self.assertEqual((data(after), ends(after)), (data(before), [("job", 3)]))
        self.assertEqual(sum(hole.size for hole in holes(after)), sum(hole.size for hole in holes(before)))

    def test_nothing_is_given_back(self) -> None:
        """What the next kernel will look for is not given back to the system."""
        child = self.house.child(bufsize=100)
        self.run_out()
        for _ in range(30):
            self.house.wall.now += 1
            child.print(b"x" * 10)
        assert child.tape is not None
        self.assertEqual(child.tape.released, (0, 0))

    def test_values(self) -> None:
        """What is asked for is refused, and changes nothing."""
        self.house.kernel.set(Set(name="a", value="1"))
        self.run_out()
        for value in ("2", None):
            with self.assertRaises(LimitReached):
                self.house.kernel.set(Set(name="a", value=value))
        self.assertEqual(self.house.kernel.get(Get(name="a")), "1")

    def test_socket(self) -> None:
        """A socket that cannot be remembered is refused, and not bound: else a later one would be."""
        self.run_out()
        for ask in (
            lambda: self.house.socket("web", port=8080),
            lambda: self.house.kernel.take_socket(TakeSocket(name="web", descriptor=0)),
        ):
            self.assertRaises(LimitReached, ask)
            self.assertEqual((self.house.bound(), self.house.kernel.idle), ([], True))
        self.recover()
        self.house.socket("web", port=8080)

    def test_start(self) -> None:
        """A process whose start was refused was not started, and one that was started is not refused."""
        self.run_out()
        with self.assertRaises(LimitReached):
            self.house.make()
        self.assertEqual((self.house.names(), self.house.children.children), ([], {}))
        self.recover()
        self.house.watch("*", cursor="shipper")
        assert self.house.ledger is not None
        put = self.house.ledger.put

        def put_once(kind: str, name: str, value: object) -> None:
            put(kind, name, value)
            self.run_out()

        patched = self.patch(self.house.ledger, "put", put_once)
        before = self.house.make()
        patched.restore()
        child = self.house.children.latest()
        child.print(b"text")
        self.house.succeed()
        self.assertEqual(self.house.process().started, before.started)
        self.recover()
        # The cursor wants it, though there was no room to note that it does.
        other = self.house.watch("job")
        self.assertEqual(data(everything(other)), b"text")
        other.acknowledge()
        self.assertEqual(data(everything(self.house.watch("*", cursor="shipper"))), b"text")

    def test_start_that_failed(self) -> None:
        """That a program does not start is said, though it cannot be noted that nothing was started."""
        self.house.children.missing.add("gone")
        assert self.house.ledger is not None
        self.house.ledger.spared, self.house.ledger.refusals = 1, 1
        with self.assertRaises(SpawnFailed):
            self.house.make("job", "gone")

    def test_reader_that_goes(self) -> None:
        """What is given back when a reader goes goes without a note."""
        child = self.house.child()
        child.print(b"text")
        quick, slow = self.house.watch("job"), self.house.watch("job")
        everything(quick)
        quick.acknowledge()
        self.run_out()
        slow.stop()
        self.assertEqual(self.house.process().buffered, 0)

    def test_removal_that_was_noted(self) -> None:
        """A removal that was noted is done, though there is no room for what else is to be noted of it."""
        child = self.house.child()
        child.print(b"text")
        assert self.house.ledger is not None
        self.house.ledger.spared, self.house.ledger.refusals = 1, PLENTY
        self.house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.assertEqual((self.house.process().buffered, child.tape), (0, None))

    def test_removal(self) -> None:
        """A process whose removal was refused is as it was."""
        child = self.house.child()
        child.print(b"text")
        watch = self.house.watch("*", cursor="shipper")
        self.run_out()
        with self.assertRaises(LimitReached):
            self.house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.assertEqual(self.house.make(), self.house.process())
        self.assertEqual(data(everything(watch)), b"text")
        self.recover()
        self.house.succeed()
        self.assertEqual(data(everything(self.house.watch("job"))), b"text")

    def test_removed_and_ended(self) -> None:
        """What was to be forgotten with its end is, though there is no room to say so."""
        child = self.house.child()
        self.house.kernel.remove_processes(RemoveProcesses(names=("job",)))
        self.run_out()
        child.exit(0)
        self.assertEqual(self.house.names(), [])
        self.house.succeed()
        self.assertEqual(self.house.names(), [])

    def test_acknowledgement(self) -> None:
        """One that was refused can be said again; then the process is forgotten, for good."""
        for cursor in ("", "shipper"):
            child = self.house.child()
            child.print(b"text")
            child.exit(0)
            watch = self.house.watch("job", cursor=cursor)
            self.assertEqual(data(everything(watch)), b"text")
            self.run_out()
            with self.assertRaises(LimitReached):
                watch.acknowledge()
            self.assertFalse(watch.done)
            self.recover()
            watch.acknowledge()
            self.assertEqual((watch.done, self.house.names()), (True, []))
            self.house.succeed()
            self.assertEqual(self.house.names(), [])

    def test_end_of_a_cursor(self) -> None:
        """Whichever note of an end is refused, if the reader goes then, the next one has the end again."""
        assert self.house.ledger is not None
        for spared in range(10):
            child = self.house.child(str(spared))
            reader = self.house.watch(str(spared), cursor="ship")
            child.exit(3)
            everything(reader)
            self.house.ledger.spared, self.house.ledger.refusals = spared, 1
            try:
                reader.acknowledge()
            except LimitReached:
                reader.stop()
                reader = self.house.watch(str(spared), cursor="ship")
                self.assertEqual(ends(everything(reader)), [(str(spared), 3)])
                reader.acknowledge()
            else:
                self.assertGreater(spared, 2)
            self.recover()
            self.assertEqual(self.house.names(), [])

    def test_cursor(self) -> None:
        """A cursor that was refused is none; a reading that was refused leaves the one before."""
        child = self.house.child()
        self.run_out()
        with self.assertRaises(LimitReached):
            self.house.watch("job", cursor="shipper")
        self.assertEqual(self.house.kernel.list_cursors(ListCursors()), {})
        self.recover()
        watch = self.house.watch("job", cursor="shipper")
        self.run_out()
        with self.assertRaises(LimitReached):
            self.house.watch("*", cursor="shipper")
        with self.assertRaises(LimitReached):
            self.house.kernel.remove_cursors(RemoveCursors(names=("shipper",)))
        child.print(b"text")
        self.assertEqual(data(everything(watch)), b"text")
        self.assertEqual(self.house.kernel.list_cursors(ListCursors())["shipper"].patterns, ("job",))

    def test_moved_cursor(self) -> None:
        """A move that was refused changes nothing, in this papa and the next; nor does one that is done fail."""
        child = self.house.child()
        child.print(b"0123456789")
        watch = self.house.watch("job", cursor="shipper")
        watch.stop()
        for spared, marks in ((0, {"job": 0}), (1, {"job": 4})):
            assert self.house.ledger is not None
            self.house.ledger.spared, self.house.ledger.refusals = spared, 1000
            move = MoveCursor(name="shipper", process="job", mark=4)
            if spared:
                self.house.kernel.move_cursor(move)
            else:
                self.assertRaises(LimitReached, self.house.kernel.move_cursor, move)
            self.assertEqual(self.house.kernel.list_cursors(ListCursors())["shipper"].marks, marks)
            self.recover()
            self.house.succeed()
            self.assertEqual(self.house.kernel.list_cursors(ListCursors())["shipper"].marks, marks)

    def test_events_with_a_gap(self) -> None:
        """An event that could not be remembered makes those before it unknown; numbers never mean another event."""
        self.house.kernel.set(Set(name="a", value="1"))
        self.house.kernel.set(Set(name="b", value="1"))
        self.house.kernel.set(Set(name="c", value="1"))
        assert self.house.ledger is not None
        del self.house.ledger.entries["event"]["2"]
        self.house.succeed()
        told = all_at_once(self.house.kernel.watch(WatchEvents(since=2), Bell())).take(PLENTY)
        self.assertEqual([(each.number, each.name) for each in told if isinstance(each, Happened)], [(3, "c")])
        with self.assertRaises(TooOld):
            all_at_once(self.house.kernel.watch(WatchEvents(since=1), Bell()))


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("print"), st.sampled_from([STDOUT, STDERR]), st.integers(1, 9000)),
        st.tuples(st.just("pass"), st.floats(-5000, 5000)),
        st.tuples(st.just("read"), st.sampled_from(["one", "two"]), st.integers(1, 20_000)),
        st.tuples(st.just("acknowledge"), st.sampled_from(["one", "two"])),
        st.tuples(st.just("succeed")),
        st.tuples(st.just("doom"), st.integers(0, 6)),
        st.tuples(st.just("starve"), st.integers(1, 6)),
        st.tuples(st.just("leave"), st.sampled_from(["one", "two"])),
    ),
    max_size=60,
)


class AnythingTests(SynchronousTestCase):
    """Whatever happens in whatever order."""

    @given(
        _STEPS,
        st.lists(st.integers(0, 12), max_size=5),
        st.sampled_from([100, 5000, 1 << 20]),
        st.sampled_from(["drop-oldest", "block"]),
    )
    @settings(max_examples=300)
    def test_each_byte_once(
        self, steps: list[tuple[object, ...]], dooms: list[int], bufsize: int, overflow: str
    ) -> None:
        """
        Two cursors get every byte that was printed exactly once, or are told that it is missing.

        Whichever of its notes a kernel was killed before, or had no room for, and wherever the clock is set meanwhile;
        and where nothing may be lost, nothing is, nor does it stop.
        """
        house = House(lasting=True)
        child = house.child(bufsize=bufsize, overflow=overflow)
        readers = {name: _Reading(house, name) for name in ("one", "two")}
        printed = bytearray()
        for step in [*steps, ("exit",), *[("doom", doom) for doom in dooms], ("doom", None), ("finish",), ("finish",)]:
            try:
                self.do(step, house, child, readers, printed)
                if step[0] == "doom":
                    self.do(("finish",), house, child, readers, printed)
            except Killed:
                self.go_on(house, readers)
        for reader in readers.values():
            self.assertEqual(reader.safe, [byte if known else None for byte, known in reader.known(printed)])
            if overflow == "block":
                self.assertNotIn(None, reader.safe)
        self.assertEqual(house.names(), [])

    @staticmethod
    def go_on(house: House, readers: dict[str, _Reading]) -> None:
        house.succeed()
        for reader in readers.values():
            reader.begin()

    def do(
        self, step: tuple[Any, ...], house: House, child: MemoryChild, readers: dict[str, _Reading], printed: bytearray
    ) -> None:
        kind, *how = step
        if kind == "print":
            channel, size = how
            piece = bytes((len(printed) + offset) % 251 for offset in range(size))
            printed += piece
            child.print(piece, channel)
        elif kind == "pass":
            house.wall.now += how[0]
        elif kind == "succeed":
            self.go_on(house, readers)
        elif kind == "doom":
            assert house.ledger is not None
            house.ledger.left = how[0]
        elif kind == "starve":
            assert house.ledger is not None
            house.ledger.refusals = how[0]
        elif kind == "exit":
            child.exit(7)
        elif kind == "finish":
            while any(reader.finish() for reader in readers.values()):
                pass
        elif kind == "read":
            readers[how[0]].read(how[1])
        else:
            getattr(readers[how[0]], kind)()


_Answer = TypeVar("_Answer")


def insist(do: Callable[[], _Answer]) -> _Answer:
    """Do it again until there is room for it, as those do who talk to a kernel."""
    while True:
        with contextlib.suppress(LimitReached):
            return do()


class _Reading:
    """
    Reads with a cursor.

    @ivar safe: what it has acknowledged, byte by byte; L{None} for one that it was told is missing.
    """

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._name = name
        self.safe: list[int | None] = []
        self.begin()

    def begin(self) -> None:
        """Read anew; what was read and is known to be safe is passed over, as any reader does."""
        self._new: list[int | None] = []
        self._watch = insist(lambda: self._house.watch("*", cursor=self._name))

    leave = begin

    def read(self, limit: int) -> None:
        for item in self._watch.take(limit):
            if isinstance(item, (Output, Hole)):
                bytes_of: list[int | None] = [None] * item.size if isinstance(item, Hole) else list(item.data)
                fresh = item.mark - len(self.safe) - len(self._new)
                self._new += bytes_of[max(0, len(bytes_of) - fresh) :]

    def acknowledge(self) -> None:
        # The kernel may be killed in it: what was read is safe all the same, and comes again.
        self.safe += self._new
        self._new = []
        insist(self._watch.acknowledge)

    def finish(self) -> bool:
        """Read and acknowledge what there is, and say whether that was anything."""
        pending = self._watch.pending
        while self._watch.pending:
            self.read(PLENTY)
        self.acknowledge()
        return pending

    def known(self, printed: bytes) -> list[tuple[int, bool]]:
        """Each byte, and whether this reader has it; of the same length only if none is missing or there twice."""
        return [(byte, have is not None) for byte, have in zip(printed, self.safe, strict=True)]
