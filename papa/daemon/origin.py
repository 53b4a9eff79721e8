"""Who has started this process: a shell, or something that looks after it itself."""

from __future__ import annotations

import os
import socket
import stat

__all__ = ["started_by_init", "started_by_super_server"]


def started_by_init() -> bool:
    """
    Whether init has started this process, so that it must not go into the background.

    Init is process 1, in a container whatever runs there; systemd says so also where it is not (C{--user}). Process 1
    itself was started by nobody.
    """
    return os.getpid() == 1 or os.getppid() == 1 or os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def started_by_super_server() -> bool:
    """
    Whether standard input is a client, or a listening socket, as inetd(8) hands it over.

    A pair of sockets, which some programs use instead of pipes, has no address; it does not count, and neither does
    standard input that is closed.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return False
        with socket.socket(fileno=os.dup(0)) as sock:
            return bool(sock.getsockname())
    except OSError:
        return False
