"""The key and the certificates that a kernel serves TLS with; they are read again when their files change."""

from __future__ import annotations

import os
import stat
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from papa.endpoints import TlsEndpoint
from papa.errors import Error, NotAllowed, SocketFailed

__all__ = ["Certificates"]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """
    What TLS connections to one endpoint begin with: papa shows its certificate, and asks for the client's.

    A certificate lasts for months and a kernel for years, so that a file may be replaced while it runs.
    """

    _log = Logger()

    def __init__(self, endpoint: TlsEndpoint) -> None:
        """
        @raise SocketFailed: if a file cannot be used.
        @raise NotAllowed: if others may read the private key.
        """
        self._endpoint = endpoint
        self._files = (endpoint.private_key, endpoint.certificate, endpoint.authorities)
        self._seen = self._look()
        self._context = self._load()

    def _look(self) -> object:
        """What changes when a file does."""
        try:
            return [(found.st_ino, found.st_mtime_ns, found.st_size) for found in map(os.stat, self._files)]
        except OSError as error:
            return str(error)

    def _load(self) -> SSL.Context:
        key = self._endpoint.private_key
        try:
            mode = os.stat(key).st_mode
        except OSError as error:
            raise SocketFailed(f"Cannot read {key}: {error.strerror}") from error
        if mode & stat.S_IRWXO:
            raise NotAllowed(f"Everybody may read the private key {key}: make a new one that only papa's user may")
        context = CertificateOptions().getContext()
        # Otherwise OpenSSL would ask at the terminal, and everybody would wait for the answer.
        context.set_passwd_cb(lambda *_: b"")
        for use, path in (
            (context.use_certificate_chain_file, self._endpoint.certificate),
            (context.use_privatekey_file, self._endpoint.private_key),
            (context.load_verify_locations, self._endpoint.authorities),
        ):
            try:
                use(path)
            except SSL.Error as error:
                raise SocketFailed(f"Cannot use {path}: {_reason(error)}") from error
        try:
            context.check_privatekey()
        except SSL.Error as error:
            raise SocketFailed(
                f"{self._endpoint.private_key} is not the key of {self._endpoint.certificate}: {_reason(error)}"
            ) from error
        # Without a callback, OpenSSL's own verdict counts.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        return context

    def _current(self) -> SSL.Context:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
            except Error as error:
                self._log.warn(
                    "{where} goes on with the certificates it had: {reason}", where=self._endpoint, reason=error
                )
            else:
                self._log.info("{where} has new certificates", where=self._endpoint)
        return self._context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """The beginning of a connection."""
        return SSL.Connection(self._current(), None)


def _reason(error: SSL.Error) -> str:
    """What OpenSSL has to say of a failure; of some it says nothing."""
    said = [part for entry in (error.args or ([],))[0] for part in entry[-1:] if part]
    return ", ".join(said) or "it is not in PEM, or not there"
