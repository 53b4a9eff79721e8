"""
A stand-in for systemd, for one service: it starts the service, hears it, and keeps descriptors for it.

What it keeps it keeps as systemd does: by name, each open file once, as many as it was told to, and none that is hung
up unless it was told not to look (FDPOLL=0); over a restart, but not over a stop. It starts the service again when that
ends otherwise than with 0, with all that is kept from number 3 on.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support import PATIENCE, until

__all__ = ["ServiceManager"]

#: Gives what is kept the numbers from 3 on, says so, and becomes the service.
_START = """
import fcntl, os, sys
count, *words = sys.argv[1:]
handed = [int(each) for each in words[:int(count)]]
apart = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3 + len(handed)) for each in handed]
for each in handed:
    os.close(each)
for number, each in enumerate(apart, 3):
    os.dup2(each, number)
os.environ["SYSTEMD_EXEC_PID"] = str(os.getpid())
if handed:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(words[int(count)], words[int(count):])
"""


@dataclass
class _Stored:
    name: str
    descriptor: int
    file: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        found = os.fstat(self.descriptor)
        self.file = found.st_dev, found.st_ino


class ServiceManager:
    """
    The manager of one service.

    @ivar starts: how often it was started; C{ready}: whether it serves, as far as it has said.
    @ivar pid: of its main process; C{ended}: how that ended last.
    """

    def __init__(self, folder: str, command: Sequence[str], environ: dict[str, str], most: int = 512) -> None:
        self._folder = folder
        self._command = command
        self._most = most
        self._address = os.path.join(folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._environ = {**environ, "NOTIFY_SOCKET": self._address, "FDSTORE": str(most)}
        self._stored: list[_Stored] = []
        self._polled = select.epoll()
        self._main: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._restarting = False
        self._wake, self._woken = os.pipe()
        self._lock = threading.RLock()
        self.starts = self.pid = 0
        self.ready = False
        self.ended: int | None = None
        self.refused = 0
        self.log = os.path.join(folder, "service.log")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # What an operator does

    def start(self) -> None:
        """Start the service, and wait until it serves."""
        with self._lock:
            self._wanted = True
            self._spawn()
        self.await_ready()

    def await_ready(self, starts: int = 1) -> None:
        """Wait until it serves, having been started so often."""
        until(lambda: self.ready and self.starts >= starts, f"that it serves: {self.said()}")

    def restart(self) -> None:
        """As C{systemctl restart}."""
        with self._lock:
            starts = self.starts
            self._restarting = True
            self._terminate()
        self.await_ready(starts + 1)

    def stop(self) -> None:
        """As C{systemctl stop}."""
        with self._lock:
            self._wanted = False
            self._terminate()
        until(lambda: self.pid == 0, "its end")

    def close(self) -> None:
        """Stop it, and manage no more."""
        self.stop()
        os.close(self._woken)
        self._thread.join(PATIENCE)
        self._socket.close()
        os.close(self._wake)
        self._polled.close()

    @property
    def names(self) -> list[str]:
        """Of what is kept."""
        with self._lock:
            return [each.name for each in self._stored]

    def said(self) -> str:
        """The service's log."""
        with suppress(FileNotFoundError), open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()
        return ""

    # What it does by itself

    def _terminate(self) -> None:
        if self._main is not None:
            self._main.send_signal(signal.SIGTERM)

    def _spawn(self) -> None:
        handed = [each.descriptor for each in self._stored]
        about = {"LISTEN_FDS": str(len(handed)), "LISTEN_FDNAMES": ":".join(each.name for each in self._stored)}
        with open(self.log, "ab") as log:
            self._main = subprocess.Popen(
                [sys.executable, "-c", _START, str(len(handed)), *map(str, handed), *self._command],
                env={**self._environ, **(about if handed else {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=handed,
            )
        self.pid, self.ready = self._main.pid, False
        self.starts += 1
        self._handle = os.pidfd_open(self.pid)
        os.write(self._woken, b"x")

    def _run(self) -> None:
        while True:
            poll = select.poll()
            watched = [self._wake, self._socket.fileno(), self._polled.fileno()]
            if self._main is not None:
                watched.append(self._handle)
            for each in watched:
                poll.register(each, select.POLLIN)
            ready = dict(poll.poll())
            with self._lock:
                if self._wake in ready and not os.read(self._wake, 64):
                    return
                # What was said before an end was heard is heard first.
                while select.select([self._socket], [], [], 0)[0]:
                    self._hear()
                for descriptor, events in self._polled.poll(0):
                    if events & (select.EPOLLHUP | select.EPOLLERR):
                        self._drop([each for each in self._stored if each.descriptor == descriptor])
                if self._main is not None and self._handle in ready:
                    self._ended()

    def _ended(self) -> None:
        assert self._main is not None
        self.ended = self._main.wait()
        os.close(self._handle)
        self._main, self.pid, self.ready = None, 0, False
        if self._wanted and (self.ended or self._restarting):
            self._restarting = False
            self._spawn()
        else:
            self._drop(list(self._stored))

    def _hear(self) -> None:
        said, beside, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
        lines = dict(line.partition("=")[::2] for line in said.decode().splitlines())
        descriptors = array.array("i")
        for _, _, data in beside:
            descriptors.frombytes(data)
        self.ready |= lines.get("READY") == "1"
        name = lines.get("FDNAME", "stored")
        if lines.get("FDSTOREREMOVE") == "1":
            self._drop([each for each in self._stored if each.name == name])
        for descriptor in descriptors:
            if lines.get("FDSTORE") == "1":
                self._store(_Stored(name, descriptor), looked_at=lines.get("FDPOLL") != "0")
            else:
                os.close(descriptor)

    def _store(self, new: _Stored, *, looked_at: bool) -> None:
        assert len(new.name) <= 255 and new.name.isprintable() and new.name.isascii() and ":" not in new.name
        if len(self._stored) >= self._most or any(each.file == new.file for each in self._stored):
            self.refused += 1
            os.close(new.descriptor)
            return
        self._stored.insert(0, new)
        if looked_at:
            with suppress(PermissionError):
                self._polled.register(new.descriptor, 0)

    def _drop(self, stored: Sequence[_Stored]) -> None:
        for each in stored:
            self._stored.remove(each)
            os.close(each.descriptor)
