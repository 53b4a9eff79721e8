"""A bare client of the console, which papa and papa 1.0.6 both serve: what differs is the server."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Sequence

from bench.started import PATIENCE

__all__ = ["Console", "exchange"]

_PROMPT = b"> "
_BATCH_END = b"] "


def exchange(sock: socket.socket, request: bytes, size: int) -> None:
    """Send a request, and receive an answer of so many bytes."""
    sock.sendall(request)
    while size > 0:
        size -= len(sock.recv(65536))


class Console:
    """A greeted conversation."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self._received = b""
        self._until(b"\n> ")

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError(self._received)
        self._received += data

    def _until(self, end: bytes) -> bytes:
        while not self._received.endswith(end):
            self._more()
        found, self._received = self._received, b""
        return found

    def ask(self, line: str) -> str:
        """
        The answer to a line, without the prompt.

        @raise RuntimeError: if it is an error.
        """
        self.sock.sendall(f"{line}\n".encode())
        answer = b""
        while not (answer == _PROMPT or answer.endswith(b"\n> ")):
            answer += self._until(_PROMPT)
        said = answer[: -len(_PROMPT)].decode()
        if said.startswith("Error"):
            raise RuntimeError(f"{line[:200]}: {said}")
        return said

    def make(self, name: str, command: Sequence[str], options: str = "") -> int:
        """Make a process; its pid."""
        # The words of a line are split at spaces, and a backslash before a space joins two.
        said = self.ask(f"make process {name} {options} " + " ".join(word.replace(" ", "\\ ") for word in command))
        found = re.search(r" pid=(\d+) running=", said)
        if found is None:
            raise RuntimeError(f"{shlex.join(command)}: {said}")
        return int(found[1])

    def watch(self, names: str) -> None:
        """Begin to watch."""
        self.sock.sendall(f"watch processes {names}\n".encode())
        while b"\n" not in self._received:
            self._more()
        line, self._received = self._received.split(b"\n", 1)
        if line.startswith(b"Error"):
            raise RuntimeError(line.decode())

    def read_batch(self) -> bytes:
        """What there is to be read; not acknowledged yet. What it holds must not end in the end of a batch itself."""
        return self._until(_BATCH_END)

    def acknowledge(self, *, stop: bool = False) -> None:
        """The batch is safe, and, if told so, enough."""
        self.sock.sendall(b"q\n" if stop else b"\n")
        if stop:
            self._until(b"\n> ")

    def watch_to_end(self, name: str) -> None:
        """Watch a process that is about to end until it has, so that it is forgotten."""
        self.watch(name)
        while not self._received.endswith(b"Nothing left to watch\n> "):
            if self._received.endswith(_BATCH_END):
                self._received = b""
                self.acknowledge()
            self._more()
        self._received = b""
