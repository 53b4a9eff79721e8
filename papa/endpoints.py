"""Where a kernel listens, as people write it: C{tcp:20202}, C{tcp:1:interface=::1}, C{unix:/run/papa/x}, C{ssl:…}."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from papa.errors import BadRequest, NotAllowed

__all__ = ["Endpoint", "TcpEndpoint", "TlsEndpoint", "UnixEndpoint", "parse"]

_TLS: Final = "ssl:PORT:interface=ADDRESS:privateKey=FILE:certKey=FILE:clientCerts=FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpEndpoint:
    """A port of this machine's own loopback interface; port 0 lets the system choose."""

    port: int
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        _check_port(self.port)
        if not _address(self.host).is_loopback:
            raise NotAllowed(
                f"papa does not serve on {self.host}: whoever reaches it can run programs. "
                "Use 127.0.0.1, ::1 or a Unix path, and from elsewhere a tunnel such as ssh, or TLS with client "
                f"certificates: {_TLS}"
            )

    def __str__(self) -> str:
        return _shown(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsEndpoint:
    """
    A port of any interface, for clients with a certificate.

    @ivar private_key: the path of papa's own key, in PEM; C{certificate}: of its certificate, and those that complete
        the chain.
    @ivar authorities: the path of the certificates that a client's must be signed by, in PEM.
    """

    port: int
    private_key: str
    certificate: str
    authorities: str
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        _check_port(self.port)
        _address(self.host)
        for path in (self.private_key, self.certificate, self.authorities):
            if not os.path.isabs(path):
                raise BadRequest(f"The path of a key or certificate must be absolute, not {path!r}")

    def __str__(self) -> str:
        return f"ssl:{_shown(self.host, self.port)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixEndpoint:
    """A path, open to papa's own user only."""

    path: str

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path):
            raise BadRequest(f"The path of a Unix socket must be absolute, not {self.path!r}")

    def __str__(self) -> str:
        return self.path


Endpoint: TypeAlias = TcpEndpoint | TlsEndpoint | UnixEndpoint


def parse(description: str) -> Endpoint:
    """
    Read an endpoint description.

    @raise BadRequest: if it is none.
    @raise NotAllowed: if it would let other machines in without a certificate.
    """
    kind, _, rest = description.partition(":")
    if kind == "unix" and rest and not re.search(r":\w+=", rest):
        return UnixEndpoint(path=rest)
    port, colon, options = rest.partition(":")
    if re.fullmatch("[0-9]{1,9}", port) and bool(colon) == bool(options):
        # A colon within a value may be written with a backslash, and need not be: a name and = follow one that ends it.
        named = re.split(r"(?:^|(?<!\\):)(\w+)=", options)
        given = dict(zip(named[1::2], (value.replace("\\:", ":") for value in named[2::2]), strict=True))
        if not named[0] and len(named) == 2 * len(given) + 1:
            interface = {"host": given.pop("interface")} if "interface" in given else {}
            if kind == "tcp" and not given:
                return TcpEndpoint(port=int(port), **interface)
            if kind == "ssl" and given.keys() == {"privateKey", "certKey", "clientCerts"}:
                return TlsEndpoint(
                    port=int(port),
                    private_key=given["privateKey"],
                    certificate=given["certKey"],
                    authorities=given["clientCerts"],
                    **interface,
                )
    raise BadRequest(
        f"{description!r} is no endpoint of papa: write tcp:PORT, tcp:PORT:interface=::1, unix:PATH or {_TLS}"
    )


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise BadRequest(f"Port {port} is not one: ports are 0 to 65535")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise BadRequest(f"{host!r} is no address of an interface: use 127.0.0.1 or ::1") from None


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
