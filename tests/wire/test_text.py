"""What is said on a line, in both directions."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.commands import RemoveValues, Set
from papa.errors import BadRequest, Unsayable
from papa.records import STDERR, STDOUT, Closed, Hole, Output, Process, Socket
from papa.visible import has_controls
from papa.wire.text import (
    answer_line,
    check_sayable,
    items_as_frames,
    process_line,
    refusal,
    watching,
)

QUICK = settings(max_examples=150)

#: Characters that would do something to a terminal, or to a parser of lines.
CONTROLS = "\n\r\x00\x07\x08\x0b\x0c\x1b\x7f\x85\x9b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\udcff"

names = st.text(alphabet="abZ019._@%+-", min_size=1, max_size=8)
words = st.text(alphabet=f"ab =:>\"'\\pid1{CONTROLS}", max_size=12)
stamps = st.floats(0, 1e11, allow_nan=False)


def a_process(**fields: Any) -> Process:
    """A process, like all others but for some fields."""
    plain: dict[str, Any] = {
        "name": "job",
        "args": ("/bin/job", "-x"),
        "pid": 12,
        "running": True,
        "started": 1795246405.05,
        "uid": 1000,
        "gid": 100,
    }
    return Process(**{**plain, **fields})


def a_socket(**fields: Any) -> Socket:
    """A socket, like all others but for some fields."""
    plain: dict[str, Any] = {
        "name": "web",
        "family": "inet",
        "type": "stream",
        "backlog": 5,
        "host": "127.0.0.1",
        "port": 40001,
        "fileno": 9,
    }
    return Socket(**{**plain, **fields})


def version_1_process(line: str) -> dict[str, Any]:
    """What a client of version 1 makes of the line of a process."""
    found: dict[str, Any] = {}
    last = ""
    for word in line.split(" ")[1:]:
        key, equals, value = word.partition("=")
        if not equals and last:
            found[last] += f" {key}"
            continue
        last = key
        if key == "pid":
            found[key] = int(value)
        elif key == "started":
            found[key] = float(value)
        else:
            found[key] = value == "True" if key in ("running", "shell") else value
    return found


def version_1_socket(line: str) -> dict[str, Any]:
    """What a client of version 1 makes of the line of a socket."""
    found: dict[str, Any] = dict(word.partition("=")[::2] for word in line.split(" ")[1:])
    return {key: int(value) if key in ("backlog", "port", "fileno") else value for key, value in found.items()}


def read_frames(data: bytes) -> list[Output | Hole | Closed]:
    """What a reader that counts bytes makes of a batch; no wire says marks on a line."""
    channels = {"out": STDOUT, "err": STDERR}
    found: list[Output | Hole | Closed] = []
    while data != b"] ":
        header, newline, data = data.partition(b"\n")
        assert newline, "a batch has no end"
        kind, name, *figures = header.decode().split(":")
        if kind == "hole":
            first, last, size = figures
            found.append(
                Hole(name=name, size=int(size), first=float(first), last=float(last), mark=0, invocation="7@0.5")
            )
            continue
        stamp, figure = figures
        if kind == "closed":
            found.append(Closed(name=name, timestamp=float(stamp), exit_code=int(figure), invocation="7@0.5"))
            continue
        text, newline, data = data[: int(figure)], data[int(figure) :][:1], data[int(figure) + 1 :]
        assert newline == b"\n", "a frame is not as long as its header says"
        found.append(
            Output(name=name, channel=channels[kind], timestamp=float(stamp), data=text, mark=0, invocation="7@0.5")
        )
    return found


class RefusalTests(SynchronousTestCase):
    """Errors."""

    def test_one_line(self) -> None:
        """An error is one line, whatever its message holds, and its characters are visible."""
        self.assertEqual(refusal(BadRequest("a\nb\x1b[0m\u202ec")), "Error: a b\\x1b[0m\\u202ec")

    @QUICK
    @given(words)
    def test_never_ambiguous(self, message: str) -> None:
        """No error holds a character that ends a line or drives a terminal."""
        self.assertFalse(has_controls(refusal(BadRequest(message))))


class SocketTests(SynchronousTestCase):
    """Sockets on a line."""

    def test_inet(self) -> None:
        """A TCP socket is said as ever."""
        self.assertEqual(
            answer_line(a_socket()), "web family=inet type=stream backlog=5 host=127.0.0.1 port=40001 fileno=9"
        )

    def test_every_field(self) -> None:
        """Fields that are set stand in a fixed order; those that are not are left out."""
        self.assertEqual(
            answer_line(a_socket(family="unix", path="/a b", umask=0o27, host=None, port=None)),
            "web family=unix type=stream backlog=5 path=/a b umask=23 fileno=9",
        )
        self.assertEqual(
            answer_line(a_socket(interface="lo", reuseport=True, fileno=None)),
            "web family=inet type=stream backlog=5 host=127.0.0.1 port=40001 interface=lo reuseport=1",
        )

    def test_read_back(self) -> None:
        """A client of version 1 reads back every field that is said."""
        inet = {"family": "inet", "type": "stream", "backlog": 5, "host": "127.0.0.1", "port": 40001}
        for socket, fields in (
            (a_socket(), {**inet, "fileno": 9}),
            (a_socket(interface="lo", reuseport=True, fileno=None), {**inet, "interface": "lo", "reuseport": "1"}),
            (
                a_socket(family="inet6", host="::1", port=0),
                {**inet, "family": "inet6", "host": "::1", "port": 0, "fileno": 9},
            ),
            (
                a_socket(family="unix", path="/a=b", umask=0, host=None, port=None),
                {"family": "unix", "type": "stream", "backlog": 5, "path": "/a=b", "umask": "0", "fileno": 9},
            ),
        ):
            self.assertEqual(version_1_socket(answer_line(socket)), fields)

    def test_path_that_poses_as_fields(self) -> None:
        """What a path reads like deceives no client of version 1, nor does it break its reading of numbers."""
        posing = (
            "/a port=x backlog=y fileno=z family=inet type=dgram umask=7 host=h interface=i reuseport=1 path=/b b=c"
        )
        line = answer_line(a_socket(family="unix", path=posing, host=None, port=None))
        self.assertEqual(line.count("\\x3d"), 10)
        found = version_1_socket(line)
        self.assertEqual((found["family"], found["type"], found["backlog"], found["fileno"]), ("unix", "stream", 5, 9))
        self.assertEqual((found["path"], found["b"]), ("/a", "c"))
        self.assertFalse({"port", "umask", "host", "interface", "reuseport"} & found.keys())

    @QUICK
    @given(st.lists(st.one_of(words, st.sampled_from(["port=", "fileno=x", "backlog=", "family=u"]))).map(" ".join))
    def test_any_path(self, path: str) -> None:
        """Whatever a path is, the line is one and visible, and everything else is read back exactly."""
        line = answer_line(a_socket(family="unix", path=f"/{path}", umask=63, host=None, port=None))
        self.assertFalse(has_controls(line))
        found = version_1_socket(line)
        known = {"family": "unix", "type": "stream", "backlog": 5, "umask": "63", "fileno": 9}
        self.assertEqual({key: found[key] for key in known}, known)
        self.assertNotIn("port", found)

    def test_controls_in_a_path(self) -> None:
        """What a path holds cannot end the line or reach a terminal raw."""
        line = answer_line(a_socket(family="unix", path="/a\n> \x1b]0;x\x07", host=None, port=None))
        self.assertIn(" path=/a\\x0a> \\x1b]0;x\\x07 fileno=9", line)


class ProcessTests(SynchronousTestCase):
    """Processes on a line."""

    def test_running(self) -> None:
        """A running process is said with its arguments first."""
        self.assertEqual(
            answer_line(a_process()),
            "job args=/bin/job -x pid=12 running=True started=1795246405.05 uid=1000 gid=100",
        )

    def test_ended(self) -> None:
        """Its exit code, and what was dropped, are said where there is any."""
        line = answer_line(a_process(running=False, exit_code=-9, dropped=7))
        self.assertTrue(line.endswith(" running=False started=1795246405.05 uid=1000 gid=100 exit_code=-9 dropped=7"))

    def test_argument_that_poses_as_a_field(self) -> None:
        """An argument that reads like pid and state deceives no client of version 1."""
        posing = "x pid=1 running=False started=0.0 uid=0 gid=0 shell=True"
        for args in (("sh", posing), ("sh", *posing.split()[1:]), ("pid=1",), ("a", "", "", "pid=1", "b")):
            found = version_1_process(process_line(a_process(args=args)))
            self.assertEqual((found["pid"], found["running"], found["started"]), (12, True, 1795246405.05))
            self.assertEqual((found["uid"], found["gid"]), ("1000", "100"))
            self.assertNotIn("shell", found)

    def test_argument_that_breaks_the_reading_of_numbers(self) -> None:
        """Where version 1 wants a number, an argument has its equals sign written out; anywhere else it keeps it."""
        args = ("pid=abc", "pid=", "started=now", "running=", "shell=x", "a pid=b", "xpid=c", "pid", "Pid=d", "uid=e")
        line = process_line(a_process(args=args))
        self.assertEqual(
            line.partition(" pid=12 ")[0],
            r"job args=pid\x3dabc pid\x3d started\x3dnow running\x3d shell\x3dx a pid\x3db xpid=c pid Pid=d uid=e",
        )
        found = version_1_process(line)
        self.assertEqual((found["pid"], found["running"], found["xpid"], found["uid"]), (12, True, "c pid", "1000"))
        self.assertEqual(process_line(a_process(args=("pid=abc",))).split(" ")[1], r"args=pid\x3dabc")

    @QUICK
    @given(
        st.lists(st.one_of(words, st.sampled_from(["pid=abc", "started=", "x running=no"])), min_size=1).map(tuple),
        st.integers(1, 9999),
        st.booleans(),
        stamps,
    )
    def test_read_back(self, args: tuple[str, ...], pid: int, running: bool, started: float) -> None:
        """Whatever the arguments are, the line is one, is visible, and everything else is read back exactly."""
        process = a_process(args=args, pid=pid, running=running, started=started, exit_code=None if running else 3)
        line = process_line(process)
        self.assertFalse(has_controls(line))
        found = version_1_process(line)
        self.assertEqual(
            (found["pid"], found["running"], found["started"], found["uid"], found["gid"]),
            (pid, running, started, "1000", "100"),
        )
        self.assertTrue(running or found["exit_code"] == "3")

    @QUICK
    @given(st.lists(st.text(alphabet="ab\\\"'/-:\u00e9", max_size=6), min_size=1).map(tuple))
    def test_ordinary_arguments(self, args: tuple[str, ...]) -> None:
        """Arguments without an equals sign are read back as the words they are."""
        self.assertEqual(version_1_process(process_line(a_process(args=args)))["args"], " ".join(args))


class ValueTests(SynchronousTestCase):
    """Values."""

    def test_value(self) -> None:
        """A value is said as it is; nothing is said of none."""
        for value in ("one", "  two  ", "tab\there", '"', "caf\u00e9", "> ", "Error"):
            self.assertEqual(answer_line(value), value)
        self.assertEqual(answer_line(None), "")

    def test_unsayable(self) -> None:
        """A value with a control character, and one that would read as an error, is refused."""
        for value in (*(f"a{each}b" for each in CONTROLS), "Error: no", "Error:"):
            self.assertRaises(Unsayable, answer_line, value)
            self.assertRaises(Unsayable, answer_line, {"x": value})
            error = self.assertRaises(Unsayable, check_sayable, Set(name="x", value=value))
            self.assertIn("Value x ", str(error))

    def test_sayable(self) -> None:
        """Other values, none, and other commands pass."""
        for command in (Set(name="x"), Set(name="x", value="a Error: b"), RemoveValues(names=("Error:",))):
            check_sayable(command)


class ListTests(SynchronousTestCase):
    """Lists."""

    def test_sorted_by_name(self) -> None:
        """A list is sorted by name, a line each; an empty one has no line."""
        self.assertEqual(answer_line({"b": "2", "a": "1 1", "B": "3"}), "B 3\na 1 1\nb 2")
        self.assertEqual(answer_line({}), "")

    def test_read_back(self) -> None:
        """A client of version 1 reads back what was listed, a line each, by name."""
        values = {"a": "1 1", "b": "x=y", "c": " "}
        self.assertEqual(dict(line.partition(" ")[::2] for line in answer_line(values).split("\n")), values)
        sockets = answer_line({"w": a_socket(name="w", port=1), "v": a_socket(name="v")}).split("\n")
        self.assertEqual([(line[:2], version_1_socket(line)["port"]) for line in sockets], [("v ", 40001), ("w ", 1)])
        processes = answer_line({"w": a_process(name="w", pid=3), "v": a_process(name="v", args=("a\nb",))}).split("\n")
        self.assertEqual([(line[:2], version_1_process(line)["pid"]) for line in processes], [("v ", 12), ("w ", 3)])


ITEMS: list[Output | Hole | Closed] = [
    Output(name="a", channel=STDOUT, timestamp=1.5, data=b"x\n] \n> ", mark=7, invocation="7@0.5"),
    Output(name="a", channel=STDERR, timestamp=2.0, data=b"", mark=7, invocation="7@0.5"),
    Hole(name="a", size=3, first=0.25, last=0.5, mark=10, invocation="7@0.5"),
    Closed(name="a", timestamp=3.0, exit_code=-15, invocation="7@0.5"),
]


class FrameTests(SynchronousTestCase):
    """Output that is watched."""

    def test_headline(self) -> None:
        """A watch begins with how many processes it is of."""
        self.assertEqual(watching(2), "Watching 2")

    def test_version_1(self) -> None:
        """A batch is framed as ever: a header, the bytes, a newline; at its end the bracket. Holes are left out."""
        self.assertEqual(
            items_as_frames(ITEMS, holes=False), b"out:a:1.5:7\nx\n] \n> \nerr:a:2.0:0\n\nclosed:a:3.0:-15\n] "
        )

    def test_holes(self) -> None:
        """Who asks for holes is told their times and size."""
        self.assertEqual(items_as_frames([ITEMS[2]], holes=True), b"hole:a:0.25:0.5:3\n] ")
        self.assertEqual(items_as_frames([ITEMS[2]], holes=False), b"] ")

    @QUICK
    @given(
        st.lists(
            st.one_of(
                st.builds(
                    Output,
                    name=names,
                    channel=st.sampled_from([STDOUT, STDERR]),
                    timestamp=stamps,
                    data=st.binary(max_size=40),
                    mark=st.just(0),
                    invocation=st.just("7@0.5"),
                ),
                st.builds(
                    Hole,
                    name=names,
                    size=st.integers(1, 1 << 50),
                    first=stamps,
                    last=stamps,
                    mark=st.just(0),
                    invocation=st.just("7@0.5"),
                ),
                st.builds(
                    Closed, name=names, timestamp=stamps, exit_code=st.integers(-64, 255), invocation=st.just("7@0.5")
                ),
            ),
            max_size=6,
        )
    )
    def test_read_back(self, items: list[Output | Hole | Closed]) -> None:
        """Whatever processes print, a reader that counts bytes gets every item exactly."""
        self.assertEqual(read_frames(items_as_frames(items, holes=True)), items)
        told = [item for item in items if not isinstance(item, Hole)]
        self.assertEqual(read_frames(items_as_frames(items, holes=False)), told)
