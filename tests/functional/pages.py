"""What a page of the documentation has a reader do: the files to write, and the sessions to type along."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "INTERRUPT",
    "SESSIONS",
    "UNTYPED",
    "Block",
    "Exchange",
    "blocks",
    "pattern_of",
    "python_exchanges",
    "shell_exchanges",
]

#: Languages of sessions, which are typed; and of what would be typed, were it a session or a file.
SESSIONS = ("console", "pycon")
UNTYPED = ("bash", "python", "sh", "shell")
#: A line of expected output that stands for Ctrl-C.
INTERRUPT = "^C"

_DIRECTIVE = re.compile(r"(?P<indent> *)\.\. (?P<name>code-block|literalinclude):: (?P<argument>\S+)$")
_OPTION = re.compile(r" +:(?P<name>[\w-]+):(?: (?P<value>.*))?$")


@dataclass(frozen=True, slots=True)
class Block:
    """
    A C{code-block} or C{literalinclude} of a page.

    @ivar language: of a C{literalinclude}, what its option says.
    @ivar where: the page and the line, for messages.
    @ivar file: what the reader is to call it, if it is to be a file: its caption.
    @ivar classes: how it is marked.
    """

    language: str
    text: str
    where: str
    file: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something that is typed, and what is then shown."""

    typed: str
    shown: str


def blocks(path: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    with open(path, encoding="utf-8") as page:
        lines = page.read().split("\n")
    for number, line in enumerate(lines):
        if (found := _DIRECTIVE.match(line)) is None:
            continue
        options: dict[str, str] = {}
        index = number + 1
        while option := _OPTION.match(lines[index]):
            options[option["name"]] = option["value"] or ""
            index += 1
        if found["name"] == "literalinclude":
            with open(os.path.join(os.path.dirname(path), found["argument"]), encoding="utf-8") as included:
                text = included.read()
        else:
            text = _indented(lines[index:], len(found["indent"]))
        yield Block(
            language=options.get("language", "") if found["name"] == "literalinclude" else found["argument"],
            text=text,
            where=f"{path}:{number + 1}",
            file=options.get("caption", ""),
            classes=tuple(options.get("class", "").split()),
        )


def _indented(lines: list[str], outside: int) -> str:
    """The lines up to the first that is not indented further, without their indentation."""
    inside: list[str] = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= outside:
            break
        inside.append(line)
    indent = min(len(line) - len(line.lstrip()) for line in inside if line.strip())
    return "\n".join(line[indent:] for line in inside).strip("\n") + "\n"


def shell_exchanges(text: str) -> Iterator[Exchange]:
    """What is typed at the prompts of a shell, C{$}, with what follows at C{>} while a command is not complete."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        typed, _, shown = part.partition("\n")
        while shown.startswith(">") and _goes_on(typed):
            more, _, shown = shown[1:].removeprefix(" ").partition("\n")
            typed += f"\n{more}"
        yield Exchange(typed, shown)


def _goes_on(typed: str) -> bool:
    """Whether a shell would ask for more of a command."""
    if typed.endswith("\\"):
        return True
    checked = subprocess.run(["bash", "-n", "-c", typed], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return bool(checked.returncode or checked.stderr)


def python_exchanges(text: str) -> Iterator[Exchange]:
    """What is typed at the prompts of Python."""
    for part in re.split(r"(?m)^>>> ", text)[1:]:
        lines = part.split("\n")
        end = next((index for index, line in enumerate(lines) if index and not line.startswith("...")), len(lines))
        typed = [lines[0], *(line[3:].removeprefix(" ") for line in lines[1:end])]
        yield Exchange("\n".join(typed), "\n".join(lines[end:]))


def pattern_of(shown: str) -> re.Pattern[str]:
    """
    What matches just what is shown, whatever stands in the place of C{...}.

    On a line of its own that is any number of lines, none too; else something within the line. How wide a column is
    does not matter.
    """
    lines = shown.rstrip("\n").split("\n") if shown.strip() else []
    return re.compile("".join(r"(?:.*\n)*?" if line.strip() == "..." else f"{_line(line)}\n" for line in lines))


def _line(shown: str) -> str:
    """An expression for one line."""
    pieces = (re.escape(piece).replace("\\ ", " ") for piece in shown.rstrip().split("..."))
    return re.sub(" +", " +", "[^\n]*".join(pieces))
