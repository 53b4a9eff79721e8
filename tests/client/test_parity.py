"""Both clients have a method for everything that can be asked, with a parameter for every field."""

from __future__ import annotations

import dataclasses
import inspect
import typing

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from papa.client.blocking import Papa
from papa.client.deferred import RemoteKernel
from papa.client.interfaces import IRemoteKernel
from papa.commands import ALL, Command, Help, MakeProcess, Quit
from papa.parameters import Role, of

#: Help is for people; a conversation is ended with C{close}.
NOT_METHODS = {Help, Quit}
#: What is no command: the connection itself, where and how to connect, and what a watcher does with its connection.
NOT_COMMANDS = {
    "close",
    "discard",
    "fileno",
    "set_debug_mode",
    "set_default_connection_timeout",
    "set_default_path",
    "set_default_port",
    "resume",
    "take_back",
}
#: Where papa 1.0.6 has other names for a field, names are given one by one, or a descriptor as the object that has it.
CALLED = {
    "type": "socket_type",
    "watch": "watch_immediately",
    "names": "args",
    "descriptor": "sock",
}
#: What is no command of the Deferred client's: the connection.
NOT_COMMANDS_OF_DEFERRED = {"start", "close"}
#: C{holes} is always asked for: L{papa.client.blocking.Watcher.holes} has them.
NOT_PARAMETERS = {"holes"}

OF_THE_CLIENT = [command for command in ALL if command not in NOT_METHODS]


def method_name(command: type[Command]) -> str:
    return "_".join(command.words).replace("-", "_")


class ParityTests(SynchronousTestCase):
    """Commands and the methods that were written out by hand."""

    def test_a_method_for_each_command(self) -> None:
        """Every command has a method of its words, with a docstring and a full set of types."""
        for command in OF_THE_CLIENT:
            method = getattr(Papa, method_name(command))
            self.assertTrue(inspect.getdoc(method), method)
            hints = typing.get_type_hints(method)
            self.assertEqual({*hints}, {*inspect.signature(method).parameters} - {"self"} | {"return"}, method)

    def test_no_method_without_a_command(self) -> None:
        """There is no public method beyond the commands, the connection and the settings."""
        methods = {name for name, _ in inspect.getmembers(Papa, callable) if not name.startswith("_")}
        self.assertEqual(methods, {method_name(command) for command in OF_THE_CLIENT} | NOT_COMMANDS)

    def test_a_parameter_for_each_field(self) -> None:
        """Whatever a command can say, its method can be asked to say; and nothing else."""
        for command in OF_THE_CLIENT:
            fields = {
                CALLED.get(field.name, field.name)
                for field in dataclasses.fields(command)
                if of(field).role is not Role.PAGE and field.name not in NOT_PARAMETERS
            }
            if command is MakeProcess:
                fields.add("executable")  # In version 1 the program is not one of the arguments.
            parameters = {*inspect.signature(getattr(Papa, method_name(command))).parameters} - {"self"}
            self.assertEqual(parameters, fields, command.__name__)

    def test_names_are_given_one_by_one(self) -> None:
        """A method that selects takes any number of names as its arguments, as in version 1."""
        for command in OF_THE_CLIENT:
            if "names" in {field.name for field in dataclasses.fields(command)}:
                parameter = inspect.signature(getattr(Papa, method_name(command))).parameters["args"]
                self.assertIs(parameter.kind, inspect.Parameter.VAR_POSITIONAL, command.__name__)


class DeferredParityTests(SynchronousTestCase):
    """Commands and the methods of the client for Twisted programs."""

    def test_a_method_for_each_command(self) -> None:
        """Every command has a method of its words, with a docstring and a full set of types; there is no other."""
        for command in OF_THE_CLIENT:
            method = getattr(RemoteKernel, method_name(command))
            self.assertTrue(inspect.getdoc(method), method)
            hints = typing.get_type_hints(inspect.unwrap(method))
            self.assertEqual({*hints}, {*inspect.signature(method).parameters} - {"self"} | {"return"}, method)
        methods = {name for name, _ in inspect.getmembers(RemoteKernel, callable) if not name.startswith("_")}
        self.assertEqual(methods, {method_name(command) for command in OF_THE_CLIENT} | NOT_COMMANDS_OF_DEFERRED)

    def test_a_parameter_for_each_field(self) -> None:
        """Its parameters are the command's fields, with their defaults; names are given one by one."""
        for command in OF_THE_CLIENT:
            fields = {
                field.name: field
                for field in dataclasses.fields(command)
                if of(field).role is not Role.PAGE and field.name not in {*NOT_PARAMETERS, "watch"}
            }
            signature = inspect.signature(getattr(RemoteKernel, method_name(command)))
            parameters = {name: each for name, each in signature.parameters.items() if name != "self"}
            self.assertEqual({*parameters}, {*fields}, command.__name__)
            for name, parameter in parameters.items():
                if name == "names":
                    self.assertIs(parameter.kind, inspect.Parameter.VAR_POSITIONAL, command.__name__)
                elif parameter.default is not parameter.empty and fields[name].default is not dataclasses.MISSING:
                    self.assertEqual(parameter.default, fields[name].default, f"{command.__name__}.{name}")

    def test_same_as_the_interface(self) -> None:
        """The interface describes the same methods."""
        methods = {method_name(command) for command in OF_THE_CLIENT} | {"close"}
        self.assertEqual({*IRemoteKernel.names()}, methods)
        verifyClass(IRemoteKernel, RemoteKernel)
