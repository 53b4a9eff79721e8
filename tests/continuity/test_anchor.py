"""
The anchor, with kernels that do what a test says.

Each kernel is a small program that receives what is held, and then runs the lines that the test has for it: the first
kernel the first piece, and so on. What the lines C{say} is what the test looks at.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import tests
from papa.continuity.channel import Channel
from papa.continuity.dump import dumps
from papa.continuity.ledger import read_as_written
from papa.continuity.migrations import FORMAT
from tests.support import PATIENCE, limited_to, program, until

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(tests.__file__)))
_ANCHOR = """
import sys
from papa.continuity import anchor, kernels, succession
for name, value in {settings}.items():
    for module in (anchor, kernels, succession):
        for constant in (name, '_' + name):
            if hasattr(module, constant):
                setattr(module, constant, value)
sys.exit(anchor.main(sys.argv[1:]))
"""
_KERNEL = """
import json, os, signal, sys, time
from papa.continuity.channel import Channel
folder = {folder!r}
channel = Channel(int(sys.argv[-1].removeprefix("--anchor-fd=")))
held = {{}}
pids = {{}}

def hear():
    told = channel.receive()
    if told is None:
        os._exit(0)
    return told

def tell(descriptors=(), **message):
    channel.send(message, descriptors)

def say(what):
    with open(folder + "/said", "a") as said:
        said.write(json.dumps(what) + "\\n")

def die(number=signal.SIGKILL):
    os.kill(os.getpid(), number)
    time.sleep(60)

def spec(*args, **fields):
    return {{
        "args": args, "env": {{}}, "inherit_env": False, "working_dir": None, "rlimits": {{}}, "umask": None,
        "identity": {{"uid": os.geteuid(), "gid": os.getegid(), "groups": [], "changed": False}},
        "stdin": "null", "stdout": "pipe", "stderr": "pipe", **fields,
    }}

def spawn(key, *args, streams=(), given=(), kept=(), **fields):
    tell([*given, *kept], do="spawn", key=key, spec=spec(*args, **fields), streams=streams, inherited=[], listen=[])
    return hear()

def goodbye(code=0):
    tell(do="goodbye")
    os._exit(code)

while True:
    message, descriptors = hear()
    if "held" in message:
        held[message["held"]] = descriptors
        pids[message["held"]] = message["pid"]
    elif "rehearse" in message:
        exec(open(folder + "/rehearsal").read())
    elif "welcome" in message:
        break
exec(open(f"{{folder}}/{{message['welcome']}}").read())
"""


class AnchorTestCase(SynchronousTestCase):
    """Tests with an anchor in a folder of its own."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.log = os.path.join(self.folder, "log")
        self.python = sys.executable

    def write(self, name: object, text: str) -> str:
        path = os.path.join(self.folder, str(name))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(
        self, *kernels: str, words: tuple[str, ...] = (), under: tuple[str, ...] = (), **settings: float
    ) -> subprocess.Popen[bytes]:
        """Start an anchor whose kernels run these lines; C{settings} are in place of its constants."""
        for number, lines in enumerate(kernels, 1):
            self.write(number, lines)
        kernel = self.write("kernel.py", _KERNEL.format(folder=self.folder))
        code = _ANCHOR.format(settings=settings)
        return self.start_anchor(*words, "--", self.python, kernel, under=under, code=code)

    def start_anchor(
        self,
        *words: str,
        code: str = _ANCHOR.format(settings={}),
        under: tuple[str, ...] = (),
        given: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start an anchor with these words; C{given} are descriptors that it has too."""
        with open(self.log, "ab") as log:
            anchor = subprocess.Popen(
                [*under, sys.executable, "-c", code, *words],
                env={**os.environ, "PYTHONPATH": _ROOT, "PAPA_RUNTIME_DIR": self.folder},
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.addCleanup(self._end, anchor)
        return anchor

    @staticmethod
    def _end(anchor: subprocess.Popen[bytes]) -> None:
        if anchor.poll() is None:
            anchor.kill()
            anchor.wait()

    def said(self) -> list[Any]:
        path = os.path.join(self.folder, "said")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as said:
            return [json.loads(line) for line in said if line.endswith("\n")]

    def logged(self) -> str:
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def end_of(self, *kernels: str, **settings: Any) -> int:
        """The exit code of an anchor whose kernels run these lines."""
        return self.start(*kernels, **settings).wait(PATIENCE)


class EndTests(AnchorTestCase):
    """When it ends."""

    def test_goodbye(self) -> None:
        """It ends with the kernel that says goodbye, and with its code."""
        self.assertEqual(self.end_of("tell(do='ready'); die()", "tell(do='ready'); goodbye(7)"), 7)

    def test_first_kernel(self) -> None:
        """If the first does not come to serve it ends as that did: another would do no better."""
        self.assertEqual(self.end_of("os._exit(3)"), 3)
        self.assertEqual(self.end_of("die(signal.SIGTERM)"), 128 + signal.SIGTERM)

    def test_told_to_end(self) -> None:
        """It passes on that it is to end; a kernel that ends of that without a word is the last."""
        anchor = self.start("tell(do='ready'); say('here'); time.sleep(60)")
        until(self.said)
        anchor.send_signal(signal.SIGTERM)
        self.assertEqual(anchor.wait(PATIENCE), 0)

    def test_told_to_end_twice(self) -> None:
        """A kernel that says goodbye hears no more of it, and ends well even if that was too late."""
        first = (
            "told = []; signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
            "tell(do='ready'); tell(do='goodbye'); os.kill(os.getppid(), signal.SIGTERM)\n"
            "spawn('p', '/bin/true'); say(told); die(signal.SIGINT)"
        )
        self.assertEqual(self.end_of(first), 0)
        self.assertEqual(self.said(), [[]])

    def test_told_to_end_without_a_kernel(self) -> None:
        """Nor does it start another if it is told between two."""
        anchor = self.start("tell(do='ready'); die()", "say('second'); os._exit(1)", FIRST_PAUSE=60)
        until(self.said)
        until(lambda: "ended with 1" in self.logged())
        anchor.send_signal(signal.SIGINT)
        self.assertEqual(anchor.wait(PATIENCE), 0)

    def test_told_to_end_while_one_gives_way(self) -> None:
        """A kernel that gives way in that very moment is followed by none."""
        self.write("rehearsal", "tell(do='rehearsed', error=None)")
        first = (
            "tell(do='ready'); tell([0], do='upgrade', argv=[sys.executable, sys.argv[0]]); hear(); "
            "signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); say('gives way'); time.sleep(60)"
        )
        anchor = self.start(first, "say('second'); tell(do='ready'); time.sleep(60)")
        until(self.said)
        anchor.send_signal(signal.SIGTERM)
        self.assertEqual(anchor.wait(PATIENCE), 0)
        self.assertEqual(self.said(), ["gives way"])


class HoldTests(AnchorTestCase):
    """What it holds."""

    def test_over_a_kill(self) -> None:
        """What was to be held is handed to the next kernel, and what was to be dropped is not."""
        first = (
            "r, w = os.pipe(); os.write(w, b'text'); tell([r], do='hold', key='pipe'); tell([r], do='hold', key='no'); "
            "tell([w], do='hold', key='other'); tell(do='drop', keys=['no', 'never']); tell(do='ready'); die()"
        )
        second = "say([sorted(held), os.read(held['pipe'][0], 9).decode(), pids]); goodbye()"
        self.assertEqual(self.end_of(first, second), 0)
        self.assertEqual(self.said(), [[["other", "pipe"], "text", {"pipe": None, "other": None}]])

    def test_in_place(self) -> None:
        """What replaces something has its place among the others, and what it replaces is let go of."""
        first = (
            "r, w = os.pipe(); tell([w], do='hold', key='a'); tell([r], do='hold', key='b'); "
            "tell([r], do='hold', key='a'); os.close(w); tell(do='ready'); say(os.read(r, 1).decode()); die()"
        )
        self.assertEqual(self.end_of(first, "say(list(held)); goodbye()"), 0)
        self.assertEqual(self.said(), ["", ["a", "b"]])

    def test_much(self) -> None:
        """More than a line takes at once is handed over as it is taken."""
        first = "for n in range(700): tell([0, 0], do='hold', key=f'a rather long key {n:05}')\ntell(do='ready'); die()"
        self.assertEqual(self.end_of(first, "say(len(held)); goodbye()"), 0)
        self.assertEqual(self.said(), [700])

    def test_dies_as_it_takes_over(self) -> None:
        """Kernels that die while they are told of everything leave all of it to the next."""
        first = "for n in range(700): tell([0, 0], do='hold', key=f'a rather long key {n:05}')\ntell(do='ready'); die()"
        self.assertEqual(self.end_of(first, "die()", "die()", "say(len(held)); goodbye()", FIRST_PAUSE=0.01), 0)
        self.assertEqual(self.said(), [700])

    def test_not_understood(self) -> None:
        """A kernel that says what makes no sense is killed, and another goes on."""
        for nonsense in ("tell(do='dance')", "tell(a=1)", "tell(do='hold')", "channel._socket.send(b'no json')"):
            with self.subTest(nonsense=nonsense):
                self.assertEqual(self.end_of(f"tell(do='ready'); {nonsense}; time.sleep(60)", "goodbye(5)"), 5)
        self.assertIn("is not understood and is killed: KeyError('dance')", self.logged())


class ChildTests(AnchorTestCase):
    """Children."""

    def test_started_and_ended(self) -> None:
        """A child is started with what it is given, and its end is told with its code."""
        first = (
            "r, w = os.pipe(); tell(do='ready'); answer, handle = spawn('c', '/bin/sh', '-c', 'echo hi; exit 7', "
            "streams=[1], given=[w], kept=[r]); say([answer['spawned'], len(handle), answer['pid'] > 0]); "
            "os.close(w); say(os.read(r, 9).decode()); say(hear()[0]); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        self.assertEqual(self.said(), [["c", 1, True], "hi\n", {"exited": "c", "code": 7}])

    def test_ended_without_a_kernel(self) -> None:
        """How a child ended while there was no kernel is known to each that comes, until it is dropped."""
        first = (
            "r, w = os.pipe(); tell(do='ready'); answer, _ = spawn('c', '/bin/sh', '-c', 'read x; kill -9 $$', "
            "streams=[0], given=[r]); os.close(w); die()"
        )
        second = "tell(do='ready'); say([pids['c'] > 0, hear()[0]]); die()"
        third = "tell(do='ready'); say(hear()[0]); tell(do='drop', keys=['c']); die()"
        self.assertEqual(self.end_of(first, second, third, "say(held); goodbye()"), 0)
        ended = {"exited": "c", "code": -9}
        self.assertEqual(self.said(), [[True, ended], ended, {}])

    def test_not_started(self) -> None:
        """A child that cannot be started is told with the reason, and nothing of it is held."""
        first = (
            "tell(do='ready'); say(spawn('c', '/no/such/program', kept=[0])[0]); "
            "say(spawn('d', 'a\\0b', kept=[0])[0]['failed']); die()"
        )
        self.assertEqual(self.end_of(first, "say(held); goodbye()"), 0)
        told, other, held = self.said()
        self.assertEqual((told["failed"], told["error"], other, held), ("c", "SpawnFailed", "d", {}))
        self.assertIn("/no/such/program", told["message"])

    def test_of_another_version(self) -> None:
        """A kernel that asks for what the anchor does not know is told so for this child, and goes on."""
        first = (
            "tell(do='ready'); told = spawn('c', '/bin/true', kept=[0], colour='red')[0]; "
            "say([told['failed'], told['message'], 'spawned' in spawn('d', '/bin/true')[0]]); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        key, message, another = self.said()[0]
        self.assertEqual((key, another), ("c", True))
        self.assertIn("colour", message)

    def test_no_descriptor_left(self) -> None:
        """An anchor that has no descriptor left for a child says so, and its kernel goes on."""
        first = (
            "tell(do='ready'); say([spawn('c', '/bin/true', kept=[0] * 200)[0]['error'], "
            "'spawned' in spawn('d', '/bin/true')[0]]); goodbye()"
        )
        self.assertEqual(self.end_of(first, under=limited_to(100)), 0)
        self.assertEqual(self.said(), [["LimitReached", True]])

    def test_what_it_finds(self) -> None:
        """A child finds the environment and the descriptors that it was promised, and no others."""
        first = (
            "r, w = os.pipe(); tell([0], do='hold', key='a'); tell(do='ready'); spawn('c', '/bin/sh', '-c', "
            "'echo /proc/self/fd/*; env', streams=[1], given=[w], env={'A': 'ü'}); os.close(w); "
            "say(open(r).read()); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        files, *variables = self.said()[0].splitlines()
        # The last is the folder that is being looked at.
        self.assertEqual(files, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3")
        self.assertEqual(set(variables) - {"PWD=" + os.getcwd(), "_=/usr/bin/env"}, {"A=ü"})


class SuccessionTests(AnchorTestCase):
    """One kernel after the other."""

    def test_pause(self) -> None:
        """After one that did not come to serve there is a pause, which becomes longer."""
        said = "say(time.monotonic()); "
        self.end_of(f"tell(do='ready'); {said} die()", f"{said} die()", f"{said} die()", f"{said} goodbye()")
        times = self.said()
        pauses = [after - before for before, after in itertools.pairwise(times)]
        self.assertGreater(pauses[1], 0.1)
        self.assertGreater(pauses[2], 0.2)

    def test_does_not_come_to_serve(self) -> None:
        """One that does not come to serve in time is killed."""
        self.assertEqual(
            self.end_of("tell(do='ready'); die()", "time.sleep(60)", "goodbye(4)", READY_WITHIN=1.0, FIRST_PAUSE=0.01),
            4,
        )
        self.assertIn("does not serve after 1 seconds: it is killed", self.logged())

    def test_cannot_be_started(self) -> None:
        """While no kernel can be started at all it tries again and again."""
        self.python = os.path.join(self.folder, "python")
        os.symlink(sys.executable, self.python)
        first = f"tell(do='ready'); os.unlink({self.python!r}); die()"
        anchor = self.start(first, "goodbye(6)", FIRST_PAUSE=0.01, LONGEST_PAUSE=0.05)
        until(lambda: self.logged().count("cannot start a kernel") > 2)
        os.symlink(sys.executable, self.python)
        self.assertEqual(anchor.wait(PATIENCE), 6)

    def test_reserve(self) -> None:
        """One is got ready when the first has served for a while, and takes its turn at once."""
        first = (
            "tell(do='ready')\nme = os.getppid()\n"
            "while len(open(f'/proc/{me}/task/{me}/children').read().split()) < 2: time.sleep(0.01)\n"
            "die()"
        )
        self.assertEqual(self.end_of(first, "tell(do='ready'); goodbye(9)", QUIET=0.0), 9)

    def test_copy(self) -> None:
        """A copy that a kernel leaves waiting is the next one, though it was never the anchor's child."""
        first = (
            "ours, theirs = Channel.pair()\n"
            "pid = os.fork()\n"
            "if pid:\n"
            "    tell([theirs.fileno()], do='spare', pid=pid); say(pid); tell(do='ready'); die()\n"
            "theirs.close(); channel.close(); channel = ours; told = hear()[0]; say([os.getpid(), told]); goodbye(8)"
        )
        self.assertEqual(self.end_of(first), 8)
        pid, found = self.said()
        self.assertEqual((found[0], found[1]["welcome"]), (pid, 2))

    def test_hears_signals_first(self) -> None:
        """A kernel hears of another anchor only once that passes on what it is told by signals, as to end."""
        kernel = subprocess.Popen([program("sleep"), "60"])
        self.addCleanup(self._end, kernel)
        deaf = "import sys; from papa.continuity import anchor; anchor.signal_pipe = lambda *_: sys.exit(9)\n"
        for code, heard in ((deaf + _ANCHOR, False), (_ANCHOR, True)):
            line, its_end = Channel.pair()
            self.addCleanup(line.close)
            words = [f"--line={its_end.fileno()}", f"--kernel={kernel.pid}", "--kernels=1", "--", "/no/such"]
            anchor = self.start_anchor(*words, code=code.format(settings={}), given=(its_end.fileno(),))
            its_end.close()
            self.assertEqual(line.receive(), ({"hear": anchor.pid}, []) if heard else None)
            anchor.terminate()
            anchor.wait(PATIENCE)
        self.assertEqual(kernel.wait(PATIENCE), -signal.SIGTERM)

    def test_log(self) -> None:
        """On SIGHUP it opens its log anew, which each kernel is told of; what is for the first, only that is told."""
        self.log = os.path.join(self.folder, "own.log")
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_inheritable(writing, True)
        first = "signal.signal(signal.SIGHUP, lambda *_: die()); say(sys.argv[1:-1]); tell(do='ready'); time.sleep(60)"
        self.write(1, first)
        kernel = self.write("kernel.py", _KERNEL.format(folder=self.folder))
        words = [f"--ready-fd={writing}", f"--log-file={self.log}"]
        anchor = self.start_anchor(*words, "--", sys.executable, kernel, given=(writing,))
        os.close(writing)
        self.write(2, "say(sys.argv[1:-1]); tell(do='ready'); goodbye()")
        until(self.said)
        os.rename(self.log, f"{self.log}.1")
        anchor.send_signal(signal.SIGHUP)
        self.assertEqual(anchor.wait(PATIENCE), 0)
        self.assertEqual(self.said(), [[words[1], words[0]], [words[1]]])
        self.assertIn("was killed by signal 9", self.logged())


class DumpTests(AnchorTestCase):
    """What is written down when no kernel comes to serve."""

    holds = (
        "from papa.continuity.ledger import Ledger\n"
        "ledger = Ledger(lambda file: tell([file], do='hold', key='ledger'))\n"
        "ledger.put('value', 'secret', 'x')\n"
    )

    def dumped(self) -> list[str]:
        return dumps(self.folder)

    def test_written(self) -> None:
        """The state and the children, once, for nobody else; and it goes on being tried, with everything as it was."""
        first = self.holds + "spawn('p', '/bin/sleep', '60'); tell(do='ready'); die()"
        last = "say([sorted(held), pids['p']]); os.kill(pids['p'], signal.SIGKILL); tell(do='ready'); goodbye(4)"
        self.assertEqual(self.end_of(first, *["die()"] * 7, last, FIRST_PAUSE=0.01), 4)
        ((held, pid),) = self.said()
        self.assertEqual(held, ["ledger", "p"])
        (path,) = self.dumped()
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, "rb") as file:
            entries = read_as_written(file.fileno())
        self.assertEqual(entries, {"child": {"p": [pid, None]}, "format": {"": FORMAT}, "value": {"secret": "x"}})
        self.assertIn("3 kernels in a row did not come to serve", self.logged())
        self.assertIn("1 process runs on, nothing that is held is lost, and a kernel is tried again", self.logged())
        self.assertIn(f"papa doctor --state {path}", self.logged())

    def test_bounded(self) -> None:
        """The latest few are kept; one that served in between makes another worth writing."""
        old = [self.write(f"state-2020010{day}T000000Z-1.ledger", "old") for day in range(1, 4)]
        fails = ["die()"] * 3
        first = self.holds + "tell(do='ready'); die()"
        self.assertEqual(
            self.end_of(
                first, *fails, "tell(do='ready'); die()", *fails, "tell(do='ready'); goodbye()", FIRST_PAUSE=0.01
            ),
            0,
        )
        found = self.dumped()
        self.assertEqual((len(found), found[:1]), (3, old[2:]))

    def test_cannot_be_written(self) -> None:
        """Where there is no safe place for it that is said, and all goes on."""
        first = self.holds + f"os.chmod({self.folder!r}, 0o755); tell(do='ready'); die()"
        self.assertEqual(self.end_of(first, *["die()"] * 3, "tell(do='ready'); goodbye(5)", FIRST_PAUSE=0.01), 5)
        self.assertIn("cannot be written down: The runtime folder", self.logged())
        self.assertEqual(self.dumped(), [])


class UpgradeTests(AnchorTestCase):
    """One gives way to another."""

    ask = "tell([0], do='upgrade', argv=[sys.executable, sys.argv[0], 'new'])"

    def test_gives_way(self) -> None:
        """It is told to retire once the other has shown that it can go on; that is the next, as are all after it."""
        self.write("rehearsal", "say(['rehearses', len(descriptors)]); tell(do='rehearsed', error=None)")
        first = f"tell([0], do='hold', key='a'); tell(do='ready'); {self.ask}; say(hear()[0]); os._exit(0)"
        later = "say([sys.argv[1], list(held)]); tell(do='ready')"
        self.assertEqual(self.end_of(first, f"{later}; die()", f"{later}; goodbye()"), 0)
        self.assertEqual(self.said(), [["rehearses", 1], {"retire": True}, ["new", ["a"]], ["new", ["a"]]])

    def test_refused(self) -> None:
        """If that says why not, or ends, or cannot be started, the first is told, and goes on."""
        self.write("rehearsal", "tell(do='rehearsed', error='no'); hear()")
        first = (
            f"tell(do='ready'); {self.ask}; {self.ask}; say([hear()[0]['refused'], hear()[0]['refused']]); "
            "tell([0], do='upgrade', argv=['/no/such']); say(hear()[0]); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        told, other = self.said()
        self.assertEqual(set(told), {"no", "an upgrade is under way already"})
        self.assertIn("refused", other)

    def test_cannot_be_started(self) -> None:
        """What no system could start is refused, too, as often as it is tried, and leaves nothing with the anchor."""
        ask = "tell([0], do='upgrade', argv=[{0!r}]); said.append(hear()[0]['refused'])"
        tried = "; ".join(ask.format(name) for name in ("/no/such", "/no\0such"))
        first = (
            f"tell(do='ready'); mine = f'/proc/{{os.getppid()}}/fd'; said = []; {tried}\n"
            f"before = len(os.listdir(mine)); {tried}; say([said[2:], len(os.listdir(mine)) - before]); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        ((refusals, more),) = self.said()
        self.assertEqual([why.partition(":")[0] for why in refusals], ["cannot start it"] * 2)
        self.assertEqual(more, 0)

    def test_under_way_already(self) -> None:
        """A second one at the same time leaves nothing with the anchor either."""
        self.write("rehearsal", "say('begun'); hear()")
        first = (
            f"tell(do='ready'); {self.ask}\nwhile not os.path.exists(folder + '/said'): time.sleep(0.01)\n"
            f"mine = f'/proc/{{os.getppid()}}/fd'; before = len(os.listdir(mine)); {self.ask}\n"
            "say([hear()[0]['refused'], len(os.listdir(mine)) - before]); goodbye()"
        )
        self.assertEqual(self.end_of(first), 0)
        self.assertEqual(self.said(), ["begun", ["an upgrade is under way already", 0]])

    def test_ends_at_the_rehearsal(self) -> None:
        """One that ends instead of an answer is refused for that, and for where it says why; another can be tried."""
        self.write("rehearsal", "os._exit(3)")
        ask = f"{self.ask}; say(hear()[0]['refused'])"
        twice = f"tell(do='ready'); {ask}; {ask}; goodbye()"
        self.assertEqual(self.end_of(twice), 0)
        self.assertEqual(self.end_of(twice, words=(f"--log-file={self.log}",)), 0)
        refused = "it ended with 3 before it could go on"
        self.assertEqual(self.said(), [refused] * 2 + [f"{refused}; {self.log} says why"] * 2)

    def test_each_in_turn(self) -> None:
        """If that does not come to serve either, it is the new one's turn again, and so on."""
        self.write("rehearsal", "tell(do='rehearsed', error=None)")
        first = f"tell([0], do='hold', key='a'); tell(do='ready'); {self.ask}; hear(); os._exit(0)"
        fails = ["say(sys.argv[1:-1]); die()"] * 7
        last = "say([sys.argv[1:-1], list(held)]); tell(do='ready'); goodbye(4)"
        self.assertEqual(self.end_of(first, *fails, last, FIRST_PAUSE=0.01), 4)
        new, old = ["new"], []
        self.assertEqual(self.said(), [new, new, new, old, old, old, new, [new, ["a"]]])

    def test_in_place(self) -> None:
        """A version that was installed in place of the one before: of that, the copy goes on that waited."""
        self.write("rehearsal", "tell(do='rehearsed', error=None)")
        first = (
            "ours, theirs = Channel.pair()\n"
            "pid = os.fork()\n"
            "if not pid:\n"
            "    theirs.close(); channel.close(); channel = ours; told = hear()[0]\n"
            "    say(['the copy', told['welcome']]); goodbye(8)\n"
            "tell([theirs.fileno()], do='spare', pid=pid)\n"
            "tell(do='ready'); tell([0], do='upgrade', argv=[sys.executable, sys.argv[0]]); hear(); os._exit(0)"
        )
        self.assertEqual(self.end_of(first, *["say('fails'); die()"] * 3, FIRST_PAUSE=0.01), 8)
        self.assertEqual(self.said(), ["fails", "fails", "fails", ["the copy", 5]])

    def test_does_not_come_to_serve(self) -> None:
        """A new version that does not come to serve gives way to the one before it, with everything."""
        self.write("rehearsal", "tell(do='rehearsed', error=None)")
        first = f"tell([0], do='hold', key='a'); tell(do='ready'); {self.ask}; hear(); os._exit(0)"
        last = "say([sys.argv[1:-1], list(held)]); goodbye()"
        self.assertEqual(self.end_of(first, "die()", "die()", "die()", last, FIRST_PAUSE=0.01), 0)
        self.assertEqual(self.said(), [[[], ["a"]]])
        self.assertIn("the one before it goes on", self.logged())
