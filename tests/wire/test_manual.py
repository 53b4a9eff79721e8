"""What the console's help says."""

from __future__ import annotations

import dataclasses

from twisted.trial.unittest import SynchronousTestCase

from papa.errors import UnknownCommand
from papa.parameters import Role, of
from papa.wire.grammar import SAYABLE, parse
from papa.wire.manual import manual


class ManualTests(SynchronousTestCase):
    """Help on all commands, on some, and on one."""

    def test_overview(self) -> None:
        """Help alone lists every command with its summary, a line each."""
        lines = manual([]).split("\n")
        for command in SAYABLE:
            self.assertEqual(
                sum(line.split() == [*command.words, *command.summary.split()] for line in lines), 1, command
            )

    def test_group(self) -> None:
        """Help on a first word lists the commands that begin with it, and no others."""
        lines = manual(["li"]).split("\n")
        self.assertEqual(lines[0], "Possible commands are:")
        self.assertEqual([line.split()[1] for line in lines[1:]], ["sockets", "processes", "cursors", "values"])

    def test_every_command(self) -> None:
        """Help on a command gives how it is written, what it does, and every option with what it is."""
        for command in SAYABLE:
            found = manual(list(command.words))
            first, empty, summary = found.split("\n")[:3]
            self.assertTrue(first.startswith(" ".join(command.words)), first)
            self.assertEqual((empty, summary), ("", f"{command.summary}."))
            self.assertIn(command.help, found)
            for parameter in map(of, dataclasses.fields(command)):
                if parameter.role is Role.OPTION:
                    self.assertIn(f"\n    {parameter.key}={parameter.hint}\n", found)
                elif parameter.role is Role.MAPPING:
                    self.assertIn(f"\n    {parameter.key}.NAME={parameter.hint}\n", found)

    def test_synopses(self) -> None:
        """The first line shows the words in their order, brackets around what may be left out."""
        for topic, synopsis in (
            (["make", "process"], "make process NAME [OPTION=VALUE...] PROGRAM [ARGUMENT...]"),
            (["make", "socket"], "make socket NAME [OPTION=VALUE...]"),
            (["list", "values"], "list values [NAME...]"),
            (["watch", "processes"], "watch processes [OPTION=VALUE...] [NAME...]"),
            (["set"], "set NAME [VALUE]"),
            (["quit"], "quit"),
        ):
            self.assertEqual(manual(topic).split("\n")[0], synopsis)

    def test_abbreviations(self) -> None:
        """The words of a command may be shortened for help on it too."""
        self.assertEqual(manual(["m", "p"]), manual(["make", "process"]))
        self.assertEqual(manual(["h"]), manual(["help"]))

    def test_unknown_topics(self) -> None:
        """Help on what there is not is refused with what there is."""
        error = self.assertRaises(UnknownCommand, manual, ["lost"])
        self.assertIn("Unknown command 'lost'", str(error))
        error = self.assertRaises(UnknownCommand, manual, ["list", "x"])
        self.assertIn("processes, sockets, values", str(error))

    def test_fits_a_terminal(self) -> None:
        """No line is wider than 79 columns, and all are plain text."""
        for topic in (
            [],
            *([word] for word in ("make", "list", "remove")),
            *(list(command.words) for command in SAYABLE),
        ):
            for line in manual(topic).split("\n"):
                self.assertTrue(len(line) < 80 and line.isprintable(), line)

    def test_examples_are_commands(self) -> None:
        """Every example in the help is a valid command of that kind, at a prompt and from a program."""
        tried = 0
        for command in SAYABLE:
            _, heading, examples = command.help.rpartition("Example")
            for line in examples.split("\n")[1:] if heading else ():
                for typed in (False, True):
                    found = parse(line.strip(), typed=typed)
                    self.assertIsInstance(found, command, line)
                tried += 1
        self.assertGreater(tried, 15)
