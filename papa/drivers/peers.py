"""
Who is at the other end of a connection on this machine.

On a Unix socket the system says it. On loopback TCP the owner of the peer's socket is looked up. The trap there: once
the peer has closed, the system shows its row with uid 0 and inode 0; so only an established row with an inode counts.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from papa.drivers import sock_diag
from papa.drivers.credentials import credentials_of_peer

__all__ = ["TELLS_OF_TCP", "listener_uid", "peer_uid"]

TELLS_OF_TCP: Final = sock_diag.AVAILABLE
"""Whether this system tells whose a TCP connection is; where it does not, nobody gets in by one."""

_ESTABLISHED: Final = 1
_LISTEN: Final = 10

#: Family, protocol, extensions and states of a question from linux/inet_diag.h.
_REQUEST: Final = struct.Struct("=BBBxI")
_NO_COOKIE: Final = b"\xff" * 8


def peer_uid(sock: socket.socket) -> int | None:
    """
    The user at the other end of a connected Unix or loopback TCP socket.

    @return: the uid, or L{None} where it cannot be known: the peer is elsewhere, has closed, or the system has no way
        to tell.
    """
    if sock.family == socket.AF_UNIX:
        return credentials_of_peer(sock).uid
    try:
        peer, own = sock.getpeername()[:2], sock.getsockname()[:2]
    except OSError:
        return None
    if not TELLS_OF_TCP:
        return None
    import ipaddress  # Most peers are at Unix sockets, and the papa command is to answer quickly.

    if not ipaddress.ip_address(peer[0]).is_loopback:
        return None
    try:
        return _ask_kernel(sock.family, peer, own)
    except OSError:
        return _look_up(sock.family, peer, own)


def _ask_kernel(family: int, local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """One exact question over netlink: the cost does not grow with the number of connections."""
    address = struct.pack(
        "!HH16s16s", local[1], remote[1], socket.inet_pton(family, local[0]), socket.inet_pton(family, remote[0])
    )
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + address + struct.pack("=I", 0) + _NO_COOKIE
    answer = sock_diag.ask(body)
    if answer is None:
        return None  # There is no such connection any more.
    # struct inet_diag_msg: family, state, timer, retrans; sockid of 48 bytes; expires, rqueue, wqueue, uid, inode.
    state = answer[1]
    uid, inode = struct.unpack_from("=II", answer, 4 + 48 + 12)
    return int(uid) if state == _ESTABLISHED and inode else None


def _look_up(family: int, local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The same from the table in /proc, where netlink is not to be had."""
    for row in _rows(family):
        if row[:3] == (_as_proc(family, local), _as_proc(family, remote), _ESTABLISHED) and row[4]:
            return row[3]
    return None


def listener_uid(port: int) -> int | None:
    """The user whose program listens on a port of 127.0.0.1; L{None} if none is known to."""
    for row in _rows(socket.AF_INET):
        if row[0] == _as_proc(socket.AF_INET, ("127.0.0.1", port)) and row[2] == _LISTEN and row[4]:
            return row[3]
    return None


def _as_proc(family: int, address: tuple[str, int]) -> str:
    packed = socket.inet_pton(family, address[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _rows(family: int) -> Iterator[tuple[str, str, int, int, int]]:
    """Local address, remote address, state, uid and inode of each TCP socket."""
    try:
        with open("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp", encoding="ascii") as table:
            next(table)
            for line in table:
                words = line.split()
                yield words[1], words[2], int(words[3], 16), int(words[7]), int(words[9])
    except OSError:
        return
