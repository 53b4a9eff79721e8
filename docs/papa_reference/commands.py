"""The commands, the errors and the console's help, from the records that they are made of."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from papa import errors, records
from papa.commands import ALL, Command
from papa.parameters import Parameter, Role, of
from papa.wire.grammar import SAYABLE
from papa.wire.manual import manual
from papa_reference.exit_codes import exit_code
from papa_reference.rst import block, defined, escaped, from_epytext, section, table

__all__ = ["commands", "console_help", "error_codes", "type_name"]

_NAMES: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "float",
    bool: "boolean",
    bytes: "bytes",
    int | str: "number or name",
    tuple[str, ...]: "list of text",
    tuple[int | str, ...]: "list of numbers or names",
    Mapping[str, str]: "mapping to text",
    Mapping[str, int]: "mapping to integers",
    Mapping[str, tuple[int, int]]: "mapping to pairs of integers",
}


def commands() -> Iterator[str]:
    """A section for each command."""
    for command in ALL:
        yield from _command(command)


def console_help() -> Iterator[str]:
    """What the console answers to C{help}, and to C{help} with each command."""
    yield from block(f"> help\n{manual([])}")
    for command in SAYABLE:
        words = " ".join(command.words)
        yield from block(f"> help {words}\n{manual(list(command.words))}")


def error_codes() -> Iterator[str]:
    """A table of all errors, the root last."""
    yield from table(
        ("code", "class", "exit code", "the request, or what became of it"),
        (
            (
                f"``{error.code}``",
                f":py:class:`papa.errors.{error.__name__}`",
                str(exit_code(error)),
                from_epytext(_first_sentence(error)),
            )
            for error in errors.ALL
        ),
        "18 20 12 50",
    )


def type_name(annotation: Any) -> str:
    """A type as the page on the program wire calls it; that a field may be unset is said by its default."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        annotation = typing.Union[tuple(parts)]  # noqa: UP007 - of as many as there are
    return _NAMES[annotation]


def _first_sentence(thing: type[object]) -> str:
    paragraph = " ".join(inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return sentence + stop.strip()


def _command(command: type[Command]) -> Iterator[str]:
    words = " ".join(command.words)
    yield from section(words, "-", f"command-{'-'.join(command.words)}")
    prose, _, examples = (*re.split(r"^(Examples?):\n", command.help, maxsplit=1, flags=re.MULTILINE), "", "")[:3]
    yield from (from_epytext(_first_sentence(command)), "")
    if command.on_console:
        yield from block(manual(list(command.words)).partition("\n")[0])
    else:
        yield from ("On the program wire only.", "")
    if command.lends:
        yield from ("A descriptor comes with the answer: over Unix sockets only.", "")
    if command.takes:
        yield from ("A descriptor goes with the request: over Unix sockets only.", "")
    yield from (escaped(" ".join(prose.split())), "")
    hints = typing.get_type_hints(command)
    for field in dataclasses.fields(command):
        yield from _field(field, of(field), hints[field.name])
    yield from (f"*Answer:* {_answer(command)}.", "")
    yield from _refusals(command)
    if examples:
        yield from block(textwrap.dedent(examples))


def _field(field: dataclasses.Field[Any], parameter: Parameter, annotation: Any) -> Iterator[str]:
    facts = [type_name(annotation), _default(field)]
    spelling = _spelling(parameter)
    facts.append(f"on the console ``{spelling}``" if spelling else "not on the console")
    term = f"``{field.name}``: {', '.join(facts)}"
    yield from defined(term, escaped(parameter.help))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING or field.default in ((), "", b""):
        return "empty by default"
    if field.default is dataclasses.MISSING or of(field).role is Role.DESCRIPTOR:
        return "required"
    return "unset by default" if field.default is None else f"``{field.default}`` by default"


def _spelling(parameter: Parameter) -> str:
    if parameter.role is Role.OPTION:
        return f"{parameter.key}={parameter.hint}"
    if parameter.role is Role.MAPPING:
        return f"{parameter.key}.NAME={parameter.hint}"
    return "" if parameter.role in (Role.PAGE, Role.DESCRIPTOR) else parameter.hint


def _answer(command: type[Command]) -> str:
    if command.answer is None:
        return "a watch, and then what it sees" if command.words[0] == "watch" else "nothing"
    if command.answer.__module__ == records.__name__:
        answer = f":py:class:`papa.records.{command.answer.__name__}`"
    else:
        answer = type_name(command.answer)
    return f"by name, any number of: {answer}" if command.listed else answer


def _refusals(command: type[Command]) -> Iterator[str]:
    if command.refusals:
        yield from ("*Refused with*", "")
    for error, when in command.refusals:
        yield from (f"* ``{error.code}``: {escaped(when)}", "")
