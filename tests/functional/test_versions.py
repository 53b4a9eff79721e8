"""Upgrades to versions of papa that know another format of the state, and back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys

import papa
from papa.continuity.migrations import FORMAT
from papa.errors import NotAllowed
from tests.functional import test_continuity
from tests.support import until

_MORE = """
_STEPS = {{**_STEPS, **{forward}}}
_STEPS_BACK = {{**_STEPS_BACK, **{back}}}
FORMAT = {format}
OLDEST_WRITTEN = {oldest}


def migrated("""
#: Values are kept under the name of the format that the kernel writes.
_FORWARD = "{0}: lambda entries: entries.update({{'value.{1}': entries.pop('value' + '.{0}' * ({0} > {2}), {{}})}})"
_BACK = "{1}: lambda entries: entries.update({{'value' + '.{0}' * ({0} > {2}): entries.pop('value.{1}', {{}})}})"


class VersionsTests(test_continuity.AnchoredTestCase):
    """Copies of this papa that write later formats."""

    def version(self, number: int) -> str:
        """The Python of a papa that writes a format of that number, and the one before."""
        folder = os.path.join(self.folder, f"version-{number}")
        shutil.copytree(os.path.dirname(papa.__file__), os.path.join(folder, "papa"))
        steps = range(FORMAT, number)
        more = _MORE.format(
            forward="{" + ", ".join(_FORWARD.format(each, each + 1, FORMAT) for each in steps) + "}",
            back="{" + _BACK.format(number - 1, number, FORMAT) + "}",
            format=number,
            oldest=number - 1,
        )
        self.edit(folder, "continuity/migrations.py", "\n\ndef migrated(", more)
        self.edit(folder, "kernel/core.py", '_VALUE: Final = "value"', f'_VALUE: Final = "value.{number}"')
        self.edit(folder, "continuity/rehearsal.py", 'entries.get("value"', f'entries.get("value.{number}"')
        return self.python(folder)

    def edit(self, folder: str, name: str, before: str, after: str) -> None:
        path = os.path.join(folder, "papa", name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text.count(before), 1, before)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(before, after))

    @staticmethod
    def python(folder: str) -> str:
        path = os.path.join(folder, "python")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
        os.chmod(path, 0o755)
        return path

    def runs(self, python: str) -> bool:
        """Whether the kernel is one of that version."""
        self.client.list_values()
        with open(f"/proc/{self.client.kernel_pid}/environ", encoding="utf-8") as environ:
            return f"PYTHONPATH={os.path.dirname(python)}\0" in environ.read()

    def test_there_and_back(self) -> None:
        """Nothing is lost on the way to the next format, nor back, nor when kernels are killed there."""
        later = self.version(FORMAT + 1)
        self.client.set("a", "1")
        self.client.make_socket("web", port=0)
        self.client.make_process("job", "/bin/sh", ["-c", "echo one; exec cat"], stdin=papa.PIPE, inherit_env=True)
        before = [self.client.list_sockets(), self.client.list_processes("job")["job"]["pid"]]
        for number, python in enumerate((later, sys.executable, later, sys.executable)):
            self.client.write_process("job", b"%d\n" % number)
            self.client.upgrade(python)
            self.assertEqual(self.runs(later), python == later)
            self.client.set(str(number), "x")
            self.kill()
            self.assertEqual(self.runs(later), python == later)
            held = {"a": "1"} | {str(each): "x" for each in range(number + 1)}
            self.assertEqual(self.client.list_values(), held)
            self.assertEqual([self.client.list_sockets(), self.client.list_processes("job")["job"]["pid"]], before)
        self.client.close_stdin("job")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"one\n0\n1\n2\n3\n", 0))

    def test_too_far_back(self) -> None:
        """A version that knows no format which this one writes is refused, with what each knows; nothing happens."""
        latest = self.version(FORMAT + 2)
        self.client.set("a", "1")
        self.client.upgrade(latest)
        self.assertTrue(self.runs(latest))
        before = self.client.kernel_pid
        for _ in range(2):
            with self.assertRaisesRegex(
                NotAllowed,
                f"in format {FORMAT + 2}, and this papa reads formats 1 to {FORMAT}: .*"
                f"it reads formats 1 to {FORMAT}; this papa writes {FORMAT + 1} to {FORMAT + 2}",
            ):
                self.client.upgrade(sys.executable)
        self.assertEqual((self.client.list_values(), self.client.kernel_pid), ({"a": "1"}, before))

    def test_does_not_come_to_serve(self) -> None:
        """A later version that reads the state and then fails leaves it as the one before knows it."""
        later = self.version(FORMAT + 1)
        self.edit(
            os.path.dirname(later), "server/service.py", "            self._line.serve()\n", "            os._exit(9)\n"
        )
        self.client.set("a", "1")
        self.client.make_process("job", "cat", stdin=papa.PIPE, inherit_env=True)
        self.client.upgrade(later)
        until(lambda: "the one before it goes on" in self.anchor.said(), "giving up")
        self.assertEqual((self.client.list_values(), self.runs(later)), ({"a": "1"}, False))
        told = re.search(r"1 process runs on, .* papa doctor --state (\S+) shows", self.anchor.said())
        assert told is not None
        self.assertIn('value a "1"\n', self.papa("doctor", "--state", told[1]).stdout)
        self.client.write_process("job", b"text")
        self.client.close_stdin("job")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"text", 0))

    def test_fails_later(self) -> None:
        """If the later version does not come to serve any more, the one before refuses its state: it is tried again."""
        later = self.version(FORMAT + 1)
        bad = os.path.join(self.folder, "bad")
        serve = "            self._line.serve()\n"
        self.edit(
            os.path.dirname(later),
            "server/service.py",
            serve,
            f"            if os.path.exists({bad!r}):\n                os._exit(9)\n{serve}",
        )
        self.client.make_process("job", "cat", stdin=papa.PIPE, inherit_env=True)
        self.client.upgrade(later)
        self.client.set("a", "1")
        pid = self.client.kernel_pid
        assert pid is not None
        with open(bad, "w", encoding="ascii"):
            os.kill(pid, signal.SIGKILL)
        self.client.close()
        until(lambda: f"The state was written in format {FORMAT + 1}" in self.anchor.said(), "a refusal")
        os.unlink(bad)
        self.client = until(self.answering, "a kernel")
        self.assertEqual((self.client.list_values(), self.runs(later)), ({"a": "1"}, True))
        self.client.write_process("job", b"text")
        self.client.close_stdin("job")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"text", 0))

    def answering(self) -> papa.Papa | None:
        try:
            client = self.papa_client()
            client.list_values()
        except papa.Error:
            return None
        return client
