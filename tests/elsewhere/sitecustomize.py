"""
Another POSIX system, as a Python that is started with this folder in its path finds it: without what only Linux has.

It is Linux all the same, so this shows what papa asks for, and not what other systems answer.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

sys.platform = "darwin"
# Of its standard library, for proxies.
sys.modules["_scproxy"] = SimpleNamespace(_get_proxies=dict, _get_proxy_settings=dict)  # type: ignore[assignment]

_ONLY_LINUX: Final = (
    (fcntl, ("F_GETPIPE_SZ", "F_OFD_", "F_SETPIPE_SZ")),
    (os, ("O_PATH", "P_PIDFD", "SPLICE_", "eventfd", "memfd_create", "pidfd_open", "pipe2", "splice", "waitid")),
    (resource, ("prlimit",)),
    (select, ("EPOLL", "POLLRDHUP", "epoll")),
    (signal, ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo")),
    (socket, ("AF_NETLINK", "MSG_CMSG_CLOEXEC", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_BINDTODEVICE", "SO_PEERCRED")),
)
_PEER: Final = struct.Struct("iII")
_SO_PEERCRED: Final[int] = socket.SO_PEERCRED
#: Of macOS.
_LOCAL_PEERPID: Final = (0, 2)
_OPEN_MAX: Final = 10240

for module, beginnings in _ONLY_LINUX:
    for name in [name for name in dir(module) if name.startswith(beginnings)]:
        delattr(module, name)


def _without_proc(look: Callable[..., Any]) -> Callable[..., Any]:
    def looked(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str | bytes) and os.fsencode(path).startswith((b"/proc/", b"/sys/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return look(path, *args, **kwargs)

    return looked


for name in ("listdir", "open", "readlink", "stat"):
    setattr(os, name, _without_proc(getattr(os, name)))
builtins.open = io.open = _without_proc(open)

_chmod, _limit, _option = os.fchmod, resource.setrlimit, socket.socket.getsockopt


def _fchmod(descriptor: int, mode: int) -> None:
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    _chmod(descriptor, mode)


def _setrlimit(which: int, limits: tuple[int, int]) -> None:
    if which == resource.RLIMIT_NOFILE and limits[0] > _OPEN_MAX:
        raise ValueError("current limit exceeds maximum limit")
    _limit(which, limits)


def _peer(sock: socket.socket) -> tuple[int, int, int]:
    pid, uid, gid = _PEER.unpack(_option(sock, socket.SOL_SOCKET, _SO_PEERCRED, _PEER.size))
    return pid, uid, gid


def _getsockopt(sock: socket.socket, *which: int) -> Any:
    return _peer(sock)[0] if which == _LOCAL_PEERPID else _option(sock, *which)


def _getpeereid(descriptor: int, uid: Any, gid: Any) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        _, uid._obj.value, gid._obj.value = _peer(sock)
    return 0


class _Library(ctypes.CDLL):
    """The C library."""

    def __getattr__(self, name: str) -> Any:
        if name == "getpeereid":
            return _getpeereid
        if name in ("clearenv", "close_range", "fallocate", "prctl"):
            raise AttributeError(name)
        return super().__getattr__(name)


os.fchmod, resource.setrlimit, socket.socket.getsockopt = _fchmod, _setrlimit, _getsockopt  # type: ignore[method-assign,assignment]
ctypes.CDLL = _Library  # type: ignore[misc]
