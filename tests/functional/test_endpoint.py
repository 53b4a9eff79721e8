"""The endpoint C{papa:NAME}: real programs that serve, and connect, on sockets that papa holds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

import papa
from papa.errors import NotFound, SocketFailed, Unreachable
from tests.support import PATIENCE, KernelTestCase, RealKernel, script, until


class WebTests(KernelTestCase):
    """C{twistd web} on a held socket."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel: RealKernel = self.serve()
        self.papa = papa.Papa(self.kernel.path)
        self.addCleanup(self.papa.close)
        with open(os.path.join(self.folder, "index.html"), "w", encoding="utf-8") as page:
            page.write("here")

    def start(self) -> subprocess.Popen[bytes]:
        server = subprocess.Popen(
            [
                script("twistd"),
                "-n",
                "--pidfile=",
                "web",
                "--path",
                self.folder,
                "--listen",
                f"papa:web:control={self.kernel.path}",
            ],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(server.wait, PATIENCE)
        self.addCleanup(server.kill)
        return server

    def test_killed_and_started_again_under_load(self) -> None:
        """While the server is killed and started again and again, no connection is refused: they wait."""
        port = self.papa.make_socket("web", backlog=128)["port"]
        served, refused = 0, []
        stopping = threading.Event()

        def ask() -> None:
            nonlocal served
            while not stopping.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
                        sock.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                        answer = b""
                        while data := sock.recv(4096):
                            answer += data
                except ConnectionRefusedError as error:
                    refused.append(error)
                except OSError:
                    continue  # Accepted by a server that was killed before it answered.
                else:
                    served += answer.endswith(b"here")

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for _ in range(3):
                server, before = self.start(), served
                until(lambda before=before: served > before + 20, "serving")
                server.send_signal(signal.SIGKILL)
                server.wait(PATIENCE)
            last, before = self.start(), served
            until(lambda: served > before + 20, "serving again")
            self.assertIsNone(last.poll())
        finally:
            stopping.set()
            for client in clients:
                client.join(PATIENCE)
        self.assertEqual(refused, [])


class EndpointTests(TestCase):
    """The endpoints in this process's own reactor."""

    def setUp(self) -> None:
        self.case = KernelTestCase("serve")
        self.case.setUp()
        self.addCleanup(self.case.doCleanups)
        self.kernel = self.case.serve()
        self.papa = papa.Papa(self.kernel.path)
        self.addCleanup(self.papa.close)

    def description(self, name: str) -> str:
        return f"papa:{name}:control={self.kernel.path}"

    async def exchange(self, name: str) -> bytes:
        """Serve on a held socket, connect to it, and say something."""
        heard: Deferred[bytes] = Deferred()

        class Ear(Protocol):
            def dataReceived(self, data: bytes) -> None:
                heard.callback(data)

        port: Any = await serverFromString(reactor, self.description(name)).listen(Factory.forProtocol(Ear))
        client: Any = await clientFromString(reactor, self.description(name)).connect(Factory.forProtocol(Protocol))
        client.transport.write(b"hello")
        said = await heard
        client.transport.loseConnection()
        await port.stopListening()
        return said

    async def test_inet(self) -> None:
        """A server and a client meet on a held TCP socket, again and again."""
        self.papa.make_socket("tcp")
        for _ in range(3):
            self.assertEqual(await self.exchange("tcp"), b"hello")

    async def test_inet6(self) -> None:
        """So they do on IPv6."""
        self.papa.make_socket("tcp6", family=socket.AF_INET6)
        self.assertEqual(await self.exchange("tcp6"), b"hello")

    async def test_unix(self) -> None:
        """So they do on a Unix socket, whose file and mode stay as papa made them."""
        path = os.path.join(self.case.folder, "web.sock")
        self.papa.make_socket("path", path=path, umask=0o077)
        before = os.lstat(path)
        for _ in range(2):
            self.assertEqual(await self.exchange("path"), b"hello")
        self.assertEqual((os.lstat(path).st_mode, os.lstat(path).st_ino), (before.st_mode, before.st_ino))

    async def refused(self, name: str, kind: type[papa.Error]) -> str:
        error = await self.assertFailure(
            serverFromString(reactor, self.description(name)).listen(Factory.forProtocol(Protocol)), kind
        )
        return str(error)

    async def test_refused(self) -> None:
        """A name that is not held, a socket that takes no connections and a kernel that is not there are told apart."""
        self.papa.make_socket("udp", socket_type=socket.SOCK_DGRAM)
        self.assertIn("'nope' not found", await self.refused("nope", NotFound))
        self.assertIn("only streams take connections", await self.refused("udp", SocketFailed))
        for name, kind in (("nope", NotFound), ("udp", SocketFailed)):
            client = clientFromString(reactor, self.description(name)).connect(Factory.forProtocol(Protocol))
            await self.assertFailure(client, kind)
        gone = serverFromString(reactor, f"papa:tcp:control={self.case.folder}/nobody").listen(Factory())
        await self.assertFailure(gone, Unreachable)
