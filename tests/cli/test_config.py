"""Defaults for options, from the environment and from a file."""

from __future__ import annotations

import os

from tests.client.sharing import SharedKernelTestCase


class DefaultTests(SharedKernelTestCase):
    """What a person always wants."""

    def setUp(self) -> None:
        super().setUp()
        self.environ["XDG_CONFIG_HOME"] = self.folder
        self.connect_papa().make_process("job", "/bin/sh", ["-c", "echo one; echo two"])
        self.papa("wait", "job")

    def write(self, text: str) -> None:
        os.makedirs(os.path.join(self.folder, "papa"), exist_ok=True)
        with open(os.path.join(self.folder, "papa", "config.toml"), "w", encoding="utf-8") as config:
            config.write(text)

    def test_environment(self) -> None:
        """An option can be given by a variable."""
        self.environ["PAPA_LOGS_NO_PREFIX"] = "1"
        self.assertEqual(self.papa("logs", "job").stdout, "one\ntwo\n")

    def test_file(self) -> None:
        """Or by the file, in the verb's table; the variable goes before it, and the option before both."""
        self.write("[logs]\nno-prefix = true\nlines = 1\n\n[value.get]\njson = true\n")
        self.assertEqual(self.papa("logs", "job").stdout, "two\n")
        self.environ["PAPA_LOGS_LINES"] = "0"
        self.assertEqual(self.papa("logs", "job").stdout, "")
        self.assertEqual(self.papa("logs", "-n", "5", "job").stdout, "one\ntwo\n")
        self.papa("value", "set", "x", "1")
        self.assertEqual(self.papa("value", "get", "x").stdout[0], "{")

    def test_every_spelling(self) -> None:
        """An option is called there as on the line, whatever the program calls it; so is its variable."""
        self.write(
            '[run]\nenv = ["A=1"]\nrlimit = ["nofile=99"]\n\n[wait]\nfor = "output=two"\n\n[status]\njson = true\n'
        )
        self.assertEqual(self.papa("run", "--raw", "sh", "-c", "echo $A; ulimit -n").stdout, "1\n99\n")
        self.assertEqual(self.papa("wait", "job").stdout, "two\n")
        self.assertEqual(self.papa("ps").stdout[0], "{")
        self.environ |= {"PAPA_WAIT_FOR": "output=one", "PAPA_STATUS_JSON": "0", "PAPA_RUN_ENV": "A=2"}
        self.assertEqual(self.papa("wait", "job").stdout, "one\n")
        self.assertEqual(self.papa("status").stdout[:7], "PROCESS")
        self.assertEqual(self.papa("run", "--raw", "sh", "-c", "echo $A").stdout, "2\n")

    def test_other_name(self) -> None:
        """A verb that goes by another name has its own variables and its own table."""
        for verb in ("ls", "ps"):
            self.assertEqual(self.papa(verb, env={**self.environ, "PAPA_STATUS_JSON": "1"}).stdout[0], "{")
            self.assertEqual(self.papa(verb, env={**self.environ, "PAPA_LS_JSON": "1"}).stdout[0], "P")
        self.write("[status]\njson = true\n")
        self.assertEqual(self.papa("ls").stdout[0], "{")

    def test_wrong(self) -> None:
        """What cannot be understood is wrong usage, with the file and what would be right."""
        path = os.path.join(self.folder, "papa", "config.toml")
        for text, reason in (
            ("[logs", "cannot be read"),
            ("[log]\n", "'log', which is no table"),
            ("a = 1\n", "'a'"),
            ("[logs]\nline = 1\n", "'line' in [logs], which is no option of it; did you mean 'lines'?"),
        ):
            self.write(text)
            said = self.papa("logs", "job", code=2).stderr
            self.assertIn(path, said)
            self.assertIn(reason, said)
