"""
papa with a manager of thirty lines on it, which starts again whatever has ended.

What is killed is papa's kernel, at an anchor, which starts the next one by itself.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, suppress
from importlib import metadata

from papa.client.blocking import Papa
from papa.errors import ConnectionLost, Unreachable
from papa.records import STDOUT, Closed, Output
from papa.torture.ordeal import anchored
from papa.torture.peers.manager import Plan, parent_of

__all__ = ["Held"]


class Held:
    """A kernel, and a client of it that runs what is to be run, and writes what is printed to files."""

    version = f"papa {metadata.version('papa')}"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._path = ""
        self._codes: dict[int, int] = {}
        self._manager = threading.Thread(target=self._manage, name="manager", daemon=True)
        self._anchor = 0

    @property
    def pid(self) -> int:
        """Of the anchor, whose children they are; it stays."""
        return self._anchor

    def start(self) -> None:
        """Start the kernel, and make all that it shall hold."""
        self._path, _ = self._stack.enter_context(anchored())
        with Papa(self._path) as papa:
            papa.make_socket("service", port=self._plan.port, backlog=128)
            python, *words = self._plan.service("$(socket.service.fileno)")
            pid = papa.make_process("service", python, words)["pid"]
            self._anchor = parent_of(pid) or 0
            for number in range(self._plan.printers):
                self._make(papa, f"printer{number}")
        self._manager.start()

    def _make(self, papa: Papa, slot: str) -> None:
        """Make a printer, or find that it was made just before the kernel was killed: only this client ends it."""
        python, *words = self._plan.printer(slot)
        made = None
        while made is None:
            with suppress(ConnectionLost):
                made = papa.make_process(slot, python, words, overflow="block")

    def _manage(self) -> None:
        # The kernel ends before this does.
        with (
            suppress(ConnectionLost, Unreachable),
            Papa(self._path, connection_timeout=30) as papa,
            papa.watch_processes("printer*", cursor="manager") as watcher,
        ):
            while (items := watcher.read_items()) is not None:
                for item in items:
                    if isinstance(item, Output) and item.channel == STDOUT:
                        with open(self._plan.path(f"out.{item.name}"), "ab") as out:
                            out.write(item.data)
                    elif isinstance(item, Closed):
                        self._codes[int(item.invocation.partition("@")[0])] = item.exit_code
                        watcher.acknowledge()
                        self._make(papa, item.name)

    def kill(self) -> bool:
        """Kill the kernel; the anchor has another go on."""
        with Papa(self._path, connection_timeout=30) as papa:
            papa.list_values("none")
            pid = papa.kernel_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return True

    def end(self) -> None:
        """End what runs, then the anchor."""
        with Papa(self._path, connection_timeout=30) as papa:
            for process in papa.list_processes().values():
                if process["running"]:
                    os.kill(process["pid"], signal.SIGKILL)
        self._stack.close()

    def codes(self) -> dict[int, int]:
        """What the manager was told."""
        return self._codes
