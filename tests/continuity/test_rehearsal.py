"""Whether another papa could go on, tried beforehand."""

from __future__ import annotations

import os
from typing import Any

from papa.commands import MakeProcess, MakeSocket, Set, WatchProcesses
from papa.continuity import rehearsal
from papa.continuity.ledger import Ledger, read_ledger
from papa.continuity.rehearsal import rehearse
from papa.drivers.memory import MemoryChildren, MemorySockets
from papa.errors import NotAllowed
from papa.kernel.core import Kernel
from papa.steps import all_at_once
from tests.continuity.leftovers import TidyTestCase
from tests.kernel.building import Bell, Diary, Wall, everything


class RehearsalTests(TidyTestCase):
    """The state of a kernel that holds something of every kind."""

    def setUp(self) -> None:
        super().setUp()
        self.files: list[int] = []
        self.ledger = Ledger(self.files.append)
        children = MemoryChildren(tapes=True)
        self.kernel = Kernel(
            sockets=MemorySockets(), children=children, wall=Wall(), events=Diary(), ledger=self.ledger
        )
        self.kernel.make_socket(MakeSocket(name="web", port=80))
        self.kernel.make_socket(MakeSocket(name="unix", path="/x"))
        self.kernel.set(Set(name="a", value="1"))
        for name in ("runs", "ended", "removed"):
            process = self.kernel.make_process(MakeProcess(name=name, args=("x",), stdin="pipe", overflow="block"))
            child = children.children[process.pid]
            child.untaken = (b"rest", True)
            child.print(b"some output")
        child.exit(3)
        watch = all_at_once(self.kernel.watch(WatchProcesses(names=("*",), cursor="c"), Bell()))
        everything(watch)
        watch.acknowledge()
        self.kernel.leave()

    def contents(self) -> bytes:
        return os.pread(self.files[-1], 1 << 20, 0)

    def test_nothing_is_changed(self) -> None:
        """A state that is as it should be is read, and stays as it is."""
        before = self.contents()
        rehearse(self.files[-1])
        self.assertEqual(self.contents(), before)

    def test_what_would_be_missing(self) -> None:
        """If something would not be held then, it is said what."""

        class Careless(Kernel):
            def restore(self, entries: Any) -> None:
                super().restore({kind: each for kind, each in entries.items() if kind != "value"})

        self.patch(rehearsal, "Kernel", Careless)
        with self.assertRaisesRegex(ValueError, "not every value that is held would be held then: {'a'}"):
            rehearse(self.files[-1])

    def test_what_was_about_to_go(self) -> None:
        """A process that the kernel is letting go of as its state is read need not be held then."""
        entry = read_ledger(self.files[-1])["process"]["1"]
        ended = {"exit_code": 0, "closed": 5.0, "collected": True}
        self.ledger.put("process", "7", {**entry, **ended, "request": {**entry["request"], "name": "gone"}})
        self.ledger.put("process", "8", {**entry, "removed": True, "request": {**entry["request"], "name": "going"}})
        rehearse(self.files[-1])

    def test_what_is_not_understood(self) -> None:
        """A request that this papa does not know is an error, not a guess."""
        self.ledger.put("socket", "new", {"request": {"name": "new", "colour": "red"}, "fileno": 70})
        with self.assertRaisesRegex(TypeError, "colour"):
            rehearse(self.files[-1])

    def test_no_state(self) -> None:
        """A file that says nothing is no state."""
        empty = os.memfd_create("empty")
        self.addCleanup(os.close, empty)
        self.assertRaises(NotAllowed, rehearse, empty)
