"""The reference has all that the code has: no command, field, error, verb, option or variable is left out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from glob import glob

import click
from twisted.trial.unittest import SynchronousTestCase

import papa
from papa import errors, parameters
from papa.cli import failures
from papa.cli.main import cli
from papa.commands import ALL
from papa.parameters import Role
from papa.wire.grammar import SAYABLE
from papa.wire.manual import manual
from tests.docs.pages import built, sections, words, writer


def verbs(command: click.Command = cli, name: str = "papa") -> Iterator[tuple[str, click.Command]]:
    """Papa and all its verbs, by their whole names."""
    yield name, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for each in command.list_commands(ctx):
            found = command.get_command(ctx, each)
            assert found is not None
            yield from verbs(found, f"{name} {each}")


class CommandTests(SynchronousTestCase):
    """The page of commands, and the console's help."""

    def setUp(self) -> None:
        self.sections = sections(built()["reference/commands"], "=")

    def test_every_command(self) -> None:
        """Each has a section, in the order of the table."""
        self.assertEqual(list(self.sections), [" ".join(command.words) for command in ALL])

    def test_every_field(self) -> None:
        """Each field has its name, its help, and its word on the console."""
        for command in ALL:
            section = words(self.sections[" ".join(command.words)])
            for field in dataclasses.fields(command):
                described = parameters.of(field)
                self.assertIn(f'"{field.name}":', section)
                self.assertIn(words(described.help), section, (command, field.name))
                if described.role is Role.OPTION:
                    self.assertIn(f'"{described.key}={described.hint}"', section)
                elif described.role is Role.MAPPING:
                    self.assertIn(f'"{described.key}.NAME={described.hint}"', section)

    def test_types_and_defaults(self) -> None:
        """What a field is, and what it is when it is left out."""
        section = words(self.sections["make process"])
        for told in (
            '"bufsize": integer, "1048576" by default, on the console "bufsize=SIZE"',
            '"args": list of text, required, on the console "PROGRAM [ARGUMENT...]"',
            '"umask": integer, unset by default',
            '"rlimits": mapping to pairs of integers, empty by default',
        ):
            self.assertIn(words(told), section)
        paged = words('"after": text, empty by default, not on the console')
        self.assertIn(paged, words(self.sections["list values"]))

    def test_every_refusal(self) -> None:
        """What a command can be refused with, and when."""
        for command in ALL:
            section = words(self.sections[" ".join(command.words)])
            self.assertEqual("*Refusedwith*" in section, bool(command.refusals))
            for error, when in command.refusals:
                self.assertIn(words(f'"{error.code}": {when}'), section)

    def test_help(self) -> None:
        """The page of the console has its help, and that of each command, to the letter."""
        page = built()["console-wire"]
        for topic in ([], *(list(command.words) for command in SAYABLE)):
            lines = [f"> {' '.join(['help', *topic])}", *manual(topic).splitlines()]
            self.assertIn("\n".join(f"   {line}" if line else "" for line in lines), page)

    def test_unknown_type(self) -> None:
        """A type that has no name yet is no reason to write nothing."""
        self.assertRaises(KeyError, writer("commands").type_name, complex)


class ErrorTests(SynchronousTestCase):
    """The page of errors, and that of exit codes."""

    def test_every_error(self) -> None:
        """Each has its code, its class and the exit code that a verb ends with."""
        page = built()["reference/errors"]
        for error in errors.ALL:
            row = re.search(rf'^\| "{error.code}" .*$', page, flags=re.MULTILINE)
            assert row is not None, error
            self.assertIn(str(writer("exit_codes").exit_code(error)), row[0])
        self.assertEqual(writer("exit_codes").exit_code(errors.NotFound), 4)
        self.assertEqual(writer("exit_codes").exit_code(errors.SpawnFailed), 1)

    def test_every_exit_code(self) -> None:
        """Each that the code names is there."""
        page = built()["reference/exit-codes"]
        for name, number in vars(failures).items():
            if name.startswith("EXIT_"):
                self.assertIn(f'| "{number}" ', page)


class VerbTests(SynchronousTestCase):
    """The page of the papa command."""

    def setUp(self) -> None:
        self.sections = sections(built()["reference/cli"], "=")

    def test_every_verb(self) -> None:
        """Each has a section, with its help."""
        self.assertEqual(list(self.sections), [name for name, _ in verbs()])
        for name, verb in verbs():
            first = words((verb.help or "").partition("\n\n")[0])
            self.assertTrue(first)
            self.assertIn(first, words(self.sections[name]))

    def test_every_option(self) -> None:
        """Each has its spellings and its help, and the variable that sets it."""
        count = 0
        for name, verb in verbs():
            section = words(self.sections[name])
            for option in verb.params:
                if isinstance(option, click.Option) and not option.hidden and option.expose_value:
                    count += 1
                    self.assertIn(",".join(sorted(option.opts, key=len)), section)
                    self.assertIn(words(option.help or ""), section)
        self.assertGreater(count, 40)

    def test_variables_are_the_ones(self) -> None:
        """What is said to set an option does set it."""
        count = 0
        for verb in writer("verbs").verbs():
            *_, last = contexts = [click.Context(cli, info_name="papa", auto_envvar_prefix="PAPA")]
            for word in verb.name.split()[1:]:
                assert isinstance(last.command, click.Group)
                command = last.command.get_command(last, word)
                assert command is not None
                last = click.Context(command, parent=last, info_name=word)
                contexts.append(last)
            for described in verb.options:
                if described.variable:
                    count += 1
                    spellings = described.spelling.split(" ", 2)
                    option = next(each for each in last.command.params if spellings[0].rstrip(",") in each.opts)
                    self.patch(os, "environ", {described.variable: "said"})
                    self.assertEqual(option.resolve_envvar_value(last), "said", described)
        self.assertGreater(count, 40)


class EnvironmentTests(SynchronousTestCase):
    """The page on configuration."""

    def test_every_variable(self) -> None:
        """All that the code reads of the environment is there, and nothing that it does not."""
        package = os.path.dirname(papa.__file__)
        read = {"PAPA_SOCKET"}
        for path in glob(os.path.join(package, "**", "*.py"), recursive=True):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            read |= set(re.findall(r'environ\.get\("(\w+)"', text))
            read |= set(re.findall(r'"(\w+)" (?:not )?in (?:os\.)?environ', text))
        self.assertEqual(set(writer("environment").READ), read)
        page = built()["reference/configuration"]
        for name in read:
            self.assertIn(f'| "{name}" ', page)
