"""Lines to commands and commands to lines, by the one table of commands."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from papa.commands import ALL, Command, ExitIfIdle
from papa.errors import BadRequest, UnknownCommand
from papa.names import nearest
from papa.parameters import Parameter, Role, of
from papa.wire import words

__all__ = ["SAYABLE", "TREE", "find", "parse"]

Tree = Mapping[str, "type[Command] | Mapping[str, type[Command]]"]

# A variable may have any name: shells export functions as BASH_FUNC_NAME%%.
_OPTION: Final = re.compile(r"([A-Za-z_][\w.-]*|env\.[^=]+)=(.*)", re.DOTALL)
_END_OF_OPTIONS: Final = "--"


SAYABLE: Final = tuple(command for command in ALL if command.on_console)
"""The commands that a line can say."""

#: What their fields are read from; to find out anew for each line takes a quarter of the time that a get does.
_PARAMETERS: Final[Mapping[type[Command], Mapping[str, Parameter]]] = {
    command: {field.name: of(field) for field in dataclasses.fields(command)} for command in SAYABLE
}
_ROLES: Final = {command: {each.role for each in fields.values()} for command, fields in _PARAMETERS.items()}


def _tree() -> Tree:
    tree: dict[str, Any] = {}
    for command in SAYABLE:
        first, *rest = command.words
        if rest:
            tree.setdefault(first, {})[rest[0]] = command
        else:
            tree[first] = command
    return tree


TREE: Final = _tree()
"""Commands by their first word, and where there are several by their second."""


def find(line: list[str]) -> tuple[type[Command] | Mapping[str, type[Command]], int]:
    """
    What the first words of a line name, each shortened as far as one likes.

    @return: a command, or a first word's commands where the second is missing; and how many words it took.
    @raise UnknownCommand: if they name nothing.
    """
    first = _complete(line[0], TREE, f"Unknown command {line[0]!r}")
    branch = TREE[first]
    if branch is ExitIfIdle and line[0].lower() != first:
        raise UnknownCommand('"exit-if-idle" cannot be abbreviated')
    if isinstance(branch, type) or len(line) < 2:
        return branch, 1
    second = _complete(line[1], branch, f'Bad "{first}" command. {_choices(first, branch)}')
    return branch[second], 2


def _complete(word: str, known: Mapping[str, object], refusal: str) -> str:
    word = word.lower()
    if word in known:
        return word
    for candidate in sorted(known):
        if word and candidate.startswith(word):
            return candidate
    raise UnknownCommand(refusal + ("" if known is not TREE else f". Type help for a list{nearest(word, known)}"))


def _choices(first: str, branch: Mapping[str, object]) -> str:
    return f'"{first}" must be followed by one of: {", ".join(sorted(branch))}'


def parse(line: str, *, typed: bool = False) -> Command | None:
    """
    The command that a line is; L{None} for an empty line.

    @param typed: whether a person typed it, so that quotes count.
    @raise UnknownCommand: if it begins with no command's words.
    @raise BadRequest: if the rest is wrong.
    """
    parts = words.split_typed(line) if typed else words.split(line)
    if not parts:
        return None
    command, taken = find(parts)
    if not isinstance(command, type):
        first = next(iter(command.values())).words[0]
        raise BadRequest(_choices(first, command))
    return _Filling(command, parts[taken:], typed=typed).command()


class _Filling:
    """The fields of one command, being read from the words that follow it."""

    def __init__(self, command: type[Command], rest: list[str], *, typed: bool) -> None:
        self._command = command
        self._rest = rest
        self._typed = typed
        self._values: dict[str, Any] = {}
        self._parameters = _PARAMETERS[command]

    def command(self) -> Command:
        """Read them all."""
        roles = _ROLES[self._command]
        for name, parameter in self._parameters.items():
            if parameter.role is Role.NAME:
                self._values[name] = self._rest.pop(0) if self._rest else ""
        if roles & {Role.OPTION, Role.MAPPING}:
            self._read_options(argv=Role.ARGV in roles)
        for name, parameter in self._parameters.items():
            self._read_rest(name, parameter)
        if self._rest:
            raise BadRequest(f"{self._rest[0]!r} is too much: see help {' '.join(self._command.words)}")
        return self._command(**self._values)

    def _read_rest(self, name: str, parameter: Parameter) -> None:
        if parameter.role in (Role.ARGV, Role.NAMES):
            self._values[name] = tuple(self._rest)
        elif parameter.role is Role.TEXT and self._rest:
            self._values[name] = parameter.parse(" ".join(self._rest))
        else:
            return
        self._rest = []

    def _read_options(self, *, argv: bool) -> None:
        while self._rest:
            if argv and self._rest[0] == _END_OF_OPTIONS:
                del self._rest[0]
                return
            option = _OPTION.fullmatch(self._rest[0])
            if option is None:
                return
            self._read_option(*option.groups())
            del self._rest[0]

    def _read_option(self, key: str, value: str) -> None:
        prefix, dot, item = key.partition(".")
        for name, parameter in self._parameters.items():
            if parameter.role is Role.OPTION and parameter.key == key and name not in self._values:
                self._values[name] = parameter.parse(self._unquoted(value))
                return
            if parameter.role is Role.MAPPING and dot and parameter.key == prefix:
                held = self._values.setdefault(name, {})
                if item in held:
                    raise BadRequest(f"{key} is given twice")
                held[item] = parameter.parse(self._unquoted(value, exact=True))
                return
        self._refuse(key)

    def _refuse(self, key: str) -> None:
        known = [parameter.key for parameter in self._parameters.values() if parameter.role is Role.OPTION]
        if key in known:
            raise BadRequest(f"{key} is given twice")
        known += [f"{each.key}.NAME" for each in self._parameters.values() if each.role is Role.MAPPING]
        raise BadRequest(
            f"{key} is no option of {' '.join(self._command.words)}. "
            f"Its options are: {', '.join(sorted(set(known)))}{nearest(key, known)}"
        )

    def _unquoted(self, value: str, *, exact: bool = False) -> str:
        """
        The value without the quotes that a program put around it.

        The client of version 1 quotes a value that ends in a backslash, and no other. Where any text is a possible
        value, only those quotes are taken off; elsewhere all are, since none could belong there.
        """
        if self._typed or len(value) < 2 or not (value.startswith('"') and value.endswith('"')):
            return value
        return value[1:-1] if not exact or value[-2] == "\\" else value
