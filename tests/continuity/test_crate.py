"""Crates: sockets in which descriptors lie."""

from __future__ import annotations

import os
import socket
import tempfile

from papa.continuity.crate import Crate, contents
from tests.continuity.leftovers import TidyTestCase
from tests.support import is_open


class CrateTests(TidyTestCase):
    """What was put in, and who finds it."""

    def setUp(self) -> None:
        super().setUp()
        self.crate = Crate()
        self.addCleanup(self.crate.close)

    def file(self, text: bytes) -> int:
        file = os.memfd_create("papa-test")
        self.addCleanup(os.close, file)
        os.write(file, text)
        return file

    def found(self, descriptor: int) -> list[tuple[object, list[bytes]]]:
        """What lies in it: the messages, and what is in the files beside them."""
        found = []
        for message, descriptors in contents(os.dup(descriptor)):
            found.append((message["key"], [os.pread(each, 100, 0) for each in descriptors]))
            for each in descriptors:
                os.close(each)
        return found

    def test_stays(self) -> None:
        """What lies in it comes in order, and does so again and again; more can be put to it."""
        self.crate.put({"key": "a"}, [self.file(b"1"), self.file(b"2")])
        self.crate.put({"key": "b" * 40000}, [])
        for _ in range(2):
            self.assertEqual(self.found(self.crate.fileno()), [("a", [b"1", b"2"]), ("b" * 40000, [])])
        self.crate.put({"key": "c"}, [self.file(b"3")])
        self.assertEqual(self.found(self.crate.fileno())[2:], [("c", [b"3"])])

    def test_left(self) -> None:
        """It is there when whoever has put it there has gone, for whoever has the socket."""
        kept = os.dup(self.crate.fileno())
        self.addCleanup(os.close, kept)
        self.crate.put({"key": "a"}, [self.file(b"1")])
        self.crate.close()
        for _ in range(2):
            self.assertEqual(self.found(kept), [("a", [b"1"])])

    def test_bound(self) -> None:
        """Once it is full it takes no more, and what it has is all there; that is more than a store puts into one."""
        count, file = 0, self.file(b"1")
        with self.assertRaises(BlockingIOError):
            while True:
                self.crate.put({"key": str(count), "more": "x" * 200}, [file] * 4)
                count += 1
        self.assertGreater(count, 64)
        self.assertEqual(len(self.found(self.crate.fileno())), count)

    def test_no_crate(self) -> None:
        """Of any other file nothing is read, and it is closed."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        one.sendall(b"{}")
        for descriptor in (self.file(b"{}"), os.dup(other.fileno())):
            duplicate = os.dup(descriptor)
            self.assertEqual(list(contents(duplicate)), [])
            self.assertFalse(is_open(duplicate))

    def test_connected(self) -> None:
        """A socket that was connected is none: its peer is not who has put something in, but who has listened."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(f"{folder}/x")
            listening.listen()
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(f"{folder}/x")
                accepted, _ = listening.accept()
                with accepted:
                    accepted.sendall(b'{"key": "forged"}')
                    client.sendall(b'{"key": "forged"}')
                    self.assertEqual(list(contents(os.dup(client.fileno()))), [])
                    self.assertEqual(list(contents(os.dup(accepted.fileno()))), [])
