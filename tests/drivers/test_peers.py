"""Who is at the other end of a connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers.peers import listener_uid, peer_uid
from tests.drivers.apart import apart, forbid
from tests.support import PATIENCE, until

#: Becomes another user, connects (or listens), says that it has, and stays until its input ends.
_STRANGER = """
import os, socket, sys
family, kind, *address = sys.argv[1:]
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sock = socket.socket(getattr(socket, family))
where = address[0] if family == "AF_UNIX" else (address[0], int(address[1]))
if kind == "listen":
    sock.bind(where)
    sock.listen(5)
    print(sock.getsockname()[1], flush=True)
else:
    sock.connect(where)
    print("connected", flush=True)
sys.stdin.read()
"""

HOSTS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.1.2.3"), (socket.AF_INET6, "::1")]


def reachable(family: int, host: str) -> bool:
    try:
        with socket.socket(family) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    return True


def connected(family: int, host: str) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection: the client's, and the server's."""
    with socket.create_server((host, 0), family=socket.AddressFamily(family)) as server:
        client = socket.create_connection(server.getsockname()[:2], timeout=PATIENCE)
        return client, server.accept()[0]


class PeerTestCase(SynchronousTestCase):
    """Tests with connections that are closed at their end."""

    def connected(self, family: int = socket.AF_INET, host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
        ends = connected(family, host)
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def hosts(self) -> list[tuple[int, str]]:
        return [each for each in HOSTS if reachable(*each)]

    def stranger(self, family: str, kind: str, *address: str) -> str:
        """Start a process of another user; the line that it says."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        process = subprocess.Popen(
            # Without site-packages: a measurement of coverage that begins there could not be kept as another user.
            [sys.executable, "-S", "-c", _STRANGER, family, kind, *address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        assert process.stdout is not None
        return process.stdout.readline().strip()


class PeerUidTests(PeerTestCase):
    """The owner of the other end."""

    def test_tcp(self) -> None:
        """On loopback TCP the owner of the peer is known, at both ends, whatever the loopback address."""
        for family, host in self.hosts():
            for end in self.connected(family, host):
                self.assertEqual(peer_uid(end), os.geteuid(), host)

    def test_unix(self) -> None:
        """On a Unix socket the system says it."""
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
            self.assertEqual(peer_uid(end), os.geteuid())

    def test_other_user_over_tcp(self) -> None:
        """A peer that is another user's is known as theirs."""
        for family, host in self.hosts():
            name = "AF_INET" if family == socket.AF_INET else "AF_INET6"
            with socket.create_server((host, 0), family=socket.AddressFamily(family)) as server:
                self.assertEqual(self.stranger(name, "connect", host, str(server.getsockname()[1])), "connected")
                connection = server.accept()[0]
                self.addCleanup(connection.close)
                self.assertEqual(peer_uid(connection), 65534, host)

    def test_other_user_over_unix(self) -> None:
        """So is one at a Unix path."""
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "s")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            os.chmod(path, 0o666)
            server.listen(5)
            self.assertEqual(self.stranger("AF_UNIX", "connect", path), "connected")
            connection = server.accept()[0]
            self.addCleanup(connection.close)
            self.assertEqual(peer_uid(connection), 65534)

    def test_closed(self) -> None:
        """A peer that has closed is nobody: least of all root, as whose the system then shows it."""
        for family, host in self.hosts():
            client, server = self.connected(family, host)
            client.sendall(b"remove sockets *\n")
            client.close()
            self.assertIsNone(peer_uid(server), host)

    def test_closed_and_reset(self) -> None:
        """So is one that is gone without a trace."""
        client, server = self.connected()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.assertIsNone(peer_uid(server))

    def test_half_closed(self) -> None:
        """A peer that will not send any more is not known either: it is no longer connected both ways."""
        client, server = self.connected()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(server.recv(1), b"")
        self.assertIsNone(peer_uid(server))

    def test_not_accepted(self) -> None:
        """A peer that nobody has taken up is nobody's: its row has uid 0 and no inode, though it is established."""
        for look_up in (_unaccepted, _unaccepted_without_netlink):
            self.assertEqual(apart(look_up), [None] * len(self.hosts()))

    def test_not_connected(self) -> None:
        """A socket without a peer has none."""
        with socket.socket() as sock:
            self.assertIsNone(peer_uid(sock))

    def test_elsewhere(self) -> None:
        """The owner of a peer on another machine is not known, whoever has the same numbers here."""

        class Elsewhere(socket.socket):
            def getpeername(self) -> Any:
                return ("192.0.2.7", 4711)

        with Elsewhere() as sock:
            sock.bind(("127.0.0.1", 0))
            self.assertIsNone(peer_uid(sock))

    def test_without_netlink(self) -> None:
        """Where the system may not be asked over netlink, its tables in /proc give the same answers."""
        self.assertEqual(apart(_peers_without_netlink), apart(_peers))


class ListenerUidTests(PeerTestCase):
    """The owner of a listening socket."""

    def test_own(self) -> None:
        """A port at which this user's program listens."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.assertEqual(listener_uid(server.getsockname()[1]), os.geteuid())

    def test_other_user(self) -> None:
        """A port at which another user's program listens."""
        port = int(self.stranger("AF_INET", "listen", "127.0.0.1", "0"))
        self.assertEqual(listener_uid(port), 65534)

    def test_nobody(self) -> None:
        """A port at which nothing listens: one that is only bound, one that is connected, one that was closed."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            self.assertIsNone(listener_uid(port))
        self.assertIsNone(listener_uid(port))
        client, _ = self.connected()
        self.assertIsNone(listener_uid(client.getsockname()[1]))

    def test_other_address(self) -> None:
        """A program that listens at another address of the machine does not count."""
        with socket.create_server(("127.9.9.9", 0)) as server:
            self.assertIsNone(listener_uid(server.getsockname()[1]))


def _peers() -> list[int | None]:
    """What is said of peers that are there, have closed, and have half closed."""
    found = []
    for family, host in HOSTS:
        if reachable(family, host):
            ends = connected(family, host)
            found += [peer_uid(end) for end in ends]
            ends[0].shutdown(socket.SHUT_WR)
            until(lambda ends=ends: ends[1].recv(1) == b"")
            found.append(peer_uid(ends[1]))
            ends[0].close()
            found.append(peer_uid(ends[1]))
            ends[1].close()
    return found


def _peers_without_netlink() -> list[int | None]:
    forbid("socket", socket.AF_NETLINK)
    return _peers()


def _unaccepted() -> list[int | None]:
    """What is said of peers that wait to be accepted."""
    found = []
    for family, host in HOSTS:
        if reachable(family, host):
            with (
                socket.create_server((host, 0), family=socket.AddressFamily(family)) as server,
                socket.create_connection(server.getsockname()[:2], timeout=PATIENCE) as client,
            ):
                found.append(peer_uid(client))
    return found


def _unaccepted_without_netlink() -> list[int | None]:
    forbid("socket", socket.AF_NETLINK)
    return _unaccepted()
