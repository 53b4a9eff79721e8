"""Real sockets: the only place that binds."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from papa.commands import MakeSocket
from papa.drivers.holding import NobodyElse
from papa.drivers.keepalive import keep_alive
from papa.drivers.numbering import moved
from papa.drivers.paths import SocketPath
from papa.errors import Error, LimitReached, SocketFailed
from papa.interfaces import IHeldSocket, IHolder, ISocketDriver

__all__ = ["HeldSocket", "SystemSockets", "holder_key", "listen_tcp", "listen_unix"]

#: Held sockets keep clear of the numbers that LISTEN_FDS and a program's own first files take.
_LOWEST: Final = 64

#: Linux's number, of which Python has the name only on some; other systems have no such thing.
_SO_BINDTODEVICE: Final[int | None] = getattr(socket, "SO_BINDTODEVICE", 25 if sys.platform == "linux" else None)

#: Read by the C library, see resolv.conf(5).
_RESOLVER_OPTIONS: Final = "RES_OPTIONS"

_FAMILIES: Final = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_TYPES: Final = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}


@implementer(IHeldSocket)
class HeldSocket:
    """A bound socket; for C{reuseport} the reservation of an address."""

    def __init__(self, spec: MakeSocket, sock: socket.socket, path: SocketPath | None = None) -> None:
        self._spec = spec
        self._sock = sock
        self._path = path
        self._holder: IHolder = NobodyElse()
        # As it was bound: the reservation of a dgram address may be narrowed by what keeps it silent.
        self._address = sock.getsockname()

    @property
    def port(self) -> int | None:
        """The port it is bound to."""
        return None if self._spec.family == "unix" else int(self._address[1])

    @property
    def fileno(self) -> int | None:
        """Its descriptor, unless each process gets a socket of its own."""
        return None if self._spec.reuseport else self._sock.fileno()

    def duplicate(self) -> HeldSocket:
        """Bind another socket to the same address."""
        sock = _bound(self._spec, self._address)
        try:
            _listen(self._spec, sock)
        except OSError as error:
            sock.close()
            raise _failed(self._spec, error) from error
        return _Duplicate(self._spec, sock)

    def lend(self) -> int:
        """A descriptor of it for somebody else."""
        try:
            if not self._spec.reuseport:
                return os.dup(self._sock.fileno())
            twin = self.duplicate()
            return twin._sock.detach()
        except OSError as error:
            raise SocketFailed(f"Cannot lend {self._spec.name}: {error.strerror}") from error

    def share(self, holder: IHolder) -> None:
        """Have somebody else hold it as well, until it is closed."""
        self.shared_with(holder)
        holder.hold(
            holder_key(self._spec.name), [self._sock.fileno(), *([] if self._path is None else [self._path.lock])]
        )

    def shared_with(self, holder: IHolder) -> None:
        """Somebody else holds it as well, until it is closed."""
        self._holder = holder

    def close(self) -> None:
        """Close it, and delete its file."""
        self._holder.drop(holder_key(self._spec.name))
        self._sock.close()
        if self._path is not None:
            self._path.release()


class _Duplicate(HeldSocket):
    """A socket of its own for one process."""

    @property
    def fileno(self) -> int | None:
        """Its descriptor."""
        return self._sock.fileno()


@implementer(ISocketDriver)
class SystemSockets:
    """Makes real sockets."""

    _log = Logger()

    def __init__(self, holder: IHolder | None = None) -> None:
        """
        @param holder: holds what is made beyond the life of papa; nobody does by default.
        """
        self._holder = NobodyElse() if holder is None else holder

    def hold(self, spec: MakeSocket) -> HeldSocket:
        """Bind, and listen where the type has it."""
        return self._shared(_hold_unix(spec) if spec.family == "unix" else _hold_inet(spec))

    def _shared(self, held: HeldSocket) -> HeldSocket:
        try:
            held.share(self._holder)
        except LimitReached:
            held.close()
            raise
        return held

    def adopt(self, spec: MakeSocket, fileno: int | None) -> HeldSocket:
        """Go on with a socket that the papa before has held."""
        descriptors = self._holder.take(holder_key(spec.name))
        if not descriptors:
            self._log.error("socket {name} was held, and is no longer", name=spec.name)
            raise SocketFailed(f"Socket {spec.name} was held, and is no longer")
        number, *lock = descriptors
        sock = socket.socket(fileno=moved(number, fileno))
        path = SocketPath.adopted(spec.path, lock[0]) if lock and spec.path is not None else None
        held = HeldSocket(spec, sock, path)
        held.shared_with(self._holder)
        return held

    def take(self, name: str, descriptor: int) -> tuple[MakeSocket, HeldSocket]:
        """Hold a socket that was bound elsewhere; the file of a Unix socket stays its maker's."""
        try:
            copy = os.dup(descriptor)
            try:
                sock = _lifted(socket.socket(fileno=copy))
            except OSError:
                os.close(copy)
                raise
        except OSError as error:
            raise SocketFailed(f"Cannot hold {name}: what came is no socket: {error.strerror}") from error
        try:
            spec = _described(name, sock)
        except (OSError, Error) as error:
            sock.close()
            raise SocketFailed(f"Cannot hold {name}: {error}") from error
        return spec, self._shared(HeldSocket(spec, sock))


def holder_key(name: str) -> str:
    """Under what a holder holds the socket of that name, and behind it the lock of its path."""
    return f"socket {name}"


def _described(name: str, sock: socket.socket) -> MakeSocket:
    """What would have made this socket."""
    families = {number: family for family, number in _FAMILIES.items()}
    types = {number: kind for kind, number in _TYPES.items()}
    if sock.family not in families or sock.type not in types:
        raise SocketFailed(f"papa holds no sockets of family {sock.family} and type {sock.type}")
    address = sock.getsockname()
    if not address:
        raise SocketFailed("it is not bound")
    if sock.family == socket.AF_UNIX:
        # An abstract name begins with a NUL, which no path has: it is written as systemd and ss write it.
        path = os.fsdecode(address)
        return MakeSocket(name=name, type=types[sock.type], path=f"/@{path[1:]}" if path[:1] == "\0" else path)
    if not address[1]:
        raise SocketFailed("it is not bound")
    return MakeSocket(name=name, family=families[sock.family], type=types[sock.type], host=address[0], port=address[1])


def _hold_unix(spec: MakeSocket) -> HeldSocket:
    assert spec.path is not None
    path = SocketPath(spec.path)
    sock = None
    try:
        sock = _lifted(socket.socket(socket.AF_UNIX, _TYPES[spec.type]))
        path.bind(sock, None if spec.umask is None else 0o777 & ~spec.umask)
        _listen(spec, sock)
    except OSError as error:
        if sock is not None:
            sock.close()
        path.release()
        raise _failed(spec, error) from error
    return HeldSocket(spec, sock, path)


def _hold_inet(spec: MakeSocket) -> HeldSocket:
    try:
        with _impatience():
            found = socket.getaddrinfo(spec.host, spec.port, _FAMILIES[spec.family], _TYPES[spec.type])
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SocketFailed(f"Host {spec.host!r} has no {spec.family} address here: {reason}") from error
    sock = _bound(spec, found[0][4])
    held = HeldSocket(spec, sock)
    try:
        if not spec.reuseport:
            _listen(spec, sock)
        elif spec.type == "dgram":
            # Only bound, it would take its share of what arrives; connected to itself, it gets nothing.
            sock.connect(sock.getsockname())
    except OSError as error:
        sock.close()
        raise _failed(spec, error) from error
    return held


@contextmanager
def _impatience() -> Iterator[None]:
    """
    A moment in which the C library gives up soon on a nameserver that does not answer.

    Numbers and names in /etc/hosts it looks up at once. For any other name all of papa waits, unless its operator knows
    better no more than two seconds for each nameserver, instead of ten.
    """
    if _RESOLVER_OPTIONS in os.environ:
        yield
        return
    os.environ[_RESOLVER_OPTIONS] = "timeout:1 attempts:2"
    try:
        yield
    finally:
        del os.environ[_RESOLVER_OPTIONS]


def _bound(spec: MakeSocket, address: object) -> socket.socket:
    sock = None
    try:
        sock = _lifted(socket.socket(_FAMILIES[spec.family], _TYPES[spec.type]))
        if spec.reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif spec.type == "stream":
            # Not with reuseport: as long as no process listens, any program could take the port from the reservation.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spec.interface is not None:
            if _SO_BINDTODEVICE is None:
                raise OSError(errno.ENOPROTOOPT, "this system binds to addresses, not to interfaces")
            sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, os.fsencode(spec.interface) + b"\0")
        sock.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        if sock is not None:
            sock.close()
        raise _failed(spec, error) from error
    return sock


def _listen(spec: MakeSocket, sock: socket.socket) -> None:
    if spec.type != "dgram":
        sock.listen(spec.backlog)


def _failed(spec: MakeSocket, error: OSError) -> SocketFailed:
    where = spec.path if spec.family == "unix" else f"{spec.host} port {spec.port}"
    on = f" on {spec.interface}" if spec.interface else ""
    return SocketFailed(f"Cannot bind {spec.name} to {where}{on}: {error.strerror or error}")


def _lifted(sock: socket.socket) -> socket.socket:
    """The same socket under a number that is clear of the low ones, if there is one left."""
    return socket.socket(fileno=moved(sock.detach(), _LOWEST))


def listen_tcp(host: str, port: int, backlog: int) -> socket.socket:
    """
    A listening TCP socket for papa's own use.

    @raise OSError: if the system refuses.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits this: a client whose machine has vanished does not stay for ever.
        keep_alive(sock)
        sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def listen_unix(path: str, backlog: int) -> tuple[socket.socket, SocketPath]:
    """
    A listening Unix socket for papa's own use, open to its own user only.

    @raise SocketFailed: if the path is taken or cannot be used.
    """
    claimed = SocketPath(path)
    sock = None
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        claimed.bind(sock, 0o600)
        sock.listen(backlog)
    except OSError as error:
        if sock is not None:
            sock.close()
        claimed.release()
        raise SocketFailed(f"Cannot listen on {path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock, claimed
