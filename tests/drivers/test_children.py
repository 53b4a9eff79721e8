"""Starting, feeding, reading and reaping children: the contract on both drivers, and what only a real system has."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import itertools
import os
import resource
import shutil
import signal
import socket
import tempfile
import time
import weakref
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from papa.childspec import Identity
from papa.commands import MakeProcess, MakeSocket, RemoveProcesses
from papa.drivers import inheritance
from papa.drivers.children import Child, SystemChildren
from papa.drivers.inheritance import DescriptorLimit, reset_signals, shut_descriptors
from papa.drivers.memory import MemoryChild, MemoryChildren
from papa.drivers.sockets import SystemSockets
from papa.errors import BadRequest, Error, LimitReached, SpawnFailed
from papa.interfaces import IEventObserver
from papa.kernel.core import Kernel
from papa.records import STDOUT, UNKNOWN_EXIT, Event
from tests.drivers.apart import apart, forbid, react, signal_set
from tests.drivers.contracts import Actor, Audience, ChildrenContract, spec
from tests.support import hold_descriptors, until

#: A shell that does what it reads from a pipe with a name.
_PUPPET = 'exec 9<"$0"; while read -r line <&9; do eval "$line"; done'
_PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
_SLEEP = ("/bin/sleep", "1000")


def open_files() -> list[int]:
    """The descriptors that this process has open, but for those of what is not used any more."""
    gc.collect()
    found = []
    for name in os.listdir("/proc/self/fd"):
        # But for the one that the listing was read from.
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            found.append(int(name))
    return sorted(found)


def children_now() -> set[int]:
    """The children of this process, running or not yet reaped; a kernel that other tests use may be one of them."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # The name in parentheses may hold anything; state and parent follow it.
            if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(pid))
    return found


def told_by_system(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status)}


def asleep(pid: int) -> int:
    """Its pid, once a program that only sleeps has got so far: before, it opens what it is loaded from."""
    until(lambda: told_by_system(pid)["State"].startswith("S"), "falling asleep")
    return pid


def limits_of(pid: int, title: str) -> list[str]:
    """The soft and the hard limit of a process."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        return next(line[len(title) :].split()[:2] for line in limits if line.startswith(title))


def environment_of(pid: int) -> dict[str, str]:
    """What a program was started with."""
    with open(f"/proc/{pid}/environ", encoding="utf-8") as environ:
        return dict(item.split("=", 1) for item in environ.read().split("\0") if item)


def files_of(pid: int) -> dict[int, str]:
    """What a process has open, by descriptor."""
    return {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


def own_identity() -> Identity:
    return Identity(uid=os.geteuid(), gid=os.getegid())


async def turn() -> None:
    """Let the reactor run, and go round once."""
    await deferLater(IReactorTime(reactor), 0)


class MemoryActor:
    """A child of memory."""

    def __init__(self, child: MemoryChild) -> None:
        self.child = child
        self.print = child.print

    def close_output(self, channel: int) -> None:
        self.child.close_output(channel)

    def exit(self, code: int) -> None:
        self.child.exit(code)

    def exit_leaving_heir(self, code: int) -> None:
        self.child.exit(code, output_stays_open=True)

    def end_heir(self) -> None:
        self.child.close_output()

    def input(self) -> Deferred[bytes]:
        return succeed(b"".join(self.child.stdin))


class MemoryChildrenTests(ChildrenContract, TestCase):
    """The contract, kept by children of memory."""

    def setUp(self) -> None:
        self.children = MemoryChildren()
        self.children.missing.add(self.missing)

    def driver(self) -> MemoryChildren:
        return self.children

    def start(self, audience: Audience, **fields: Any) -> Actor:
        return MemoryActor(self.children.spawn(spec("puppet", **fields), audience))


class RealActor:
    """A shell that reads from a pipe what to do."""

    def __init__(self, child: Child, audience: Audience, path: str) -> None:
        self.child = child
        self._audience = audience
        self._lines = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._heir = os.open(f"{path}.heir", os.O_RDWR | os.O_CLOEXEC)

    def do(self, line: str) -> None:
        """Let the shell run a line."""
        os.write(self._lines, line.encode() + b"\n")

    def print(self, data: bytes, channel: int = STDOUT) -> None:
        self.do(f"printf %s '{data.decode()}' >&{channel}")

    def close_output(self, channel: int) -> None:
        self.do(f"exec {channel}>&-")

    def exit(self, code: int) -> None:
        self.do(f"exit {code}" if code >= 0 else f"kill {code} $$")

    def exit_leaving_heir(self, code: int) -> None:
        self.do(f'{{ read -r line <"$0.heir"; }} & exit {code}')

    def end_heir(self) -> None:
        os.write(self._heir, b"\n")

    async def _input(self) -> bytes:
        self.do("cat; printf END")
        await self._audience.until(lambda: self._audience.out.endswith(b"END"))
        return self._audience.out.removesuffix(b"END")

    def input(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._input())

    def close(self) -> None:
        os.close(self._lines)
        os.close(self._heir)


class RealChildrenTestCase(TestCase):
    """Tests that start real children; each ends with its test."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.children = SystemChildren(reactor, DescriptorLimit())
        self.others = children_now()

    def spawn(self, *args: str, audience: Audience | None = None, **fields: Any) -> tuple[Child, Audience]:
        """Start a program, as the user of the tests."""
        audience = Audience() if audience is None else audience
        child = self.children.spawn(spec(*args, **{"identity": own_identity(), "env": _PATH, **fields}), audience)
        self.addCleanup(self._end, child.child_pid, audience)
        return child, audience

    def sleeper(self, **fields: Any) -> int:
        """The pid of a program that does nothing: what it has is what it was given."""
        return asleep(self.spawn(*_SLEEP, **fields)[0].child_pid)

    @staticmethod
    def _end(pid: int, audience: Audience) -> Deferred[None]:
        if not audience.over:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        return audience.until_over()

    def actor(self, audience: Audience, **fields: Any) -> RealActor:
        path = os.path.join(tempfile.mkdtemp(dir=self.folder), "lines")
        os.mkfifo(path)
        os.mkfifo(f"{path}.heir")
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            child, _ = self.spawn("/bin/sh", "-c", _PUPPET, path, audience=audience, **fields)
            actor = RealActor(child, audience, path)
        finally:
            os.close(handle)
        self.addCleanup(actor.close)
        return actor

    def program(self, text: str, mode: int = 0o755, name: str = "program") -> str:
        """A program of the test's own."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as program:
            program.write(text)
        os.chmod(path, mode)
        return path


class RealChildrenTests(ChildrenContract, RealChildrenTestCase):
    """The contract, kept by real children."""

    def driver(self) -> SystemChildren:
        return self.children

    def start(self, audience: Audience, **fields: Any) -> Actor:
        return self.actor(audience, **fields)


class InheritedTests(RealChildrenTestCase):
    """What a child has of papa, looked at from outside before it does anything."""

    def prepared(self) -> list[dict[str, Any]]:
        """Nothing special, and what makes papa run code in the child: both must come out the same."""
        return [{}, {"rlimits": {"core": (0, 0)}}]

    def test_own_session(self) -> None:
        """Each child leads a session of its own: what is sent to papa's terminal does not reach it."""
        for fields in self.prepared():
            pid = self.sleeper(**fields)
            self.assertEqual((os.getsid(pid), os.getpgid(pid)), (pid, pid))

    def test_only_promised_files(self) -> None:
        """A child has its standard streams and what it was promised, whatever papa has open and inheritable."""
        with open(self.program(""), encoding="utf-8") as promised, socket.create_server(("127.0.0.1", 0)) as stray:
            for close_range, fields in itertools.product((inheritance._close_range, None), self.prepared()):
                # Systems differ in who closes the others.
                self.patch(inheritance, "_close_range", close_range)
                os.set_inheritable(stray.fileno(), True)
                pid = self.sleeper(**fields)
                self.assertEqual(sorted(files_of(pid)), [0, 1, 2])
                os.set_inheritable(stray.fileno(), True)
                pid = self.sleeper(descriptors={promised.fileno(): promised.fileno()}, **fields)
                files = files_of(pid)
                self.assertEqual(sorted(files), [0, 1, 2, promised.fileno()])
                self.assertEqual(files[promised.fileno()], promised.name)
                self.assertFalse(os.get_inheritable(promised.fileno()))

    def test_standard_streams(self) -> None:
        """What is not a pipe is /dev/null, never a file of papa's."""
        own = os.dup(0)
        self.addCleanup(os.close, own)
        self.addCleanup(os.dup2, own, 0)
        with open(self.program(""), encoding="utf-8") as other:
            os.dup2(other.fileno(), 0)
        for fields in self.prepared():
            files = files_of(self.sleeper(stdout="null", stderr="stdout", **fields))
            self.assertEqual(files, dict.fromkeys((0, 1, 2), "/dev/null"))
            files = files_of(self.sleeper(stdin="pipe", stderr="null", **fields))
            self.assertRegex(files[0], "^pipe:")
            self.assertRegex(files[1], "^pipe:")
            self.assertEqual(files[2], "/dev/null")

    def test_pipes_are_apart(self) -> None:
        """Stdout and stderr are two pipes, or with C{stderr=stdout} one."""
        files = files_of(self.sleeper())
        self.assertNotEqual(files[1], files[2])
        files = files_of(self.sleeper(stderr="stdout"))
        self.assertEqual(files[1], files[2])

    def test_umask(self) -> None:
        """A child has the mask it was given, or papa's own; papa's own stays."""
        own = told_by_system(os.getpid())["Umask"]
        for fields in self.prepared():
            self.assertEqual(told_by_system(self.sleeper(umask=0o027, **fields))["Umask"], "0027")
            self.assertEqual(told_by_system(self.sleeper(umask=0, **fields))["Umask"], "0000")
            self.assertEqual(told_by_system(self.sleeper(**fields))["Umask"], own)
        self.assertEqual(told_by_system(os.getpid())["Umask"], own)

    def test_working_dir(self) -> None:
        """A child starts in the folder it was given, or in papa's own."""
        for fields in self.prepared():
            pid = self.sleeper(working_dir=self.folder, **fields)
            self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), os.path.realpath(self.folder))
            self.assertEqual(os.readlink(f"/proc/{self.sleeper(**fields)}/cwd"), os.path.realpath(os.getcwd()))

    def test_environment_replaced(self) -> None:
        """A child has exactly the variables it was given: strange ones too, and none by default."""
        env = {"A": "", "B": "x=y\nz", "C": "\udcff\u00e9"}
        for fields in self.prepared():
            self.assertEqual(environment_of(self.sleeper(env={}, **fields)), {})
            pid = self.sleeper(env=env, **fields)
            with open(f"/proc/{pid}/environ", "rb") as environ:
                self.assertEqual(sorted(environ.read().split(b"\0")), [b"", b"A=", b"B=x=y\nz", b"C=\xff\xc3\xa9"])

    def test_environment_inherited(self) -> None:
        """With C{inherit_env} a child has papa's variables too, but for those that are meant for papa alone."""
        private = ["PAPA_RUNTIME_DIR", "PAPA_X", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"]
        before = dict(os.environ)
        self.addCleanup(os.environ.update, before)
        for name in [*private, "COMMON", "CHANGED"]:
            self.addCleanup(os.environ.pop, name, None)
            os.environ[name] = "papa's"
        for fields in self.prepared():
            env = environment_of(self.sleeper(inherit_env=True, env={"CHANGED": "own", "PAPA_X": "own"}, **fields))
            self.assertEqual(env["COMMON"], "papa's")
            self.assertEqual(env["CHANGED"], "own")
            self.assertEqual({name: env.get(name) for name in private if name in env}, {"PAPA_X": "own"})

    def test_arguments(self) -> None:
        """Arguments arrive byte for byte: empty ones, spaces, newlines, quotes, what is no UTF-8."""
        args = ["", " ", "a\nb", "'\"\\", "$(x)", "\udcff", "\u00e9", "-"]
        pid = asleep(self.spawn("/bin/sh", "-c", "read -r line; exit 0", *args, stdin="pipe")[0].child_pid)
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            self.assertEqual(cmdline.read().split(b"\0")[3:-1], [os.fsencode(arg) for arg in args])

    def test_rlimits(self) -> None:
        """Each limit is set as asked, soft and hard; the others stay papa's."""
        pid = self.sleeper(rlimits={"nofile": (33, 44), "core": (0, 0), "cpu": (1000, 2000)})
        self.assertEqual(limits_of(pid, "Max open files"), ["33", "44"])
        self.assertEqual(limits_of(pid, "Max core file size"), ["0", "0"])
        self.assertEqual(limits_of(pid, "Max cpu time"), ["1000", "2000"])
        self.assertEqual(limits_of(pid, "Max stack size"), limits_of(os.getpid(), "Max stack size"))

    def test_identity(self) -> None:
        """A child has exactly the user, group and supplementary groups asked for, and no way back."""
        if os.geteuid() != 0:
            self.skipTest("only root can start programs as another user")
        for groups in ((), (4, 24, 65534)):
            pid = self.sleeper(identity=Identity(uid=65534, gid=65533, groups=groups, changed=True))
            status = told_by_system(pid)
            self.assertEqual(status["Uid"].split(), ["65534"] * 4)
            self.assertEqual(status["Gid"].split(), ["65533"] * 4)
            self.assertEqual(tuple(map(int, status["Groups"].split())), groups)
            self.assertEqual(int(status["CapEff"], 16), 0)

    def test_looked_up_identity(self) -> None:
        """The identity that a request asks for is the one that its child gets, whatever groups papa has."""
        if os.geteuid() != 0:
            self.skipTest("only root can start programs as another user")
        before = os.getgroups()
        self.addCleanup(os.setgroups, before)
        os.setgroups([4, 24, 27])
        identity = self.children.identity(MakeProcess(name="x", args=_SLEEP, gid=65533))
        status = told_by_system(self.sleeper(identity=identity))
        self.assertEqual(status["Gid"].split(), ["65533"] * 4)
        self.assertEqual(status["Groups"].split(), ["65533"])


class ListenTests(RealChildrenTestCase):
    """Held sockets handed over as systemd does."""

    def held(self, count: int) -> list[socket.socket]:
        found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        for each in found:
            self.addCleanup(each.close)
        return found

    @staticmethod
    def where(each: socket.socket) -> str:
        return os.readlink(f"/proc/self/fd/{each.fileno()}")

    def test_descriptors_and_variables(self) -> None:
        """Sockets lie at 3 and following, in order; the variables tell how many, for whom, and their names."""
        for count in (1, 3):
            sockets = self.held(count)
            listen = tuple((f"name{number}", each.fileno()) for number, each in enumerate(sockets))
            pid = self.sleeper(listen=listen, env={"OTHER": "x", "LISTEN_FDS": "99"})
            files = files_of(pid)
            self.assertEqual(sorted(files), list(range(3 + count)))
            self.assertEqual([files[3 + number] for number in range(count)], [self.where(each) for each in sockets])
            self.assertEqual(
                environment_of(pid),
                {
                    "OTHER": "x",
                    "LISTEN_PID": str(pid),
                    "LISTEN_FDS": str(count),
                    "LISTEN_FDNAMES": ":".join(f"name{number}" for number in range(count)),
                },
            )

    def test_variables_that_python_does_not_know(self) -> None:
        """What a library has set in papa's environment behind Python's back does not reach a child."""
        libc = ctypes.CDLL(None)
        libc.setenv(b"BEHIND", b"papa's", 1)
        self.addCleanup(libc.unsetenv, b"BEHIND")
        (held,) = self.held(1)
        for fields in ({}, {"inherit_env": True}):
            self.assertNotIn("BEHIND", environment_of(self.sleeper(listen=(("a", held.fileno()),), **fields)))

    def test_with_everything_else(self) -> None:
        """Limits, another user, and sockets under their own number go together with it."""
        first, second = self.held(2)
        root = os.geteuid() == 0
        identity = Identity(uid=65534, gid=65534, changed=True) if root else own_identity()
        pid = self.sleeper(
            listen=(("a", first.fileno()),),
            descriptors={second.fileno(): second.fileno()},
            rlimits={"nofile": (64, 64)},
            identity=identity,
            working_dir="/",
        )
        files = files_of(pid)
        self.assertEqual((files[3], files[second.fileno()]), (self.where(first), self.where(second)))
        self.assertEqual(sorted(files), sorted([0, 1, 2, 3, second.fileno()]))
        self.assertEqual(told_by_system(pid)["Uid"].split(), [str(identity.uid)] * 4)

    def test_also_under_its_own_number(self) -> None:
        """A socket that is handed over and also promised under its own number is there twice."""
        (held,) = self.held(1)
        files = files_of(self.sleeper(listen=(("a", held.fileno()),), descriptors={held.fileno(): held.fileno()}))
        self.assertEqual(files[3], self.where(held))
        self.assertEqual(files[held.fileno()], self.where(held))

    def test_papa_keeps_its_own(self) -> None:
        """Nothing of papa's changes: neither its descriptors nor its environment."""
        (held,) = self.held(1)
        before, environ = open_files(), dict(os.environ)
        pid = self.sleeper(listen=(("a", held.fileno()),), stdout="null", stderr="null")
        self.assertEqual(set(open_files()) - set(before), {self._pidfd(pid)})
        self.assertEqual(dict(os.environ), environ)
        self.assertFalse(os.get_inheritable(held.fileno()))

    @staticmethod
    def _pidfd(pid: int) -> int:
        for descriptor in open_files():
            with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
                if f"Pid:\t{pid}\n" in info.read():
                    return descriptor
        raise AssertionError("no pidfd")

    def test_sources_where_targets_are(self) -> None:
        """Sockets that lie on each other's target numbers come out in order all the same."""
        sockets = self.held(30)[::-1]
        self.assertLess(sockets[-1].fileno(), 3 + len(sockets))
        files = files_of(self.sleeper(listen=tuple(("a", each.fileno()) for each in sockets)))
        self.assertEqual(sorted(files), list(range(3 + len(sockets))))
        self.assertEqual([files[3 + number] for number in range(30)], [self.where(each) for each in sockets])


class InputTests(RealChildrenTestCase):
    """The standard input of a child."""

    async def test_much_then_end(self) -> None:
        """Far more than a pipe holds arrives whole, and the end of input after it."""
        child, audience = self.spawn("/bin/sh", "-c", "wc -c", stdin="pipe")
        child.write(b"x" * 1_000_000)
        child.close_stdin()
        await audience.until_over()
        self.assertEqual(audience.out.strip(), b"1000000")

    async def test_full_input_is_refused(self) -> None:
        """More for a child that does not read is refused; once it has read, there is room again."""
        audience = Audience()
        actor = self.actor(audience, stdin="pipe")
        written = 0
        while True:
            try:
                actor.child.write(b"x" * 50_000)
            except LimitReached as error:
                self.assertIn("has not read", str(error))
                break
            written += 50_000
            self.assertLess(written, 1_000_000)
        actor.do(f"head -c {written} | wc -c")
        await audience.until(lambda: audience.out.endswith(b"\n"))
        self.assertEqual(int(audience.out), written)
        actor.child.write(b"again\n")
        actor.do("read -r line; echo $line")
        await audience.until(lambda: audience.out.endswith(b"again\n"))

    async def test_closed_by_child(self) -> None:
        """A child that closes its standard input is written to no more; it goes on."""
        audience = Audience()
        actor = self.actor(audience, stdin="pipe")
        actor.do("exec 0<&-; echo closed")
        await audience.until(lambda: audience.out == b"closed\n")
        with self.assertRaises(BadRequest):
            while True:
                actor.child.write(b"x")
                await turn()
        actor.do("echo alive; exit 6")
        await audience.until_over()
        self.assertEqual((audience.out, audience.codes), (b"closed\nalive\n", [6]))

    async def test_open_input_after_exit(self) -> None:
        """A child that exits without reading its input is over; nothing of it stays open."""
        await turn()
        before = open_files()
        child, audience = self.spawn("/bin/sh", "-c", "exit 0", stdin="pipe")
        child.write(b"x" * 200_000)
        await audience.until_over()
        while set(open_files()) - set(before):
            await turn()
        self.assertRaises(BadRequest, child.write, b"x")


class OutputTests(RealChildrenTestCase):
    """Capturing what real programs print."""

    async def test_every_byte(self) -> None:
        """Megabytes on both channels arrive complete and in order, whatever bytes they are."""
        data = bytes(range(256)) * 20_000
        path = os.path.join(self.folder, "data")
        with open(path, "wb") as file:
            file.write(data)
        _, audience = self.spawn("/bin/sh", "-c", f"cat {path} & cat {path} >&2; wait; exit 9")
        await audience.until_over()
        self.assertTrue(audience.out == data)
        self.assertTrue(audience.err == data)
        self.assertEqual((audience.codes, audience.ends), ([9], 1))

    async def test_paused_child_waits(self) -> None:
        """A child whose output is not read stops at a full pipe, and loses nothing."""

        class Pausing(Audience):
            def output_arrived(self, channel: int, data: bytes) -> None:
                child.pause_output()
                super().output_arrived(channel, data)

        audience = Pausing()
        child, _ = self.spawn("/bin/sh", "-c", "head -c 1000000 /dev/zero", audience=audience)
        await audience.until(lambda: bool(audience.out))
        pipe = child.pipes[STDOUT].fileno()
        until(lambda: _unread(pipe) == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ), "a full pipe")
        self.assertLessEqual(len(audience.out), 65536)
        while not audience.ends:
            before = len(audience.out)
            child.resume_output()
            await audience.until(lambda before=before: bool(audience.ends) or len(audience.out) > before)
        await audience.until_over()
        self.assertEqual((len(audience.out), audience.codes), (1_000_000, [0]))


class FailingTests(RealChildrenTestCase):
    """papa itself fails at what it is told of a child."""

    async def test_child_goes_on(self) -> None:
        """That is logged, and the child prints and ends as if nothing had been."""

        class Failing(Audience):
            def output_arrived(self, channel: int, data: bytes) -> None:
                super().output_arrived(channel, data)
                raise ZeroDivisionError

            def output_ended(self) -> None:
                super().output_ended()
                raise ZeroDivisionError

            def exited(self, code: int) -> None:
                super().exited(code)
                raise ZeroDivisionError

        audience = Failing()
        child = self.children.spawn(spec("/bin/sh", "-c", "echo one; read x; echo two; exit 7", stdin="pipe"), audience)
        await audience.until(lambda: audience.out == b"one\n")
        await turn()
        child.write(b"x\n")
        await audience.until_over()
        await turn()  # Whoever has told of the end hears what comes of that.
        self.assertEqual((audience.out, audience.err, audience.codes), (b"one\ntwo\n", b"", [7]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)


class ExitTests(RealChildrenTestCase):
    """Seeing the end of each child, once."""

    def prompt(self) -> tuple[Audience, Callable[[], None]]:
        """An audience that must not be told anything until spawn has returned, and what says that it has."""
        returned = []

        class Later(Audience):
            def _look(self) -> None:
                assert returned, "told before spawn returned"
                super()._look()

            def until(self, condition: Callable[[], bool]) -> Deferred[None]:
                assert returned
                return super().until(condition)

        return Later(), lambda: returned.append(True)

    async def test_fast_exits(self) -> None:
        """Programs that end at once, one after the other: each end is told once, with its code, after the start."""
        for number in range(100):
            audience, returned = self.prompt()
            fields: dict[str, Any] = {} if number % 2 else {"stdout": "null", "stderr": "null"}
            child = self.children.spawn(
                spec("/bin/sh", "-c", f"exit {number}", identity=own_identity(), **fields), audience
            )
            returned()
            await audience.until_over()
            self.assertEqual((audience.codes, audience.ends), ([number], 1), child)
        self.assertEqual(children_now() - self.others, set())

    async def test_gone_before_anyone_looks(self) -> None:
        """A child that has exited before papa could look at it is told of like any other, after the start."""

        class LateReactor:
            """Comes to watch a descriptor only when a child has exited."""

            def __getattr__(self, name: str) -> Any:
                return getattr(reactor, name)

            def addReader(self, reader: Any) -> None:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                reactor.addReader(reader)  # type: ignore[attr-defined]

        for script, out in (("exit 11", b""), ("echo x; exit 11", b"x\n")):
            audience, returned = self.prompt()
            late = SystemChildren(LateReactor(), DescriptorLimit())  # type: ignore[arg-type]
            late.spawn(spec("/bin/sh", "-c", script, identity=own_identity()), audience)
            returned()
            self.assertEqual(audience.told, [])
            await audience.until_over()
            self.assertEqual((audience.out, audience.codes, audience.ends), (out, [11], 1))
        self.assertEqual(children_now() - self.others, set())

    async def test_many_at_once(self) -> None:
        """300 children that live at the same time: each has its own output, its own code, and is told of once."""
        hold_descriptors(self, 2000)
        await turn()
        before = open_files()
        audiences = [Audience() for _ in range(300)]
        for number, audience in enumerate(audiences):
            self.spawn("/bin/sh", "-c", f"echo {number}; read -r line; exit {number % 250}", audience=audience)
        for number, audience in enumerate(audiences):
            await audience.until_over()
            self.assertEqual(
                (audience.out, audience.err, audience.codes, audience.ends),
                (f"{number}\n".encode(), b"", [number % 250], 1),
            )
        self.assertEqual(open_files(), before)
        self.assertEqual(children_now() - self.others, set())

    async def test_end_of_one_tells_nothing_of_another(self) -> None:
        """An exit is told to the observer of that child alone."""
        first, second = Audience(), Audience()
        actors = self.actor(first), self.actor(second)
        actors[0].exit(1)
        await first.until_over()
        self.assertEqual(second.told, [])
        actors[1].exit(2)
        await second.until_over()
        self.assertEqual((first.codes, second.codes), ([1], [2]))

    async def test_stopped_child_has_not_ended(self) -> None:
        """A child that is stopped and goes on has not exited."""
        audience = Audience()
        actor = self.actor(audience)
        pid = actor.child.pid
        os.kill(pid, signal.SIGSTOP)
        until(lambda: told_by_system(pid)["State"].startswith("T"), "stopping")
        os.kill(pid, signal.SIGCONT)
        actor.print(b"on")
        await audience.until(lambda: audience.out == b"on")
        self.assertEqual(audience.codes, [])
        actor.exit(0)
        await audience.until_over()

    async def test_reaped_by_somebody_else(self) -> None:
        """A child whose exit status somebody else has taken has ended, with its code where the system tells that."""
        audience = Audience()
        actor = self.actor(audience)
        actor.exit(7)
        os.waitid(os.P_PID, actor.child.pid, os.WEXITED)
        await audience.until_over()
        self.assertIn(audience.codes, ([7], [UNKNOWN_EXIT]))
        self.flushLoggedErrors()

    def test_without_pidfd(self) -> None:
        """On a system without pidfds each end is seen too, by SIGCHLD."""
        self.assertEqual(apart(_exits_without_pidfd), [[code] for code in [0, 1, 2, 3, -9]])


class RefusedStartTests(RealChildrenTestCase):
    """Starts that fail: each with its reason, none with anything left behind."""

    def refused(self, *args: str, kind: type[Error] = SpawnFailed, **fields: Any) -> str:
        """What is said of a start that fails, in each of the ways in which children are started."""
        said = set()
        with socket.create_server(("127.0.0.1", 0)) as held:
            for more in ({}, {"rlimits": {"core": (0, 0)}}, {"listen": (("held", held.fileno()),)}):
                before, audience = open_files(), Audience()
                asked = spec(*args, **{"identity": own_identity(), "env": _PATH, "stdin": "pipe", **more, **fields})
                error = self.assertRaises(kind, self.children.spawn, asked, audience)
                self.assertEqual(open_files(), before)
                self.assertEqual(children_now() - self.others, set())
                self.assertEqual(audience.told, [])
                said.add(str(error))
        self.assertEqual(len(said), 1, said)
        return said.pop()

    def test_missing(self) -> None:
        """A path that leads nowhere."""
        path = os.path.join(self.folder, "missing")
        self.assertEqual(self.refused(path), f"Cannot start {path!r}: No such file or directory")

    def test_not_in_path(self) -> None:
        """A name that is in no folder of the PATH; the answer says which folders, and what to do."""
        said = self.refused("papa-no-such", env={"PATH": "/usr/bin:/bin"})
        self.assertEqual(
            said, "Program 'papa-no-such' not found in /usr/bin:/bin: give its whole path, or set env.PATH"
        )

    def test_not_executable(self) -> None:
        """A file that may not be executed."""
        path = self.program("#!/bin/sh\n", mode=0o644)
        self.assertEqual(self.refused(path), f"Cannot start {path!r}: Permission denied")

    def test_folder(self) -> None:
        """A folder is no program."""
        self.assertEqual(self.refused(self.folder), f"Cannot start {self.folder!r}: Permission denied")

    def test_bad_interpreter(self) -> None:
        """A script whose first line names nothing that exists; also when it was found in the PATH."""
        path = self.program("#!/nonexistent/interpreter\n")
        reason = "the interpreter that its first line names does not exist"
        self.assertEqual(self.refused(path), f"Cannot start {path!r}: {reason}")
        said = self.refused("program", env={"PATH": self.folder})
        self.assertEqual(said, f"Cannot start 'program': {reason}")

    def test_no_interpreter(self) -> None:
        """A text without #!, which only a shell would run."""
        path = self.program("echo hello\n")
        said = self.refused(path)
        self.assertEqual(said, f"Cannot start {path!r}: it is no program for this machine, nor begins with #!")

    def test_bad_working_dir(self) -> None:
        """A folder that is not there, or is none."""
        missing, file = os.path.join(self.folder, "missing"), self.program("")
        said = self.refused("/bin/true", working_dir=missing)
        self.assertEqual(said, f"Bad working_dir {missing!r}: No such file or directory")
        said = self.refused("/bin/true", working_dir=file)
        self.assertEqual(said, f"Bad working_dir {file!r}: Not a directory")

    def test_relative_program(self) -> None:
        """A relative path is looked up in the folder that the program starts in."""
        self.program("#!/nonexistent/interpreter\n")
        said = self.refused("./program", working_dir=self.folder)
        self.assertIn("the interpreter that its first line names does not exist", said)

    def test_too_long(self) -> None:
        """Arguments longer than the system takes."""
        said = self.refused("/bin/true", "x" * 5_000_000)
        self.assertEqual(said, "Cannot start '/bin/true': Argument list too long")

    def test_unencodable(self) -> None:
        """Text that no bytes stand for is refused like any other thing that cannot be started."""
        self.refused("/bin/true", "\ud800", kind=Error)
        self.refused("/bin/true", env={"A": "\ud800"}, kind=Error)
        self.refused("/bin/true", working_dir="/\ud800", kind=Error)

    def test_refused_rlimit(self) -> None:
        """A limit that the system refuses is named, with what was asked."""
        said = self.refused("/bin/true", rlimits={"nofile": (1 << 40, 1 << 40)})
        self.assertRegex(said, rf"^Cannot start '/bin/true': .*could not set rlimit nofile={1 << 40}:{1 << 40}: \S")

    def test_refused_identity(self) -> None:
        """An identity that papa may not take on is named; the program does not run as papa instead."""
        uid, gid = os.geteuid(), os.getegid()
        if uid == 0:
            # What the system takes for "leave it as it is".
            uid = (1 << 32) - 1
        else:
            uid, gid = uid + 1, gid + 1
        said = self.refused("/bin/true", identity=Identity(uid=uid, gid=gid, changed=True))
        self.assertRegex(said, rf"^Cannot start '/bin/true': the process could not become uid {uid}: \S")

    def test_no_descriptors_left(self) -> None:
        """However few descriptors are left, a start either succeeds or is refused and leaves nothing."""
        for kind in ("plain", "fed", "limited", "listening"):
            refusals, code = apart(_spawn_with_too_few, kind)
            self.assertGreater(len(refusals), 3, kind)
            for kind_of_error, message, leaked, children in refusals:
                self.assertEqual((kind_of_error, leaked, children), ("LimitReached", [], False), message)
                self.assertEqual(message, "Cannot start '/bin/sh' now: Too many open files")
            self.assertEqual(code, [3], kind)

    def test_no_process_left(self) -> None:
        """With no process left a start is refused and leaves nothing; with one to be had again it succeeds."""
        for kind in ("plain", "limited"):
            refusal, code = apart(_spawn_with_no_process, kind)
            self.assertEqual(
                refusal, ["LimitReached", "Cannot start '/bin/sh' now: Resource temporarily unavailable", []]
            )
            self.assertEqual(code, [3], kind)


class DescriptorLimitTests(RealChildrenTestCase):
    """The limit of open files that children have."""

    def test_as_started(self) -> None:
        """A child has the limit papa was started with, however far papa has raised its own."""
        self.assertEqual(apart(_limit_of_child, 100, 0), [["100", "500"]] * 4)

    def test_with_more_open(self) -> None:
        """Also when papa has more open than that limit; and no way of starting a child is shut then."""
        self.assertEqual(apart(_limit_of_child, 100, 300), [["100", "500"]] * 4)


class StrayTests(RealChildrenTestCase):
    """Descriptors that papa was started with."""

    def test_never_reach_a_child(self) -> None:
        """Not even a child whose low limit hides them from what closes them, nor with more open than its limit."""
        for way, files in apart(_files_of_children).items():
            self.assertEqual(files, [0, 1, 2, 3] if way == "listening" else [0, 1, 2], way)


@implementer(IEventObserver)
class Ends:
    """Waits for the end of a process that a kernel holds."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()

    def happened(self, event: Event) -> None:
        if event.kind == "process-closed":
            self.closed.callback(None)


class KernelTests(RealChildrenTestCase):
    """Kernel and drivers together: which descriptors a request comes to."""

    async def promised(self, **fields: Any) -> tuple[list[int], int]:
        """What a process has open that a kernel started, and the number of the socket that the kernel holds."""
        ends = Ends()
        kernel = Kernel(sockets=SystemSockets(), children=self.children, wall=time.time, events=ends)
        self.addCleanup(kernel.release_sockets)
        number = kernel.make_socket(MakeSocket(name="web")).fileno
        assert number is not None
        made = kernel.make_process(MakeProcess(name="x", args=_SLEEP, **fields))
        files = files_of(asleep(made.pid))
        os.kill(made.pid, signal.SIGKILL)
        await ends.closed
        return sorted(files), number

    async def test_leaves_no_garbage(self) -> None:
        """What is forgotten is gone at once, with its output, though nobody looks for garbage."""
        gc.disable()
        self.addCleanup(gc.enable)
        ends = Ends()
        kernel = Kernel(sockets=SystemSockets(), children=self.children, wall=time.time, events=ends)
        kernel.make_process(MakeProcess(name="x", args=("/bin/echo", "hello"), stdin="pipe"))
        held = weakref.ref(kernel._processes.get("x"))
        await ends.closed
        await turn()
        self.assertIsNotNone(held())
        kernel.remove_processes(RemoveProcesses(names=("x",)))
        for _ in range(100):
            if held() is None:
                break
            await turn()  # That nobody reads its input any more is found a moment later.
        self.assertIsNone(held())

    async def test_none(self) -> None:
        """A socket that a process does not ask for does not reach it."""
        self.assertEqual((await self.promised())[0], [0, 1, 2])

    async def test_referred_to(self) -> None:
        """A socket that is referred to is there under its own number."""
        files, number = await self.promised(env={"FD": "$(socket.web.fileno)"})
        self.assertEqual(files, [0, 1, 2, number])

    async def test_handed_over(self) -> None:
        """A socket that is handed over is there under the number that the protocol says, and no other."""
        self.assertEqual((await self.promised(listen=("web",)))[0], [0, 1, 2, 3])

    async def test_both(self) -> None:
        """A socket that is handed over and referred to is there under both."""
        files, number = await self.promised(listen=("web",), env={"FD": "$(socket.web.fileno)"})
        self.assertEqual(files, [0, 1, 2, 3, number])


class SignalTests(RealChildrenTestCase):
    """The signals of children."""

    def test_default(self) -> None:
        """A child ignores and blocks none, though papa was started to ignore some and with some blocked."""
        for status in apart(_signals_of_children):
            self.assertEqual((signal_set(status["SigBlk"]), signal_set(status["SigIgn"])), (0, 0))


def _unread(pipe: int) -> int:
    """How many bytes lie in a pipe."""
    import array
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


async def _seen(children: SystemChildren, fields: dict[str, Any], look: Callable[[int], Any]) -> Any:
    """What is seen of a sleeping child, which is ended then."""
    audience = Audience()
    child = children.spawn(spec(*_SLEEP, **{"identity": own_identity(), **fields}), audience)
    try:
        return look(asleep(child.pid))
    finally:
        os.kill(child.pid, signal.SIGKILL)
        await audience.until_over()
        assert audience.codes == [-9]


def _ways(held: socket.socket) -> dict[str, dict[str, Any]]:
    """The ways in which a child can be started."""
    root = os.geteuid() == 0
    return {
        "plain": {},
        "fed": {"stdin": "pipe", "stdout": "null"},
        "limited": {"rlimits": {"core": (0, 0)}},
        "listening": {"listen": (("held", held.fileno()),)},
        "other": {"identity": Identity(uid=65534, gid=65534, changed=True)} if root else {},
    }


def _exits_without_pidfd() -> list[list[object]]:
    forbid("pidfd_open")

    async def work() -> list[list[object]]:
        children = SystemChildren(reactor, DescriptorLimit())
        audiences = []
        for script in ("exit 0", "exit 1", "exit 2", "sleep 0; exit 3", "kill -9 $$"):
            audience = Audience()
            children.spawn(spec("/bin/sh", "-c", script, identity=own_identity()), audience)
            audiences.append(audience)
        for audience in audiences:
            await audience.until_over()
        assert not children_now()
        return [audience.codes for audience in audiences]

    return list(react(work))


def _spawn_with_too_few(kind: str) -> tuple[list[tuple[str, str, list[int], bool]], list[object]]:
    """Try to start a child with no descriptor left, then one, and so on."""
    held = socket.create_server(("127.0.0.1", 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    children = SystemChildren(reactor, DescriptorLimit())
    asked = spec("/bin/sh", "-c", "exit 3", identity=own_identity(), **_ways(held)[kind])
    refusals = []

    async def work() -> tuple[list[tuple[str, str, list[int], bool]], list[object]]:
        # Once with enough: what is loaded late is loaded then.
        first = Audience()
        children.spawn(asked, first)
        await first.until_over()
        before = open_files()
        most = before[-1] + 1
        fillers = [os.dup(0) for number in range(most) if number not in before]
        try:
            for limit in range(most, most + 30):
                audience = Audience()
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                try:
                    children.spawn(asked, audience)
                except Error as error:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                    leaked = sorted({*open_files()} - {*before, *fillers})
                    refusals.append((type(error).__name__, str(error), leaked, bool(children_now())))
                    continue
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                await audience.until_over()
                return refusals, audience.codes
        finally:
            for descriptor in fillers:
                os.close(descriptor)
        return refusals, []

    result: tuple[list[tuple[str, str, list[int], bool]], list[object]] = react(work)
    return result


def _spawn_with_no_process(kind: str) -> tuple[tuple[str, str, list[int]], list[object]]:
    """Try to start a child as a user who may have no process more, then with one more allowed."""
    held = socket.create_server(("127.0.0.1", 0))
    if os.geteuid() == 0:
        # A limit of processes does not hold for root; and it counts all of a user's, wherever they come from.
        user = (1 << 30) + os.getpid()
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    children = SystemChildren(reactor, DescriptorLimit())
    asked = spec("/bin/sh", "-c", "exit 3", identity=own_identity(), **_ways(held)[kind])

    async def work() -> tuple[tuple[str, str, list[int]], list[object]]:
        before = open_files()
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        try:
            children.spawn(asked, Audience())
            refusal = ("", "nothing was refused", [])
        except Error as error:
            refusal = (type(error).__name__, str(error), sorted({*open_files()} - {*before}))
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        audience = Audience()
        children.spawn(asked, audience)
        await audience.until_over()
        return refusal, audience.codes

    result: tuple[tuple[str, str, list[int]], list[object]] = react(work)
    return result


def _limit_of_child(soft: int, files: int) -> list[list[str]]:
    """The limits of children that are started in each way by a papa that was started with a low limit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, 500))
    limit = DescriptorLimit()
    assert limit.raise_to_most() == 500
    held = socket.create_server(("127.0.0.1", 0))

    async def work() -> list[list[str]]:
        children = SystemChildren(reactor, limit)
        open_ones = [os.open(os.devnull, os.O_RDONLY) for _ in range(files)]
        found = []
        ways = _ways(held)
        for kind in ("plain", "limited", "listening", "other"):
            found.append(await _seen(children, ways[kind], lambda pid: limits_of(pid, "Max open files")))
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500, 500)
        for descriptor in open_ones:
            os.close(descriptor)
        return found

    return list(react(work))


def _files_of_children() -> dict[str, list[int]]:
    """What children have open whose papa was started with much open, inheritable, and with a low limit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))
    strays = [fcntl.fcntl(0, fcntl.F_DUPFD, number) for number in (20, 120, 450)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))
    limit = DescriptorLimit()
    limit.raise_to_most()
    shut_descriptors()
    held = socket.create_server(("127.0.0.1", 0))
    open_ones = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]

    async def work() -> dict[str, list[int]]:
        children = SystemChildren(reactor, limit)
        found = {}
        for way, fields in {**_ways(held), "short": {"rlimits": {"nofile": (6, 6)}}}.items():
            found[way] = await _seen(children, fields, lambda pid: sorted(files_of(pid)))
        for descriptor in (*open_ones, *strays):
            os.close(descriptor)
        return found

    return dict(react(work))


def _signals_of_children() -> list[dict[str, str]]:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGRTMIN + 1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD])
    reset_signals()
    held = socket.create_server(("127.0.0.1", 0))

    async def work() -> list[dict[str, str]]:
        children = SystemChildren(reactor, DescriptorLimit())
        return [await _seen(children, fields, told_by_system) for fields in _ways(held).values()]

    return list(react(work))
