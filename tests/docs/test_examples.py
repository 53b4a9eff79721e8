"""What the pages show is done as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap

from tests.client.sharing import SharedKernelTestCase
from tests.docs.pages import source
from tests.support import PATIENCE, script


def shown(page: str, language: str) -> str:
    """The first block in a language on a page."""
    block = re.search(rf"code-block:: {language}\n\n((?: +.*\n|\n)+)", source(page))
    assert block is not None
    return textwrap.dedent(block[1]).strip()


class ExampleTests(SharedKernelTestCase):
    """Each on a kernel that holds nothing."""

    def test_first_page(self) -> None:
        """Its commands, one after the other, do what they should."""
        install, *commands = shown("index.rst", "text").splitlines()
        self.assertTrue(install.startswith("pip install"))
        path = os.pathsep.join([os.path.dirname(script("papa")), self.environ["PATH"]])
        said = ""
        for command in commands:
            finished = subprocess.run(
                ["/bin/sh", "-ec", command],
                env={**self.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual(finished.returncode, 0, command + finished.stderr)
            said += finished.stdout + finished.stderr
        self.assertRegex(said, r"(?m)^job .* running")
        self.assertIn("killed by signal 15", said)

    def test_configuration(self) -> None:
        """The file sets what it says: a value is printed as JSON, and a log without prefixes."""
        self.environ["XDG_CONFIG_HOME"] = self.folder
        os.makedirs(os.path.join(self.folder, "papa"))
        with open(os.path.join(self.folder, "papa", "config.toml"), "w", encoding="utf-8") as file:
            file.write(shown("reference/configuration.rst", "toml"))
        self.papa("value", "set", "a", "b")
        self.assertEqual(json.loads(self.papa("value", "get", "a").stdout)["value"], "b")
        self.papa("run", "-d", "job", "--", "echo", "plain")
        self.papa("wait", "job")
        self.assertEqual(self.papa("logs", "job").stdout, "plain\n")
