"""Where a blocking client's commands go: which kernel, started if need be, and one connection to it."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from papa.client.location import Location, default_location
from papa.client.program import Connection
from papa.client.retrying import retried
from papa.commands import Command, WatchEvents, WatchProcesses
from papa.errors import ConnectionLost, Error, LimitReached, NotFound, Unreachable

if TYPE_CHECKING:
    from papa.client.private import PrivateKernel

__all__ = ["Conversation"]

#: After how many seconds a kernel that could not serve is asked again.
_SHORTLY = 0.05

_Result = TypeVar("_Result")


class Conversation:
    """
    A client's connection to a kernel; one is started if none runs, unless that is not wanted.

    One command goes after the other, whichever thread it comes from. A watch takes the connection with it; the next
    command makes a new one.

    @ivar port_or_path: where the kernel was asked for; L{None} is this user's own.
    """

    _debug_mode = False
    _single_connection_mode = False
    _default_port_or_path: int | str | None = None
    _default_connection_timeout: float = 10
    _private: dict[Location, PrivateKernel] = {}  # noqa: RUF012 - one a process, as the settings above
    _private_lock = threading.Lock()

    def __init__(
        self, port_or_path: int | str | None = None, connection_timeout: float | None = None, *, start: bool = True
    ) -> None:
        """
        Connect.

        @param port_or_path: a port of 127.0.0.1 or the path of a Unix socket. By default what L{set_default_port} or
            L{set_default_path} said, else C{$PAPA_SOCKET}, else this user's own kernel.
        @param connection_timeout: how long to wait for a kernel, in seconds; 10 by default.
        @param start: start a kernel if none answers.
        @raise Error: if there is no kernel, and none can be started, with the reason.
        """
        self.port_or_path = port_or_path or self._default_port_or_path
        self.connection_timeout = connection_timeout or self._default_connection_timeout
        if self.port_or_path is not None:
            self.location = Location.read(self.port_or_path)
        elif self._debug_mode:
            self.location = Location(chosen=False)  # Never the kernel that the environment names.
        else:
            self.location = default_location()
        self.connection: Connection | None = None
        self._kernel: PrivateKernel | None = None
        self._lock = threading.RLock()
        self._closed = False
        self._connect(start=start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, *, start: bool = False) -> Connection:
        self.connection = self._new_connection(start=start)
        return self.connection

    def _new_connection(self, *, start: bool = False) -> Connection:
        if self._debug_mode and self._kernel is None:
            self._kernel = self._private_kernel()
        if self._kernel:
            self.location = self._kernel.location
        location = self.location
        deadline = time.monotonic() + self.connection_timeout
        try:
            while True:
                try:
                    connection = Connection(location, self.connection_timeout)
                    break
                except ConnectionLost:
                    # Lost before the greeting: it was just about to end, and perhaps another goes on from it.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_SHORTLY)
                except OSError:
                    if not start or self._kernel:
                        raise
                    # Few clients start a kernel; the papa command is to answer quickly.
                    from papa.client.autostart import start_once

                    start_once(location, self.connection_timeout)
                    start = False
        except OSError as error:
            raise Unreachable(f"No kernel answers at {location}: {error.strerror or error}") from error
        if self._kernel:
            self._kernel.connected()
        return connection

    def _private_kernel(self) -> PrivateKernel | None:
        """The debugging kernel of this process; L{None} if another kernel answers where one was asked for."""
        from papa.client.private import PrivateKernel

        with self._private_lock:
            kernel = self._private.get(self.location)
            if kernel is not None and kernel.running:
                return kernel
            if self.location.chosen:
                try:
                    self.location.connect(self.connection_timeout).close()
                    return None
                except OSError:
                    pass  # Nobody is there: it is ours to take.
            kernel = PrivateKernel(self.location, self.connection_timeout, ends_with_last=self._single_connection_mode)
            self._private[self.location] = kernel
            atexit.register(kernel.end)
            return kernel

    def take_back(self, connection: Connection) -> None:
        """A watcher has finished with a connection."""
        with self._lock:
            if self.connection is None and not self._closed:
                self.connection = connection
            else:
                self.discard(connection)

    def discard(self, connection: Connection) -> None:
        """A connection is of no more use."""
        connection.close()
        if self._kernel:
            self._kernel.disconnected()

    @contextmanager
    def _conversation(self) -> Iterator[Connection]:
        """The connection; it is given up if it was lost, or left in the middle of an answer."""
        with self._lock:
            self._closed = False
            connection = self.connection or self._connect()
            if connection.lost:
                self._hang_up()
                connection = self.connection = self._reconnected(connection.greeting.kernel)
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Error) or isinstance(error, ConnectionLost):
                    self._hang_up()
                raise

    def _ask(self, command: Command) -> Any:
        return self._converse(lambda connection: connection.ask(command), repeatable=command.repeatable)

    def _converse(self, say: Callable[[Connection], _Result], *, repeatable: bool = False) -> _Result:
        kernel: str | None = None

        def say_once() -> _Result:
            nonlocal kernel
            kernel = None
            with self._conversation() as connection:
                kernel = connection.greeting.kernel
                return say(connection)

        def go_on(lost: ConnectionLost) -> None:
            if kernel is None:
                raise lost
            with self._lock:
                self.connection = self._reconnected(kernel)

        return retried(say_once, go_on, self.connection_timeout, repeatable=repeatable)

    def _reconnected(self, kernel: str) -> Connection:
        """
        A connection to the kernel that goes on from one that was lost.

        @raise ConnectionLost: if there is none.
        """
        try:
            connection = self._new_connection()
        except Unreachable as error:
            raise ConnectionLost(f"Lost connection: {error}") from error
        if connection.greeting.kernel == kernel:
            return connection
        self.discard(connection)
        raise ConnectionLost("The kernel was replaced by another: what it held is not there any more")

    def resume(
        self, lost: Connection, rest: Callable[[Connection], WatchProcesses | WatchEvents | None]
    ) -> Connection | None:
        """
        Watch on, on another connection to the same kernel, or to the one that goes on from it.

        @param rest: what is to be asked for, by what is held now; L{None} if nothing is left.
        @raise ConnectionLost: if the kernel is gone for good.
        """
        self.discard(lost)
        deadline = time.monotonic() + self.connection_timeout
        while True:
            connection = self._reconnected(lost.greeting.kernel)
            try:
                request = rest(connection)
                if request is None:
                    self.take_back(connection)
                    return None
                connection.begin_watch(request)
            except (ConnectionLost, NotFound, LimitReached):
                # Killed again, or something was removed just now, or papa has no room for a moment.
                self.discard(connection)
                if time.monotonic() > deadline:
                    raise
                time.sleep(_SHORTLY)
                continue
            except BaseException:
                self.discard(connection)
                raise
            return connection

    def _begin_watch(self, request: WatchProcesses | WatchEvents) -> Connection:
        """Start a watch; its connection is its own until L{take_back}."""

        def begin(connection: Connection) -> Connection:
            connection.begin_watch(request)
            self.connection = None
            return connection

        return self._converse(begin, repeatable=True)

    @property
    def kernel_pid(self) -> int | None:
        """The process id of the kernel; L{None} while there is no connection."""
        return None if self.connection is None else self.connection.greeting.pid

    def fileno(self) -> int | None:
        """The descriptor of the connection, if there is one."""
        return self.connection.fileno() if self.connection else None

    def close(self) -> None:
        """End the connection, and once a watcher hands one back, that too. The next command makes a new one."""
        with self._lock:
            self._closed = True
            self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            if self.connection is not None:
                connection, self.connection = self.connection, None
                self.discard(connection)

    @classmethod
    def set_debug_mode(cls, mode: bool = True, quit_when_connection_closed: bool = False) -> None:
        """
        Use a kernel of this process's own, for tests.

        @param quit_when_connection_closed: let it end with its last connection; the next L{Papa} gets a fresh one.
        """
        cls._debug_mode = mode
        if quit_when_connection_closed:
            cls._single_connection_mode = True

    @classmethod
    def set_default_port(cls, port: int) -> None:
        """Where to connect unless told otherwise."""
        cls._default_port_or_path = port

    @classmethod
    def set_default_path(cls, path: str) -> None:
        """Where to connect unless told otherwise."""
        cls._default_port_or_path = path

    @classmethod
    def set_default_connection_timeout(cls, connection_timeout: float) -> None:
        """How long to wait for a kernel unless told otherwise, in seconds."""
        cls._default_connection_timeout = connection_timeout
