"""Where the pages are, and what writes them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from types import ModuleType

from twisted.trial.unittest import SkipTest

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")


def source(name: str) -> str:
    """A file of the documentation."""
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return file.read()


def writer(name: str) -> ModuleType:
    """A module of what writes the reference from the code."""
    if DOCS not in sys.path:
        sys.path.append(DOCS)
    return importlib.import_module(f"papa_reference.{name}")


def words(text: str) -> str:
    """A text without its blanks: lines may end anywhere, even within what is long."""
    return "".join(text.split())


@functools.cache
def built() -> dict[str, str]:
    """
    The pages as a reader without a browser sees them, by name; without the Python API.

    @raise SkipTest: where there is no Sphinx.
    """
    if importlib.util.find_spec("sphinx") is None:
        raise SkipTest("needs Sphinx: pip install 'papa[docs]'")
    with tempfile.TemporaryDirectory(prefix="papa-docs-") as folder:
        # The API is a matter of pydoctor's, and references into it are followed when the site is built.
        settings = ["-D", "extensions=papa_reference.directive", "-D", "nitpicky=0", "-D", "text_sectionchars=#=-~"]
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "text", *settings, DOCS, folder]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise AssertionError(finished.stderr)
        pages = {}
        for where, _, names in os.walk(folder):
            for name in (each for each in names if each.endswith(".txt")):
                path = os.path.join(where, name)
                with open(path, encoding="utf-8") as file:
                    pages[os.path.relpath(path, folder).removesuffix(".txt")] = file.read()
        return pages


def sections(page: str, underline: str) -> dict[str, str]:
    """The sections of a built page under its headings of one level, by title."""
    _, *others = re.split(rf"^(\S.*)\n{re.escape(underline)}+\n", page, flags=re.MULTILINE)
    return dict(zip(others[::2], others[1::2], strict=True))
