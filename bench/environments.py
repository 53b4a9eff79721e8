"""The peers' virtual environments, each built once and kept in a cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

__all__ = ["Unavailable", "default_cache", "python_with"]

#: How long pip may take, in seconds.
_PIP_PATIENCE = 600.0


class Unavailable(Exception):
    """A peer cannot run here, for the reason given."""


def default_cache() -> str:
    """Where environments are kept unless told otherwise."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "papa-bench")


def python_with(requirement: str, cache: str, say: Callable[[str], object]) -> str:
    """
    The Python of an environment with a package from PyPI.

    @raise Unavailable: if it cannot be had.
    """
    name = f"{requirement.rstrip('.*').replace('==', '-')}-python{sys.version_info.major}.{sys.version_info.minor}"
    folder = os.path.join(cache, name)
    python = os.path.join(folder, "bin", "python")
    done = os.path.join(folder, "complete")
    if os.path.exists(done):
        return python
    say(f"building an environment with {requirement} in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(cache, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input", requirement],
    ):
        try:
            finished = subprocess.run(
                command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PIP_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} took longer than {_PIP_PATIENCE:g} seconds") from None
        if finished.returncode:
            said = [line for line in (finished.stderr or finished.stdout).splitlines() if line.strip()]
            raise Unavailable(said[-1] if said else f"{command[0]} ended with {finished.returncode}")
    with open(done, "w", encoding="utf-8"):
        pass
    return python
