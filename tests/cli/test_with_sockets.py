"""C{papa with}."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE, script

#: Shows what it was given, and serves one visitor on each socket.
SERVER = """
import os, socket, sys
print(os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"], int(os.environ["LISTEN_PID"]) == os.getpid(), flush=True)
for number in range(int(os.environ["LISTEN_FDS"])):
    with socket.socket(fileno=3 + number) as server:
        server.accept()[0].sendall(b"socket %d" % number)
"""


class WithSocketsTests(SharedKernelTestCase):
    """A program in the foreground on held sockets."""

    def visit(self, names: str, *ports: int) -> tuple[str, list[bytes]]:
        """Run a server on sockets: what it says, and what visitors of the ports are told."""
        with subprocess.Popen(
            [script("papa"), "with", names, "--", sys.executable, "-c", SERVER],
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            told = []
            for port in ports:
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as visitor:
                    told.append(visitor.recv(100))
            said = running.communicate(timeout=PATIENCE)[0]
            self.assertEqual(running.returncode, 0)
        return said, told

    def test_one(self) -> None:
        """The program has the socket where systemd would have put it, and accepts on it; papa still holds it."""
        made = self.connect_papa().make_socket("web")
        for _ in range(2):
            self.assertEqual(self.visit("web", made["port"]), ("1 web True\n", [b"socket 0"]))
        self.assertEqual(self.connect_papa().list_sockets(), {"web": made})

    def test_two_in_order(self) -> None:
        """Several are handed over in the order in which they were named."""
        papa = self.connect_papa()
        one, two = papa.make_socket("one")["port"], papa.make_socket("two")["port"]
        self.assertEqual(self.visit("two,one", two, one), ("2 two:one True\n", [b"socket 0", b"socket 1"]))
        self.assertEqual(self.visit("one,two", one, two), ("2 one:two True\n", [b"socket 0", b"socket 1"]))

    def test_nothing_else(self) -> None:
        """The program has the sockets and the caller's streams, and no other descriptor."""
        papa = self.connect_papa()
        papa.make_socket("one")
        papa.make_socket("two")
        said = self.papa("with", "one,two", "--", "sh", "-c", "ls -l /proc/$$/fd").stdout
        self.assertEqual(len([line for line in said.splitlines() if " -> " in line]), 5, said)
        self.assertRegex(said, r"(?s) 3 -> socket:.* 4 -> socket:")

    def test_words_and_streams(self) -> None:
        """What stands behind the names is the program's; it has the caller's input, folder and variables."""
        self.connect_papa().make_socket("web")
        self.environ["CALLER"] = "c\n"
        program = 'pwd; cat; printf "%s." "$CALLER" "$@"; exit 7'
        for dashes in (("--",), ()):
            finished = self.papa(
                *("with", "web", *dashes, "sh", "-c", program, "sh", "--help", "--", "-x", "a\nb", ""),
                code=7,
                cwd=self.folder,
                stdin=None,
                input="typed\n",
            )
            self.assertEqual(finished.stdout, f"{self.folder}\ntyped\nc\n.--help.--.-x.a\nb..")

    def test_unknown_socket(self) -> None:
        """A socket that is not held is not found, and the program is not started."""
        self.connect_papa().make_socket("web")
        for names in ("nosuch", "web,nosuch", "nosuch,web"):
            finished = self.papa("with", names, "--", "echo", "started", code=4)
            self.assertEqual((finished.stdout, finished.stderr), ("", "papa: Socket 'nosuch' not found\n"))

    def test_missing_program(self) -> None:
        """A program that is not there is a failure that names it; the socket is still held."""
        self.connect_papa().make_socket("web")
        for program in ("/no/such/program", "no-such-program"):
            finished = self.papa("with", "web", "--", program, code=1)
            self.assertEqual(finished.stderr, f"papa: cannot run {program!r}: No such file or directory\n")
        self.assertEqual(list(self.connect_papa().list_sockets()), ["web"])

    def test_over_tcp(self) -> None:
        """Over TCP no socket can be handed over: that is a failure that says what would do."""
        kernel = self.serve("-p", "0")
        with kernel.talk() as talk:
            talk.ask("make socket web")
        finished = self.papa("--socket", str(kernel.port), "with", "web", "--", "echo", "started", code=1)
        self.assertEqual(finished.stdout, "")
        self.assertIn("only go over Unix sockets", finished.stderr)

    def test_by_a_console(self) -> None:
        """A console's path does as well as a program's wire."""
        made = self.connect_papa().make_socket("web")
        for path in (self.kernel.path, os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")):
            self.environ["PAPA_SOCKET"] = path
            self.assertEqual(self.visit("web", made["port"])[1], [b"socket 0"])
