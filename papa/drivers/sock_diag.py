"""Exact questions about sockets, asked of the system over netlink: sock_diag(7)."""

from __future__ import annotations

import functools
import os
import socket
import struct
from typing import Final

__all__ = ["AVAILABLE", "ask", "listens_at"]

AVAILABLE: Final = hasattr(socket, "AF_NETLINK")
"""Whether this system has it at all."""

# From linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_ENOENT: Final = 2
#: Family, protocol, padding, states, inode, what to show, and no cookie; of the answer family, type, state and inode.
_UNIX_QUESTION: Final = struct.Struct("=BBxxIII8s")
_UNIX_ANSWER: Final = struct.Struct("=BBBxI8x")
_NO_COOKIE: Final = b"\xff" * 8
_SHOW_NAME: Final = 1
_NAME: Final = 0
_ATTRIBUTE: Final = struct.Struct("=HH")
_LISTENS: Final = 10


def ask(question: bytes) -> bytes | None:
    """
    The answer, without its header; L{None} if there is no such socket, or no way to know.

    @raise OSError: if the system does not answer.
    """
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(1)
        link.send(header + question)
        answer = link.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR:
        return answer[_HEADER.size :]
    number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    if number == _ENOENT:
        return None
    raise OSError(number, os.strerror(number))


def listens_at(inode: int) -> bytes | None:
    """
    The path of the Unix socket with this inode; an abstract one begins with a NUL.

    @return: L{None} if it is none, or nobody listens on it.
    @raise OSError: if the system does not tell.
    """
    if not _tells_of_unix():
        raise OSError(_ENOENT, "this system tells nothing of Unix sockets")
    answer = _ask_unix(inode)
    if answer is None or _UNIX_ANSWER.unpack_from(answer)[2] != _LISTENS:
        return None
    attributes = answer[_UNIX_ANSWER.size :]
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _NAME:
            # A path ends with a NUL here or without, as it was bound.
            name = attributes[_ATTRIBUTE.size : length]
            return name if name[:1] == b"\0" else name.rstrip(b"\0")
        attributes = attributes[(length + 3) // 4 * 4 :]
    return None


def _ask_unix(inode: int) -> bytes | None:
    return ask(_UNIX_QUESTION.pack(socket.AF_UNIX, 0, 0xFFFFFFFF, inode & 0xFFFFFFFF, _SHOW_NAME, _NO_COOKIE))


@functools.cache
def _tells_of_unix() -> bool:
    """Whether the system does; where it does not, it answers as of a socket that is not there."""
    if not AVAILABLE:
        return False
    with socket.socket(socket.AF_UNIX) as known:
        return _ask_unix(os.fstat(known.fileno()).st_ino) is not None
