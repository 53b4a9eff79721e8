"""A blocking conversation with a kernel over the program wire: everything arrives as it was sent."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from papa.client.location import Location
from papa.errors import BadRequest, ConnectionLost, Error, GivesWay, LimitReached, NotAllowed, Unreachable
from papa.records import Closed, Happened, Hole, Item, Lent, Output, Socket
from papa.wire import program
from papa.wire.boxes import READ_SIZE, Box, BoxReader
from papa.wire.messages import Acknowledge, Greeting, Received, Refused, StopWatching, WatchEnded, Watching
from papa.wire.opening import Opening, check_greeting

if TYPE_CHECKING:
    from papa.commands import Command, LendProcess, LendSocket, TakeSocket, WatchEvents, WatchProcesses

__all__ = ["Connection"]

_LENGTH: Final = struct.Struct("!H")
#: Room for the descriptors that may come with one read.
_BESIDE: Final = socket.CMSG_SPACE(64 * struct.calcsize("i"))
#: Not every system has them come so.
_NOT_INHERITABLE: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Connection:
    """
    One connection: asks one thing after the other, or watches.

    @ivar greeting: what the kernel said of itself.
    @ivar watched: the processes of the watch as it began: by name, the invocation.
    @ivar since: of events, the number of the one behind which they began.
    """

    def __init__(self, location: Location, timeout: float) -> None:
        """
        @param location: a program wire, or a console, which is asked to become one.
        @param timeout: how long to wait for the connection and the greeting, in seconds.
        @raise OSError: if nobody answers.
        @raise Error: if the kernel refuses, or is none.
        """
        self._sock = location.connect(timeout)
        self._reader = BoxReader()
        self._items: deque[Item | Happened] = deque()
        self._taken: list[Item | Happened] = []
        self._numbers = itertools.count(1)
        self._watch = 0
        self.watched: Mapping[str, str] = {}
        self.since = 0
        self._ended = False
        self._stopping: int | None = None
        self._descriptors: dict[int, int] = {}
        self._came = self._given = 0
        # False while something is half read or half sent: an interruption then leaves it so.
        self._intact = True
        try:
            self._sock.settimeout(timeout)
            self.greeting = self._greet(location)
            self._sock.settimeout(None)
        except TimeoutError as error:
            self.close()
            raise Unreachable(f"Nobody greets at {location} within {timeout:g} seconds") from error
        except BaseException:
            self.close()
            raise

    def _greet(self, location: Location) -> Greeting:
        opening = Opening()
        try:
            while opening.boxes is None:
                reply = opening.receive(self._received())
                if reply:
                    self._sock.sendall(reply)
            self._reader.receive(opening.boxes)
            while (box := self._reader.take()) is None:
                self._reader.receive(self._received())
            push, _ = program.read_push(box)
        except (BadRequest, LimitReached, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Unreachable(f"What answers at {location} is no papa: {error}") from error
        return check_greeting(push)

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the conversation."""
        self._sock.close()
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    @property
    def lost(self) -> bool:
        """Whether the kernel has hung up already, so that nothing that is said now would be heard."""
        if hasattr(select, "POLLRDHUP"):
            poll = select.poll()
            poll.register(self._sock, select.POLLRDHUP)
            return bool(poll.poll(0))
        try:
            # Not seen behind what it has said before; but then there is that to be read.
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    @property
    def readable(self) -> bool:
        """Whether a batch, or the end of the watch, can be read without waiting."""
        return bool(self._items) or self._ended or self._incoming(0)

    def _incoming(self, timeout: float | None = None) -> bool:
        """Whether something has come; with no timeout, once it has."""
        # Not select(2), which knows no descriptor above 1023: a manager has many.
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(timeout))

    def lend(self, command: LendSocket | LendProcess) -> Lent:
        """
        Borrow something.

        @return: the thing, and a descriptor of it, not inheritable, which the caller closes.
        @raise Error: what the kernel refuses.
        """
        lent = self.ask(command)
        assert isinstance(lent, Lent)
        self._send(Received())
        descriptor = self._descriptors.pop(lent.descriptor, None)
        if descriptor is None:
            raise BadRequest("The kernel lent something, and no descriptor came with it")
        return replace(lent, descriptor=descriptor)

    def take(self, command: TakeSocket) -> Socket:
        """
        Give the kernel a socket to hold: a duplicate of the command's descriptor.

        @raise Error: what the kernel refuses.
        """
        if self._sock.family != socket.AF_UNIX:
            raise NotAllowed("Descriptors only go over Unix sockets: connect to papa.sock in the runtime folder")
        number, given = next(self._numbers), command.descriptor
        try:
            os.fstat(given)
        except OSError as error:
            raise BadRequest(f"{given} is no open descriptor: {error.strerror}") from error
        data = program.request_bytes(replace(command, descriptor=self._given), number)
        try:
            sent = self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", given))])
            self._given += 1
            self._sock.sendall(data[sent:])
        except OSError as error:
            raise _lost(error) from error
        answer = program.read_answer(command, self._await_answer(number))
        assert isinstance(answer, Socket)
        return answer

    def ask(self, command: Command) -> Any:
        """
        Ask for something; a list is asked for page by page.

        @return: what the kernel's method of that name gives.
        @raise Error: what the kernel refuses.
        """
        answer: Any = None
        rest: Command | None = command
        number = self._send_question(command)
        while rest is not None:
            asked, box = rest, self._await_answer(number)
            rest = program.next_page(asked, box)
            if rest is not None:
                # The kernel puts the next page together while this one is read.
                number = self._send_question(rest)
            page = program.read_answer(asked, box)
            if answer is None:
                answer = page
            else:
                answer |= page
        return answer

    def _await_answer(self, number: int, *, alone: bool = False) -> Box:
        """The answer to a question; C{alone} with nothing behind it, which stays where select sees it."""
        while True:
            box = self._box_alone() if alone else self._next_box()
            try:
                answered = program.answered(box)
            except BadRequest as error:
                raise ConnectionLost(f"Lost connection: {error}") from error
            if answered == number:
                return box
            if answered is None:
                self._keep(box)

    def _send_question(self, asked: program.Asked) -> int:
        number = next(self._numbers)
        self._send_bytes(program.request_bytes(asked, number))
        return number

    def begin_watch(self, request: WatchProcesses | WatchEvents) -> None:
        """
        Start watching; read it with L{read_batch}.

        @raise Error: what the kernel refuses.
        """
        answer = self._await_answer(self._send_question(request), alone=True)
        watching = program.read_answer(request, answer)
        assert isinstance(watching, Watching)
        self._watch, self.watched, self.since = watching.watch, watching.processes, watching.since
        self._ended = False
        self._stopping = None

    def _box_alone(self) -> Box:
        box: Box = {}
        while key := self._exactly(*_LENGTH.unpack(self._exactly(_LENGTH.size))):
            box[key] = self._exactly(*_LENGTH.unpack(self._exactly(_LENGTH.size)))
        return box

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._received(size - len(data))
        return data

    def read_batch(self) -> list[Item | Happened] | None:
        """
        What there is, as soon as there is something. An interruption while nothing has come loses nothing.

        @return: L{None} once the watch has ended.
        @raise ConnectionLost: also if an interruption has left something half read.
        """
        while not self._items:
            if self._ended:
                if self._stopping is not None:
                    self._await_answer(self._stopping)
                return None
            self._incoming()
            self._check_intact()
            self._intact = False
            self._keep(self._next_box())
            while (box := self._taken_box()) is not None:
                self._keep(box)
            self._intact = True
        self._taken = list(self._items)
        self._items.clear()
        return self._taken

    def _keep(self, box: Box) -> None:
        """Take in what the kernel says by itself."""
        try:
            push, watch = program.read_push(box)
        except BadRequest as error:
            raise ConnectionLost(f"Lost connection: {error}") from error
        if isinstance(push, WatchEnded):
            self._ended = self._ended or push.watch == self._watch
        elif isinstance(push, Refused):
            # Of a question there was no room for, nothing was done; a watch goes on, on another connection.
            refused = {GivesWay.code: GivesWay} | ({LimitReached.code: LimitReached} if self._watch == 0 else {})
            raise refused.get(push.code, _lost)(push.reason)
        elif isinstance(push, Output | Hole | Closed | Happened) and watch == self._watch:
            self._items.append(push)

    def acknowledge(self) -> None:
        """The last batch is safe."""
        names: dict[str, str] = {}
        marks: dict[str, int] = {}
        ends: set[str] = set()
        for item in self._taken:
            if isinstance(item, Happened):
                continue
            names[item.invocation] = item.name
            if isinstance(item, Closed):
                ends.add(item.invocation)
            else:
                marks[item.invocation] = item.mark
        self._taken = []
        self._send(
            *(
                Acknowledge(watch=self._watch, name=name, invocation=of, mark=marks.get(of, 0), end=of in ends)
                for of, name in names.items()
            )
        )
        if self._ended and self._stopping is None:
            # Nothing will come, but the watch has not gone; the answer lets select see that there is an end to be read.
            self._stopping = self._send_question(StopWatching(watch=self._watch))

    def acknowledge_and_stop(self) -> None:
        """The last batch is safe, and enough is enough."""
        self.acknowledge()
        if self._stopping is None:
            self._stopping = self._send_question(StopWatching(watch=self._watch))
        self._await_answer(self._stopping)
        self._items.clear()

    def _send(self, *said: program.Asked) -> None:
        """Say something that needs no answer."""
        self._send_bytes(b"".join(program.request_bytes(each, None) for each in said))

    def _send_bytes(self, data: bytes) -> None:
        self._check_intact()
        self._intact = False
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise self._last_word() or _lost(error) from error
        self._intact = True

    def _last_word(self) -> GivesWay | LimitReached | None:
        """Whether the kernel has said that it gives way, or has no room for what it was told, before it hung up."""
        try:
            while True:
                self._keep(self._next_box())
        except (GivesWay, LimitReached) as word:
            return word
        except (Error, OSError):
            return None

    def _check_intact(self) -> None:
        if not self._intact:
            raise ConnectionLost("Lost connection")

    def _received(self, size: int = READ_SIZE) -> bytes:
        """
        Some bytes; a descriptor that comes beside them is kept under the number that it has on this connection.

        @raise LimitReached: if there is no room for it; the connection is then lost.
        """
        beside: list[tuple[int, int, bytes]] = []
        flags = 0
        try:
            if self._sock.family == socket.AF_UNIX:
                data, beside, flags, _ = self._sock.recvmsg(size, _BESIDE, _NOT_INHERITABLE)
            else:
                data = self._sock.recv(size)
        except TimeoutError:
            raise
        except OSError as error:
            raise _lost(error) from error
        for _, _, packed in beside:
            for (descriptor,) in struct.iter_unpack("i", packed):
                os.set_inheritable(descriptor, False)
                self._descriptors[self._came] = descriptor
                self._came += 1
        if flags & socket.MSG_CTRUNC:
            # The kernel counts what did not come: all later ones would be taken for others.
            self._sock.shutdown(socket.SHUT_RDWR)
            raise LimitReached("There is no room for a descriptor that was lent: this process has too many open")
        if not data:
            raise ConnectionLost("Lost connection")
        return data

    def _next_box(self) -> Box:
        while (box := self._taken_box()) is None:
            self._reader.receive(self._received())
        return box

    def _taken_box(self) -> Box | None:
        try:
            return self._reader.take()
        except LimitReached as error:
            raise ConnectionLost(f"Lost connection: {error}") from error


def _lost(reason: OSError | str) -> ConnectionLost:
    return ConnectionLost(f"Lost connection: {getattr(reason, 'strerror', None) or reason}")
