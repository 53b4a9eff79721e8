"""The ordeal: a kernel at its anchor, under load, ended in every way again and again."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from papa import places
from papa.client.blocking import Papa
from papa.drivers.inheritance import inheritable_environment
from papa.errors import Error, LimitReached, Unreachable
from papa.torture.hunger import KINDS, hungry
from papa.torture.load import Load
from papa.torture.score import Score

__all__ = ["anchored", "torture"]

_PAPA = (sys.executable, "-P", "-m")
#: How long everything may take to come to its end afterwards, in seconds.
_PATIENCE = 60.0
#: How many of the kernels are ended only after all clients have got something done with them.
_IN_ITS_WORK = 0.8
#: For how long a kernel is left hungry, in seconds, and how many of those are killed then.
_HUNGER = 0.2
_KILLED_HUNGRY = 0.4


def torture(
    *,
    seed: int,
    seconds: float,
    kills: int | None = None,
    printers: int = 8,
    lines: int = 3000,
    tell: Callable[[Score], object] = lambda score: None,
) -> Score:
    """
    Torture a kernel that is started for it, in a runtime folder of its own. Only its own descendants are touched.

    @param seconds: how long.
    @param kills: end after so many kernels, if that comes first.
    @param tell: called after each kernel.
    @return: the score card.
    """
    chance = random.Random(seed)  # noqa: S311 - it need not be hard to guess
    score = Score()
    with anchored() as (path, keeper):
        load = Load(path, score, seed=chance.randrange(1 << 30), printers=printers, lines=lines)
        load.start()
        end = time.monotonic() + seconds
        ways = [_kill, _kill, _stop_and_kill, _upgrade, _starve, _starve]
        while time.monotonic() < end and (kills is None or sum(score.kernels.values()) < kills):
            # Most of the time it is killed in its work; sometimes while it comes to serve.
            if chance.random() < _IN_ITS_WORK:
                load.await_progress(end)
            time.sleep(chance.choice((0.0, 0.01, 0.1, 0.3)) * chance.random())
            if keeper.poll() is not None:
                score.fault("errors", f"the anchor ended with {keeper.returncode}")
                break
            chance.choice(ways)(path, score, chance)
            tell(score)
        else:
            # The kernel that has come last serves, too; and something was tried, however busy the machine is.
            load.await_progress(time.monotonic() + _PATIENCE)
        load.finish(_PATIENCE)
    return score


@contextmanager
def anchored() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Where a kernel at its anchor serves programs, and the process that keeps both; all ends with the context."""
    folder = tempfile.mkdtemp(prefix="papa-torture-")
    path = places.control_path(folder)
    log = os.path.join(folder, "log")
    ours, theirs = socket.socketpair()
    keeper = None
    try:
        with open(log, "wb") as output:
            keeper = subprocess.Popen(
                [*_PAPA, "papa.torture.keeper", *_PAPA, "papa", "serve", "--anchor", "-u", f"{folder}/console"],
                env={**inheritable_environment(os.environ), "PAPA_RUNTIME_DIR": folder, "XDG_CONFIG_HOME": folder},
                stdin=theirs.fileno(),
                stdout=output,
                stderr=output,
                # Of the interrupt key it hears from here.
                start_new_session=True,
            )
        theirs.close()
        _await(path, keeper, log)
        yield path, keeper
    finally:
        # Its end of the line closes only as it ends, which it does after all others.
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        ours.recv(1)
        ours.close()
        if keeper is not None:
            keeper.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await(path: str, keeper: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not os.path.exists(path):
        if keeper.poll() is not None or time.monotonic() > deadline:
            with open(log, encoding="utf-8") as said:
                raise Unreachable(f"The kernel does not come up: {said.read().strip()[-500:]}")
        time.sleep(0.01)


def _kernel_of(path: str) -> int | None:
    """The pid of the kernel that serves now."""
    with suppress(Error), Papa(path, connection_timeout=_PATIENCE) as papa:
        return papa.kernel_pid
    return None


def _kill(path: str, score: Score, chance: random.Random) -> None:
    pid = _kernel_of(path)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            score.killed("killed")


def _starve(path: str, score: Score, chance: random.Random) -> None:
    """
    Leave it too little of something for a moment: what needs that is refused in words, or waits.

    It may also end for it, and sometimes is killed in its need.
    """
    pid = _kernel_of(path)
    if pid is None:
        return
    kind = chance.choice(KINDS)
    with suppress(ProcessLookupError), _handle(pid) as handle:
        before = _meal(path)
        with hungry(pid, kind, chance):
            kept = _feed(path, before, chance) if kind == "memory" else before
            ended = select.select([handle], [], [], _HUNGER)[0]
            if not ended and chance.random() < _KILLED_HUNGRY:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                score.killed("starved and killed")
        score.starve(kind)
        if ended:
            score.killed("starved to death")
        if _meal(path) != kept:
            score.fault("values", "a large value is not what was last set")


def _feed(path: str, before: str | None, chance: random.Random) -> str | None:
    """Give it more to keep than it may have room for: it keeps all or nothing of that, and says which."""
    meal = str(chance.random()) * chance.randrange(1 << chance.randrange(10, 18))
    with Papa(path, connection_timeout=_PATIENCE) as papa:
        try:
            papa.set("meal", meal)
        except LimitReached:
            return before
    return meal or None


def _meal(path: str) -> str | None:
    with Papa(path, connection_timeout=_PATIENCE) as papa:
        return papa.get("meal")


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _upgrade(path: str, score: Score, chance: random.Random) -> None:
    """Have it give way in an orderly manner."""
    with Papa(path, connection_timeout=_PATIENCE) as papa:
        papa.upgrade()
    score.killed("upgraded")


def _stop_and_kill(path: str, score: Score, chance: random.Random) -> None:
    """Have it stand still for a moment first: clients and children wait meanwhile."""
    pid = _kernel_of(path)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(0.05)
            finally:
                # Also if the ordeal is told to end just now: a kernel that stands still would never hear of that.
                os.kill(pid, signal.SIGKILL)
            score.killed("stopped and killed")
