"""C{papa torture}: kill a kernel again and again under load, and count what is lost."""

from __future__ import annotations

import dataclasses
import random
import signal
import sys
import time
from typing import Any

import click

from papa.cli.answers import json_option, print_json
from papa.cli.failures import EXIT_FAILED, fail, interrupt
from papa.continuity.requirements import MISSING, without_anchor
from papa.errors import Error

__all__ = ["command"]


@click.command()
@click.option("--minutes", type=click.FloatRange(0), default=1, show_default=True, help="How long.")
@click.option("--kills", type=click.IntRange(1), metavar="N", help="End after so many kernels, if that comes first.")
@click.option("--seed", type=int, metavar="N", help="What is done, and when, follows from it; chosen by default.")
@click.option("--printers", type=click.IntRange(1), default=8, show_default=True, help="How many print at a time.")
@click.option(
    "--peer",
    type=click.Choice(["circus", "papa", "supervisor"]),
    help="Compare: run another manager that is installed here, or papa, in the same scenario, and kill that.",
)
@json_option
def command(minutes: float, kills: int | None, seed: int | None, printers: int, peer: str | None, json: bool) -> None:
    """
    Kill a kernel again and again under load, and count what is lost.

    The kernel is started for this, at an anchor and in a runtime folder of its own; only it and what it has started is
    touched. Meanwhile programs print numbered lines as fast as they are read and exit with known codes, a client
    connects to a server on a held socket, and another sets values. Kernels are killed with SIGKILL, stopped and killed,
    told to give way, and left without descriptors, memory, or room for their files. The score card says what was lost:
    nothing should be, and then the exit code is 0.

    With --peer another scenario is run, one that any manager can be given: printers and a service, and the manager is
    killed and started again ten times, or --kills. There is no score then, only figures.
    """
    if MISSING and peer in (None, "papa"):
        fail(without_anchor())
    # What it has started must not stay when it is told to end.
    signal.signal(signal.SIGTERM, interrupt)
    seed = random.randrange(1 << 16) if seed is None else seed  # noqa: S311 - it need not be hard to guess
    if peer is not None:
        _compare(peer, seed=seed, kills=kills or _KILLS, printers=printers, json=json)
        return
    from papa.torture.ordeal import torture
    from papa.torture.score import Score

    begun = time.monotonic()

    def tell(score: Score) -> None:
        if sys.stderr.isatty():
            ended = sum(score.kernels.values())
            click.echo(
                f"\r{time.monotonic() - begun:5.0f} s  {ended} kernels  {score.lines} lines ", err=True, nl=False
            )

    try:
        score = torture(seed=seed, seconds=minutes * 60, kills=kills, printers=printers, tell=tell)
    finally:
        if sys.stderr.isatty():
            click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    summary = {"seed": seed, "seconds": round(time.monotonic() - begun, 1), **score.summary()}
    if json:
        print_json(summary)
    else:
        click.echo("\n".join(_card(summary)))
    if not score.perfect:
        sys.exit(EXIT_FAILED)


def _compare(peer: str, *, seed: int, kills: int, printers: int, json: bool) -> None:
    """Say what was lost with a manager; nothing is expected of it."""
    from papa.torture.peers.scenario import compare

    try:
        found = compare(peer, seed=seed, kills=kills, printers=printers)
    except Error as error:
        fail(str(error), EXIT_FAILED)
    figures = {"seed": seed, **dataclasses.asdict(found)}
    if json:
        print_json(figures)
    else:
        click.echo("\n".join(f"{what.replace('_', ' '):20} {figure}" for what, figure in figures.items()))


def _card(summary: dict[str, Any]) -> list[str]:
    """The score card, for people."""
    kernels: dict[str, int] = summary["kernels"]
    wrong: dict[str, int] = summary["wrong"]
    rows = [
        ("kernels ended", _parts(kernels)),
        ("starved", _parts(summary["starved"])),
        ("processes", f"{summary['processes']}, {summary['lines']} lines, {summary['bytes']} bytes"),
        ("connections", f"{summary['connections']}"),
        ("values set", f"{summary['values']}"),
        ("pauses", f"longest {summary['pause_longest']:.2f} s, median {summary['pause_median']:.2f} s"),
        *((f"{kind} wrong" if kind in _THINGS else kind, str(count)) for kind, count in wrong.items()),
    ]
    verdict = "nothing was lost" if summary["perfect"] else "something was lost, or nothing could be tried"
    return [
        *(f"{what:20} {figure}" for what, figure in rows),
        *(f"  {fault}" for fault in summary["faults"]),
        f"seed {summary['seed']}, {summary['seconds']:.0f} s: {verdict}",
    ]


def _parts(counts: dict[str, int]) -> str:
    """How many, and of what kind."""
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"{sum(counts.values())} ({parts})" if parts else "0"


#: How often another manager is killed, unless told otherwise.
_KILLS = 10

#: What of the score counts things, and not the ways in which lines can be wrong.
_THINGS = ("exit codes", "connections", "values")
