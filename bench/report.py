"""What was found, as a table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bench.rounds import Finding, Target

__all__ = ["as_json", "rows", "table"]

HEADINGS: Final = ("figure", "side", "value", "against", "its value", "ratio", "reach", "")


def number(value: float | None) -> str:
    """A value, with three digits that count."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


def _with_unit(value: float | None, unit: str) -> str:
    return f"{number(value)} {unit}".strip() if value is not None else "-"


def _goal(target: Target, unit: str) -> str:
    sign, bound = ("≥", target.least) if target.least is not None else ("≤", target.most)
    return f"{sign} {_with_unit(bound, unit if target.against is None else '')}"


def _verdict(target: Target, ratios: Sequence[float]) -> str:
    if not ratios:
        return "not measured"
    return "reached" if target.reached(statistics.median(ratios)) else "MISSED"


def rows(findings: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """
    The table's rows.

    @param findings: as L{as_json} has them.
    """
    found: list[tuple[str, ...]] = []
    for finding in findings:
        title = finding["quantity"]
        sides = {**finding["sides"]}
        for target in finding["targets"]:
            side = sides.get(target["side"], {})
            against = target["against"]
            found.append(
                (
                    title,
                    target["side"],
                    _with_unit(side.get("median"), finding["unit"]),
                    f"{against}, {target['of']}" if target["of"] else against or "",
                    _with_unit(target["against_median"], target["against_unit"]) if against else "",
                    number(target["median"]) if against else "",
                    target["reach"],
                    target["verdict"],
                )
            )
            title = ""
        told = {target["side"] for target in finding["targets"]} | {
            target["against"] for target in finding["targets"] if not target["of"]
        }
        for name, side in sides.items():
            if name not in told:
                found.append((title, name, _with_unit(side["median"], finding["unit"]), *[""] * 5))
                title = ""
        for name, reason in finding["missing"].items():
            found.append((title, name, f"cannot run: {reason}", *[""] * 5))
            title = ""
    return found


def table(report: Mapping[str, Any]) -> str:
    """The table, as plain text."""
    lines = [HEADINGS, *rows(report["figures"])]
    # What cannot run says why, at any length.
    widths = [
        max(len(row[column]) for row in lines if row[3] or not row[2].startswith("cannot")) for column in range(8)
    ]
    text = []
    for row in lines:
        text.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if row is HEADINGS:
            text.append("  ".join("-" * width for width in widths))
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    return "\n".join([*text, "", *notes(report), machine, ""])


def notes(report: Mapping[str, Any]) -> list[str]:
    """What is to be known beside the table, by figure."""
    found = (f"{finding['figure']}: {note}" for finding in report["figures"] for note in finding["notes"])
    return list(dict.fromkeys(found))


def as_json(findings: Iterable[Finding], machine: Mapping[str, str], rounds: int, *, quick: bool) -> dict[str, Any]:
    """All that was found, with the machine it was found on."""
    findings = list(findings)
    by_name = {(finding.figure, finding.quantity.name): finding for finding in findings}
    return {
        "version": 1,
        "machine": dict(machine),
        "rounds": rounds,
        "quick": quick,
        "figures": [_finding(finding, by_name) for finding in findings],
    }


def _finding(finding: Finding, by_name: Mapping[tuple[str, str], Finding]) -> dict[str, Any]:
    return {
        "figure": finding.figure,
        "quantity": finding.quantity.name,
        "unit": finding.quantity.unit,
        "sides": {side: {"median": finding.median(side), "rounds": rounds} for side, rounds in finding.rounds.items()},
        "targets": [_target(target, finding, by_name) for target in finding.quantity.targets],
        "missing": finding.missing,
        "notes": finding.notes,
    }


def _target(target: Target, finding: Finding, by_name: Mapping[tuple[str, str], Finding]) -> dict[str, Any]:
    other = finding if target.of is None else by_name[finding.figure, target.of]
    ratios = finding.ratios(target, other)
    return {
        "side": target.side,
        "against": target.against,
        "of": target.of,
        "against_median": None if target.against is None else other.median(target.against),
        "against_unit": other.quantity.unit,
        "reach": _goal(target, finding.quantity.unit),
        "ratios": ratios,
        "median": statistics.median(ratios) if ratios else None,
        "verdict": _verdict(target, ratios),
    }
