"""
Leaves a state with an entry of every kind, in the format of this papa: C{python -m tests.continuity.golden.making}.

It is run once for each format, when that is final; the files are never made anew.
"""

from __future__ import annotations

import os
import shutil
import sys
from base64 import b64encode

from papa.childspec import ChildSpec
from papa.commands import MakeProcess, MakeSocket, MoveCursor, RemoveProcesses, Set, WatchProcesses
from papa.continuity.feed import Feed
from papa.continuity.ledger import Ledger, read_ledger
from papa.continuity.migrations import FORMAT
from papa.continuity.tape import Scratch, Tape
from papa.drivers.memory import MemoryChild, MemoryChildren, MemorySockets
from papa.interfaces import IChildObserver
from papa.kernel.core import Kernel
from papa.records import STDERR, STDOUT
from papa.steps import all_at_once
from tests.kernel.building import Bell, Diary, Wall, everything

#: Where the state of each format lies.
FOLDER = os.path.dirname(os.path.abspath(__file__))


def long_tape() -> list[int]:
    """The files of a tape whose slots were written over; marks up to 900 000 are not needed any more."""
    files: list[int] = []
    tape = Tape(Scratch(), files.extend)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    end = count = 0
    for number in range(100):
        os.write(writing, b"%09d\n" % number * 1000)
        while True:
            try:
                end += tape.record(reading, STDOUT, float(number))
            except BlockingIOError:
                break
            tape.note(count, end, float(number), STDOUT)
            count += 1
        tape.release(min(end, 900_000), min(count, 80))
    os.close(reading)
    os.close(writing)
    return files


class TapedChild(MemoryChild):
    """A program whose output lies in real files."""

    def __init__(self, spec: ChildSpec, pid: int, observer: IChildObserver, scratch: Scratch, wall: Wall) -> None:
        super().__init__(spec, pid, observer, None)
        self.files: list[int] = []
        self._real = self.tape = Tape(scratch, self.files.extend)  # type: ignore[assignment]
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[0], False)
        self._wall = wall

    def record(self, data: bytes, channel: int) -> int:
        """Put something on the tape, and tell nobody, as a kernel does that is killed right then."""
        os.write(self._pipe[1], data)
        return self._real.record(self._pipe[0], channel, self._wall.now)

    def _arrived(self, channel: int, data: bytes) -> None:
        self._observer.output_stored(channel, self.record(data, channel))


class TapedChildren(MemoryChildren):
    """Starts such programs."""

    def __init__(self, wall: Wall) -> None:
        super().__init__()
        self.scratch = Scratch()
        self._wall = wall

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> MemoryChild:
        """Start a program."""
        child = TapedChild(spec, next(self._pids), observer, self.scratch, self._wall)
        self.children[child.pid] = child
        return child


class _Maker:
    def __init__(self) -> None:
        self.files: list[int] = []
        self.wall = Wall()
        self.children = TapedChildren(self.wall)
        self.ledger = Ledger(self.files.append)
        self.ledger.put("kernel", "identity", "00112233445566778899aabbccddeeff")
        self.kernel = Kernel(
            sockets=MemorySockets(), children=self.children, wall=self.wall, events=Diary(), ledger=self.ledger
        )

    def child(self, name: str, *args: str, **fields: object) -> TapedChild:
        made = self.kernel.make_process(MakeProcess(name=name, args=args or ("program",), **fields))  # type: ignore[arg-type]
        self.wall.now += 1
        child = self.children.children[made.pid]
        assert isinstance(child, TapedChild)
        return child

    def make(self) -> None:
        kernel = self.kernel
        kernel.make_socket(MakeSocket(name="web", host="127.0.0.1", port=8080, backlog=7))
        kernel.make_socket(MakeSocket(name="unix", path="/x/y.sock", umask=0o77))
        kernel.make_socket(MakeSocket(name="many", port=8081, reuseport=True))
        kernel.set(Set(name="deployed", value="today"))
        kernel.set(Set(name="gone", value="x"))
        kernel.set(Set(name="gone"))
        kernel.set(Set(name="odd", value='line "1"\nline 2 ü'))
        speaker = self._make_speaker()
        self._make_others()
        kernel.make_process(MakeProcess(name="removed", args=("program",)))
        kernel.remove_processes(RemoveProcesses(names=("removed",)))
        # The intention of a start that never was.
        entry = read_ledger(self.files[-1])["process"]["7"]
        self.ledger.put("process", "9", {**entry, "request": {"name": "intended", "args": ["program"]}})

        self.wall.now += 1
        speaker.record(b"not indexed\n", STDERR)

    def _make_speaker(self) -> TapedChild:
        """It has printed more than its bound, and is read with two cursors that have come to different marks."""
        speaker = self.child(
            "speaker",
            "speak",
            "$(socket.web.fileno)",
            "a b",
            env={"A": "1", "SECRET": "x=y"},
            bufsize=100,
            rlimits={"core": (0, 10)},
            uid=7,
            gid=8,
            groups=(9,),
            listen=("web",),
            working_dir="/",
            umask=0o27,
        )
        behind = all_at_once(self.kernel.watch(WatchProcesses(names=("speaker", "s*"), cursor="behind"), Bell()))
        behind.take(1)
        for number in range(6):
            speaker.print(b"%019d\n" % number, STDERR if number == 3 else STDOUT)
            self.wall.now += 1
        ahead = all_at_once(self.kernel.watch(WatchProcesses(names=("speaker",), cursor="ahead"), Bell()))
        everything(ahead)
        ahead.acknowledge()
        self.kernel.move_cursor(MoveCursor(name="ahead", process="speaker", mark=110))
        speaker.print(b"indexed\n")
        self.wall.now += 1
        return speaker

    def _make_others(self) -> None:
        ended = self.child("ended", inherit_env=True, overflow="block")
        ended.print(b"bye\n")
        self.wall.now += 1
        ended.exit(3)
        self.child("exited", stderr="stdout", forget=True).exit(-9, output_stays_open=True)
        read = self.child("read")
        read.print(b"read\n")
        all_at_once(self.kernel.watch(WatchProcesses(names=("read",), cursor="late"), Bell()))
        watch = all_at_once(self.kernel.watch(WatchProcesses(names=("read",), cursor="finished"), Bell()))
        everything(watch)
        read.exit(0)
        everything(watch)
        watch.acknowledge()
        self.child("silent", stdout="null", stderr="null", bufsize=0).exit(1)
        for name, data, closes in (("fed", b"\xffrest", True), ("waits", b"more", False)):
            left = {"data": b64encode(data).decode(), "closes": closes}
            self.ledger.put("left", self.child(name, stdin="pipe").spec.key, left)

    def save(self, folder: str) -> None:
        os.mkdir(folder)
        self._copy(self._fed(), folder, "feed")
        files = long_tape()
        for name, file in zip(("long-tape", "long-index"), files, strict=True):
            self._copy(file, folder, name)
        with open(os.path.join(folder, "long-position"), "w", encoding="ascii") as position:
            position.write(f"{os.lseek(files[0], 0, os.SEEK_CUR)}\n")
        self._copy(self.files[-1], folder, "ledger")
        self._copy(self.children.scratch.descriptor, folder, "scratch")
        for child in self.children.children.values():
            assert isinstance(child, TapedChild)
            if child.files and child.tape is not None:
                for name, file in zip(("tape", "index"), child.files, strict=True):
                    self._copy(file, folder, f"{name}-{child.spec.key}")

    def _fed(self) -> int:
        files: list[int] = []
        feed = Feed(files.extend)
        feed.add(b"what is to be sent", os.pipe()[1])
        feed.end()
        return files[0]

    @staticmethod
    def _copy(file: int, folder: str, name: str) -> None:
        with open(f"/proc/self/fd/{file}", "rb") as source, open(os.path.join(folder, name), "wb") as target:
            shutil.copyfileobj(source, target)


def main() -> int:
    """Make the files of this papa's format, unless they are there."""
    folder = os.path.join(FOLDER, f"format-{FORMAT}")
    if os.path.exists(folder):
        print(f"{folder} is there already, and stays as it is")
        return 1
    maker = _Maker()
    maker.make()
    maker.save(folder)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
