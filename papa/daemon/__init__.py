"""
Becoming a daemon: for any program, with the standard library only::

    from papa.daemon import Daemon

    def serve(port):
        server = make_server(port)
        daemon.ready()
        server.serve_forever()

    daemon = Daemon(target=serve, args=[8080], pid_file="/run/user/1000/server.pid", await_ready=True)
    daemon.start()      # returns here when it serves, and raises with the reason if it does not
"""

from papa.daemon import systemd
from papa.daemon.control import Status, status, stop
from papa.daemon.daemon import Daemon
from papa.daemon.descriptors import close_open_files, prevent_core_dump, redirect
from papa.daemon.errors import (
    AlreadyLocked,
    DaemonError,
    LockError,
    LockFailed,
    LockNotReentrant,
    NotMyLock,
    Parent,
)
from papa.daemon.origin import started_by_init, started_by_super_server
from papa.daemon.pidfile import PidLockFile
from papa.daemon.signals import signal_map
from papa.daemon.staged import AUTO
from papa.daemon.stages import check_stage
from papa.daemon.tracker import FileTracker

__all__ = [
    "AUTO",
    "AlreadyLocked",
    "Daemon",
    "DaemonError",
    "FileTracker",
    "LockError",
    "LockFailed",
    "LockNotReentrant",
    "NotMyLock",
    "Parent",
    "PidLockFile",
    "Status",
    "check_stage",
    "close_open_files",
    "prevent_core_dump",
    "redirect",
    "signal_map",
    "started_by_init",
    "started_by_super_server",
    "status",
    "stop",
    "systemd",
]
