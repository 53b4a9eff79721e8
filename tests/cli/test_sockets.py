"""C{papa socket}."""

from __future__ import annotations

import json
import os
import socket

from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE


class SocketTests(SharedKernelTestCase):
    """Holding sockets."""

    def test_made(self) -> None:
        """A socket is made and says where it is; made again it is the same, made otherwise it is refused."""
        said = self.papa("socket", "make", "web", "--backlog", "7").stdout
        self.assertRegex(said, r"^web is bound to 127\.0\.0\.1:\d+\n$")
        made = json.loads(self.papa("socket", "make", "web", "--backlog", "7", "--json").stdout)
        self.assertEqual((made["version"], made["name"], made["backlog"]), (1, "web", 7))
        self.assertIn(str(made["port"]), said)
        with socket.create_connection(("127.0.0.1", made["port"]), timeout=PATIENCE):
            pass
        self.assertIn("already", self.papa("socket", "make", "web", "--backlog", "8", code=1).stderr)

    def test_unix(self) -> None:
        """So is one at a path, with its mode."""
        path = os.path.join(self.folder, "app.sock")
        self.papa("socket", "make", "app", "--path", path, "--umask", "077", "--type", "seqpacket")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o700)
        self.assertIn(
            "write it in octal", self.papa("socket", "make", "b", "--path", path, "--umask", "x", code=2).stderr
        )

    def test_listed_and_closed(self) -> None:
        """Sockets are listed, and closed by name or pattern."""
        self.assertEqual(self.papa("socket", "ls").stdout, "")
        for name in ("web.1", "web.2", "database"):
            self.papa("socket", "make", name)
        self.assertRegex(self.papa("socket", "ls", "web.*").stdout, r"^SOCKET .*\nweb\.1 .*\nweb\.2 .*\n$")
        self.papa("socket", "rm", "web.*")
        listed = json.loads(self.papa("socket", "ls", "--json").stdout)["sockets"]
        self.assertEqual([each["name"] for each in listed], ["database"])
        self.assertIn("did you mean 'database'", self.papa("socket", "rm", "databse", code=4).stderr)
