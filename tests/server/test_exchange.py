"""Descriptors that somebody has passed."""

from __future__ import annotations

import os
import socket
import struct
import time

from twisted.trial.unittest import SynchronousTestCase

from papa.server.exchange import close_passed
from tests.support import PATIENCE, is_open


class ClosePassedTests(SynchronousTestCase):
    """Closing what came."""

    def test_any(self) -> None:
        """Whatever it is, it is closed, and nothing else is left open."""
        before = len(os.listdir("/proc/self/fd"))
        ours, theirs = socket.socketpair()
        for descriptor in (os.open(os.devnull, os.O_RDONLY), os.memfd_create("x"), theirs.detach()):
            close_passed(descriptor)
            self.assertFalse(is_open(descriptor))
        self.assertEqual(ours.recv(1), b"")
        ours.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_listening(self) -> None:
        """What a listening socket is set to stays as it is for those who still have it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            lingers = struct.pack("ii", 1, 7)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingers)
            close_passed(os.dup(listener.fileno()))
            self.assertEqual(listener.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(lingers)), lingers)

    def test_lingering(self) -> None:
        """A socket that was to be closed only once all is sent does not keep papa waiting for that."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sender = socket.create_connection(listener.getsockname())
            with listener.accept()[0]:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2 * int(PATIENCE)))
                sender.setblocking(False)
                with self.assertRaises(BlockingIOError):
                    while True:
                        sender.send(bytes(1 << 20))
                began = time.monotonic()
                close_passed(sender.detach())
                self.assertLess(time.monotonic() - began, PATIENCE)
