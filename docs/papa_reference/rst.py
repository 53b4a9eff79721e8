"""Text of the code as reStructuredText."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

__all__ = ["block", "defined", "escaped", "from_epytext", "section", "table"]

_SPECIAL = re.compile(r"([\\*`|_<>])")
_EPYTEXT = re.compile(r"[CL]\{([^{}]*)\}")


def escaped(text: str) -> str:
    """Plain text, in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", text)


def from_epytext(text: str) -> str:
    """A sentence of a docstring: C{code} and L{links} become code."""
    plain, *marked = re.split(_EPYTEXT, text)
    code_and_plain = zip(marked[::2], marked[1::2], strict=True)
    return escaped(plain) + "".join(f"``{code}``{escaped(rest)}" for code, rest in code_and_plain)


def section(title: str, underline: str, label: str) -> list[str]:
    """A heading that references can name."""
    return [f".. _{label}:", "", title, underline * len(title), ""]


def block(text: str, language: str = "text") -> list[str]:
    """Lines as they are."""
    return [f".. code-block:: {language}", "", *textwrap.indent(text, "   ").splitlines(), ""]


def defined(term: str, *paragraphs: str) -> list[str]:
    """A term and what there is to say of it."""
    lines = [term]
    for paragraph in paragraphs:
        lines += [f"   {paragraph}", ""]
    return lines


def table(heading: Iterable[str], rows: Iterable[Iterable[str]], widths: str) -> list[str]:
    """A table, its cells being markup; C{widths} are the columns', as C{"20 80"}."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (heading, *rows):
        first, *others = row
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return [*lines, ""]
