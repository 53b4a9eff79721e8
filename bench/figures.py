"""All figures, in the order of the table."""

from __future__ import annotations

from typing import Final

from bench import capture, command, latency, memory, requests, spawning
from bench.rounds import Figure

__all__ = ["FIGURES"]

FIGURES: Final[tuple[Figure, ...]] = (
    *capture.FIGURES,
    *latency.FIGURES,
    *spawning.FIGURES,
    *requests.FIGURES,
    *memory.FIGURES,
    *command.FIGURES,
)
