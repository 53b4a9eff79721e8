"""Processes: made, listed, ended, forgotten; their exit codes, their input, and what becomes of their output."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import CloseStdin, LendProcess, ListProcesses, RemoveProcesses, WatchProcesses, WriteProcess
from papa.errors import AlreadyDiffers, BadRequest, Error, NotFound, SpawnFailed
from papa.records import STDERR, STDOUT, Process
from papa.steps import all_at_once
from tests.kernel.building import PLENTY, Bell, House, data, ends, everything, holes


def remove(house: House, *names: str) -> None:
    house.kernel.remove_processes(RemoveProcesses(names=names))


class MakingTests(SynchronousTestCase):
    """Starting programs."""

    def test_record(self) -> None:
        """The answer tells what was started, as whom and when."""
        house = House()
        made = house.make("job", "/bin/echo", "a b", "", uid=7, gid=8)
        self.assertEqual(
            made,
            Process(
                name="job",
                args=("/bin/echo", "a b", ""),
                pid=house.children.latest().pid,
                running=True,
                started=1_000_000.0,
                uid=7,
                gid=8,
                bufsize=1 << 20,
            ),
        )

    def test_driver_is_given_everything(self) -> None:
        """What was asked for reaches the driver as it was asked."""
        house = House()
        asked: dict[str, Any] = {
            "inherit_env": True,
            "working_dir": "/srv",
            "rlimits": {"nofile": (1, 2)},
            "umask": 0o27,
            "stdin": "pipe",
            "stdout": "null",
            "stderr": "pipe",
        }
        spec = house.child("job", "a", "b", env={"A": "1"}, uid=7, groups=(1, 2), **asked).spec
        self.assertEqual((spec.args, spec.env, spec.descriptors, spec.listen), (("a", "b"), {"A": "1"}, {}, ()))
        self.assertEqual((spec.identity.uid, spec.identity.groups), (7, (1, 2)))
        self.assertEqual({name: getattr(spec, name) for name in asked}, asked)

    def test_same_again(self) -> None:
        """The same request gives the process that is there, also when it only differs in watching."""
        house = House()
        made = house.make(env={"A": "1"})
        self.assertEqual(house.make(env={"A": "1"}), made)
        self.assertEqual(house.make(env={"A": "1"}, watch=True), made)
        self.assertEqual(len(house.children.children), 1)

    def test_same_again_after_its_end(self) -> None:
        """A process that has ended and was not acknowledged is still the one; it is not started again."""
        house = House()
        house.child().exit(4)
        again = house.make()
        self.assertEqual((again.running, again.exit_code, len(house.children.children)), (False, 4, 1))

    def test_differs(self) -> None:
        """The same name with anything else is refused, and the message names the difference."""
        house = House()
        before = house.make("job", "program", "1", uid=7)
        for args, fields, named in (
            (("program", "2"), {"uid": 7}, "args"),
            (("program", "1"), {"uid": 7, "env": {"A": "1"}}, "env"),
            (("program", "1"), {"uid": 7, "bufsize": 5}, "bufsize"),
            (("program", "1"), {"uid": 7, "overflow": "block", "umask": 0}, "umask, overflow"),
            (("program", "1"), {"uid": 8}, "uid, gid or groups"),
            (("program", "1"), {"uid": 7, "groups": (1,)}, "uid, gid or groups"),
        ):
            error = self.assertRaises(AlreadyDiffers, house.make, "job", *args, **fields)
            self.assertIn(f"Process job has already been created with another {named}:", str(error))
        self.assertEqual((house.process(), len(house.children.children)), (before, 1))

    def test_exclusive(self) -> None:
        """Who asks for a new process never gets one that is there, running or ended; the next may have it."""
        house = House()
        child = house.child(exclusive=True)
        made = house.process()
        error = self.assertRaises(AlreadyDiffers, house.make, exclusive=True)
        self.assertIn(f"Process job has already been created, with pid {made.pid}:", str(error))
        self.assertEqual((house.make(), len(house.children.children)), (made, 1))
        child.exit(0)
        self.assertRaises(AlreadyDiffers, house.make, exclusive=True)

    def test_same_user_said_otherwise(self) -> None:
        """Users are compared by what they are: a group that is the user's own may be named or not."""
        house = House()
        made = house.make(uid=7)
        self.assertEqual(house.make(uid=7, gid=7), made)

    def test_program_that_does_not_start(self) -> None:
        """A program that is missing is an error, and the name stays free."""
        house = House()
        house.children.missing.add("nothing")
        before = house.state()
        self.assertRaises(SpawnFailed, house.make, "job", "nothing")
        self.assertEqual((house.state(), house.diary.read()), (before, []))
        self.assertTrue(house.make("job", "something").running)


class EndingTests(SynchronousTestCase):
    """Exit codes and closes."""

    def test_exit_code_is_known_without_reading(self) -> None:
        """Running turns False and the exit code is there at the exit, whoever reads what."""
        house = House()
        child = house.child()
        child.print(b"unread")
        child.exit(-9)
        process = house.process()
        self.assertEqual((process.running, process.exit_code, process.captured), (False, -9, 6))

    def test_grandchild_holds_the_output(self) -> None:
        """After the exit, what a grandchild prints is still captured; the close comes when that has ended too."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        child.exit(2, output_stays_open=True)
        self.assertEqual((house.process().running, house.process().exit_code), (False, 2))
        self.assertFalse(watch.pending)
        child.print(b"of the grandchild")
        items = everything(watch)
        self.assertEqual((data(items), ends(items)), (b"of the grandchild", []))
        watch.acknowledge()
        house.wall.now += 60
        child.close_output()
        (closed,) = everything(watch)
        self.assertEqual((ends([closed]), closed), ([("job", 2)], house.watch("job").take(PLENTY)[0]))
        self.assertEqual(getattr(closed, "timestamp", None), 1_000_060.0)

    def test_output_ends_before_the_exit(self) -> None:
        """A process that closes its outputs and goes on is running, and not closed until it exits."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        child.print(b"bye")
        child.close_output()
        items = everything(watch)
        self.assertEqual((data(items), ends(items), house.process().running), (b"bye", [], True))
        child.exit(0)
        self.assertEqual(ends(everything(watch)), [("job", 0)])

    def test_one_channel_ends(self) -> None:
        """When one output ends, the other is captured to its own end."""
        house = House()
        child = house.child()
        child.close_output(STDOUT)
        child.print(b"err", STDERR)
        child.exit(0)
        items = everything(house.watch("job"))
        self.assertEqual((data(items), ends(items)), (b"err", [("job", 0)]))

    def test_without_captured_output(self) -> None:
        """A process of which nothing is captured is closed at its exit."""
        house = House()
        child = house.child(bufsize=0)
        watch = house.watch("job")
        child.exit(1)
        self.assertEqual(ends(everything(watch)), [("job", 1)])

    def test_stays_until_acknowledged(self) -> None:
        """A process that has ended is listed, found by name and pid, until its close was acknowledged."""
        house = House()
        child = house.child()
        child.exit(0)
        watch = house.watch(str(child.pid))
        everything(watch)
        self.assertEqual(house.names(), ["job"])
        watch.acknowledge()
        self.assertEqual(house.names(), [])

    def test_forgotten_by_itself(self) -> None:
        """One that was made to be forgotten is so when it has exited and its output has ended, and not before."""
        house = House()
        child = house.child(forget=True)
        child.print(b"said")
        child.exit(3, output_stays_open=True)
        self.assertEqual(house.names(), ["job"])
        child.close_output()
        self.assertEqual(house.names(), [])

    def test_forgotten_after_its_readers(self) -> None:
        """Such a process stays while somebody reads it, who gets everything, acknowledged or not."""
        for observe in (True, False):
            house = House()
            child = house.child(forget=True)
            watch = house.watch("job", observe=observe)
            child.print(b"said")
            child.exit(3)
            self.assertEqual(house.names(), ["job"])
            items = everything(watch)
            self.assertEqual((data(items), ends(items)), (b"said", [("job", 3)]))
            watch.stop()
            self.assertEqual(house.names(), [])

    def test_forgotten_after_its_cursors(self) -> None:
        """Such a process stays until each cursor has its end."""
        house = House()
        child = house.child(forget=True)
        watch = all_at_once(house.kernel.watch(WatchProcesses(names=("job",), cursor="ship"), Bell()))
        child.print(b"said")
        child.exit(0)
        self.assertEqual(house.names(), ["job"])
        self.assertEqual(data(everything(watch)), b"said")
        watch.acknowledge()
        self.assertEqual(house.names(), [])

    def test_what_is_kept_is_told(self) -> None:
        """The record tells how much is kept, of how much that may be."""
        house = House()
        child = house.child(bufsize=100)
        watch = house.watch("job")
        child.print(b"x" * 60)
        self.assertEqual((house.process().buffered, house.process().bufsize), (60, 100))
        everything(watch)
        watch.acknowledge()
        self.assertEqual((house.process().buffered, house.process().captured), (0, 60))

    def test_remaining(self) -> None:
        """What still runs when papa ends is told."""
        house = House()
        house.child("ended").exit(0)
        house.child("alone").exit(0, output_stays_open=True)
        house.make("running")
        self.assertEqual([process.name for process in house.kernel.remaining()], ["running"])


class RemovingTests(SynchronousTestCase):
    """Throwing output away and forgetting."""

    def test_while_it_runs(self) -> None:
        """The process is not touched; what it prints is read and thrown away; at its exit the name is free."""
        house = House()
        child = house.child()
        child.print(b"kept so far")
        remove(house, "job")
        child.print(b"unseen")
        self.assertEqual((house.process().running, everything(house.watch("job"))), (True, []))
        child.exit(0, output_stays_open=True)
        self.assertEqual(house.names(), [])

    def test_after_its_exit(self) -> None:
        """A process that has exited is forgotten at once."""
        house = House()
        house.child().exit(0)
        remove(house, "job")
        self.assertEqual(house.names(), [])

    def test_watchers_are_told_the_end(self) -> None:
        """A watcher of a removed process is told its end, and nothing of a hole."""
        house = House()
        child = house.child()
        child.print(b"unseen")
        watch = house.watch("job")
        remove(house, "job")
        child.exit(5)
        items = everything(watch)
        self.assertEqual((data(items), holes(items), ends(items)), (b"", [], [("job", 5)]))
        watch.acknowledge()
        self.assertEqual(watch.count, 0)

    def test_by_identity(self) -> None:
        """When the name was made again before the old close was acknowledged, the new process stays."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        child.exit(0)
        everything(watch)
        remove(house, "job")
        new = house.child("job", "new")
        watch.acknowledge()
        self.assertEqual(house.process().pid, new.pid)
        new.print(b"captured")
        self.assertEqual(data(everything(house.watch("job"))), b"captured")

    def test_late_output_of_the_old(self) -> None:
        """What the old process's grandchildren print never reaches readers of the new one, nor does its end."""
        house = House()
        old = house.child()
        old.exit(0, output_stays_open=True)
        remove(house, "job")
        new = house.child("job", "new")
        watch = house.watch("job")
        old.print(b"late")
        old.close_output()
        self.assertFalse(watch.pending)
        self.assertEqual(house.process().captured, 0)
        new.exit(1)
        self.assertEqual(ends(everything(watch)), [("job", 1)])

    def test_unknown_name(self) -> None:
        """A plain name that is not held is an error, and then none of the others is removed; a pattern never is."""
        house = House()
        house.child("a").exit(0)
        self.assertRaises(NotFound, remove, house, "a", "b")
        self.assertEqual(house.names(), ["a"])
        remove(house, "x*")
        remove(house, "a*")
        self.assertEqual(house.names(), [])


class OverflowTests(SynchronousTestCase):
    """Full buffers."""

    def test_block_pauses_and_resumes(self) -> None:
        """With overflow=block a full buffer stops the reading; what makes room starts it again; nothing is lost."""
        house = House()
        child = house.child(bufsize=100, overflow="block")
        watch = house.watch("job")
        child.print(b"x" * 99)
        self.assertFalse(child.paused)
        child.print(b"y" * 51)
        self.assertTrue(child.paused)
        items = everything(watch)
        self.assertTrue(child.paused)
        watch.acknowledge()
        self.assertFalse(child.paused)
        self.assertEqual((data(items), holes(items), house.process().dropped), (b"x" * 99 + b"y" * 51, [], 0))

    def test_block_and_exit(self) -> None:
        """What a child printed while it was not read is read when there is room, though it has exited by then."""
        house = House()
        child = house.child(bufsize=100, overflow="block")
        watch = house.watch("job")
        child.print(b"x" * 100)
        child.print(b"in the pipe")
        child.exit(0)
        self.assertEqual((house.process().running, house.process().captured), (False, 100))
        items = everything(watch)
        self.assertEqual((data(items), ends(items)), (b"x" * 100, []))
        watch.acknowledge()
        items = everything(watch)
        self.assertEqual((data(items), ends(items)), (b"in the pipe", [("job", 0)]))

    def test_removed_after_its_exit(self) -> None:
        """One that has exited while it waited for room is read to its end when it is removed: its pipes are closed."""
        house = House()
        child = house.child(bufsize=10, overflow="block")
        child.print(b"x" * 12)
        child.exit(0)
        remove(house, "job")
        self.assertFalse(child.paused)

    def test_block_waits_for_the_slowest(self) -> None:
        """It goes on when the last watcher has been given enough, or has gone."""
        house = House()
        child = house.child(bufsize=100, overflow="block")
        quick, slow = house.watch("job"), house.watch("job")
        child.print(b"x" * 100)
        everything(quick)
        quick.acknowledge()
        self.assertTrue(child.paused)
        slow.stop()
        self.assertFalse(child.paused)

    def test_readers_of_a_forgotten_process(self) -> None:
        """Who still reads when a process is forgotten gets all of it, wherever it lies; then nobody holds it."""
        for lasting in (False, True):
            house = House(lasting=lasting)
            child = house.child()
            quick, slow, observer = house.watch("job"), house.watch("job"), house.watch("job", observe=True)
            child.print(b"all of it")
            child.exit(3)
            everything(quick)
            quick.acknowledge()
            self.assertEqual(house.kernel.list_processes(ListProcesses()), {})
            for reader in (observer, slow):
                self.assertFalse(child.forgotten)
                items = everything(reader)
                self.assertEqual((data(items), ends(items)), (b"all of it", [("job", 3)]))
                reader.acknowledge()
            self.assertTrue(child.forgotten)

    def test_block_and_an_observer(self) -> None:
        """One who only looks makes no room."""
        house = House()
        child = house.child(bufsize=100, overflow="block")
        observer = house.watch("job", observe=True)
        child.print(b"x" * 100)
        everything(observer)
        observer.acknowledge()
        self.assertTrue(child.paused)

    def test_block_and_removal(self) -> None:
        """A removed process is read on: nobody is going to make room."""
        house = House()
        child = house.child(bufsize=100, overflow="block")
        child.print(b"x" * 100)
        remove(house, "job")
        self.assertFalse(child.paused)
        child.print(b"x" * 100)
        self.assertFalse(child.paused)

    def test_drop_oldest_never_pauses(self) -> None:
        """Unless told otherwise a full buffer drops its oldest, counts what it dropped, and the child never waits."""
        house = House()
        child = house.child(bufsize=1000)
        for _ in range(100):
            child.print(b"x" * 100)
        process = house.process()
        self.assertFalse(child.paused)
        self.assertEqual(process.captured, 10_000)
        kept = data(everything(house.watch("job")))
        self.assertEqual(process.captured - process.dropped, len(kept))
        self.assertLessEqual(len(kept), 1000)
        self.assertGreaterEqual(len(kept), 500)


class StdinTests(SynchronousTestCase):
    """Input."""

    def test_write_and_close(self) -> None:
        """Bytes reach the program as they are, and then the end."""
        house = House()
        child = house.child(stdin="pipe")
        house.kernel.write_process(WriteProcess(name="job", data=b"a\0b\n"))
        self.assertEqual((child.stdin, child.stdin_open), ([b"a\0b\n"], True))
        house.kernel.close_stdin(CloseStdin(name="job"))
        self.assertFalse(child.stdin_open)
        self.assertRaises(BadRequest, house.kernel.write_process, WriteProcess(name="job", data=b"c"))
        self.assertRaises(BadRequest, house.kernel.close_stdin, CloseStdin(name="job"))
        self.assertEqual(child.stdin, [b"a\0b\n"])

    def test_refused(self) -> None:
        """One that was not made with a pipe, has exited, or is not held takes no input, and the message says which."""
        house = House()
        house.child("deaf")
        house.child("ended", stdin="pipe").exit(3)
        for name, refusal, said in (
            ("deaf", BadRequest, "it was not made with stdin=pipe"),
            ("ended", BadRequest, "Process ended has exited with 3"),
            ("daef", NotFound, "did you mean 'deaf'?"),
        ):
            for ask in (
                lambda name=name: house.kernel.write_process(WriteProcess(name=name, data=b"x")),
                lambda name=name: house.kernel.close_stdin(CloseStdin(name=name)),
            ):
                error = self.assertRaises(refusal, ask)
                self.assertIn(said, str(error))


class LendingTests(SynchronousTestCase):
    """Descriptors of processes."""

    def test_lend(self) -> None:
        """A process is lent with its record, by its name, while there is something to signal."""
        house = House()
        child = house.child()
        lent = house.kernel.lend_process(LendProcess(name="job"))
        self.addCleanup(os.close, lent.descriptor)
        self.assertEqual(lent.record, house.process())
        self.assertRaises(NotFound, house.kernel.lend_process, LendProcess(name="other"))
        child.exit(0)
        self.assertRaises(SpawnFailed, house.kernel.lend_process, LendProcess(name="job"))


class ClockTests(SynchronousTestCase):
    """Clocks that are set."""

    def test_steps_backwards(self) -> None:
        """When the clock is set back an hour, nothing is lost, doubled, or acknowledged unread."""
        house = House()
        child = house.child()
        watch = house.watch("job")
        child.print(b"before " * 20)
        items = everything(watch)
        house.wall.now -= 3600
        child.print(b"after " * 20)
        watch.acknowledge()
        items += everything(watch)
        child.exit(0)
        items += everything(watch)
        watch.acknowledge()
        self.assertEqual((data(items), ends(items)), (b"before " * 20 + b"after " * 20, [("job", 0)]))
        self.assertEqual(house.names(), [])

    def test_stands_still(self) -> None:
        """A clock that does not move changes nothing either."""
        house = House()
        child = house.child(bufsize=1000)
        watch = house.watch("job")
        for number in range(100):
            child.print(b"%02d" % number)
            items = everything(watch)
            self.assertEqual(data(items), b"%02d" % number)
            watch.acknowledge()


class ListingTests(SynchronousTestCase):
    """Lists."""

    def test_by_pid_and_pattern(self) -> None:
        """Processes are listed by name, pattern or pid, sorted by name; a name that is not held is no error."""
        house = House()
        pids = {name: house.make(name).pid for name in ("web.2", "web.1", "db")}
        for patterns, expected in (
            ((), ["db", "web.1", "web.2"]),
            (("web.*",), ["web.1", "web.2"]),
            ((str(pids["db"]),), ["db"]),
            (("nothing",), []),
        ):
            self.assertEqual(list(house.kernel.list_processes(ListProcesses(names=patterns))), expected)

    def test_pages(self) -> None:
        """A long list comes in parts, each begun behind the last name of the one before."""
        house = House()
        for name in "abcde":
            house.make(name)
        first = house.kernel.list_processes(ListProcesses(most=2))
        second = house.kernel.list_processes(ListProcesses(after="b", most=2))
        last = house.kernel.list_processes(ListProcesses(after="d", most=2))
        self.assertEqual([list(each) for each in (first, second, last)], [["a", "b"], ["c", "d"], ["e"]])


class RefusalTests(SynchronousTestCase):
    """A refused request changes nothing."""

    def test_nothing_changes(self) -> None:
        """After each kind of refusal all that a client can see is as it was, and nothing has happened."""
        house = House()
        house.socket("web")
        house.socket("shared", port=9000, reuseport=True)
        house.child("job", stdin="null").print(b"kept")
        house.children.missing.add("nothing")
        house.diary.read()
        before, sockets = house.state(), house.bound()
        for ask in (
            lambda: house.make("job", "another"),
            lambda: house.make("new", "nothing"),
            lambda: house.make("new", "$(socket.unknown.fileno)"),
            lambda: house.make("new", "nothing", "$(socket.shared.fileno)"),
            lambda: house.make("new", "x", "$(socket.shared.fileno)", "$(socket.unknown.fileno)"),
            lambda: house.make("new", uid="nobody-at-all"),
            lambda: house.make("new", listen=("web", "unknown")),
            lambda: house.socket("web", port=1),
            lambda: house.socket("other", port=9000),
            lambda: remove(house, "job", "unknown"),
            lambda: house.watch("job", "unknown"),
            lambda: house.kernel.write_process(WriteProcess(name="job", data=b"x")),
        ):
            self.assertRaises(Error, ask)
            self.assertEqual((house.state(), house.bound(), house.diary.read()), (before, sockets, []))
        self.assertEqual(data(everything(house.watch("job"))), b"kept")
