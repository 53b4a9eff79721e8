"""Where a client looks for its kernel."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from papa import places
from papa.errors import BadRequest

__all__ = ["Location", "default_location", "location_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """
    A console: a port of 127.0.0.1, or the path of a Unix socket.

    @ivar chosen: whether somebody named it; else it is where the user's own kernel is by default.
    """

    port: int | None = None
    path: str | None = None
    chosen: bool = True

    @classmethod
    def read(cls, where: int | str) -> Location:
        """
        A location as people write it: a port, C{PORT} or C{HOST:PORT} as text, a path, or C{unix:PATH}.

        @raise BadRequest: if it is none.
        """
        if isinstance(where, int):
            return cls(port=_checked(where))
        host, _, port = where.rpartition(":")
        if port.isascii() and port.isdigit() and host in ("", "127.0.0.1", "localhost", "tcp", "tcp:127.0.0.1"):
            return cls(port=_checked(int(port)))
        path = where.removeprefix("unix:")
        if not os.path.isabs(path):
            raise BadRequest(f"Path to Unix socket must be absolute, not {path!r}; a port is a number")
        return cls(path=path)

    def __str__(self) -> str:
        return f"127.0.0.1:{self.port}" if self.path is None else self.path

    def connect(self, timeout: float) -> socket.socket:
        """
        A connection.

        @param timeout: in seconds.
        @raise OSError: if nobody answers.
        """
        if self.path is None:
            sock = socket.create_connection(("127.0.0.1", self.port or 0), timeout=timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            try:
                sock.connect(self.path)
            except BaseException:
                sock.close()
                raise
        sock.settimeout(None)
        return sock


def _checked(port: int) -> int:
    if not 1 <= port <= 65535:
        raise BadRequest(f"Port {port} is not one: ports are 1 to 65535")
    return port


def default_location(environ: Mapping[str, str] = os.environ, *, console: bool = False) -> Location:
    """
    C{$PAPA_SOCKET}; else the socket in this user's runtime folder; else, if no kernel is there, nobody chose the
    folder, and this user or root has a kernel at papa's old port, that one.

    @param console: whether it is to be a console's and not a program's.
    @raise NotAllowed: if the runtime folder is not this user's alone: somebody else could be listening there.
    """
    if chosen := environ.get("PAPA_SOCKET"):
        return Location.read(chosen)
    path = places.console_path() if console else places.control_path()
    if not os.path.exists(path) and "PAPA_RUNTIME_DIR" not in environ:
        from papa.drivers.peers import listener_uid

        if listener_uid(places.DEFAULT_PORT) in (0, os.geteuid()):
            return Location(port=places.DEFAULT_PORT, chosen=False)
    with suppress(FileNotFoundError):
        places.check(os.path.dirname(path))
    return Location(path=path, chosen=False)


def location_of(where: int | str | None) -> Location:
    """
    Where somebody says; by default where a client looks by itself.

    @raise BadRequest: if that is no location.
    @raise NotAllowed: as L{default_location} does.
    """
    return default_location() if where is None else Location.read(where)
