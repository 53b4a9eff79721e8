"""The requests: what each must say of itself, and what none may hold."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pkgutil
import resource
import typing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa import asked, commands, parameters
from papa.commands import (
    ALL,
    CloseStdin,
    Command,
    Get,
    LendProcess,
    LendSocket,
    ListProcesses,
    MakeProcess,
    MakeSocket,
    MoveCursor,
    RemoveValues,
    Set,
    TakeSocket,
    Upgrade,
    WriteProcess,
)
from papa.errors import BadRequest
from papa.parameters import Role

#: What may be said for each option that is not plain text, and the value that is meant.
READINGS: dict[str, list[tuple[str, Any]]] = {
    "mark": [("0", 0), ("4096", 4096)],
    "since": [("0", 0), ("17", 17)],
    "backlog": [("0", 0), ("1024", 1024)],
    "port": [("1", 1), ("65535", 65535)],
    "umask": [("0", 0), ("027", 0o27), ("511", 0o777)],
    "reuseport": [("1", True), ("0", False)],
    "inherit_env": [("inherit", True), ("replace", False)],
    "uid": [("0", 0), ("1000", 1000), ("www", "www")],
    "gid": [("0", 0), ("1000", 1000), ("www", "www")],
    "groups": [("", ()), ("1,adm", (1, "adm"))],
    "rlimits": [("1:2", (1, 2)), ("0:unlimited", (0, resource.RLIM_INFINITY)), ("7", (7, 7))],
    "stdin": [("null", "null"), ("1", "pipe")],
    "stdout": [("pipe", "pipe"), ("0", "null")],
    "stderr": [("pipe", "pipe"), ("0", "null"), ("stdout", "stdout")],
    "bufsize": [("0", 0), ("1", 1), ("1g", 1 << 30)],
    "listen": [("", ()), ("a,b", ("a", "b"))],
    "exclusive": [("1", True), ("0", False)],
    "forget": [("1", True), ("0", False)],
    "watch": [("1", True), ("0", False)],
    "observe": [("1", True), ("0", False)],
    "follow": [("1", True), ("0", False)],
    "clients": [("1", True), ("0", False)],
    "holes": [("1", True), ("0", False)],
    "data": [("hello", b"hello\n"), ("\u00e9 b", "\u00e9 b\n".encode())],
}


def socket(**fields: Any) -> MakeSocket:
    return MakeSocket(**{"name": "web", **fields})


def process(**fields: Any) -> MakeProcess:
    return MakeProcess(**{"name": "web", "args": ("true",), **fields})


class TableTests(SynchronousTestCase):
    """What holds for every command."""

    def test_all_is_complete(self) -> None:
        """Every concrete command that is defined in any module is in ALL, once, and is exported."""
        defined = {
            each
            for module in pkgutil.iter_modules(asked.__path__, "papa.asked.")
            for _, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            if issubclass(each, Command) and hasattr(each, "words")
        }
        self.assertEqual(set(ALL), defined)
        self.assertEqual(len(ALL), len(defined))
        self.assertLessEqual({each.__name__ for each in defined}, set(commands.__all__))

    def test_words(self) -> None:
        """Words are unique, one or two, small letters and hyphens; no command's words begin another's."""
        for first, second in itertools.permutations(ALL, 2):
            self.assertNotEqual(first.words, second.words[: len(first.words)])
        for command in ALL:
            self.assertIn(len(command.words), (1, 2))
            for word in command.words:
                self.assertRegex(word, r"\A[a-z]+(-[a-z]+)*\Z")

    def test_class_name_is_the_words(self) -> None:
        """A command's class is named by its words, so that whoever knows one knows the other."""
        for command in ALL:
            joined = "".join(part.capitalize() for word in command.words for part in word.split("-"))
            self.assertEqual(command.__name__, joined)

    def test_help(self) -> None:
        """Each has one line of summary, and help that is no wider than a terminal and is no docstring."""
        for command in ALL:
            self.assertRegex(command.summary, r"\A[A-Z][^\n]{1,70}[^.\n]\Z")
            for line in command.help.splitlines():
                self.assertLessEqual(len(line), 80, command)
                self.assertEqual(line, line.rstrip())
            self.assertNotEqual(command.help, command.__doc__)

    def test_fields_describe_themselves(self) -> None:
        """Each field says where on a line it stands and what it means; options and mappings have a key and a hint."""
        for command in ALL:
            for field in dataclasses.fields(command):
                described = parameters.of(field)
                self.assertTrue(described.help, (command, field.name))
                if described.role in (Role.OPTION, Role.MAPPING):
                    self.assertTrue(described.key, (command, field.name))
                    self.assertTrue(described.hint, (command, field.name))

    def test_one_field_takes_the_rest(self) -> None:
        """No command has two fields that both take the rest of the line."""
        rest = {Role.NAMES, Role.ARGV, Role.TEXT}
        for command in ALL:
            taking = [field.name for field in dataclasses.fields(command) if parameters.of(field).role in rest]
            self.assertLessEqual(len(taking), 1, command)

    def test_frozen_and_by_keyword(self) -> None:
        """A request cannot be changed once it is valid, has no room for more, and is made by keyword."""
        request = Get(name="a")
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, request, "name", "b b")
        self.assertRaises(TypeError, Get, "a")
        for command in ALL:
            self.assertIn("__slots__", vars(command))

    def test_options_are_read(self) -> None:
        """Each option, mapping and text is read as what it means; those that are plain text as they are."""
        roles = (Role.OPTION, Role.MAPPING, Role.TEXT)
        for command in ALL:
            hints = typing.get_type_hints(command)
            for field in dataclasses.fields(command):
                described = parameters.of(field)
                if described.role not in roles:
                    continue
                if field.name not in READINGS:
                    self.assertIn("str", str(hints[field.name]), f"{command.__name__}.{field.name} has no readings")
                for word, value in READINGS.get(field.name, [("a b", "a b"), ('"', '"')]):
                    self.assertEqual(described.parse(word), value, (command, field.name))

    def test_defaults_are_valid(self) -> None:
        """A command that needs nothing can be made of nothing."""
        needing = {
            *(MakeSocket, LendSocket, TakeSocket),
            *(MakeProcess, LendProcess, WriteProcess, CloseStdin, MoveCursor),
            *(Set, Get, RemoveValues),
        }
        for command in ALL:
            if command in needing:
                self.assertRaises((TypeError, BadRequest), command)
            else:
                self.assertEqual(command(), command())

    def test_names_are_checked(self) -> None:
        """Nothing can be made, set or written to under a name that is none."""
        for name in ("", "a b", "a:b", "*", "x" * 129, "a\n"):
            for command, more in (
                (MakeSocket, {}),
                (MakeProcess, {"args": ("true",)}),
                (Set, {"value": "x"}),
                (Get, {}),
                (WriteProcess, {"data": b"x"}),
                (CloseStdin, {}),
                (LendSocket, {}),
                (TakeSocket, {"descriptor": 0}),
                (LendProcess, {}),
            ):
                self.assertRaises(BadRequest, command, name=name, **more)


class MakeSocketTests(SynchronousTestCase):
    """Sockets."""

    def refused(self, **fields: Any) -> str:
        return str(self.assertRaises(BadRequest, socket, **fields))

    def test_defaults_of_inet(self) -> None:
        """Without a path it is an inet stream socket on 127.0.0.1, on a port that the system chooses."""
        made = socket()
        self.assertEqual(
            (made.family, made.type, made.backlog, made.host, made.port, made.path, made.umask, made.reuseport),
            ("inet", "stream", 5, "127.0.0.1", 0, None, None, False),
        )

    def test_default_hosts(self) -> None:
        """The host is the family's loopback address; bound to an interface, it is any address."""
        self.assertEqual(socket(family="inet6").host, "::1")
        self.assertEqual(socket(interface="lo").host, "0.0.0.0")
        self.assertEqual(socket(family="inet6", interface="lo").host, "::")
        self.assertEqual(socket(interface="lo", host="127.0.0.1").host, "127.0.0.1")

    def test_path_makes_it_unix(self) -> None:
        """With a path it is a unix socket, and has no host."""
        made = socket(path="/run/x")
        self.assertEqual((made.family, made.path, made.host), ("unix", "/run/x", None))
        self.assertEqual(socket(path="/run/x", type="seqpacket", umask=0).umask, 0)

    def test_default_said_aloud_is_the_same(self) -> None:
        """A request that spells out the defaults equals one that leaves them out."""
        self.assertEqual(socket(), socket(family="inet", type="stream", host="127.0.0.1", port=0, backlog=5))
        self.assertEqual(socket(path="/x"), socket(path="/x", family="unix"))

    def test_refuses_unknown_words(self) -> None:
        """An unknown family or type is refused with a list of those there are."""
        self.assertIn("unix, inet, inet6", self.refused(family="ipx"))
        self.assertIn("stream, dgram, seqpacket", self.refused(type="raw"))
        self.assertIn("seqpacket is a type of unix sockets", self.refused(type="seqpacket"))

    def test_refuses_numbers_out_of_range(self) -> None:
        """A port, a backlog and a mask have bounds, which the message gives."""
        self.assertEqual(self.refused(port=65536), "port must be 0 to 65535, not 65536")
        self.assertIn("not -1", self.refused(port=-1))
        self.assertIn("backlog must be 0 to", self.refused(backlog=-1))
        self.assertIn("backlog must be 0 to", self.refused(backlog=1 << 31))
        self.assertIn("umask must be 0 to 511", self.refused(path="/x", umask=0o1000))

    def test_refuses_paths(self) -> None:
        """A unix socket's path is an absolute one of a file, without a NUL."""
        for path in ("", "/", "/run/"):
            self.assertIn("requires path=", self.refused(path=path))
        self.assertIn("requires path=", self.refused(family="unix"))
        self.assertIn("must be an absolute path, not 'x.sock'", self.refused(path="x.sock"))
        for name in ("path", "host", "interface"):
            self.assertIn("cannot hold a NUL", self.refused(**{name: "/x\0y"}))

    def test_refuses_what_belongs_to_the_other_family(self) -> None:
        """Fields of the two kinds of family do not mix."""
        mixed: dict[str, Any]
        for mixed in ({"host": "::1"}, {"port": 1}, {"interface": "lo"}, {"reuseport": True}):
            self.assertIn("belong to inet sockets", self.refused(path="/x", **mixed))
        for mixed in ({"path": "/x"}, {"umask": 0}):
            self.assertIn("path and umask belong to unix sockets", self.refused(family="inet", **mixed))


class MakeProcessTests(SynchronousTestCase):
    """Processes."""

    def refused(self, **fields: Any) -> str:
        return str(self.assertRaises(BadRequest, process, **fields))

    def test_defaults(self) -> None:
        """Both outputs are captured, a megabyte is kept, input is null, and the environment is empty."""
        made = process()
        self.assertEqual((made.stdin, made.stdout, made.stderr), ("null", "pipe", "pipe"))
        self.assertEqual((made.bufsize, made.overflow), (1 << 20, "drop-oldest"))
        self.assertEqual((dict(made.env), made.inherit_env, made.watch), ({}, False, False))

    def test_without_a_buffer(self) -> None:
        """A buffer of 0 captures nothing, whatever was said of the outputs."""
        made = process(bufsize=0, stderr="stdout")
        self.assertEqual((made.stdout, made.stderr), ("null", "null"))
        self.assertEqual(made, process(bufsize=0))

    def test_any_argument_but_nul(self) -> None:
        """Arguments may be empty or hold anything but a NUL; the program may not be missing."""
        self.assertEqual(process(args=("a", "", "b\n", "\\")).args, ("a", "", "b\n", "\\"))
        self.assertIn("requires a program", self.refused(args=()))
        self.assertIn("requires a program", self.refused(args=("",)))
        self.assertIn("cannot hold a NUL", self.refused(args=("a", "b\0")))

    def test_environment(self) -> None:
        """A variable may be empty; its name may not, nor hold an equals sign, nor either of them a NUL."""
        self.assertEqual(process(env={"E": "", "Q": '"x"'}).env, {"E": "", "Q": '"x"'})
        self.assertIn("no name for an environment variable", self.refused(env={"": "x"}))
        self.assertIn("no name for an environment variable", self.refused(env={"A=B": "x"}))
        self.assertIn("cannot hold a NUL", self.refused(env={"A\0": "x"}))
        self.assertIn("cannot hold a NUL", self.refused(env={"A": "x\0"}))

    def test_limits(self) -> None:
        """A limit has a known name, is not below 0, and its soft value is not above the hard one."""
        infinity = resource.RLIM_INFINITY
        for limit in ((0, 0), (1, 2), (5, infinity), (infinity, infinity)):
            self.assertEqual(process(rlimits={"nofile": limit}).rlimits, {"nofile": limit})
        self.assertIn("the limits here are: as, core,", self.refused(rlimits={"files": (1, 1)}))
        self.assertIn("Unknown rlimit ''", self.refused(rlimits={"": (1, 1)}))
        for limit in ((2, 1), (infinity, 1)):
            self.assertIn("is above the hard limit", self.refused(rlimits={"nofile": limit}))
        for limit in ((-5, 5), (-5, infinity), (1, -5)):
            self.assertIn("is below 0", self.refused(rlimits={"nofile": limit}))

    def test_choices(self) -> None:
        """Inputs, outputs and overflow are words of short lists, which the message gives."""
        self.assertIn("is not one of: null, pipe", self.refused(stdin="stdout"))
        self.assertIn("is not one of: pipe, null", self.refused(stdout="stdout"))
        self.assertIn("is not one of: pipe, null, stdout", self.refused(stderr="file"))
        self.assertIn("is not one of: drop-oldest, block", self.refused(overflow="drop"))

    def test_bounds(self) -> None:
        """A buffer, a mask, a folder and the sockets handed over have to make sense."""
        self.assertIn("bufsize must be 0 to", self.refused(bufsize=-1))
        self.assertIn("bufsize must be 0 to", self.refused(bufsize=1 << 50))
        self.assertIn("umask must be 0 to 511", self.refused(umask=-1))
        self.assertIn("must be an absolute path, not 'srv'", self.refused(working_dir="srv"))
        self.assertIn("cannot hold a NUL", self.refused(working_dir="/srv\0"))
        self.assertIn("Socket name 'a b' is not valid", self.refused(listen=("a b",)))

    def test_users_by_number(self) -> None:
        """A number that is given as text is the same as the number; other text is a name, and digits of others too."""
        self.assertEqual((process(uid="1000").uid, process(gid="0").gid), (1000, 0))
        self.assertEqual(process(groups=("10", "adm", 5)).groups, (10, "adm", 5))
        self.assertEqual(process(uid="1000", groups=["10"]), process(uid=1000, groups=(10,)))
        self.assertEqual(
            (process(uid="www").uid, process(gid="\N{SUPERSCRIPT TWO}").gid), ("www", "\N{SUPERSCRIPT TWO}")
        )
        self.assertEqual((process().uid, process().gid, process().groups), (None, None, None))
        self.assertEqual(process(groups=()).groups, ())

    def test_outputs_as_numbers(self) -> None:
        """On a line 1 is a pipe and 0 is null, as in papa 1.0.6."""
        fields = {field.name: parameters.of(field) for field in dataclasses.fields(MakeProcess)}
        for name in ("stdin", "stdout", "stderr"):
            self.assertEqual([fields[name].parse(word) for word in ("1", "0", "pipe")], ["pipe", "null", "pipe"])

    def test_env_without_a_name(self) -> None:
        """env=something else says that a variable is set with its name."""
        fields = {field.name: parameters.of(field) for field in dataclasses.fields(MakeProcess)}
        self.assertIs(fields["inherit_env"].parse("inherit"), True)
        self.assertIs(fields["inherit_env"].parse("replace"), False)
        error = self.assertRaises(BadRequest, fields["inherit_env"].parse, "all")
        self.assertIn("a variable is set with env.NAME=all", str(error))


class RemoveValuesTests(SynchronousTestCase):
    """Values cannot all go at once."""

    def test_refuses_all(self) -> None:
        """No name, and the star among others, are refused; a pattern is not."""
        for names in ((), ("*",), ("a", "*")):
            error = self.assertRaises(BadRequest, RemoveValues, names=names)
            self.assertIn("name them, or use a pattern such as web.*", str(error))
        self.assertEqual(RemoveValues(names=("a*",)).names, ("a*",))


class ListTests(SynchronousTestCase):
    """Pages."""

    def test_pages(self) -> None:
        """A page has no less than no names; by default it has all."""
        self.assertEqual((ListProcesses().after, ListProcesses().most), ("", 0))
        self.assertRaises(BadRequest, ListProcesses, most=-1)


class UpgradeTests(SynchronousTestCase):
    """The next version."""

    def test_refuses_a_nul(self) -> None:
        """No Python has a NUL in its path."""
        error = self.assertRaises(BadRequest, Upgrade, python="/bin/python\0")
        self.assertIn("cannot hold a NUL", str(error))
