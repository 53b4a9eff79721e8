"""What the printers make of items."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

import click
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.cli.merging import _last_lines
from papa.cli.printing import ending, printer
from papa.records import STDERR, STDOUT, UNKNOWN_EXIT, Closed, Hole, Item, Output


def out(data: bytes, name: str = "web", channel: int = STDOUT, timestamp: float = 0.0) -> Output:
    return Output(name=name, channel=channel, timestamp=timestamp, data=data, mark=0, invocation="7@0.5")


def show(
    *batches: Sequence[Item],
    raw: bool = False,
    as_json: bool = False,
    names: Sequence[str] = ("web",),
    color: bool = False,
) -> Result:
    """What is printed for these batches of items, standard output and standard error apart."""

    @click.command()
    def command() -> None:
        shown = printer(raw=raw, as_json=as_json, names=names)
        for batch in batches:
            shown.show(batch)
        shown.finish()

    return CliRunner().invoke(command, color=color, catch_exceptions=False)


class LineTests(SynchronousTestCase):
    """Lines for people."""

    def setUp(self) -> None:
        before = os.environ.get("TZ")
        os.environ["TZ"] = "UTC"
        time.tzset()
        self.addCleanup(time.tzset)
        self.addCleanup(os.environ.__setitem__ if before else os.environ.pop, "TZ", before)

    def test_line(self) -> None:
        """A line has its time, its name and what was printed."""
        self.assertEqual(show([out(b"hello\n", timestamp=3661.5)]).stdout, "01:01:01 web | hello\n")

    def test_standard_error_is_marked(self) -> None:
        """A line of standard error stands with the others, and is marked."""
        result = show([out(b"a\n"), out(b"b\n", channel=STDERR)])
        self.assertEqual(result.stdout, "00:00:00 web | a\n00:00:00 web ! b\n")

    def test_names_are_a_column(self) -> None:
        """Names are padded to the longest."""
        result = show([out(b"a\n"), out(b"b\n", name="worker")], names=["web", "worker"])
        self.assertEqual(result.stdout, "00:00:00 web    | a\n00:00:00 worker | b\n")

    def test_line_in_pieces(self) -> None:
        """A line is shown when it is whole, with the time at which it began; each channel has its own."""
        result = show([out(b"on", timestamp=1)], [out(b"x\n", channel=STDERR, timestamp=2)], [out(b"e\n", timestamp=3)])
        self.assertEqual(result.stdout, "00:00:02 web ! x\n00:00:01 web | one\n")

    def test_unfinished_line(self) -> None:
        """A line without a newline is shown at the end of its process, or of everything."""
        end = Closed(name="web", timestamp=2, exit_code=0, invocation="7@0.5")
        self.assertEqual(
            show([out(b"rest"), end, out(b"more", name="b")]).stdout, ("00:00:00 web | rest\n00:00:00 b   | more\n")
        )

    def test_endless_line(self) -> None:
        """A program that never prints a newline is shown nevertheless, and nothing of it is lost."""
        result = show(*([out(b"x" * 50_000)] for _ in range(5)))
        lines = [line.partition("| ")[2] for line in result.stdout.splitlines()]
        self.assertGreater(len(lines), 1)
        self.assertEqual("".join(lines), "x" * 250_000)

    def test_end_is_noted_aside(self) -> None:
        """How a process ended goes to standard error."""
        result = show([Closed(name="web", timestamp=1, exit_code=3, invocation="7@0.5")])
        self.assertEqual((result.stdout, result.stderr), ("", "00:00:01 web - exited with 3\n"))

    def test_hole_is_noted_and_cuts_the_line(self) -> None:
        """What was dropped is noted aside, and what stands on both sides of it never becomes one line."""
        hole = Hole(name="web", size=70, first=1, last=2, mark=0, invocation="7@0.5")
        result = show([out(b"before"), hole, out(b"after\n")])
        self.assertEqual(result.stdout, "00:00:00 web | before\n00:00:00 web | after\n")
        self.assertEqual(result.stderr, "00:00:02 web - 70 bytes were dropped here: the buffer was full\n")

    def test_words_for_an_end(self) -> None:
        """An exit code is one, a signal is one."""
        self.assertEqual(ending(0), "exited with 0")
        self.assertEqual(ending(-9), "killed by signal 9")
        self.assertEqual(ending(UNKNOWN_EXIT), "ended, nobody knows how")

    def test_escapes_are_written_out(self) -> None:
        """What would act on the terminal is written out; the carriage return of a line's end is left out."""
        result = show([out(b"\x1b]0;x\x07\ta\rb \xff\xc2\x9b \xe2\x80\xae\r\n")])
        self.assertEqual(result.stdout, "00:00:00 web | \\x1b]0;x\\x07\ta\\x0db \\xff\\x9b \\u202e\n")

    def test_colours_on_a_terminal_only(self) -> None:
        """Names have colours where colours are wanted; the same name always the same."""
        self.assertIn("\x1b[", show([out(b"a\n")], color=True).stdout)
        self.assertNotIn("\x1b", show([out(b"a\n")]).output)

    @given(st.lists(st.binary(max_size=20), max_size=8))
    @settings(max_examples=60)
    def test_no_bytes_act_on_a_terminal(self, pieces: list[bytes]) -> None:
        """Whatever a program prints, in whatever pieces: as many lines as it has, and no control character."""
        result = show(*([out(piece)] for piece in pieces))
        data = b"".join(pieces)
        lines = data.split(b"\n")
        self.assertEqual(result.stdout.count("\n"), len(lines) - (not lines[-1]))
        self.assertFalse([c for c in result.stdout if (c < " " and c not in "\t\n") or "\x7f" <= c <= "\x9f"])


class RawTests(SynchronousTestCase):
    """The very bytes."""

    def test_channels(self) -> None:
        """Each channel goes to its own, byte for byte, and nothing is added."""
        data = bytes(range(256))
        result = show(
            [
                out(data),
                out(b"\xff\x00", channel=STDERR),
                Closed(name="web", timestamp=0, exit_code=1, invocation="7@0.5"),
            ],
            raw=True,
        )
        self.assertEqual((result.stdout_bytes, result.stderr_bytes), (data, b"\xff\x00"))


class JsonTests(SynchronousTestCase):
    """Objects for programs."""

    def test_items(self) -> None:
        """Each item is one object on one line of standard output; nothing is said elsewhere."""
        result = show(
            [
                out(b"a\n\xc3\xa9", timestamp=1.5),
                out(b"\x1b\xff", channel=STDERR),
                Hole(name="web", size=70, first=1.0, last=2.0, mark=0, invocation="7@0.5"),
                Closed(name="web", timestamp=3.0, exit_code=-9, invocation="7@0.5"),
            ],
            as_json=True,
        )
        self.assertEqual(result.stderr, "")
        self.assertNotIn("\x1b", result.stdout)
        self.assertEqual(
            [json.loads(line) for line in result.stdout.splitlines()],
            [
                {
                    "version": 1,
                    "kind": "output",
                    "name": "web",
                    "time": 1.5,
                    "channel": "stdout",
                    "data": "a\né",
                    "encoding": "utf-8",
                },
                {
                    "version": 1,
                    "kind": "output",
                    "name": "web",
                    "time": 0.0,
                    "channel": "stderr",
                    "data": "\x1bÿ",
                    "encoding": "latin-1",
                },
                {"version": 1, "kind": "hole", "name": "web", "first": 1.0, "last": 2.0, "size": 70},
                {"version": 1, "kind": "closed", "name": "web", "time": 3.0, "exit_code": -9},
            ],
        )

    @given(st.binary(max_size=50))
    @settings(max_examples=50)
    def test_bytes_are_recovered(self, data: bytes) -> None:
        """With its encoding, the data of an object gives the very bytes again."""
        [line] = show([out(data)], as_json=True).stdout.splitlines()
        found = json.loads(line)
        self.assertEqual(found["data"].encode(found["encoding"]), data)


class LastLinesTests(SynchronousTestCase):
    """Cutting output down to its last lines."""

    def last(self, count: int, *items: Item) -> list[tuple[str, bytes]]:
        return [(each.name, each.data) for each in _last_lines(list(items), count) if isinstance(each, Output)]

    def test_of_one_piece(self) -> None:
        """A piece is cut within."""
        self.assertEqual(self.last(2, out(b"a\nb\nc\n")), [("web", b"b\nc\n")])

    def test_more_than_there_are(self) -> None:
        """All lines, if there are no more."""
        self.assertEqual(self.last(9, out(b"a\n"), out(b"b\n")), [("web", b"a\n"), ("web", b"b\n")])

    def test_none(self) -> None:
        """No line, and no end either, if none is wanted."""
        self.assertEqual(
            _last_lines([out(b"a\n"), Closed(name="web", timestamp=0, exit_code=0, invocation="7@0.5")], 0), []
        )

    def test_line_in_pieces_is_one(self) -> None:
        """A line that came in pieces counts once, and comes whole or not at all."""
        items = [out(b"a\nbeg"), out(b"inn"), out(b"ing\nlast\n")]
        self.assertEqual(self.last(1, *items), [("web", b"last\n")])
        self.assertEqual(self.last(2, *items), [("web", b"beg"), ("web", b"inn"), ("web", b"ing\nlast\n")])

    def test_unfinished_line_is_one(self) -> None:
        """A last line without its newline is a line."""
        self.assertEqual(self.last(1, out(b"a\nb")), [("web", b"b")])

    def test_carriage_return_ends_no_line(self) -> None:
        """A bar that moves on one line is one line."""
        self.assertEqual(self.last(1, out(b"x\n10%\r20%\r30%\n")), [("web", b"10%\r20%\r30%\n")])

    def test_channels_are_apart(self) -> None:
        """A line of one channel is not taken for the end of a line of the other."""
        items = [out(b"out"), out(b"err\n", channel=STDERR), out(b"put\n")]
        self.assertEqual(self.last(2, *items), [("web", b"out"), ("web", b"err\n"), ("web", b"put\n")])

    @given(st.lists(st.text("ab\n", min_size=1, max_size=6), max_size=8), st.integers(0, 5))
    @settings(max_examples=200)
    def test_as_if_in_one_piece(self, pieces: list[str], count: int) -> None:
        """However output was cut into pieces, its last lines are the last lines of the whole."""
        whole = "".join(pieces)
        chosen = b"".join(data for _, data in self.last(count, *(out(piece.encode()) for piece in pieces))).decode()
        self.assertEqual(chosen, "".join(whole.splitlines(keepends=True)[-count:] if count else []))
