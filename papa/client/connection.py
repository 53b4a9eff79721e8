"""A blocking conversation with a kernel over the console wire."""

from __future__ import annotations

import select
import socket
from dataclasses import replace
from typing import Any, Final

from papa.client.location import Location
from papa.commands import Command
from papa.errors import ConnectionLost, Error
from papa.records import Item, Output
from papa.wire import grammar, text

__all__ = ["Connection"]

_READ_SIZE: Final = 1 << 16
_REPLY_END: Final = b"\n" + text.PROMPT


class Connection:
    """One connection: asks one thing after the other, or watches."""

    def __init__(self, location: Location, timeout: float) -> None:
        """
        @param timeout: how long to wait for the connection and the greeting, in seconds.
        @raise OSError: if nobody answers.
        @raise Error: if the kernel refuses.
        """
        self._sock = location.connect(timeout)
        self._buffer = bytearray()
        try:
            self._sock.settimeout(timeout)
            self._read_reply()
            self._sock.settimeout(None)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the conversation."""
        self._sock.close()

    @property
    def readable(self) -> bool:
        """Whether something is here to be read."""
        return bool(self._buffer) or bool(select.select([self._sock], [], [], 0)[0])

    def ask(self, command: Command) -> Any:
        """
        Ask for something.

        @return: what the kernel's method of that name gives.
        @raise Error: what the kernel refuses, or what this wire cannot say.
        """
        self._send(grammar.line_of(command))
        return text.read_answer(command, self._read_reply())

    def ask_to_exit_if_idle(self) -> bool:
        """Ask the kernel to end with its last connection; whether it will."""
        self._send("exit-if-idle")
        return self._read_reply().startswith("Exiting")

    def begin_watch(self, command: Command) -> None:
        """
        Start watching; the answer is read with L{read_batch}.

        @param command: a C{WatchProcesses}, or a C{MakeProcess} with C{watch}.
        """
        self._send(grammar.line_of(command))
        headline = self._take_line()
        if headline.startswith(text.ERROR.encode()):
            self._buffer += headline
            self._read_reply()

    def read_batch(self) -> list[Item] | None:
        """
        The next batch, as soon as there is one; it must be acknowledged before the next is read.

        @return: L{None} once the watch has ended.
        """
        items: list[Item] = []
        while True:
            while len(self._buffer) < len(text.BATCH_END):
                self._receive()
            if self._buffer.startswith(text.BATCH_END):
                del self._buffer[: len(text.BATCH_END)]
                return items
            line = self._read_line()
            header = text.read_header(line)
            if header is None:
                self._buffer[:0] = line.encode() + b"\n"
                self._read_reply()
                return None
            items.append(self._with_data(*header))

    def _with_data(self, size: int, item: Item) -> Item:
        if not isinstance(item, Output):
            return item
        data = self._read_exactly(size + 1)
        return replace(item, data=data[:-1])

    def acknowledge(self) -> None:
        """The last batch is safe."""
        self._send("")

    def acknowledge_and_stop(self) -> None:
        """The last batch is safe, and enough is enough."""
        self._send("q")
        self._read_reply()

    def _send(self, line: str) -> None:
        try:
            self._sock.sendall(line.encode() + b"\n")
        except OSError as error:
            raise ConnectionLost(f"Lost connection: {error.strerror}") from error

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except OSError as error:
            raise ConnectionLost(f"Lost connection: {error.strerror or error}") from error
        if not data:
            raise ConnectionLost("Lost connection")
        self._buffer += data

    def _take_line(self) -> bytes:
        """A line, and nothing behind it: what follows stays where select sees it."""
        line = b""
        while not line.endswith(b"\n"):
            seen = self._sock.recv(_READ_SIZE, socket.MSG_PEEK)
            if not seen:
                raise ConnectionLost("Lost connection")
            line += self._sock.recv(seen.find(b"\n") + 1 or len(seen))
        return line

    def _read_reply(self) -> str:
        while not (self._buffer.endswith(_REPLY_END) or self._buffer == text.PROMPT):
            self._receive()
        reply = self._buffer[: -len(_REPLY_END)].decode()
        self._buffer.clear()
        if reply.startswith(text.ERROR):
            raise Error(reply.removeprefix(text.ERROR))
        return reply

    def _read_line(self) -> str:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._receive()
        line = self._buffer[:end].decode()
        del self._buffer[: end + 1]
        return line

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data
