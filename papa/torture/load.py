"""What a tortured kernel has to do meanwhile; each in a thread of its own, each with clients of its own."""

from __future__ import annotations

import operator
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from papa.client.blocking import Papa
from papa.errors import ConnectionLost, LimitReached
from papa.records import STDERR, STDOUT, Closed, Hole, Item, Output
from papa.torture import printer, service
from papa.torture.score import Score

__all__ = ["Load"]

_PYTHON = (sys.executable, "-S", "-E")
_CURSOR = "torture"
_BETWEEN_CONNECTIONS = 0.001
#: How long a reader waits at most before it looks whether it is still to read, in seconds.
_LOOK_UP = 0.1
_BETWEEN_ATTEMPTS = 0.01

_Answer = TypeVar("_Answer")


class _Reader:
    """What has come of one printer."""

    def __init__(self, seed: int, lines: int) -> None:
        self.seed = seed
        self.lines = lines
        self.rest = {STDOUT: b"", STDERR: b""}
        self.next = {STDOUT: 0, STDERR: 0}


class Load:
    """Everything that goes on."""

    def __init__(self, path: str, score: Score, *, seed: int, printers: int, lines: int) -> None:
        """
        @param path: of the kernel's socket for programs.
        @param printers: how many print at a time, and C{lines} how many lines each.
        """
        self._path = path
        self._score = score
        self._chance = random.Random(seed)  # noqa: S311 - it need not be hard to guess
        self._printers = printers
        self._lines = lines
        self._readers: dict[str, _Reader] = {}
        self._ending = threading.Event()
        self._all_printed = threading.Event()
        self._port = 0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        with self._client() as papa:
            self._port = papa.make_socket("service", port=0, backlog=1024)["port"]
            papa.make_process("service", _PYTHON[0], [*_PYTHON[1:], service.__file__, "$(socket.service.fileno)"])
        for part in (self._print, self._read, self._connect, self._set):
            thread = threading.Thread(target=self._run, args=(part,), name=part.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def await_progress(self, deadline: float) -> None:
        """
        Wait until a value was set, something was read, and the service has answered, since this was called.

        @param deadline: by the steady clock.
        """
        before = self._done()
        while time.monotonic() < deadline and any(map(operator.eq, before, self._done())):
            time.sleep(0.002)

    def _done(self) -> tuple[int, int, int]:
        """How much of each was done."""
        return self._score.values, self._score.lines, self._score.connections

    def finish(self, timeout: float) -> None:
        """
        Let the printers that there are come to their end, and wait for everything.

        @param timeout: in seconds, for each part.
        """
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout)
            if thread.is_alive():
                self._score.fault("errors", f"{thread.name} has not come to an end within {timeout:g} seconds")
        for name, reader in self._readers.items():
            self._score.fault("lines lost", f"{name} has not ended", reader.lines - sum(reader.next.values()))

    def _client(self) -> Papa:
        return Papa(self._path, connection_timeout=30)

    def _run(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - whatever a client is told, it should not have been
            self._score.fault("errors", f"{part.__name__.strip('_')}: {type(error).__name__}: {error}")

    def _print(self) -> None:
        """Keep printers going."""
        with self._client() as papa:
            number = 0
            while not self._ending.is_set():
                if len(self._readers) >= self._printers:
                    time.sleep(0.01)  # The reader takes them out.
                    continue
                number += 1
                self._make_printer(papa, f"printer.{number}")
        self._all_printed.set()

    def _make_printer(self, papa: Papa, name: str) -> None:
        reader = _Reader(self._chance.randrange(1 << 30), self._chance.randrange(1, self._lines))
        self._readers[name] = reader
        words = [*_PYTHON[1:], printer.__file__, str(reader.seed), str(reader.lines)]
        self._score.processes += 1
        # The same again gives the same process, should the answer to the first have been lost.
        with self._score.waiting():
            self._insist(lambda: papa.make_process(name, _PYTHON[0], words, bufsize="256k", overflow="block"))

    def _insist(self, do: Callable[[], _Answer]) -> _Answer:
        """Do it until it is not refused for want of anything."""
        while True:
            try:
                return do()
            except ConnectionLost:
                continue
            except LimitReached:
                time.sleep(_BETWEEN_ATTEMPTS)

    def _read(self) -> None:
        """Read what they print, to the last byte."""
        with self._client() as papa, papa.watch_processes("printer.*", cursor=_CURSOR) as watcher:
            while self._readers or not self._all_printed.is_set():
                # Between the end of the last one and the word that it was the last, nothing comes any more.
                if not watcher.ready and not select.select([watcher], [], [], _LOOK_UP)[0]:
                    continue
                for item in self._insist(watcher.read_items) or ():
                    self._take(item)
                self._insist(watcher.acknowledge)

    def _take(self, item: Item) -> None:
        reader = self._readers[item.name]
        if isinstance(item, Output):
            self._score.bytes += len(item.data)
            whole, newline, rest = (reader.rest[item.channel] + item.data).rpartition(b"\n")
            reader.rest[item.channel] = rest
            for number in printer.told_apart(whole + newline):
                self._count(reader, item.name, item.channel, number)
        elif isinstance(item, Hole):
            self._score.fault("lines lost", f"{item.name} has a hole of {item.size} bytes")
        else:
            self._end(reader, item)

    def _count(self, reader: _Reader, name: str, channel: int, number: int | None) -> None:
        expected = reader.next[channel]
        if number is None:
            self._score.fault("lines mangled", f"{name}, behind line {expected} of stream {channel}")
            return
        if number < expected:
            self._score.fault("lines repeated", f"{name}, line {number} of stream {channel}")
        elif number > expected:
            lost = number - expected
            self._score.fault("lines lost", f"{name}, {lost} from line {expected} of stream {channel}", lost)
        self._score.lines += 1
        reader.next[channel] = number + 1

    def _end(self, reader: _Reader, end: Closed) -> None:
        if end.exit_code != printer.exit_code(reader.seed):
            expected = printer.exit_code(reader.seed)
            self._score.fault("exit codes", f"{end.name} ended with {end.exit_code}, not {expected}")
        lost = reader.lines - sum(reader.next.values())
        if lost or any(reader.rest.values()):
            self._score.fault("lines lost", f"{end.name}, the last {lost}", max(1, lost))
        del self._readers[end.name]

    def _connect(self) -> None:
        """Connect to the service, again and again."""
        while not self._ending.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
                    said = connection.recv(100)
            except OSError as error:
                self._score.fault("connections", str(error))
                continue
            if said == service.WORD:
                self._score.connections += 1
            else:
                self._score.fault("connections", f"heard {said!r}")
            # What is measured is how long papa pauses, not how long threads wait for each other.
            time.sleep(_BETWEEN_CONNECTIONS)

    def _set(self) -> None:
        """Set a value, and see that it stays."""
        with self._client() as papa:
            number = 0
            while not self._ending.is_set():
                with self._score.waiting():
                    number += self._is_set(papa, str(number + 1))
                with self._score.waiting():
                    found = self._insist(lambda: papa.get("number"))
                if (found or "0") != str(number):
                    self._score.fault("values", f"{found!r} instead of {number}")
                self._score.values += 1
            self._insist(lambda: papa.set("number"))

    @staticmethod
    def _is_set(papa: Papa, value: str) -> bool:
        try:
            papa.set("number", value)
        except LimitReached:
            time.sleep(_BETWEEN_ATTEMPTS)
            return False
        return True
