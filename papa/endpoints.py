"""Where a kernel listens, as people write it: C{tcp:20202}, C{tcp:20202:interface=::1}, C{unix:/run/papa/console}."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TypeAlias

from papa.errors import BadRequest, NotAllowed

__all__ = ["Endpoint", "TcpEndpoint", "UnixEndpoint", "parse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpEndpoint:
    """A port of this machine's own loopback interface; port 0 lets the system choose."""

    port: int
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise BadRequest(f"Port {self.port} is not one: ports are 0 to 65535")
        try:
            local = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise BadRequest(f"{self.host!r} is no address of an interface: use 127.0.0.1 or ::1") from None
        if not local:
            raise NotAllowed(
                f"papa does not serve its console on {self.host}: whoever reaches it can run programs. "
                "Use 127.0.0.1, ::1 or a Unix path, and a tunnel such as ssh from elsewhere"
            )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixEndpoint:
    """A path, open to papa's own user only."""

    path: str

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path):
            raise BadRequest(f"The path of a Unix socket must be absolute, not {self.path!r}")

    def __str__(self) -> str:
        return self.path


Endpoint: TypeAlias = TcpEndpoint | UnixEndpoint


def parse(description: str) -> Endpoint:
    """
    Read an endpoint description.

    @raise BadRequest: if it is none.
    @raise NotAllowed: if it would let other machines in.
    """
    kind, _, rest = description.partition(":")
    if kind == "unix" and rest:
        return UnixEndpoint(path=rest)
    port, _, interface = rest.partition(":interface=")
    if kind == "tcp" and re.fullmatch("[0-9]{1,9}", port):
        return TcpEndpoint(port=int(port), host=interface.replace("\\:", ":") or "127.0.0.1")
    raise BadRequest(
        f"{description!r} is no endpoint of a console: write tcp:PORT, tcp:PORT:interface=::1 or unix:PATH"
    )
