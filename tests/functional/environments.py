"""Virtual environments with what cannot be installed beside this papa, each built once for all tests of a run."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.trial.unittest import SkipTest

from tests.support import plain_environ

__all__ = ["Environment", "environment_with"]

#: How long pip may take, in seconds.
_PIP_PATIENCE = 300.0


def _folder_of_the_run() -> str:
    """Trial's own folder, which it empties as the next run begins; each of several workers is in one below."""
    here = os.getcwd()
    above = os.path.dirname(here)
    return above if os.path.exists(os.path.join(above, "_trial_marker")) else here


#: Looked for before any test can go elsewhere.
_FOLDER = _folder_of_the_run()


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in a folder of its own."""

    folder: str

    def script(self, name: str) -> str:
        """One of its programs."""
        return os.path.join(self.folder, "bin", name)


def _finished(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=plain_environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PIP_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} took longer than {_PIP_PATIENCE} seconds")


def _build(folder: str, requirements: Sequence[str]) -> str | None:
    """Why an environment could not be built."""
    finished = _finished(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
    if not finished.returncode:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", folder)
        finished = _finished(*pip, "install", "--no-input", "--retries", "1", "--timeout", "15", *requirements)
    if not finished.returncode:
        return None
    said = [line for line in (finished.stderr or finished.stdout).splitlines() if line.strip()]
    return said[-1] if said else f"exit code {finished.returncode}"


@functools.cache
def _built(requirements: tuple[str, ...]) -> Environment | str:
    """An environment with packages from PyPI, or why there is none; the first worker that needs it builds it."""
    folder = os.path.join(_FOLDER, f"environment-{'-'.join(requirements)}")
    with open(f"{folder}.built", "a+", encoding="ascii") as built:
        fcntl.flock(built, fcntl.LOCK_EX)
        built.seek(0)
        if not built.read():
            reason = _build(folder, requirements)
            if reason is not None:
                return reason
            built.write("built")
    return Environment(folder)


def environment_with(*requirements: str) -> Environment:
    """
    An environment with packages from PyPI.

    @raise SkipTest: where PyPI is out of reach.
    """
    built = _built(requirements)
    if isinstance(built, str):
        raise SkipTest(f"There is no environment with {', '.join(requirements)}: {built}")
    return built
