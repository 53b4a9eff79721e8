"""
Programs for papa 1.0.6: with the client of that version from PyPI, and with this one in its place.

Each scenario of L{tests.functional.version1_program} is run by both clients, over TCP and over a Unix path, against a
kernel of this version; all must come to the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.client.sharing import shared_kernel
from tests.functional import version1_program
from tests.functional.environments import environment_with
from tests.support import PATIENCE, KernelTestCase, RealKernel


class Version1TestCase(KernelTestCase):
    """Runs scenarios with both clients."""

    def setUp(self) -> None:
        super().setUp()
        self.version1 = environment_with("papa==1.0.6").script("python")
        self._runs = 0

    def kernel(self) -> RealKernel:
        """A kernel with a port and a path."""
        return self.serve("-p", "0", "-u", os.path.join(self.folder, "papa.sock"))

    def run_program(self, python: str, scenario: str, where: int | str) -> object:
        """What a scenario comes to."""
        self._runs += 1
        folder = os.path.join(self.folder, f"run-{self._runs}")
        finished = subprocess.run(
            [python, "-P", "-W", "ignore", version1_program.__file__, scenario, str(where), folder],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 0, finished.stderr)
        return json.loads(finished.stdout)

    def check(self, scenario: str, expected: object) -> None:
        """Run a scenario with each client over each transport; it must leave nothing behind."""
        kernel = shared_kernel(self)
        for client, python in (("1.0.6", self.version1), ("this client", sys.executable)):
            for where in (kernel.port, kernel.path):
                found = self.run_program(python, scenario, where)
                self.assertEqual(found, expected, f"{scenario} with {client} at {where}")
                with kernel.talk() as talk:
                    left = [talk.ask(f"list {kind}") for kind in ("sockets", "values", "processes")]
                self.assertEqual(left, ["", "", ""], f"{client} at {where} left something behind")


class SocketTests(Version1TestCase):
    """Sockets, as programs for version 1.0.6 make them."""

    def test_inet(self) -> None:
        """They are made, made again, refused, listed and removed, and described by the same keys."""
        made = {"family": "inet", "type": "stream", "backlog": 5, "host": "127.0.0.1", "port": "int", "fileno": "int"}
        again = "remove it first, or choose another name"
        reserved = {key: value for key, value in made.items() if key != "fileno"}
        self.check(
            "inet_sockets",
            {
                "made": made,
                "other backlog": f"Socket inet has already been created with backlog=5: {again}",
                "other family": f"Socket inet has already been created with family=inet, host=127.0.0.1: {again}",
                "no family": "Invalid socket family",
                "no type": "Invalid socket type",
                "no name": True,
                "bad name": True,
                "port taken": "Cannot bind again to 127.0.0.1 port PORT: Address already in use",
                "named host": {**made, "host": "localhost", "backlog": 2048},
                "datagrams": {**made, "type": "dgram"},
                "reuseport": {**reserved, "reuseport": "1"},
                "all": ["inet", "web.1", "web.2", "web.3"],
                "some": ["web.1", "web.2", "web.3"],
                "one": True,
                "none": {},
                "removed": True,
                "left": ["inet"],
                "not held": "Socket 'nothing' not found",
                "by descriptor": True,
                "in the end": {},
            },
        )

    def test_unix(self) -> None:
        """A path with a mask is bound with it and deleted with its socket; no file is ever replaced."""
        self.check(
            "unix_sockets",
            {
                "made": {"family": "unix", "type": "stream", "backlog": 5, "umask": "63"},
                "mode": "0o700",
                "other mask": "Socket unix has already been created with umask=63: "
                "remove it first, or choose another name",
                "same path": True,
                "relative": True,
                "folder": True,
                "file left": False,
                "file in the way": True,
                "file in the way says": "keep",
                "in the end": {},
            },
        )

    def test_lent(self) -> None:
        """$(socket.NAME.fileno) and $(socket.NAME.port) reach the process as numbers that work."""
        self.check(
            "lent_sockets",
            {
                "told": True,
                "out": "True\n",
                "unknown": "Socket 'nothing' not found",
                "unclosed": True,
                "part": True,
                "started": {},
            },
        )


class ValueTests(Version1TestCase):
    """Values, as programs for version 1.0.6 keep them."""

    def test_any_text(self) -> None:
        """Any text that fits on a line comes back as it was; names and patterns select."""
        not_all = "Values cannot all be removed at once: name them, or use a pattern such as web.*"
        self.check(
            "values",
            {
                "before": None,
                "wrong": {},
                "listed wrong": {},
                "listed": len(version1_program.TEXTS) + len(version1_program.BACKSLASHES) + 1,
                "some": {"text.00": "plain", "text.01": "two words"},
                "bad name": True,
                "unset": {},
                "remove none": not_all,
                "remove all": not_all,
                "removed": True,
                "in the end": {},
            },
        )

    def test_like_an_error(self) -> None:
        """What on the console would read as an error is refused there; this client's wire has no such text."""
        kernel = self.kernel()
        refused = 'Value x begins with "Error:", which on the console would read as one'
        for python, expected in (
            (self.version1, {"set": refused, "kept": None}),
            (sys.executable, {"set": "it was not refused", "kept": "Error: boom"}),
        ):
            for where in (kernel.port, kernel.path):
                self.assertEqual(self.run_program(python, "value_like_an_error", where), expected)

    def test_big_listings(self) -> None:
        """An answer of any length is read to its end, wherever a read of 1024 bytes may stop."""
        self.check("big_listings", {"wrong": [], "in the end": {}})


class ProcessTests(Version1TestCase):
    """Processes, as programs for version 1.0.6 start them."""

    def test_arguments(self) -> None:
        """Arguments with blanks, quotes and backslashes reach the program as they were; none poses as a field."""
        self.check(
            "arguments",
            {
                "wrong": [],
                "last": [f"{text}\n" for text in version1_program.BACKSLASHES],
                "nothing": "\n",
                "number": "7\n",
                "one": "a b\n",
                "whole": "pid=1 running=False started=0 uid=0\n",
                "the pid is none of the arguments": True,
                "in the end": {},
            },
        )

    def test_environment(self) -> None:
        """Variables and the working folder are just what was given."""
        self.check("environment", {"wrong": {}, "more": [], "folder": ' my "folder" \\', "empty": ""})

    def test_making(self) -> None:
        """The same again is the same process; another of that name, and what cannot start, is refused and not held."""
        self.check(
            "making",
            {
                "made": {
                    "args": "str",
                    "pid": "int",
                    "running": "bool",
                    "started": "float",
                    "uid": "str",
                    "gid": "str",
                },
                "running": True,
                "args": True,
                "user": True,
                "another": "Process echo has already been created with another args: "
                "remove it first, or choose another name",
                "no program": "Cannot start '/nowhere/at/all': No such file or directory",
                "no folder": True,
                "no user": True,
                "no limit": True,
                "bad name": True,
                "bad stdout": "stdout must be DEVNULL or PIPE",
                "bad stderr": "stderr must be DEVNULL, PIPE or STDOUT",
                "names": ["echo"],
                "not there": "Process 'nothing' not found",
                "nothing": {},
                "out": "",
                "nothing to watch": True,
            },
        )

    def test_streams(self) -> None:
        """stdout, stderr, bufsize, rlimits, uid and gid mean what they meant."""
        out, err = ["out", "out\n"], ["err", "err\n"]
        self.check(
            "streams",
            {
                "default": [[err, out], 0],
                "pipes": [[err, out], 0],
                "merged": [[["out", "out\nerr\n"]], 0],
                "no.out": [[err], 0],
                "no.err": [[out], 0],
                "nothing": [[], 0],
                "k": [[err, out], 0],
                "limited": [[err, out], 0],
                "limits": "77\n0\n",
            },
        )

    def test_removing(self) -> None:
        """A removed process runs on without a trace in its output, and is forgotten when it ends."""
        self.check(
            "removing", {"removed": True, "listed": True, "in the end": {}, "not held": "Process 'echo' not found"}
        )


class WatchTests(Version1TestCase):
    """Watching, as programs for version 1.0.6 do."""

    def test_output_and_ends(self) -> None:
        """All output and each exit code arrive once, for watchers and for those who watch from the start."""
        self.check(
            "watching",
            {
                "printed": [
                    ["err", "w.zero", "oops\n"],
                    ["out", "w.killed", "last words\n"],
                    ["out", "w.three", "three"],
                    ["out", "w.zero", "zero\n"],
                ],
                "codes": {"w.zero": 0, "w.three": 3, "w.most": 255, "w.killed": -9, "w.ended": -15},
                "over": [False, 0, [[], [], []], [[], [], []]],
                "immediately": [["out", "here\n"]],
                "immediate code": {"now": 5},
                "in the end": {},
            },
        )

    def test_select(self) -> None:
        """Select tells of output that comes later, and of output that was there before the watch."""
        self.check("selecting", {"later": True, "ready": True, "before": True, "codes": {"echo": 0}})

    def test_acknowledging(self) -> None:
        """What a lost watcher had read comes again, output and end; what was acknowledged does not."""
        self.check(
            "acknowledging",
            {
                "first": "one\n",
                "again": "one\n",
                "second": "two\n",
                "third": "three\n",
                "end": [0],
                "ended": [False, True],
                "end again": "",
                "in the end": {},
            },
        )

    def test_two_watchers(self) -> None:
        """Both of two watchers get all output and the end."""
        told = ["bye\n", {"echo": 0}]
        self.check("two_watchers", {"heard": ["hello\n", "hello\n"], "told": [told, told], "in the end": [{}, {}]})

    def test_large_output(self) -> None:
        """Megabytes arrive whole and in order."""
        self.check("large_output", {"out": True, "err": True, "codes": {"large": 0}})

    def test_imitated_frames(self) -> None:
        """No output of a process is taken for what papa says."""
        exact = {str(index): True for index in range(12)}
        self.check("imitated_frames", {"exact": exact, "rest": [], "codes": {"echo": 0}})


class LeavingTests(Version1TestCase):
    """Ending an idle kernel, as programs for version 1.0.6 do."""

    def test_exit_if_idle(self) -> None:
        """A kernel that holds something stays; an idle one ends with its last connection."""
        for python in (self.version1, sys.executable):
            for by_path in (False, True):
                kernel = self.kernel()
                found = self.run_program(python, "leaving", kernel.path if by_path else kernel.port)
                self.assertEqual(found, {"with a value": False, "with a socket": False, "idle": True})
                self.assertEqual(kernel.process.wait(PATIENCE), 0)


class NameTests(Version1TestCase):
    """The package itself."""

    #: What was in reach of programs, but meant for papa itself only.
    INTERNAL = frozenset(
        {
            "Papa.spawn_lock",
            "Papa.spawned",
            "papa.ClientCommandConnection",
            "papa.Lock",
            "papa.append_if_not_none",
            "papa.b",
            "papa.log",
            "papa.namedtuple",
            "papa.recv_with_retry",
            "papa.s",
            "papa.send_with_retry",
            "papa.sleep",
            "papa.string_type",
            "papa.time",
            "papa.utils.PY2",
            "papa.utils.extract_name_value_pairs",
            "papa.utils.recv_with_retry",
            "papa.utils.send_with_retry",
            "papa.utils.wildcard_iter",
            "papa.wrap_trailing_slash",
        }
    )

    def test_names_and_parameters(self) -> None:
        """Every public name of version 1.0.6 is here, and takes the same parameters in the same order."""
        kernel = self.kernel()
        before = self.run_program(self.version1, "names", kernel.port)
        after = self.run_program(sys.executable, "names", kernel.port)
        assert isinstance(before, dict)
        assert isinstance(after, dict)
        self.assertEqual(set(before) - set(after), self.INTERNAL)
        for name, parameters in before.items():
            if name in after and parameters is not None:
                known = after[name]
                self.assertIsNotNone(known, name)
                if name.startswith("papa.utils."):
                    self.assertEqual(len(known), len(parameters), name)  # Nobody names those.
                else:
                    self.assertEqual(known[: len(parameters)], parameters, name)
