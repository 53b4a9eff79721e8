"""
The manual page papa(1), from the same descriptions as the site's pages::

    PYTHONPATH=docs python -m papa_reference.manual_page > docs/papa.1
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import papa
from papa_reference import environment, exit_codes, files
from papa_reference.verbs import Verb, paragraphs, verbs

__all__ = ["manual_page"]

_CODE = re.compile(r"``(.*?)``")


def manual_page() -> str:
    """The whole page, in the man macros of roff."""
    papa_itself, *others = verbs()
    lines = [
        '.\\" Written by docs/papa_reference/manual_page.py: change what that reads, and write it again.',
        f'.TH PAPA 1 "" "papa {papa.__version__}" "User Commands"',
        # Neither stretched nor hyphenated: what is to be typed stands in the middle of the text.
        ".ad l",
        ".nh",
        *_heading("NAME"),
        f"papa \\- {_plain(papa_itself.summary.removeprefix('papa ').rstrip('.'))}",
        *_heading("SYNOPSIS"),
        *_usage(papa_itself),
        *_heading("DESCRIPTION"),
        *_help(papa_itself),
        *_heading("OPTIONS"),
        *_options(papa_itself),
        *_heading("VERBS"),
        "Each of them shows its help with",
        '.BR \\-h " and " \\-\\-help .',
        *(line for verb in others for line in _verb(verb)),
        *_heading("EXIT STATUS"),
        *(line for code, meaning in exit_codes.meanings() for line in _item(_bold(str(code)), _marked(meaning))),
        *_heading("ENVIRONMENT"),
        *(line for name, meaning in environment.READ.items() for line in _item(_bold(name), _marked(meaning))),
        *_heading("FILES"),
        *(
            line
            for each in (*files.RUNTIME, *files.PERSONAL)
            for line in _item(_bold(each.path), _marked(each.meaning))
        ),
        *_heading("SEE ALSO"),
        ".BR twistd (1),",
        ".BR systemd.socket (5),",
        ".BR telnet (1)",
    ]
    return "\n".join(lines) + "\n"


def _heading(title: str) -> list[str]:
    return [f".SH {title}"]


def _verb(verb: Verb) -> Iterator[str]:
    yield f'.SS "{_plain(verb.name)}"'
    yield from _usage(verb)
    yield ".PP"
    yield from _help(verb)
    yield from _options(verb)


def _usage(verb: Verb) -> list[str]:
    return [f"{_bold(verb.name)} {_plain(verb.usage)}"]


def _help(verb: Verb) -> Iterator[str]:
    first = True
    for as_is, text in paragraphs(verb.help):
        if as_is:
            yield from (".PP", ".RS 4", ".nf", *(_plain(line) for line in text.splitlines()), ".fi", ".RE")
        else:
            yield from ([] if first else [".PP"])
            yield _plain(text)
        first = False


def _options(verb: Verb) -> Iterator[str]:
    for option in verb.options:
        told = option.help
        if option.variable and option.variable not in told:
            told += f" [env: {option.variable}]"
        yield from _item(_bold(option.spelling), _plain(told))


def _item(term: str, text: str) -> list[str]:
    return [".TP", term, text]


def _bold(text: str) -> str:
    return f"\\fB{_plain(text)}\\fP"


def _marked(text: str) -> str:
    plain, *others = _CODE.split(text)
    return _plain(plain) + "".join(
        _bold(part) if index % 2 == 0 else _inside(part) for index, part in enumerate(others)
    )


def _plain(text: str) -> str:
    """Text that roff does not read as its own."""
    escaped = _inside(text)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _inside(text: str) -> str:
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    )
    text = text.replace("~", "\\(ti")
    return "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in text)


if __name__ == "__main__":
    sys.stdout.write(manual_page())
