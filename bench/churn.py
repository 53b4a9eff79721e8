"""Things done to a kernel at random: processes, readers, values, sockets and connections come and go."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bench.gate import Leash
from bench.kernels import PapaKernel
from bench.started import Ends
from papa.client.blocking import Papa
from papa.client.streams import PIPE
from papa.client.watcher import Watcher
from papa.errors import Error

__all__ = ["Churn"]

_MOST_PROCESSES: Final = 30
_MOST_WATCHERS: Final = 6
_MOST_CONNECTIONS: Final = 20
#: To a console, or to the program wire, whole or half: each takes some of it for nonsense.
_SAID: Final = (b"", b"list processes\n", b"watch processes\n", b"set half", b"\0\x08_comm")
#: What a batch is read at most so many times before something else is done.
_MOST_BATCHES: Final = 4


class Churn:
    """One kernel, and what was left in it so far."""

    def __init__(self, kernel: PapaKernel, leash: Leash, seed: int) -> None:
        self._kernel = kernel
        self._leash = leash
        self._random = random.Random(seed)
        self._client: Papa = kernel.client()
        self._serial = 0
        self._names: list[str] = []
        self._fed: list[str] = []
        self._watchers: list[Watcher] = []
        self._connections: list[socket.socket] = []
        self.done: dict[str, int] = {}
        self._operations: tuple[tuple[Callable[[], object], int], ...] = (
            (self.spawn, 6),
            (self.feed, 6),
            (self.print, 8),
            (self.watch, 4),
            (self.read, 12),
            (self.leave, 3),
            (self.kill, 4),
            (self.remove, 2),
            (self.keep, 4),
            (self.bind, 2),
            (self.connect, 4),
            (self.disconnect, 4),
            (self.move, 1),
        )

    def step(self) -> None:
        """Do something. What is refused is part of the churn: a name may have gone meanwhile."""
        operations, weights = zip(*self._operations, strict=True)
        chosen: Callable[[], object] = self._random.choices(operations, weights)[0]
        with suppress(Error):
            chosen()
            name = chosen.__name__
            self.done[name] = self.done.get(name, 0) + 1

    def spawn(self) -> None:
        """A process: one that prints and ends, one that stays, one that repeats what it is fed."""
        if len(self._names) >= _MOST_PROCESSES:
            self.remove()
        self._serial += 1
        name = f"{self._random.choice('abc')}.{self._serial}"
        size = self._random.choice((0, 10, 5000, 300_000, 3_000_000))
        prints = f"head -c {size} /dev/zero; "
        stays = f"exec {' '.join(self._leash.command)}"
        kind = self._random.choice(("ends", "stays", "fed"))
        command = (
            ["/bin/cat"] if kind == "fed" else ["/bin/sh", "-c", prints + (stays if kind == "stays" else "exit 3")]
        )
        self._client.make_process(
            name,
            args=command,
            env={"PATH": os.defpath},
            bufsize=self._random.choice((0, 1000, 65536, 1 << 20)),
            # A process that waits for a reader would wait for ever when nobody comes; it is removed, then.
            overflow=self._random.choice(("drop-oldest", "block")),
            stdin=PIPE if kind == "fed" else None,
            forget=self._random.random() < 0.3,
        )
        self._names.append(name)
        if kind == "fed":
            self._fed.append(name)

    def feed(self) -> None:
        """Write to a process, or end its input."""
        if self._fed:
            name = self._random.choice(self._fed)
            try:
                if self._random.random() < 0.1:
                    self._client.close_stdin(name)
                else:
                    self._client.write_process(name, b"x" * self._random.choice((1, 100, 70_000)))
            except Error:
                self._fed.remove(name)

    def print(self) -> None:
        """Have a process print that has nothing to say itself: into the pipe that it has for output."""
        if self._names:
            name = self._random.choice(self._names)
            data = b"y" * self._random.choice((1, 80, 4096))
            for each in self._client.list_processes(name).values():
                handle = self._client.lend_process(name)
                # A full pipe has a reader that is not to be waited for.
                with suppress(OSError), open(f"/proc/{each['pid']}/fd/1", "wb", 0, opener=_opened) as pipe:
                    if not _has_ended(handle):  # Else the pid may be another's by now.
                        pipe.write(data)
                os.close(handle)

    def watch(self) -> None:
        """One more reader, of some processes: an observer, one that acknowledges, or one with a cursor."""
        if len(self._watchers) >= _MOST_WATCHERS:
            self.leave()
        pattern = self._random.choice(("*", "a.*", "b.*", *self._names[-3:]))
        kind = self._random.choice(("observes", "acknowledges", "has a cursor"))
        with self._kernel.client() as client:
            self._watchers.append(
                client.watch_processes(
                    pattern,
                    observe=kind == "observes",
                    cursor=self._random.choice(("one", "two")) if kind == "has a cursor" else "",
                )
            )

    def read(self) -> None:
        """Let a reader read what there is."""
        if self._watchers:
            watcher = self._random.choice(self._watchers)
            for _ in range(_MOST_BATCHES):
                if not watcher.ready or watcher.read_items() is None:
                    break

    def leave(self) -> None:
        """A reader goes, with what it has read acknowledged, or by hanging up."""
        if self._watchers:
            watcher = self._watchers.pop(self._random.randrange(len(self._watchers)))
            if self._random.random() < 0.5 and watcher.connection is not None:
                watcher.connection.close()
            else:
                watcher.close()

    def kill(self) -> None:
        """Kill a process, by a descriptor that the kernel lends."""
        if self._names:
            handle = self._client.lend_process(self._random.choice(self._names))
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def remove(self) -> None:
        """Have processes forgotten, and kill them."""
        if self._names:
            name = self._names.pop(self._random.randrange(len(self._names)))
            if name in self._fed:
                self._fed.remove(name)
            found = self._client.list_processes(name)
            pids = [each["pid"] for each in found.values() if each["running"]]
            with Ends(pids) as ends:
                self._client.remove_processes(name)
                ends.kill()

    def keep(self) -> None:
        """A value is set, or forgotten."""
        value = self._random.choice((None, "", "short", "long" * 1000))
        self._client.set(f"value.{self._random.randrange(50)}", value)

    def note(self, times: int) -> None:
        """A value is set, and forgotten: four times there is something to remember, and nothing is left of it."""
        for _ in range(times):
            self._client.set("noted", "x")
            self._client.set("noted")

    def bind(self) -> None:
        """A socket is made, or removed."""
        name = f"socket.{self._random.randrange(10)}"
        if name in self._client.list_sockets(name):
            self._client.remove_sockets(name)
        else:
            self._client.make_socket(name, port=0)

    def connect(self) -> None:
        """One more connection, that says something, or half of it, or nothing."""
        if len(self._connections) >= _MOST_CONNECTIONS:
            self.disconnect()
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._random.choice((self._kernel.path, self._kernel.control)))
        self._connections.append(sock)
        with suppress(OSError):
            sock.sendall(self._random.choice(_SAID))

    def disconnect(self) -> None:
        """A connection goes."""
        if self._connections:
            self._connections.pop(self._random.randrange(len(self._connections))).close()

    def move(self) -> None:
        """Cursors are forgotten."""
        self._client.remove_cursors(*self._client.list_cursors())

    def clear(self) -> None:
        """Take away all that is left; what the kernel holds then, it holds for nobody."""
        while self._watchers:
            self._watchers.pop().close()
        while self._connections:
            self._connections.pop().close()
        self._names.clear()
        self._fed.clear()
        self._client.remove_cursors("*")
        self._client.remove_sockets("*")
        for name in self._client.list_values():
            self._client.set(name)
        while found := self._client.list_processes():
            with Ends(each["pid"] for each in found.values() if each["running"]) as ends:
                self._client.remove_processes("*")
                ends.kill()
                ends.wait()
        self._client.close()
        self._client = self._kernel.client()


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT & ~os.O_TRUNC | os.O_NONBLOCK)


def _has_ended(handle: int) -> bool:
    """Whether a process has, by a pidfd of it."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))
