"""Take the figures, of papa and its peers side by side, and print them as a table."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence

from bench import report
from bench.environments import default_cache
from bench.field import field
from bench.figures import FIGURES
from bench.machine import facts
from bench.rounds import Figure, Finding, take

_ROUNDS = 5
_QUICK_ROUNDS = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="only these: " + ", ".join(_by_name()))
    parser.add_argument("--quick", action="store_true", help="three small rounds, in less than two minutes")
    parser.add_argument("--rounds", type=int, help=f"how many; {_ROUNDS} by default")
    parser.add_argument("--json", metavar="FILE", help="write all that was found there")
    parser.add_argument("--cache", default=default_cache(), metavar="FOLDER", help="where peers are kept installed")
    arguments = parser.parse_args()
    unknown = set(arguments.figures) - set(_by_name())
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))}: there are {', '.join(_by_name())}")
    return arguments


def _by_name() -> dict[str, Figure]:
    return {figure.name: figure for figure in FIGURES}


def _say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def _take(names: Sequence[str], rounds: int, cache: str, *, quick: bool) -> tuple[list[Finding], list[str]]:
    """What was found, and the names of the figures that could not be taken: the others need not be taken again."""
    findings: list[Finding] = []
    failed: list[str] = []
    for name, figure in _by_name().items():
        if names and name not in names:
            continue
        try:
            with field(cache, _say, quick=quick) as own:
                findings += take(figure, own, rounds, _say)
        except Exception:  # noqa: BLE001 - whatever it was, it is shown
            _say(f"{name}: {traceback.format_exc()}")
            failed.append(name)
    return findings, failed


def main() -> None:
    """Take the figures, and print the table."""
    arguments = _arguments()
    # To be ended is to end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    findings, failed = _take(arguments.figures, rounds, os.path.abspath(arguments.cache), quick=arguments.quick)
    found = report.as_json(findings, facts(), rounds, quick=arguments.quick)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
            file.write("\n")
    print(report.table(found))
    if failed:
        sys.exit(f"not taken: {', '.join(failed)}")


if __name__ == "__main__":
    main()
