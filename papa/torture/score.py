"""What is counted while a kernel is tortured, and whether that is as it should be."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Score"]


@dataclass(slots=True)
class Score:
    """
    The score card. Threads count into it.

    @ivar kernels: how many were killed, by how.
    @ivar starved: how often a kernel was left without something, by what.
    @ivar lines: printed lines that came, each once and intact.
    @ivar wrong: what must never happen, by kind.
    @ivar pauses: how long clients had to wait, in seconds, when they had to.
    @ivar faults: what was said of what went wrong: the first few.
    """

    kernels: dict[str, int] = field(default_factory=dict)
    starved: dict[str, int] = field(default_factory=dict)
    processes: int = 0
    lines: int = 0
    bytes: int = 0
    connections: int = 0
    values: int = 0
    wrong: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("lines lost", "lines repeated", "lines mangled", "exit codes", "connections", "values", "errors"), 0
        )
    )
    pauses: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def perfect(self) -> bool:
        """Whether nothing happened that must not, and something did."""
        return not any(self.wrong.values()) and self.lines > 0 and self.connections > 0 and self.values > 0

    def fault(self, kind: str, what: str, count: int = 1) -> None:
        """Something happened that must not."""
        with self._lock:
            self.wrong[kind] += count
            if len(self.faults) < 20:
                self.faults.append(f"{kind}: {what}")

    def killed(self, how: str) -> None:
        """A kernel was ended."""
        with self._lock:
            self.kernels[how] = self.kernels.get(how, 0) + 1

    def starve(self, kind: str) -> None:
        """A kernel was left without something for a moment."""
        with self._lock:
            self.starved[kind] = self.starved.get(kind, 0) + 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure what a client does that should be done at once."""
        begun = time.monotonic()
        yield
        pause = time.monotonic() - begun
        with self._lock:
            self.pauses.append(pause)

    def summary(self) -> dict[str, object]:
        """The card, for JSON."""
        ordered = sorted(self.pauses)
        # The pauses that a killed kernel has made: as many of the longest as there were such kernels.
        felt = ordered[-sum(self.kernels.values()) or len(ordered) :]
        return {
            "perfect": self.perfect,
            "kernels": self.kernels,
            "starved": self.starved,
            "processes": self.processes,
            "lines": self.lines,
            "bytes": self.bytes,
            "connections": self.connections,
            "values": self.values,
            "wrong": self.wrong,
            "pause_longest": ordered[-1] if ordered else 0.0,
            "pause_median": statistics.median(felt) if felt else 0.0,
            "faults": self.faults,
        }
