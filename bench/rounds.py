"""What a figure is, and how it is taken: all sides in each round, so that ratios hold on a busy machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from bench.field import Field

__all__ = ["ANCHORED", "MODES", "PAPA", "Figure", "Finding", "Quantity", "Sides", "Target", "both", "take"]

#: The two modes of papa, as sides.
PAPA = "papa"
ANCHORED = "papa, anchored"
MODES = (PAPA, ANCHORED)

Sides: TypeAlias = Mapping[str, Callable[[], Mapping[str, float]]]
"""By the name of a side, what measures it once: values by the names of quantities."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """
    What a side is to reach.

    @ivar against: the side whose value the side's is divided by; L{None} for the value itself.
    @ivar least: what that is at least to be; C{most}: at most. Only one of them is given.
    @ivar of: the quantity of the other side, if it is another one.
    """

    side: str
    against: str | None = None
    least: float | None = None
    most: float | None = None
    of: str | None = None

    def reached(self, value: float) -> bool:
        """Whether that is enough, to the two digits after the point that are shown of a ratio."""
        if self.least is not None:
            return round(value, 3) >= self.least
        assert self.most is not None
        return round(value, 3) <= self.most


def both(against: str | None = None, *, least: float | None = None, most: float | None = None) -> tuple[Target, ...]:
    """The same target for both modes of papa."""
    return tuple(Target(side=mode, against=against, least=least, most=most) for mode in MODES)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """
    One thing that is measured.

    @ivar unit: as it is shown.
    """

    name: str
    unit: str
    targets: tuple[Target, ...] = ()


class Figure:
    """
    A kind of measurement; its docstring says what exactly is measured, how, and against what.

    @ivar name: by which it can be chosen.
    """

    name: str
    quantities: Sequence[Quantity]

    def sides(self, field: Field) -> Sides:
        """Get all sides ready."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Finding:
    """
    What was found of one quantity.

    @ivar rounds: by side, the value of each round.
    @ivar missing: by side, why it could not be measured.
    @ivar notes: what else is to be known.
    """

    figure: str
    quantity: Quantity
    rounds: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, side: str) -> float | None:
        """The median of a side's rounds; L{None} if there are none."""
        rounds = self.rounds.get(side)
        return statistics.median(rounds) if rounds else None

    def ratios(self, target: Target, other: Finding) -> list[float]:
        """
        By round, what a target is about.

        @param other: what was found of the quantity that it is compared to.
        """
        mine = self.rounds.get(target.side, [])
        if target.against is None:
            return mine
        return [own / its for own, its in zip(mine, other.rounds.get(target.against, []), strict=False) if its]


def take(figure: Figure, field: Field, rounds: int, say: Callable[[str], object]) -> list[Finding]:
    """
    Take a figure.

    @param say: told how it goes.
    """
    findings = {quantity.name: Finding(figure=figure.name, quantity=quantity) for quantity in figure.quantities}
    sides = figure.sides(field)
    for number in range(1, rounds + 1):
        for side, measure in sides.items():
            say(f"{figure.name}: round {number} of {rounds}, {side}")
            for name, value in measure().items():
                findings[name].rounds.setdefault(side, []).append(value)
    for finding in findings.values():
        finding.missing |= field.missing
        finding.notes += field.notes
    return list(findings.values())
