"""What one operation costs does not grow with how much is held: lines of the kernel's code are counted, not time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import papa.kernel
from papa.commands import (
    Get,
    LendProcess,
    LendSocket,
    ListSockets,
    ListValues,
    RemoveProcesses,
    RemoveSockets,
    Set,
    WriteProcess,
)
from tests.kernel.building import PLENTY, House

_KERNEL = os.path.dirname(papa.kernel.__file__)
_NAMES = os.path.join(os.path.dirname(_KERNEL), "names.py")


def lines_of(operation: Callable[[], Any]) -> int:
    """How many lines of the kernel and of what selects names are run by an operation."""
    count = 0

    def trace(frame: FrameType, event: str, detail: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith((_KERNEL, _NAMES)):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
    return count


def full_house(count: int) -> House:
    """A kernel that holds so much of everything, all of it watched; every second process has printed."""
    house = House()
    for number in range(count):
        house.socket(f"held{number}", **({"path": f"/held{number}"} if number % 3 else {}))
        house.kernel.set(Set(name=f"held{number}", value="x"))
        child = house.child(f"held{number}")
        if number % 2:
            child.print(b"unread")
    return house


class ScaleTests(SynchronousTestCase):
    """A kernel that holds much and one that holds little."""

    @staticmethod
    def cost(count: int) -> dict[str, int]:
        """What each operation on a single thing costs in a kernel that holds so much beside it."""
        house = full_house(count)
        overall = house.watch()
        overall.take(PLENTY)
        kernel = house.kernel
        asked = {"stdin": "pipe", "env": {"FD": "$(socket.web.fileno)"}}
        found = {
            "make socket": lines_of(lambda: house.socket("web")),
            "make unix socket": lines_of(lambda: house.socket("unix", path="/unix")),
            "make process": lines_of(lambda: house.make("job", **asked)),
        }
        child = house.children.children[house.process("job").pid]
        other = house.children.children[house.process("held0").pid]
        watch = house.watch("job")
        for words, operation in {
            "same again": lambda: house.make("job", **asked),
            "list": lambda: house.process("job"),
            "watch": lambda: house.watch("job").stop(),
            "output": lambda: child.print(b"some"),
            "output of another": lambda: other.print(b"more"),
            "take": lambda: watch.take(PLENTY),
            "take of all that is watched": lambda: overall.take(PLENTY),
            "acknowledge": watch.acknowledge,
            "write": lambda: kernel.write_process(WriteProcess(name="job", data=b"x")),
            "lend process": lambda: kernel.lend_process(LendProcess(name="job")),
            "lend socket": lambda: kernel.lend_socket(LendSocket(name="web")),
            "exit": lambda: child.exit(3),
            "remove process": lambda: kernel.remove_processes(RemoveProcesses(names=("job",))),
            "list socket": lambda: kernel.list_sockets(ListSockets(names=("web",))),
            "remove socket": lambda: kernel.remove_sockets(RemoveSockets(names=("web",))),
            "remove unix socket": lambda: kernel.remove_sockets(RemoveSockets(names=("unix",))),
            "set": lambda: kernel.set(Set(name="x", value="y")),
            "get": lambda: kernel.get(Get(name="x")),
            "list value": lambda: kernel.list_values(ListValues(names=("x",))),
            "idle": lambda: kernel.idle,
        }.items():
            found[words] = lines_of(operation)
        return found

    def test_operations(self) -> None:
        """Every operation on one thing runs as many lines among 5000 sockets, processes and values as among ten."""
        few, many = self.cost(10), self.cost(5000)
        self.assertEqual(few, many)
        self.assertGreater(min(few.values()), 0)
