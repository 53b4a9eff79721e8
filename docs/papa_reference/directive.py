"""The directive by which pages take in what the code knows of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock
from sphinx.util.docutils import SphinxDirective

from papa_reference import commands, environment, exit_codes, figures, files, verbs

__all__ = ["PAGES", "setup"]

PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "commands": commands.commands,
    "console-help": commands.console_help,
    "error-codes": commands.error_codes,
    "exit-codes": exit_codes.exit_codes,
    "figures": figures.figures,
    "files-of-kernels": lambda: files.files(files.RUNTIME),
    "files-of-people": lambda: files.files(files.PERSONAL),
    "files-of-watch": lambda: files.files(files.WATCHED),
    "machine": figures.machine,
    "methods": figures.methods,
    "variables-read": lambda: environment.variables(environment.READ),
    "variables-set": lambda: environment.variables(environment.SET),
    "verbs": verbs.verb_pages,
}
"""What writes the lines of each directive."""


class _FromCode(SphinxDirective):
    """C{.. from-code:: NAME}: what the code says of something."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """The nodes of what was written."""
        lines = PAGES[self.arguments[0]]()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("from-code", _FromCode)
    # pydoctor puts its own in the place of this one, which knows no language but Python.
    app.add_directive("code-block", CodeBlock, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
