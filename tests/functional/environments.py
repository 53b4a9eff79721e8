"""Virtual environments with packages from PyPI, each built once for all tests."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.trial.unittest import SkipTest

from tests.support import plain_environ

__all__ = ["Environment", "environment_with", "environment_with_this_papa"]

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: How long pip may take, in seconds.
_PIP_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in a folder of its own, which is deleted when the tests have run."""

    folder: str

    def script(self, name: str) -> str:
        """One of its programs."""
        return os.path.join(self.folder, "bin", name)

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Have its pip do something, whatever it comes to."""
        return _finished([self.script("python"), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments])


def _finished(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
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


@functools.cache
def _built(requirements: tuple[str, ...]) -> Environment | str:
    """An environment with packages from PyPI, or why there is none; built once."""
    environment = Environment(tempfile.mkdtemp(prefix="papa-environment-"))
    atexit.register(shutil.rmtree, environment.folder, ignore_errors=True)
    finished = _finished([sys.executable, "-m", "venv", environment.folder])
    if not finished.returncode:
        finished = environment.pip("install", "--no-input", "--retries", "1", "--timeout", "15", *requirements)
    if not finished.returncode:
        return environment
    said = [line for line in (finished.stderr or finished.stdout).splitlines() if line.strip()]
    return said[-1] if said else f"exit code {finished.returncode}"


def environment_with(*requirements: str) -> Environment:
    """
    An environment with packages from PyPI.

    @raise SkipTest: where PyPI is out of reach.
    """
    built = _built(requirements)
    if isinstance(built, str):
        raise SkipTest(f"There is no environment with {', '.join(requirements)}: {built}")
    return built


def environment_with_this_papa(*requirements: str) -> Environment:
    """
    An environment with packages from PyPI, and with what is tested here beside them.

    @raise SkipTest: where PyPI is out of reach.
    @raise AssertionError: if this papa cannot be installed.
    """
    environment = environment_with(*requirements, *_own_requirements())
    installed = _with_this_papa(environment)
    if installed.returncode:
        raise AssertionError(installed.stderr)
    return environment


@functools.cache
def _with_this_papa(environment: Environment) -> subprocess.CompletedProcess[str]:
    """Install what is tested here beside circus; all that it needs is there already."""
    return environment.pip("install", "--no-index", "--no-deps", "--no-build-isolation", _ROOT)


def _own_requirements() -> list[str]:
    """What building this papa and running it needs."""
    with open(os.path.join(_ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)
    return [*project["build-system"]["requires"], *project["project"]["dependencies"]]
