"""What the verbs print with C{--json}, held to the shapes that the documentation shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from papa.cli import shapes
from papa.cli.main import cli
from papa.continuity.log import encoded
from tests.client.sharing import SharedKernelTestCase, end_kernel
from tests.support import PATIENCE, KernelTestCase, until

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")


def misfit(value: object, annotation: Any, where: str = "it") -> str | None:
    """What of a value is not as its type has it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        if not isinstance(value, dict) or {*value} != {*hints}:
            return f"{where} has not the keys {sorted(hints)}: {value!r}"
        return next((said for key, hint in hints.items() if (said := misfit(value[key], hint, f"{where}.{key}"))), None)
    if origin is types.UnionType:
        said = [misfit(value, each, where) for each in arguments]
        return None if None in said else said[0]
    if origin is typing.Literal:
        return None if value in arguments else f"{where} is {value!r}"
    if origin in (list, dict) and isinstance(value, origin):
        items = value.values() if isinstance(value, dict) else value
        return next((said for each in items if (said := misfit(each, arguments[-1], f"{where}[]"))), None)
    return None if type(value) is annotation else f"{where} is {value!r}"


def verbs_with_json() -> set[str]:
    """The verbs, and the verbs of verbs, that have the option."""
    context = click.Context(cli)
    found = set()
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        inner = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for verb, each in inner:
            if any("--json" in parameter.opts for parameter in each.params):
                found.add(f"{name} {verb}".strip())
    return found


class PageTests(SynchronousTestCase):
    """The page."""

    def test_made_of_the_shapes(self) -> None:
        """It is what its script makes of the shapes."""
        finished = subprocess.run(
            [sys.executable, os.path.join(DOCS, "shapes.py")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        with open(os.path.join(DOCS, "json.rst"), encoding="utf-8") as page:
            self.assertEqual(page.read(), finished.stdout)

    def test_every_verb(self) -> None:
        """It has every verb with the option, and no other."""
        self.assertEqual({verb.partition(" -")[0] for verb in shapes.PRINTED}, verbs_with_json())


class ShapeTestCase(KernelTestCase):
    """Tests of what is printed."""

    def printed(self, *arguments: str, verb: str = "", code: int = 0, then: Sequence[str] = ()) -> list[Any]:
        """The objects that a verb prints; each must have the shape that the page has for it."""
        finished = self.papa(*arguments, "--json", *then, code=code)
        found = [json.loads(line) for line in finished.stdout.splitlines()]
        self.assertTrue(found, finished.stderr)
        for each in found:
            self.assertEqual(each.pop("version"), 1)
            said = [misfit(each, shape) for shape in shapes.PRINTED[verb or arguments[0]]]
            self.assertIn(None, said, arguments)
        if (verb or arguments[0]) not in shapes.STREAMS:
            self.assertEqual(len(found), 1)
        return found


class ShapeTests(ShapeTestCase, SharedKernelTestCase):
    """With a kernel."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()
        self.client.make_process("job", "sh", ["-c", r"echo hi; printf '\377' >&2; exit 3"])
        self.client.make_process("web", "sleep", ["1000"])
        self.client.make_socket("tcp")
        self.client.make_socket("app", path=os.path.join(self.folder, "app.sock"))
        self.client.set("x", "1")
        until(lambda: not self.client.list_processes("job")["job"]["running"])

    def test_looking(self) -> None:
        """What is held, one by one and as a whole."""
        self.client.watch_processes("job", cursor="ship").close()
        self.assertEqual(self.printed("status")[0]["values"], ["x"])
        (shown,) = self.printed("show", "job")[0]["processes"]
        self.assertEqual((shown["exit_code"], shown["cursors"]), (3, {"ship": 0}))
        self.assertEqual(len(self.printed("top", "--interval", "0.1")[0]["processes"]), 2)
        self.assertEqual({each["kind"] for each in self.printed("logs")}, {"output", "closed"})
        self.assertEqual({each["encoding"] for each in self.printed("logs", "job")[:-1]}, {"utf-8", "latin-1"})
        self.assertIn("process-closed", {each["kind"] for each in self.printed("events")})
        self.printed("doctor")
        state = os.path.join(self.folder, "state")
        with open(state, "wb") as file:
            file.write(encoded(["value", "a", "1"]))
        self.printed("doctor", "--state", state, verb="doctor --state")

    def test_holes(self) -> None:
        """What was dropped."""
        self.client.make_process("loud", "sh", ["-c", "yes | head -c 50000"], bufsize=1000)
        until(lambda: not self.client.list_processes("loud")["loud"]["running"])
        found = self.printed("watch", "loud")
        self.assertEqual([each["kind"] for each in found if each["kind"] != "output"], ["hole", "closed"])

    def test_waiting(self) -> None:
        """What was waited for."""
        self.assertEqual(self.printed("wait", "job")[0]["exit_code"], 3)
        self.assertEqual(self.printed("wait", "job", "--for", "output=h")[0]["line"], "hi")
        self.client.make_process("tcp", "sleep", ["1000"], listen=["tcp"])
        where = self.printed("wait", "tcp", "--for", "port")[0]["where"]
        self.assertEqual(where, self.client.list_sockets()["tcp"]["port"])

    def test_running(self) -> None:
        """What is run, with and without reading along."""
        self.assertEqual(
            self.printed("run", "-d", "--name", "one", verb="run -d", then=("sleep", "9"))[0]["name"], "one"
        )
        found = self.printed("run", then=("sh", "-c", "echo hi; exit 5"), code=5)
        self.assertEqual([each["kind"] for each in found], ["output", "closed"])

    def test_changing(self) -> None:
        """Sockets, values and processes that are made and removed."""
        self.printed("socket", "make", "s", verb="socket make")
        self.printed("socket", "make", "own", "--reuseport", verb="socket make")
        self.assertEqual(len(self.printed("socket", "ls", verb="socket ls")[0]["sockets"]), 4)
        self.assertEqual(self.printed("socket", "rm", "s", verb="socket rm")[0], {"removed": ["s"]})
        self.assertEqual(self.printed("value", "set", "y", "12", verb="value set")[0], {"name": "y", "length": 2})
        self.assertEqual(self.printed("value", "get", "y", verb="value get")[0], {"name": "y", "value": "12"})
        self.assertEqual(len(self.printed("value", "ls", verb="value ls")[0]["values"]), 2)
        self.assertEqual(self.printed("value", "rm", "y", verb="value rm")[0], {"removed": ["y"]})
        self.assertEqual(self.printed("signal", "KILL", "web")[0]["signal"], "SIGKILL")
        self.assertEqual([each["name"] for each in self.printed("rm", "job")[0]["removed"]], ["job"])

    def test_nothing_else(self) -> None:
        """A failure prints nothing there."""
        for arguments in (("status", "x"), ("value", "get", "nothing"), ("logs", "x"), ("wait", "x"), ("rm", "x")):
            finished = self.papa(*arguments, "--json", code=4)
            self.assertEqual(finished.stdout, "")
            self.assertRegex(finished.stderr, r"\Apapa: there is no ")


class KernelShapeTests(ShapeTestCase):
    """Beginning and ending a kernel."""

    def test_upgraded(self) -> None:
        """One that gives way to another."""
        kernel = self.serve("--anchor")
        (upgraded,) = self.printed("upgrade")
        self.assertNotEqual(upgraded["pid"], upgraded["before"])
        (top,) = self.printed("top", "--interval", "0.1")
        self.assertEqual(top["kernel"]["pid"], upgraded["pid"])
        self.assertGreater(top["kernel"]["memory"], 1 << 20)
        kernel.end()

    def test_tortured(self) -> None:
        """One that is killed."""
        (card,) = self.printed("torture", "--kills", "1", "--printers", "1")
        self.assertEqual(sum(card["kernels"].values()), 1)

    def test_serving(self) -> None:
        """A kernel begins, and ends; while it holds something it does not, and says so in both ways."""
        path = os.path.join(self.folder, "console.sock")
        self.addCleanup(end_kernel, path)
        (serving,) = self.printed("serve", "-u", path, "--daemonize", verb="serve --daemonize")
        self.assertIn(path, serving["addresses"])
        self.assertTrue(os.path.exists(serving["log"]))
        self.papa("value", "set", "x", "1")
        (ending,) = self.printed("shutdown", code=3)
        self.assertEqual((ending["leaving"], ending["values"]), (False, 1))
        self.papa("value", "rm", "x")
        self.assertIs(self.printed("shutdown")[0]["leaving"], True)
