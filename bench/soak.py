"""
Churn, and then a look at what is left.

A kernel and one at an anchor have processes, readers, values, sockets and connections come and go at random. At the end
of each minute all of that is taken away, and the memory, descriptors and threads of the kernel and of the anchor are
looked up. After the first minute they have what they need; at the end they must have no more: no descriptor and no
thread, and no more than 8 MB of memory, for an allocator leaves gaps. Ends with 1, and says what has grown, if
something has.
"""

from __future__ import annotations

import argparse
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.churn import Churn
from bench.field import field
from bench.gate import Leash
from bench.kernels import PapaKernel
from bench.machine import anonymous, descriptors, threads
from bench.pipelining import pipelined
from papa.commands import Set

__all__ = ["Footprint", "growth", "main"]

#: How much more memory than after the first minute is not taken for a leak, in bytes. In half an hour at the default
#: rate that is less than 50 bytes for each thing that was done.
_GAPS: Final = 8_000_000
#: How long it may take until nothing changes any more once all was taken away, in seconds.
_SETTLES: Final = 30.0
#: How often it is looked, each half a second, before nothing seems to change any more.
_UNCHANGED: Final = 4
#: So many events a kernel keeps; more of them take no more memory.
_EVENTS: Final = 10_000
#: How often something is noted before each look: a ledger that is being copied, with all events, has two more files,
#: and takes 32 records along with each of four notes.
_NOTED: Final = 100


@dataclass(frozen=True)
class Footprint:
    """
    What a process has.

    @ivar memory: that is of no file, in bytes.
    """

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """What a process has now."""
        return cls(anonymous([pid]), descriptors(pid), threads(pid))

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.2f} MB, {self.descriptors} descriptors, {self.threads} threads"


def growth(before: Footprint, after: Footprint) -> list[str]:
    """What has grown, in words."""
    found = [
        f"{kind} from {getattr(before, kind)} to {getattr(after, kind)}"
        for kind in ("descriptors", "threads")
        if getattr(after, kind) > getattr(before, kind)
    ]
    if after.memory > before.memory + _GAPS:
        found.append(f"memory from {before.memory / 1e6:.2f} to {after.memory / 1e6:.2f} MB")
    return found


class _Soaked:
    """A kernel under churn."""

    def __init__(self, kernel: PapaKernel, leash: Leash, seed: int) -> None:
        self.kernel = kernel
        self.churn = Churn(kernel, leash, seed)
        pipelined(kernel, [Set(name="event", value=str(number)) for number in range(_EVENTS)])

    def footprints(self) -> dict[str, Footprint]:
        """What its processes have, once nothing is left in it."""
        self.churn.clear()
        # What has been closed at this end goes at the other in the reactor's next turns, and the output of a process
        # that was killed ends with what that has started: on a busy machine, later.
        found, same, ends = self._found(), 0, time.monotonic() + _SETTLES
        while same < _UNCHANGED and time.monotonic() < ends:
            self.churn.note(_NOTED)
            select.select([], [], [], 0.5)
            before, found = found, self._found()
            same = same + 1 if found == before else 0
        return found

    def _found(self) -> dict[str, Footprint]:
        parts = ("kernel", "anchor")
        return {
            f"{self.kernel.name}: {part}": Footprint.of(pid) for part, pid in zip(parts, self.kernel.pids, strict=False)
        }


def _minute(soaked: Sequence[_Soaked], rate: float, seconds: float) -> dict[str, Footprint]:
    """Churn for so long; what is there afterwards, by process."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for each in soaked:
            each.churn.step()
            select.select([], [], [], 1 / rate / len(soaked))
    return {name: found for each in soaked for name, found in each.footprints().items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--minutes", type=float, default=30, help="30 by default; at least 2")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is done; by default it is told")
    parser.add_argument("--rate", type=float, default=100, help="how much is done to each kernel in a second; 100")
    arguments = parser.parse_args()
    if arguments.minutes < 2 or arguments.rate <= 0:
        parser.error("there is a minute before and one after, at some rate")
    return arguments


def main() -> int:
    """Soak; the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"seed {arguments.seed}", flush=True)
    with field("", lambda what: None, quick=False) as own:
        leash = own.leash()
        soaked = [_Soaked(kernel, leash, arguments.seed) for kernel in own.papas()]
        first = last = _minute(soaked, arguments.rate, 60)
        _tell(1, first)
        for minute in range(2, int(arguments.minutes) + 1):
            last = _minute(soaked, arguments.rate, 60)
            _tell(minute, last)
        print("; ".join(f"{each.kernel.name}: {each.churn.done}" for each in soaked))
    grown = [f"{name}: {what}" for name, before in first.items() for what in growth(before, last[name])]
    for each in grown:
        print(f"GROWN: {each}, from the first minute to the last (seed {arguments.seed})")
    if not grown:
        print(f"nothing has grown from the first minute to the last, but for {_GAPS / 1e6:g} MB of gaps at most")
    return 1 if grown else 0


def _tell(minute: int, found: dict[str, Footprint]) -> None:
    for name, each in found.items():
        print(f"minute {minute}: {name}: {each}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
