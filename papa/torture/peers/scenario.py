"""The scenario: printers and a service, whose manager is killed and started again; and what was lost in the end."""

from __future__ import annotations

import os
import random
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from papa.torture import service
from papa.torture.peers import worker
from papa.torture.peers.circus import Circus
from papa.torture.peers.held import Held
from papa.torture.peers.manager import Manager, Plan, parent_of
from papa.torture.peers.supervisor import Supervisor

__all__ = ["PEERS", "Comparison", "compare"]

#: Who can be compared.
PEERS: Final[dict[str, Callable[[Plan], Manager]]] = {"circus": Circus, "papa": Held, "supervisor": Supervisor}

#: How long it may take until something is done, in seconds, and how long one looks whether it is.
_PATIENCE: Final = 20.0
_LOOK: Final = 0.02


@dataclass(slots=True)
class Comparison:
    """
    What was lost.

    @ivar manager: its name and version.
    @ivar kills: how often it was killed; C{not_again}: how often it did not come up again within ten seconds.
    @ivar runs: how many runs of printers began; C{lines}: how many lines they have written.
    @ivar lines_lost: that were written, and that the manager does not have; C{lines_repeated}, C{lines_mangled}: that
        it has twice, or not as they were written.
    @ivar cut_off: runs that could not go on because nobody read what they print.
    @ivar codes: runs that have exited; C{codes_unknown}: of which the manager does not tell the code or tells another.
    @ivar doubled: how often a printer ran twice at a time after a kill; C{orphans}: what ran in the end without being
        the manager's.
    @ivar connections: to the service that were served; C{connections_failed}: others.
    """

    manager: str = ""
    kills: int = 0
    not_again: int = 0
    runs: int = 0
    lines: int = 0
    lines_lost: int = 0
    lines_repeated: int = 0
    lines_mangled: int = 0
    cut_off: int = 0
    codes: int = 0
    codes_unknown: int = 0
    doubled: int = 0
    orphans: int = 0
    connections: int = 0
    connections_failed: int = 0


@dataclass(slots=True)
class _Visitor:
    """Connects to the service, again and again."""

    port: int
    counted: Comparison
    ending: threading.Event = field(default_factory=threading.Event)

    def visit(self) -> None:
        """Until told to end."""
        while not self.ending.wait(0.005):
            said = b""
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                said = connection.recv(100)
            if said == service.WORD:
                self.counted.connections += 1
            else:
                self.counted.connections_failed += 1


def compare(name: str, *, seed: int, kills: int, printers: int) -> Comparison:
    """
    Run a manager of L{PEERS}, and kill it so often.

    @raise Unreachable: if it is not installed.
    """
    chance = random.Random(seed)  # noqa: S311 - it need not be hard to guess
    counted = Comparison()
    with tempfile.TemporaryDirectory(prefix="papa-peers-") as folder:
        notes = os.path.join(folder, "notes")
        os.mkdir(notes)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        plan = Plan(folder, notes, printers, port)
        manager = PEERS[name](plan)
        counted.manager = manager.version
        manager.start()
        try:
            _await(lambda: len(worker.runs(notes)) >= printers and _serves(port))
            visitor = _Visitor(port, counted)
            visiting = threading.Thread(target=visitor.visit, name="visitor", daemon=True)
            visiting.start()
            for _ in range(kills):
                begun = len(worker.runs(notes))
                _await(lambda begun=begun: len(worker.runs(notes)) > begun + printers // 2)  # type: ignore[misc]
                time.sleep(chance.random())
                counted.kills += 1
                counted.not_again += not manager.kill()
                time.sleep(1)
                counted.doubled += sum(count - 1 for count in Counter(run.slot for run in _alive(notes)).values())
            visitor.ending.set()
            visiting.join()
            _come_to_rest(notes, manager)
            counted.orphans = len([pid for pid in _pids(notes) if parent_of(pid) not in (manager.pid, None)])
            _count(counted, manager, plan)
        finally:
            manager.end()
            _end_orphans(notes)
    return counted


def _await(condition: Callable[[], bool]) -> None:
    """Wait for something, but not for ever: what does not come is counted in the end."""
    deadline = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(_LOOK)


def _serves(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(100) == service.WORD
    return False


def _come_to_rest(notes: str, manager: Manager) -> None:
    """Let all runs come to their end, and the manager take in what they have printed and how they have ended."""
    open(os.path.join(notes, worker.STOP), "w", encoding="ascii").close()
    _await(lambda: all(run.code != worker.RUNNING for run in _alive(notes)))
    time.sleep(2)
    _await(lambda: all(run.pid in manager.codes() for run in worker.runs(notes)))


def _count(counted: Comparison, manager: Manager, plan: Plan) -> None:
    """Compare what was printed with what the manager has."""
    seen: Counter[tuple[int, int]] = Counter()
    for line in plan.lines():
        found = worker.read_line(line)
        if found is None:
            counted.lines_mangled += 1
        else:
            seen[found] += 1
    codes = manager.codes()
    for run in worker.runs(plan.notes):
        counted.runs += 1
        counted.lines += run.printed
        counted.lines_lost += sum((run.pid, number) not in seen for number in range(run.printed))
        counted.cut_off += run.code == worker.CUT_OFF
        if run.code != worker.RUNNING:
            counted.codes += 1
            counted.codes_unknown += codes.get(run.pid) != (worker.CUT_OFF_CODE if run.code < 0 else run.code)
    counted.lines_repeated = sum(count - 1 for count in seen.values())


def _alive(notes: str) -> list[worker.Run]:
    return [run for run in worker.runs(notes) if _is_ours(run.pid, notes)]


def _pids(notes: str) -> list[int]:
    """Of all that runs and was told of the folder, which is nobody else's."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_ours(pid, notes)]


def _is_ours(pid: int, notes: str) -> bool:
    """Whether a process was told of it: a number that was noted may be another's by now."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
        return notes.encode() in words.read().split(b"\0")
    return False


def _end_orphans(notes: str) -> None:
    """What the manager has left."""
    for pid in _pids(notes):
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if _is_ours(pid, notes):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)
