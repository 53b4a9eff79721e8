"""The guides: what each says to type is typed, with the programs that it is about."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from glob import glob

from tests.functional.environments import environment_with
from tests.functional.pages import Block, blocks
from tests.functional.sessions import DOCS, PageTestCase
from tests.support import PATIENCE, installed, program, script


class GuideTestCase(PageTestCase):
    """Tests that follow a guide."""

    def guide(self, name: str, *, without: tuple[str, ...] = ()) -> None:
        """Do what it says, to its end."""
        self.assertGreater(self.follow(os.path.join(DOCS, "howto", name), without=without), 1)


class DeployTests(GuideTestCase):
    """Replacing a web server without refusing anybody."""

    def test_deploy(self) -> None:
        """gunicorn and a Twisted server are replaced under load, and no request fails; a bad version serves nobody."""
        program("curl")
        installed("gunicorn")
        self.guide("deploy.rst")

    def test_old_one_is_gone(self) -> None:
        """A generation that has ended by itself, or was forgotten, is no hindrance to the next."""
        shutil.copy(os.path.join(DOCS, "examples", "deploy.sh"), self.home)
        deploy = "./deploy.sh web ready sh -c 'echo ready; exec sleep 600'"
        session = f"""\
$ papa socket make web
web is bound to ...
$ {deploy}
...
web.1 serves
$ papa signal KILL web.1
sent SIGKILL to web.1, pid ...
$ papa wait web.1
web.1 killed by signal 9
$ {deploy}
...
web.2 serves
$ papa rm web.2
web.2 runs on, with pid ..., until it ends
$ papa signal KILL web.2
sent SIGKILL to web.2, pid ...
$ while papa show web.2 > shown.txt 2>&1; do sleep 0.1; done
$ {deploy}
...
web.3 serves
$ papa status 'web.*'
PROCESS  STATE     ...
web.1    killed 9  ...
web.3    running   ...
"""
        self.do(Block("console", session, "test"))


class ShipLogsTests(GuideTestCase):
    """Shipping output without losing any."""

    def test_ship_logs(self) -> None:
        """Files and a database have each byte once, although their writers are killed; a pipe has it, too."""
        self.guide("ship-logs.rst")


class FromPapa1Tests(GuideTestCase):
    """Moving from papa 1.0.6."""

    def test_this_papa(self) -> None:
        """The old program runs with this papa."""
        self.guide("from-papa-1.rst", without=("needs-papa-1",))

    def test_both(self) -> None:
        """It runs with papa 1.0.6 in its environment as well."""
        os.symlink(environment_with("papa==1.0.6").folder, os.path.join(self.home, "old"))
        self.guide("from-papa-1.rst")


class FromCircusTests(GuideTestCase):
    """Moving a circus setup."""

    def test_from_circus(self) -> None:
        """circusd is killed and comes back; then the same servers run without it."""
        program("curl")
        installed("circusd")
        self.addCleanup(self.end, "circus.pid")
        self.guide("from-circus.rst")


class SystemdTests(GuideTestCase):
    """Running papa under systemd. What systemd itself is to do is not done: that would change this machine."""

    def test_unit(self) -> None:
        """The unit is printed as shown."""
        self.guide("systemd.rst", without=("needs-systemd", "needs-systemd-analyze"))

    def test_systemd_takes_it(self) -> None:
        """systemd finds nothing wrong with the unit, with its drop-ins, or with the units of shippers."""
        program("systemd-analyze")
        self.environ["XDG_RUNTIME_DIR"] = self.folder
        self.guide("systemd.rst", without=("needs-systemd",))
        for page in ("systemd.rst", "ship-logs.rst"):
            for block in blocks(os.path.join(DOCS, "howto", page)):
                if block.file.endswith((".service", ".conf")):
                    self.do(replace(block, text=block.text.replace("/opt/papa/bin/papa", script("papa"))))
        shutil.copy(os.path.join(self.home, "papa.service"), os.path.join(self.home, "papa-www.service"))
        for unit in glob(os.path.join(self.home, "*.service")):
            checked = subprocess.run(
                ["systemd-analyze", "verify", unit],
                env=self.environ | {"SYSTEMD_UNIT_PATH": f"{self.home}:"},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertNotIn("papa", checked.stderr)
