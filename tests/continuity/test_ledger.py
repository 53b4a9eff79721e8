"""What is remembered, however its writer ends."""

from __future__ import annotations

import os
import resource
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from papa.continuity import ledger as module
from papa.continuity.ledger import Ledger, read_ledger
from papa.continuity.log import encoded
from papa.continuity.migrations import FORMAT, OLDEST_READ
from papa.errors import LimitReached, NotAllowed
from tests.continuity.leftovers import TidyTestCase
from tests.drivers.apart import apart

_NAMES = st.sampled_from(["a", "b", "c"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class LedgerTests(TidyTestCase):
    """One after the other."""

    def setUp(self) -> None:
        super().setUp()
        self.files: list[int] = []
        self.ledger = Ledger(self.files.append)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What the next kernel finds, that has nothing but the latest file."""
        found = Ledger(self.fail, os.dup(self.files[-1])).entries
        return {kind: entries for kind, entries in found.items() if entries}

    def test_nothing(self) -> None:
        """There is a file from the beginning."""
        self.assertEqual((len(self.files), self.entries()), (1, {}))

    def test_put_and_removed(self) -> None:
        """The last that was put counts, and what was removed is not there."""
        self.ledger.put("value", "a", "1")
        self.ledger.put("value", "a", "2")
        self.ledger.put("value", "b", [1, None, {"x": "ü\udc80"}])
        self.ledger.put("socket", "a", {})
        self.ledger.remove("socket", "a")
        self.ledger.remove("socket", "never")
        self.assertEqual(self.entries(), {"value": {"a": "2", "b": [1, None, {"x": "ü\udc80"}]}})

    def test_goes_on(self) -> None:
        """The next kernel writes on in the same file, and the one after it finds both."""
        self.ledger.put("value", "a", "1")
        following = Ledger(self.fail, os.dup(self.files[-1]))
        following.put("value", "b", "2")
        following.remove("value", "a")
        self.assertEqual(self.entries(), {"value": {"b": "2"}})

    def test_torn_record(self) -> None:
        """A record that was not finished does not count, nor does it hide what is written behind it."""
        self.ledger.put("value", "a", "1")
        size = os.fstat(self.files[-1]).st_size
        self.ledger.put("value", "b", "2" * 100)
        whole = os.fstat(self.files[-1]).st_size
        for cut in range(size, whole):
            with self.subTest(cut=cut):
                torn = os.memfd_create("torn")
                os.pwrite(torn, os.pread(self.files[-1], cut, 0), 0)
                following = Ledger(self.fail, torn)
                self.assertEqual(following.entries["value"], {"a": "1"})
                following.put("value", "c", "3")
                self.assertEqual(Ledger(self.fail, os.dup(torn)).entries["value"], {"a": "1", "c": "3"})
                os.close(torn)

    def test_spoilt_record(self) -> None:
        """A record whose bytes are not what was written ends the log."""
        self.ledger.put("value", "a", "1")
        size = os.fstat(self.files[-1]).st_size
        self.ledger.put("value", "b", "2")
        os.pwrite(self.files[-1], b"\x00", size + 12)
        self.assertEqual(self.entries(), {"value": {"a": "1"}})

    def test_behind_a_spoilt_record(self) -> None:
        """What lies behind one does not count either, also when another has taken its place."""
        self.ledger.put("value", "a", "1")
        size = os.fstat(self.files[-1]).st_size
        for name in "bc":
            self.ledger.put("value", name, "1")
        os.pwrite(self.files[-1], b"\x00", size + 12)
        Ledger(self.fail, os.dup(self.files[-1])).put("value", "d", "1")
        self.assertEqual(self.entries(), {"value": {"a": "1", "d": "1"}})

    def test_what_comes_and_goes(self) -> None:
        """Of what was put and removed, each under a name of its own, no room is taken for ever."""
        for number in range(3000):
            self.ledger.put("process", str(number), "y" * 1000)
            self.ledger.remove("process", str(number))
        self.assertLess(os.fstat(self.files[-1]).st_size, 2 << 20)
        self.assertEqual(self.entries(), {})

    def test_changed_while_it_is_copied(self) -> None:
        """What is put or removed while the rest is copied, before its own turn or after, is so in the new file."""
        self.patch(module, "_LEAST_WASTE", 1000)
        expected: dict[str, str] = {}
        for step in range(3000):
            name, files = str(step * 7 % 200), len(self.files)
            if step % 3:
                expected[name] = str(step)
                self.ledger.put("value", name, str(step))
            else:
                expected.pop(name, None)
                self.ledger.remove("value", name)
            if len(self.files) > files:
                self.assertEqual(read_ledger(self.files[-1]), {"value": expected})
        self.assertGreater(len(self.files), 5)

    def test_written_anew(self) -> None:
        """What is out of date takes no more room than what is not, and the new file is given away when it is whole."""
        self.ledger.put("value", "kept", "x" * 1000)
        for number in range(5000):
            self.ledger.put("value", "a", f"{number:05d}" + "y" * 1000)
        self.assertGreater(len(self.files), 2)
        self.assertLess(os.fstat(self.files[-1]).st_size, 3 << 20)
        self.assertEqual(self.ledger.descriptor, self.files[-1])
        found = self.entries()["value"]
        self.assertEqual((len(found["kept"]), found["a"][:5]), (1000, "04999"))

    def test_not_held(self) -> None:
        """As long as nobody else can be given a new file, the one before is the one."""
        refused = 0

        def replaced(file: int) -> None:
            nonlocal refused
            if len(self.files) == 2 and refused < 2:
                refused += 1
                raise LimitReached("not now")
            self.files.append(file)

        self.patch(module, "_LEAST_WASTE", 100)
        self.ledger = Ledger(replaced)
        before = len(os.listdir("/proc/self/fd"))
        for number in range(100):
            self.ledger.put("value", "a", str(number))
            self.assertEqual(self.ledger.descriptor, self.files[-1])
            self.assertEqual(read_ledger(self.files[-1]), {"value": {"a": str(number)}})
        self.assertEqual(refused, 2)
        self.assertGreater(len(self.files), 3)
        # Of the next copy.
        self.assertLessEqual(len(os.listdir("/proc/self/fd")) - before, 2)

    def test_no_room(self) -> None:
        """When there is no memory the caller is told, however often, and what was there stays."""
        told, entries = apart(_without_room)
        self.assertEqual(["no memory" in each for each in told], [True, True])
        self.assertEqual(entries, {"value": {"a": "1"}})

    def test_room_is_made(self) -> None:
        """Where there is no memory left, what is out of date goes first; what still holds can be removed always."""
        self.assertEqual(apart(_little_room), ["4" * 100, {"value": {"b": "2" * 100}}, {}])

    def test_removal_that_fails(self) -> None:
        """What could not be removed stays, and is still there when the file is written anew."""
        self.assertEqual(apart(_no_files), ["There is no memory to remember this in: File too large", {"a": "1"}])

    def test_from_the_future(self) -> None:
        """A state of another format is refused, with what to do."""
        file = os.memfd_create("future")
        os.write(file, encoded(["format", "", FORMAT + 1]))
        with self.assertRaisesRegex(
            NotAllowed, f"format {FORMAT + 1}, and this papa reads formats {OLDEST_READ} to {FORMAT}: go on"
        ):
            Ledger(self.fail, file)

    @given(st.lists(st.tuples(_NAMES, _NAMES, st.one_of(st.none(), _VALUES.map(lambda value: [value]))), max_size=40))
    @settings(max_examples=100)
    def test_like_a_dictionary(self, steps: list[tuple[str, str, list[Any] | None]]) -> None:
        """Whatever is put and removed, the next kernel finds what a dictionary would have."""
        files: list[int] = []
        ledger = Ledger(files.append)
        expected: dict[str, dict[str, Any]] = {}
        self.patch(module, "_LEAST_WASTE", 100)
        self.patch(module, "_AT_A_TIME", 1)
        for kind, name, value in steps:
            if value is None:
                ledger.remove(kind, name)
                expected.get(kind, {}).pop(name, None)
            else:
                ledger.put(kind, name, value[0])
                expected.setdefault(kind, {})[name] = value[0]
            # Killed here, also while what still holds is copied.
            found = read_ledger(files[-1])
            self.assertEqual(
                {kind: each for kind, each in found.items() if each},
                {kind: each for kind, each in expected.items() if each},
            )
        os.close(files[-1])


def _limit(size: int) -> None:
    """Let no file grow beyond a size, and no signal say so."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _found(file: int) -> dict[str, Any]:
    return Ledger(print, os.dup(file)).entries


def _little_room() -> list[Any]:
    files: list[int] = []
    ledger = Ledger(files.append)
    ledger.put("value", "a", "1" * 100)
    ledger.put("value", "b", "2" * 100)
    ledger.put("value", "a", "3" * 100)
    _limit(os.fstat(files[-1]).st_size)
    ledger.put("value", "a", "4" * 100)
    new = _found(files[-1])["value"]["a"] if len(files) > 1 else "old"
    _limit(os.fstat(files[-1]).st_size)
    ledger.remove("value", "a")
    left = _found(files[-1])
    _limit(os.fstat(files[-1]).st_size)
    ledger.remove("value", "b")
    return [new, left, _found(files[-1])]


def _no_files() -> list[Any]:
    files: list[int] = []
    ledger = Ledger(files.append)
    ledger.put("value", "a", "1")
    _limit(os.fstat(files[-1]).st_size)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    said = ""
    try:
        ledger.remove("value", "a")
    except LimitReached as error:
        said = str(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger._write_anew()
    return [said, _found(files[-1])["value"]]


def _without_room() -> list[Any]:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    files: list[int] = []
    ledger = Ledger(files.append)
    ledger.put("value", "a", "1")
    limit = os.fstat(files[-1]).st_size + 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    said = []
    for _ in range(2):
        try:
            ledger.put("value", "b", "2" * 100)
        except LimitReached as error:
            said.append(str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return [said, Ledger(print, os.dup(files[-1])).entries]
