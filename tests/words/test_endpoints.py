"""Where a kernel may be told to listen."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.endpoints import TcpEndpoint, TlsEndpoint, UnixEndpoint, parse
from papa.errors import BadRequest, Error, NotAllowed


class ParseTests(SynchronousTestCase):
    """Descriptions as people write them."""

    def test_tcp(self) -> None:
        """A port alone is on 127.0.0.1; an interface may be named, with its colons escaped or not."""
        self.assertEqual(parse("tcp:20202"), TcpEndpoint(port=20202, host="127.0.0.1"))
        self.assertEqual(parse("tcp:0"), TcpEndpoint(port=0))
        self.assertEqual(parse("tcp:1:interface=127.0.0.2"), TcpEndpoint(port=1, host="127.0.0.2"))
        self.assertEqual(parse("tcp:1:interface=::1"), TcpEndpoint(port=1, host="::1"))
        self.assertEqual(parse(r"tcp:1:interface=\:\:1"), TcpEndpoint(port=1, host="::1"))

    def test_unix(self) -> None:
        """All that follows unix: is the path."""
        self.assertEqual(parse("unix:/run/papa/console"), UnixEndpoint(path="/run/papa/console"))
        self.assertEqual(parse("unix:/run/a:b"), UnixEndpoint(path="/run/a:b"))

    def test_refuses_nonsense(self) -> None:
        """What is no endpoint is refused, and the message shows the ways to write one."""
        for description in (
            *("", "tcp", "tcp:", "tcp:x", "tcp:-1", "tcp:1:2", "unix:", "20202", "/run/x", "udp:1:interface=::1"),
            *("tcp:1:interface", "tcp:1:privateKey=/k", "tcp:1:interface=::1:interface=::1", "tcp:1:x:interface=::1"),
            *("tcp:80:", "unix:/run/x:mode=600"),
            *("ssl:443", "ssl:443:privateKey=/k", "ssl:443:privateKey=/k:certKey=/c", "ssl::privateKey=/k"),
            "ssl:443:privateKey=/k:certKey=/c:clientCerts=/a:backlog=3",
        ):
            error = self.assertRaises(BadRequest, parse, description)
            self.assertIn("write tcp:PORT, tcp:PORT:interface=::1, unix:PATH or ssl:PORT", str(error))

    def test_tls(self) -> None:
        """A TLS endpoint names its key, its certificate and its clients' authorities, in any order."""
        expected = TlsEndpoint(port=443, private_key="/k", certificate="/c", authorities="/a")
        self.assertEqual(parse("ssl:443:privateKey=/k:certKey=/c:clientCerts=/a"), expected)
        self.assertEqual(parse("ssl:443:clientCerts=/a:certKey=/c:privateKey=/k"), expected)
        self.assertEqual(expected.host, "127.0.0.1")

    def test_tls_serves_other_machines(self) -> None:
        """Whoever shows a certificate may come from elsewhere; an interface is an address all the same."""
        files = r"privateKey=/keys/a\:b:certKey=/c:d:clientCerts=/a"
        for interface in ("0.0.0.0", "::", "192.168.1.1"):
            found = parse(f"ssl:443:interface={interface}:{files}")
            assert isinstance(found, TlsEndpoint)
            self.assertEqual((found.host, found.private_key, found.certificate), (interface, "/keys/a:b", "/c:d"))
        error = self.assertRaises(BadRequest, parse, f"ssl:443:interface=example.com:{files}")
        self.assertIn("no address", str(error))
        self.assertRaises(BadRequest, parse, f"ssl:65536:{files}")

    def test_refuses_relative_files(self) -> None:
        """The kernel's folder is not the caller's."""
        error = self.assertRaises(BadRequest, parse, "ssl:1:privateKey=/k:certKey=c.pem:clientCerts=/a")
        self.assertIn("must be absolute, not 'c.pem'", str(error))

    def test_refuses_ports_that_are_none(self) -> None:
        """A port is at most 65535."""
        self.assertEqual(parse("tcp:65535"), TcpEndpoint(port=65535))
        for port in ("65536", "9" * 5000):
            self.assertRaises(BadRequest, parse, f"tcp:{port}")

    def test_refuses_relative_paths(self) -> None:
        """A path is absolute: the kernel's folder is not the caller's."""
        error = self.assertRaises(BadRequest, parse, "unix:console.sock")
        self.assertIn("must be absolute, not 'console.sock'", str(error))

    def test_lets_no_other_machine_in(self) -> None:
        """An interface beyond loopback is refused, however it is written, and the message says what to do instead."""
        for interface in ("0.0.0.0", "::", "192.168.1.1", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "8.8.8.8"):
            error = self.assertRaises(NotAllowed, parse, f"tcp:20202:interface={interface}")
            self.assertIn("whoever reaches it can run programs", str(error))

    def test_interface_is_an_address(self) -> None:
        """A host name is refused: what it stands for can change."""
        for interface in ("localhost", "example.com", "127.1", "2130706433"):
            error = self.assertRaises(BadRequest, parse, f"tcp:20202:interface={interface}")
            self.assertIn("use 127.0.0.1 or ::1", str(error))

    @settings(max_examples=200)
    @given(st.one_of(st.text(), st.text(alphabet="tcpunix:/=0123456789.\\interface")))
    def test_reads_or_refuses(self, description: str) -> None:
        """Any text is an endpoint of this machine or is refused by papa."""
        for text in (description, f"tcp:{description}", f"tcp:1:interface={description}", f"unix:{description}"):
            try:
                found = parse(text)
            except Error:
                continue
            if isinstance(found, TcpEndpoint):
                self.assertTrue(found.host.startswith("127.") or ":" in found.host, found)
                self.assertLessEqual(found.port, 65535)
            elif isinstance(found, UnixEndpoint):
                self.assertTrue(found.path.startswith("/"), found)


class ShownTests(SynchronousTestCase):
    """Endpoints in messages."""

    def test_as_people_write_addresses(self) -> None:
        """An IPv6 address is in brackets, a Unix endpoint is its path."""
        self.assertEqual(str(TcpEndpoint(port=80)), "127.0.0.1:80")
        self.assertEqual(str(TcpEndpoint(port=80, host="::1")), "[::1]:80")
        self.assertEqual(str(UnixEndpoint(path="/run/x")), "/run/x")
        tls = TlsEndpoint(port=80, host="::1", private_key="/k", certificate="/c", authorities="/a")
        self.assertEqual(str(tls), "ssl:[::1]:80")
