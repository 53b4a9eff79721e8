"""Serving at C{ssl:} endpoints: whoever shows a good certificate gets in, and nobody else hears a word."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.x509.name import _ASN1Type
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.trial.unittest import TestCase

from papa.client.deferred import connect
from papa.errors import ConnectionLost, NotAllowed, NotFound, Unreachable
from papa.records import Closed, Output
from tests.certificates import Authority
from tests.support import PATIENCE, KernelTestCase, RealKernel, Talk, until


class TlsTestCase(KernelTestCase):
    """Tests with a key, a certificate and an authority."""

    counted = True

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.folder)
        self.key, self.certificate = self.authority.sign("papa")

    def endpoint(self, **changed: str) -> str:
        """Where to serve, with some of the files changed."""
        files = {"privateKey": self.key, "certKey": self.certificate, "clientCerts": self.authority.path, **changed}
        return ":".join(["ssl:0", *(f"{name}={path}" for name, path in files.items())])

    def tls_port(self, kernel: RealKernel) -> int:
        return next(int(where.rpartition(":")[2]) for where in kernel.where if where.startswith("ssl:"))

    def serve_tls(self, option: str = "--control") -> RealKernel:
        return self.serve("-p", "0", option, self.endpoint())

    def tls(self, port: int, shown: tuple[str, str] | None) -> ssl.SSLSocket:
        """A connection of a client that shows its certificate, if it has one."""
        context = ssl.create_default_context(cafile=self.authority.path)
        if shown is not None:
            context.load_cert_chain(shown[1], shown[0])
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.addCleanup(sock.close)
        wrapped = context.wrap_socket(sock, server_hostname="127.0.0.1")
        self.addCleanup(wrapped.close)
        return wrapped


class AdmissionTests(TlsTestCase):
    """Who gets in."""

    def heard(self, port: int, shown: tuple[str, str] | None) -> bytes:
        """All that a client hears before it is hung up on."""
        data = b""
        try:
            sock = self.tls(port, shown)
            while piece := sock.recv(4096):
                data += piece
        except OSError:
            pass
        return data

    def test_nobody_without_a_good_certificate(self) -> None:
        """No certificate, one of another authority, or one that has expired: nothing is heard, and it is logged."""
        kernel = self.serve_tls()
        port = self.tls_port(kernel)
        other = Authority(self.folder, "other").sign("stranger")
        for shown in (None, other, self.authority.sign("former", expired=True)):
            self.assertEqual(self.heard(port, shown), b"")
        until(lambda: kernel.said().count("has shown no certificate that is good") == 3, "three lines in the log")

    def test_nobody_without_tls(self) -> None:
        """A client that does not speak TLS hears nothing of papa either."""
        kernel = self.serve_tls("--console")
        with socket.create_connection(("127.0.0.1", self.tls_port(kernel)), timeout=PATIENCE) as sock:
            sock.sendall(b"list processes\n")
            self.assertNotIn(b"apa", b"".join(iter(lambda: sock.recv(4096), b"")))

    def test_console(self) -> None:
        """The console is served, too; the log tells whose certificate was shown."""
        kernel = self.serve_tls("--console")
        with Talk(self.tls(self.tls_port(kernel), self.authority.sign("alice"))) as talk:
            talk.read_until(b"> ")
            self.assertEqual(talk.ask("set x 1"), "")
            self.assertEqual(talk.ask("get x"), "1")
        self.assertRegex(kernel.said(), "shows the certificate of CN='alice'")

    def test_any_letters(self) -> None:
        """A certificate may be somebody's whose name is not in Latin letters, or in letters of another kind."""
        kernel = self.serve_tls("--console")
        for kind in (_ASN1Type.BMPString, _ASN1Type.UTF8String):
            with Talk(self.tls(self.tls_port(kernel), self.authority.sign("Zo\u00eb", kind=kind))) as talk:
                talk.read_until(b"> ")
                self.assertEqual(talk.ask("get x"), "")
        self.assertEqual(kernel.said().count("shows the certificate of CN="), 2)
        self.assertNotIn("Traceback", kernel.said())

    def test_client_that_does_not_hang_up(self) -> None:
        """A client that papa has hung up on, and that stays, is gone before long."""
        kernel = self.serve_tls()
        before = kernel.descriptors()
        sock = self.tls(self.tls_port(kernel), self.authority.sign("alice"))
        sock.sendall(b"\xff\xff\xff")
        until(lambda: kernel.descriptors() == before, "the end of it")

    def test_new_certificate(self) -> None:
        """A certificate that is replaced is shown from then on, without a restart; half a replacement is not."""
        kernel = self.serve_tls("--console")
        port, shown = self.tls_port(kernel), self.authority.sign("alice")

        def seen() -> Any:
            sock = self.tls(port, shown)
            return (sock.getpeercert() or {})["serialNumber"]

        before = seen()
        with open(self.certificate, "rb") as file:
            old = file.read()
        self.authority.sign("papa")
        with open(self.certificate, "rb") as file:
            new = file.read()
        with open(self.certificate, "wb") as file:
            file.write(old)
        self.assertEqual(seen(), before)
        self.assertIn("goes on with the certificates it had", kernel.said())
        os.remove(self.certificate)
        self.assertEqual(seen(), before)
        with open(self.certificate, "wb") as file:
            file.write(new)
        self.assertNotEqual(seen(), before)

    def test_idle(self) -> None:
        """A connection on which nothing is said costs no time."""
        kernel = self.serve_tls()
        sock = self.tls(self.tls_port(kernel), self.authority.sign("alice"))
        self.assertIn(b"greeting", sock.recv(4096))
        with kernel.talk() as talk:
            before = kernel.wake_ups()
            for _ in range(10):
                talk.ask("get x")
            self.assertLess(kernel.wake_ups() - before, 100)


class RefusalTests(TlsTestCase):
    """Files that cannot be used."""

    def refused(self, **changed: str) -> str:
        return self.papa("serve", "-p", "0", "--control", self.endpoint(**changed), code=1).stderr

    def test_key_that_others_may_read(self) -> None:
        """Such a key is none: somebody else may have it by now."""
        os.chmod(self.key, 0o644)
        self.assertIn(f"Everybody may read the private key {self.key}", self.refused())

    def test_key_with_a_passphrase(self) -> None:
        """A key that somebody would have to be asked for is refused, and asks nobody."""
        with open(self.key, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        with open(self.key, "wb") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"secret"),
                )
            )
        self.assertIn(f"Cannot use {self.key}: ", self.refused())

    def test_unusable_files(self) -> None:
        """What is missing, no certificate, or of another key is named."""
        junk = os.path.join(self.folder, "junk")
        with open(junk, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("junk")
        missing = os.path.join(self.folder, "missing")
        other_key, _ = self.authority.sign("other")
        for name, path, reason in (
            ("privateKey", missing, f"Cannot read {missing}: No such file"),
            ("privateKey", junk, f"Cannot use {junk}: "),
            ("certKey", missing, f"Cannot use {missing}: "),
            ("certKey", junk, f"Cannot use {junk}: "),
            ("clientCerts", missing, f"Cannot use {missing}: "),
            ("clientCerts", junk, f"Cannot use {junk}: "),
            ("privateKey", other_key, other_key),
        ):
            self.assertIn(reason, self.refused(**{name: path}))

    def test_without_the_libraries(self) -> None:
        """Where TLS is not installed that is said, with what would help."""
        program = "import sys; sys.modules['OpenSSL'] = None; from papa.cli.main import main; main()"
        finished = subprocess.run(
            [sys.executable, "-c", program, "serve", "-p", "0", "--control", self.endpoint()],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(finished.returncode, 1)
        self.assertIn("pip install 'papa[tls]'", finished.stderr)


class ProgramTests(TlsTestCase, TestCase):
    """The Deferred client, over TLS."""

    def remote(self, kernel: RealKernel, shown: tuple[str, str]) -> Any:
        trusted = os.path.join(self.folder, "trusted")
        os.makedirs(trusted, exist_ok=True)
        if not os.path.exists(os.path.join(trusted, "a.pem")):
            os.symlink(self.authority.path, os.path.join(trusted, "a.pem"))
        return clientFromString(
            reactor,
            f"tls:127.0.0.1:{self.tls_port(kernel)}:trustRoots={trusted}:privateKey={shown[0]}:certificate={shown[1]}",
        )

    def test_everything_arrives(self) -> Deferred[None]:
        """Commands, large values and a stream of output go over TLS as over any other connection."""
        return Deferred.fromCoroutine(self._use(self.serve_tls(), self.authority.sign("alice")))

    async def _use(self, running: RealKernel, shown: tuple[str, str]) -> None:
        kernel = await connect(reactor, self.remote(running, shown))
        large = "\xe4\0" * 1_000_000
        await kernel.set("large", large)
        self.assertEqual(await kernel.get("large"), large)
        await kernel.make_process("job", ["/bin/sh", "-c", "seq 1 300000; exit 3"], bufsize=1 << 24)
        data, codes = b"", []
        watch = kernel.watch_processes("job")
        async for item in watch:
            if isinstance(item, Output):
                data += item.data
            elif isinstance(item, Closed):
                codes.append(item.exit_code)
            watch.acknowledge(item)
        self.assertEqual(data, b"".join(b"%d\n" % number for number in range(1, 300_001)))
        self.assertEqual((codes, await kernel.list_processes()), ([3], {}))
        with open(self.key, "rb") as file:
            await self.assertFailure(kernel.lend_process("job"), NotAllowed, NotFound)
            await self.assertFailure(kernel.take_socket("taken", file.fileno()), NotAllowed)
        await kernel.close()

    def test_refused(self) -> Deferred[None]:
        """A client without a good certificate is told that there is no kernel for it."""
        shown = Authority(self.folder, "other").sign("stranger")
        return Deferred.fromCoroutine(self._fail(self.serve_tls(), shown))

    async def _fail(self, running: RealKernel, shown: tuple[str, str]) -> None:
        await self.assertFailure(connect(reactor, self.remote(running, shown)), Unreachable, ConnectionLost)
