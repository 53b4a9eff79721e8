"""What kernels of each format have left is read, and is what it was."""

from __future__ import annotations

import os
import struct
from typing import Any

from twisted.python.reflect import namedAny

from papa.childspec import ChildSpec
from papa.commands import (
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    WatchEvents,
    WatchProcesses,
)
from papa.continuity.feed import Feed
from papa.continuity.ledger import Ledger
from papa.continuity.migrations import FORMAT
from papa.continuity.rehearsal import rehearse
from papa.continuity.tape import Scratch, Tape
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySocket, MemorySockets
from papa.errors import SpawnFailed
from papa.interfaces import IChildObserver
from papa.kernel.core import Kernel
from papa.records import STDERR, STDOUT, Closed, Cursor, Happened, Hole, Output, Process, Socket
from papa.steps import all_at_once
from tests.continuity.golden.making import FOLDER
from tests.continuity.leftovers import TidyTestCase
from tests.kernel.building import PLENTY, Bell, Diary, Wall, everything

#: What process 1 has printed; of the last piece only its tape knows.
_SPOKEN = "1001@1000000.0"


class _Sockets(MemorySockets):
    def adopt(self, spec: MakeSocket, fileno: int | None) -> MemorySocket:
        """Any is held."""
        return MemorySocket(self, spec, spec.port or None, fileno)


class _Children(MemoryChildren):
    """Children with the pids that they had, and the tapes that lie in a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self._scratch = Scratch(self._copied("scratch"))

    def _copied(self, name: str) -> int:
        file = os.memfd_create(name)
        with open(os.path.join(self._folder, name), "rb") as golden:
            os.write(file, golden.read())
        return file

    def adopt(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """One that was started."""
        if spec.key == "9":
            raise SpawnFailed("it never was")
        child = MemoryChild(spec, 1000 + int(spec.key), observer, None)
        if spec.captured:
            child.tape = self._tape(spec.key)  # type: ignore[assignment]
        self.children[child.pid] = child
        return child

    def _tape(self, key: str) -> Tape:
        if not os.path.exists(os.path.join(self._folder, f"tape-{key}")):
            return Tape(self._scratch, lambda made: None)
        files = [self._copied(f"{name}-{key}") for name in ("tape", "index")]
        if key == "1":
            # It is known by its inode, which no copy has.
            os.pwrite(self._scratch.descriptor, struct.pack("<Q", os.fstat(files[0]).st_ino), 0)
            self._scratch = Scratch(self._scratch.descriptor)
        return Tape(self._scratch, lambda made: None, files)


class GoldenTestCase(TidyTestCase):
    """
    A kernel that goes on from what one of another format has left.

    @ivar format: which that is.
    """

    format: int

    def setUp(self) -> None:
        super().setUp()
        self.folder = os.path.join(FOLDER, f"format-{self.format}")
        self.children = _Children(self.folder)
        self.file = self.children._copied("ledger")
        self.ledger = Ledger(lambda file: None, self.file)
        self.identity = self.ledger.entries["kernel"]["identity"]
        self.kernel = Kernel(
            sockets=_Sockets(), children=self.children, wall=Wall(), events=Diary(), ledger=self.ledger
        )
        self.kernel.restore(self.ledger.entries)

    def items(self, cursor: str, *names: str) -> list[Any]:
        return everything(all_at_once(self.kernel.watch(WatchProcesses(names=names, cursor=cursor), Bell())))


class _What:
    """What was left: the same in each format."""

    def test_rehearsed(self) -> None:
        """A rehearsal finds that all of it would be held."""
        rehearse(self.children._copied("ledger"))

    def test_kernel(self) -> None:
        """It is the same kernel."""
        self.assertEqual(self.identity, "00112233445566778899aabbccddeeff")

    def test_sockets(self) -> None:
        """Sockets, with the numbers that children know them by."""
        self.assertEqual(
            self.kernel.list_sockets(ListSockets()),
            {
                "many": Socket(
                    name="many",
                    family="inet",
                    type="stream",
                    backlog=5,
                    host="127.0.0.1",
                    port=8081,
                    reuseport=True,
                ),
                "unix": Socket(
                    name="unix", family="unix", type="stream", backlog=5, path="/x/y.sock", umask=0o77, fileno=65
                ),
                "web": Socket(
                    name="web", family="inet", type="stream", backlog=7, host="127.0.0.1", port=8080, fileno=64
                ),
            },
        )

    def test_values(self) -> None:
        """Values; of a removed one nothing."""
        self.assertEqual(self.kernel.list_values(ListValues()), {"deployed": "today", "odd": 'line "1"\nline 2 ü'})

    def test_processes(self) -> None:
        """Processes as they were, but for what was never started."""

        def process(name: str, number: int, started: float, **fields: Any) -> Process:
            code = fields.get("exit_code")
            fields = {"args": ("program",), "uid": 1000, "gid": 1000, "bufsize": 1 << 20, **fields}
            return Process(name=name, pid=1000 + number, running=code is None, started=started, **fields)

        self.assertEqual(
            self.kernel.list_processes(ListProcesses()),
            {
                "ended": process("ended", 2, 1000008.0, exit_code=3, captured=4, buffered=4),
                "exited": process("exited", 3, 1000010.0, exit_code=-9),
                "fed": process("fed", 6, 1000013.0),
                "read": process("read", 4, 1000011.0, exit_code=0, captured=5, buffered=5),
                "removed": process("removed", 8, 1000015.0),
                "silent": process("silent", 5, 1000012.0, exit_code=1, bufsize=0),
                "speaker": process(
                    "speaker",
                    1,
                    1000000.0,
                    args=("speak", "$(socket.web.fileno)", "a b"),
                    uid=7,
                    gid=8,
                    captured=140,
                    dropped=50,
                    buffered=90,
                    bufsize=100,
                ),
                "waits": process("waits", 7, 1000014.0),
            },
        )

    def test_requests(self) -> None:
        """What was asked for is the same when it is asked for again."""
        speaker = {
            "args": ("speak", "$(socket.web.fileno)", "a b"),
            "env": {"A": "1", "SECRET": "x=y"},
            "bufsize": 100,
            "rlimits": {"core": (0, 10)},
            "uid": 7,
            "gid": 8,
            "groups": (9,),
            "listen": ("web",),
            "working_dir": "/",
            "umask": 0o27,
        }
        for name, fields in (
            ("speaker", speaker),
            ("ended", {"inherit_env": True, "overflow": "block"}),
            ("exited", {"stderr": "stdout", "forget": True}),
            ("silent", {"stdout": "null", "stderr": "null", "bufsize": 0}),
            ("fed", {"stdin": "pipe"}),
        ):
            again = self.kernel.make_process(MakeProcess(name=name, **{"args": ("program",), **fields}))
            self.assertEqual(again.pid, self.kernel.list_processes(ListProcesses(names=(name,)))[name].pid)
        for name, number, fields in (
            ("web", 64, {"host": "127.0.0.1", "port": 8080, "backlog": 7}),
            ("unix", 65, {"path": "/x/y.sock", "umask": 0o77}),
            ("many", None, {"port": 8081, "reuseport": True}),
        ):
            self.assertEqual(self.kernel.make_socket(MakeSocket(name=name, **fields)).fileno, number)

    def test_cursors(self) -> None:
        """Cursors, and where they are in what they read."""
        self.assertEqual(
            self.kernel.list_cursors(ListCursors()),
            {
                "ahead": Cursor(name="ahead", patterns=("speaker",), marks={"speaker": 110}, behind=30, reading=False),
                "behind": Cursor(
                    name="behind",
                    patterns=("speaker", "s*"),
                    marks={"speaker": 0, "silent": 0},
                    behind=140,
                    reading=False,
                ),
                "finished": Cursor(name="finished", patterns=("read",), marks={}, behind=0, reading=False),
                "late": Cursor(name="late", patterns=("read",), marks={"read": 0}, behind=5, reading=False),
            },
        )

    def test_output(self) -> None:
        """Output with its times and channels, and what was dropped of it; what is not in the index as well."""
        numbers = [b"%019d\n" % number for number in range(6)]
        rest = [
            (STDOUT, 1000003.0, numbers[2][10:], 60),
            (STDERR, 1000004.0, numbers[3], 80),
            (STDOUT, 1000005.0, numbers[4], 100),
            (STDOUT, 1000006.0, numbers[5], 120),
            (STDOUT, 1000007.0, b"indexed\n", 128),
            (STDERR, 1000016.0, b"not indexed\n", 140),
        ]

        def output(channel: int, stamp: float, data: bytes, mark: int) -> Output:
            return Output(name="speaker", channel=channel, timestamp=stamp, data=data, mark=mark, invocation=_SPOKEN)

        hole = Hole(name="speaker", size=50, first=1000001.0, last=1000003.0, mark=50, invocation=_SPOKEN)
        silent = Closed(name="silent", timestamp=1000013.0, exit_code=1, invocation="1005@1000012.0")
        self.assertEqual(self.items("behind", "speaker", "s*"), [silent, hole, *(output(*each) for each in rest)])
        late = [output(STDOUT, 1000006.0, numbers[5][10:], 120), *(output(*each) for each in rest[4:])]
        self.assertEqual(self.items("ahead", "speaker"), late)
        self.assertEqual(self.items("finished", "read"), [])
        read = [
            Output(name="read", channel=1, timestamp=1000012.0, data=b"read\n", mark=5, invocation="1004@1000011.0"),
            Closed(name="read", timestamp=1000012.0, exit_code=0, invocation="1004@1000011.0"),
        ]
        self.assertEqual(self.items("late", "read"), read)

    def test_events(self) -> None:
        """Events, with their numbers."""
        told = all_at_once(self.kernel.watch(WatchEvents(since=0), Bell())).take(PLENTY)
        self.assertEqual([each.number for each in told], list(range(1, len(told) + 1)))
        self.assertEqual(
            [told[0], told[9]],
            [
                Happened(number=1, timestamp=1000000.0, kind="socket-made", name="web", detail=64),
                Happened(number=10, timestamp=1000010.0, kind="process-exited", name="ended", detail=3),
            ],
        )
        self.assertEqual(told[-1].kind, "process-made")

    def test_input(self) -> None:
        """Input that was on its way, and its end."""
        fed, waits = self.children.children[1006], self.children.children[1007]
        self.assertEqual((fed.stdin, fed.stdin_open), ([b"\xffrest"], False))
        self.assertEqual((waits.stdin, waits.stdin_open), ([b"more"], True))


class Format1Tests(_What, GoldenTestCase):
    """The first."""

    format = 1


class Format2Tests(_What, GoldenTestCase):
    """Input lies in feeds, output in slots that are written over."""

    format = 2

    def test_feed(self) -> None:
        """Up to where it was sent the offset of the file says, which is no file's but that of who holds it."""
        file = self.children._copied("feed")
        os.lseek(file, 4096 + 3, os.SEEK_SET)
        feed = Feed(self.fail, [file])
        self.assertEqual((feed.unsent(), feed.closes), (b"t is to be sent", True))

    def test_long_tape(self) -> None:
        """Where the output lies the index says; how much there is, the position of the file."""
        files = [self.children._copied(f"long-{name}") for name in ("tape", "index")]
        self.assertLess(os.fstat(files[0]).st_size, 900_000)
        with open(os.path.join(self.folder, "long-position"), encoding="ascii") as position:
            os.lseek(files[0], int(position.read()), os.SEEK_SET)
        tape = Tape(Scratch(), lambda made: None, files)
        entries = list(tape.entries(92, 900_000))
        self.assertEqual(entries[-1], (1_000_000, 99.0, STDOUT))
        found = {stamp: end for end, stamp, _ in entries}
        for number in range(90, 100):
            self.assertEqual(found[float(number)], (number + 1) * 10_000)
            self.assertEqual(tape.read(number * 10_000, 10_000), b"%09d\n" % number * 1000)


class Format3Tests(Format2Tests):
    """That a cursor is done with a process is noted as its place there."""

    format = 3


class CompleteTests(TidyTestCase):
    """The files themselves."""

    def test_every_format(self) -> None:
        """There is a state of each format that there has been, and it is read by a test."""
        for number in range(1, FORMAT + 1):
            self.assertTrue(os.path.exists(os.path.join(FOLDER, f"format-{number}", "ledger")), number)
            self.assertEqual(namedAny(f"{__name__}.Format{number}Tests").format, number)
