"""Who is taken for something else than a client of papa, by the first line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa.wire.strangers import is_foreign
from tests.drivers.apart import apart

HTTP = [
    b"GET / HTTP/1.1\r",
    b"GET / HTTP/1.0",
    b"GET /",
    b"HEAD /x HTTP/1.1\r",
    b"POST / HTTP/1.1\r",
    b"POST /set%20x HTTP/1.1\r",
    b"PUT /a/b?c HTTP/1.1\r",
    b"PATCH /a HTTP/1.1\r",
    b"DELETE /a HTTP/1.1\r",
    b"OPTIONS * HTTP/1.1\r",
    b"OPTIONS /a HTTP/1.1\r",
    b"TRACE / HTTP/1.1\r",
    b"CONNECT localhost:20202 HTTP/1.1\r",
    b"PRI * HTTP/2.0\r",
    b"GET http://localhost:20202/ HTTP/1.1\r",
    b"POST relative HTTP/1.1\r",
    b"MKCOL /a HTTP/1.1\r",
    b"set /a HTTP/1.1\r",
    b"get  /a  HTTP/1.1\r",
    b"get\t/a\tHTTP/1.1\r",
]

BINARY = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x16\x03\x01abc",
    b"SSH-2.0-\x00\x01",
    b"\x80\x4c\x01\x03\x01",
    b"caf\xe9",
    b"set x \0",
]

COMMANDS = [
    b"",
    b"\r",
    b"help\r",
    b"get x",
    b"GET x\r",
    b"g x",
    b"set proto HTTP/1.1",
    b"set x GET / HTTP/1.1",
    b"make process web /bin/serve / HTTP/1.1",
    b"watch processes web HTTP/1.1",
    b"list values *",
    b"nonsense",
    "set x caf\u00e9".encode(),
]


def _foreign_when_long() -> list[bool]:
    size = 1 << 20
    lines = (
        b"a " + b"/" * size,
        b"a " + b":/" * (size // 2) + b" ",
        b"GET " + b"a/" * (size // 2),
        b"GET /" + b"/" * size + b" HTTP/1.1",
    )
    return list(map(is_foreign, lines))


class FirstLineTests(SynchronousTestCase):
    """The first line of a connection."""

    def test_http(self) -> None:
        """Any HTTP request is foreign."""
        for line in HTTP:
            self.assertTrue(is_foreign(line), line)

    def test_long(self) -> None:
        """A line of a megabyte takes no longer than it is long, whatever it looks like."""
        self.assertEqual(apart(_foreign_when_long), [False, False, True, True])

    def test_binary(self) -> None:
        """A TLS greeting, and any line that is not text, is foreign."""
        for line in BINARY:
            self.assertTrue(is_foreign(line), line)

    def test_commands(self) -> None:
        """No command is foreign, whatever its words and its text; nor is a line that is merely unknown."""
        for line in COMMANDS:
            self.assertFalse(is_foreign(line), line)

    def test_what_clients_send(self) -> None:
        """What a client sends is never foreign, even if its last words read like a request."""
        for line in (
            b"set GET /\\ HTTP/1.1",
            b"set x HTTP/1.1",
            b"get HTTP",
            b"list processes HTTP*",
            b"l p HTTP*",
            b"make process x /bin/x HTTP/1.1",
            b"amp",
        ):
            self.assertFalse(is_foreign(line), line)
