"""Who gets in."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from papa.server.access import Access


class Connected:
    """A transport, as far as its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def getHandle(self) -> socket.socket:
        return self._sock


class DecisionTests(SynchronousTestCase):
    """What is decided about a known or unknown user."""

    def refusal(self, uid: int | None) -> str | None:
        """What a papa of user 1000 tells one of another."""
        with socket.socket() as sock:
            asked: list[socket.socket] = []

            def identify(peer: socket.socket) -> int | None:
                asked.append(peer)
                return uid

            answer = Access(1000, identify).refusal(Connected(sock))
            self.assertEqual(asked, [sock])
        return answer

    def test_own_user_and_root(self) -> None:
        """Papa's own user is let in, and root."""
        self.assertIsNone(self.refusal(1000))
        self.assertIsNone(self.refusal(0))

    def test_others(self) -> None:
        """Nobody else is, and is told whom it serves."""
        self.assertEqual(self.refusal(1001), "this papa serves uid 1000 and root, not uid 1001")
        self.assertEqual(self.refusal(65534), "this papa serves uid 1000 and root, not uid 65534")

    def test_unknown(self) -> None:
        """A connection whose user cannot be told is not let in."""
        self.assertEqual(self.refusal(None), "this connection's user cannot be told")


class ConnectionTests(SynchronousTestCase):
    """Real connections of the user that runs the tests."""

    def loopback(self) -> tuple[socket.socket, socket.socket]:
        """A TCP connection: the client's end, and a listener that has not accepted it yet."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = socket.create_connection(listener.getsockname())
        self.addCleanup(client.close)
        return client, listener

    def accepted(self, listener: socket.socket) -> Connected:
        """The server's end."""
        sock, _ = listener.accept()
        self.addCleanup(sock.close)
        return Connected(sock)

    def test_tcp(self) -> None:
        """A connection over loopback TCP is known by its user."""
        _, listener = self.loopback()
        self.assertIsNone(Access(os.geteuid()).refusal(self.accepted(listener)))

    def test_tcp_of_another_user(self) -> None:
        """The same connection is refused by a papa of another user, unless it is root's."""
        _, listener = self.loopback()
        refusal = Access(os.geteuid() + 1).refusal(self.accepted(listener))
        self.assertEqual(refusal is None, os.geteuid() == 0)

    def test_closed_peer(self) -> None:
        """Who sends something and closes before it was looked at is not let in, not even as root."""
        client, listener = self.loopback()
        client.sendall(b"set x pwned\n")
        client.close()
        refusal = Access(os.geteuid()).refusal(self.accepted(listener))
        self.assertEqual(refusal, "this connection's user cannot be told")

    def test_unix(self) -> None:
        """A connection over a Unix socket is known by its user."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        self.assertIsNone(Access(os.geteuid()).refusal(Connected(one)))
