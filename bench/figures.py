"""All figures, in the order of the table."""

from __future__ import annotations

from typing import Final

from bench import capture, command, delivery, idle, latency, memory, requests, scale, spawning
from bench.rounds import Figure

__all__ = ["FIGURES"]

FIGURES: Final[tuple[Figure, ...]] = (
    *capture.FIGURES,
    *delivery.FIGURES,
    *latency.FIGURES,
    *spawning.FIGURES,
    *requests.FIGURES,
    *memory.FIGURES,
    *scale.FIGURES,
    *idle.FIGURES,
    *command.FIGURES,
)
