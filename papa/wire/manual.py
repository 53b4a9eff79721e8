"""What the console's help says, made from the table of commands."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping

from papa.commands import Command
from papa.parameters import Parameter, Role, of
from papa.wire.grammar import SAYABLE, find

__all__ = ["manual"]

_WIDTH = 79


def manual(topic: list[str]) -> str:
    """
    Help on all commands, on those with one first word, or on one.

    @raise UnknownCommand: if the words name none.
    """
    if not topic:
        return _overview()
    found, _ = find(topic)
    return _group(found) if isinstance(found, Mapping) else _command(found)


def _overview() -> str:
    return "\n".join(
        [
            "Possible commands are:",
            *_summaries(SAYABLE),
            "",
            'Any word of a command may be shortened: "l p" is "list processes". Type',
            '"help" and a command for more about it.',
        ]
    )


def _group(commands: Mapping[str, type[Command]]) -> str:
    return "\n".join(["Possible commands are:", *_summaries(commands.values())])


def _summaries(commands: object) -> list[str]:
    listed = [(" ".join(command.words), command.summary) for command in commands]  # type: ignore[attr-defined]
    width = max(len(words) for words, _ in listed)
    return [f"    {words:{width}}  {summary}" for words, summary in listed]


def _command(command: type[Command]) -> str:
    parameters = [of(field) for field in dataclasses.fields(command)]
    parts = [_synopsis(command, parameters), "", f"{command.summary}."]
    options = [_option(each) for each in parameters if each.role in (Role.OPTION, Role.MAPPING)]
    if options:
        parts += ["", "Options:", *options]
    if command.help:
        parts += ["", command.help]
    return "\n".join(parts)


def _synopsis(command: type[Command], parameters: list[Parameter]) -> str:
    words = [" ".join(command.words)]
    words += [each.hint for each in parameters if each.role is Role.NAME]
    if any(each.role in (Role.OPTION, Role.MAPPING) for each in parameters):
        words.append("[OPTION=VALUE...]")
    words += [
        each.hint if each.role is Role.ARGV else f"[{each.hint}]"
        for each in parameters
        if each.role in (Role.NAMES, Role.ARGV, Role.TEXT)
    ]
    return " ".join(words)


def _option(parameter: Parameter) -> str:
    item = ".NAME" if parameter.role is Role.MAPPING else ""
    heading = f"    {parameter.key}{item}={parameter.hint}"
    indent = " " * 8
    return "\n".join([heading, *textwrap.wrap(parameter.help, _WIDTH, initial_indent=indent, subsequent_indent=indent)])
