"""
The blocking client, with the interface of papa 1.0.6: L{Papa} asks, L{Watcher} reads output.

Every method sends one command and waits for its answer. Threads may share a L{Papa}: their commands go one after the
other.
"""

from __future__ import annotations

import atexit
import socket
import threading
from collections.abc import Iterable, Mapping
from subprocess import DEVNULL, PIPE, STDOUT
from types import TracebackType
from typing import Any, Final, NamedTuple, cast

from papa import parameters
from papa.client.autostart import start_once
from papa.client.connection import Connection
from papa.client.location import Location, default_location
from papa.client.private import PrivateKernel
from papa.commands import (
    CloseStdin,
    Command,
    Get,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, Error, Unreachable
from papa.records import STDOUT as STDOUT_CHANNEL
from papa.records import Closed, Hole, Item, Output, Process, Socket

__all__ = ["Papa", "ProcessOutput", "Watcher"]

_FAMILIES: Final = {socket.AF_UNIX: "unix", socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
_TYPES: Final = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "dgram", socket.SOCK_SEQPACKET: "seqpacket"}
_OUTPUTS: Final = {PIPE: "pipe", DEVNULL: "null", STDOUT: "stdout"}


class ProcessOutput(NamedTuple):
    """
    What a watched process printed, or how it ended.

    @ivar timestamp: seconds since the epoch.
    @ivar data: bytes; for an end, the exit code.
    """

    name: str
    timestamp: float
    data: Any


class Watcher:
    """
    Reads what processes print.

    C{select} on it tells whether L{read} would return at once. What was read is kept by papa until it is acknowledged,
    by L{acknowledge}, the next L{read}, or L{close}.

    @ivar exit_code: the exit codes read so far, by name.
    @ivar holes: where a full buffer dropped output before it could be read.
    """

    def __init__(self, papa_object: Papa, connection: Connection) -> None:
        self.papa_object = papa_object
        self.connection: Connection | None = connection
        self.exit_code: dict[str, int] = {}
        self.holes: list[Hole] = []
        self._need_ack = False
        self._lock = threading.RLock()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __bool__(self) -> bool:
        return self.connection is not None

    def __len__(self) -> int:
        return int(self.connection is not None)

    def fileno(self) -> int:
        """
        The descriptor to select on.

        @raise Error: if the watch has ended.
        """
        return self._open().fileno()

    def _open(self) -> Connection:
        if self.connection is None:
            raise Error("This watcher is closed")
        return self.connection

    @property
    def ready(self) -> bool:
        """Whether L{read} would return at once."""
        return self.connection is not None and self.connection.readable

    def read(self) -> tuple[list[ProcessOutput], list[ProcessOutput], list[ProcessOutput]] | None:
        """
        Acknowledge what was read before, and wait for more.

        @return: standard output, standard error and ends, each in order; L{None} once nothing is left to watch.
        @raise Error: if the connection is lost.
        """
        items = self.read_items()
        if items is None:
            return None
        out: list[ProcessOutput] = []
        err: list[ProcessOutput] = []
        closed: list[ProcessOutput] = []
        for item in items:
            if isinstance(item, Output):
                channel = out if item.channel == STDOUT_CHANNEL else err
                channel.append(ProcessOutput(item.name, item.timestamp, item.data))
            elif isinstance(item, Closed):
                closed.append(ProcessOutput(item.name, item.timestamp, item.exit_code))
        return out, err, closed

    def read_items(self) -> list[Item] | None:
        """
        The same as L{read}, but all in the order in which it happened.

        @return: L{Output}, L{Hole} and L{Closed} records; L{None} once nothing is left to watch.
        @raise Error: if the connection is lost.
        """
        with self._lock:
            self.acknowledge()
            if self.connection is None:
                return None
            items = self.connection.read_batch()
            if items is None:
                self._give_back()
                return None
            self._need_ack = True
        for item in items:
            if isinstance(item, Closed):
                self.exit_code[item.name] = item.exit_code
            elif isinstance(item, Hole):
                self.holes.append(item)
        return items

    def acknowledge(self) -> None:
        """Tell papa that what was read is safe, so that it may let go of it."""
        with self._lock:
            if self._need_ack:
                self._need_ack = False
                self._open().acknowledge()

    def close(self) -> None:
        """Acknowledge what was read, and stop watching."""
        with self._lock:
            if self.connection is None:
                return
            if self._need_ack:
                self._need_ack = False
                self.connection.acknowledge_and_stop()
                self._give_back()
            else:
                self.papa_object._discard(self.connection)
                self.connection = None

    def _give_back(self) -> None:
        connection, self.connection = self._open(), None
        self.papa_object._take_back(connection)


class Papa:
    """
    A client of a kernel; one is started if none runs.

    @ivar port_or_path: where the kernel was asked for; L{None} is this user's own.
    """

    _debug_mode = False
    _single_connection_mode = False
    _default_port_or_path: int | str | None = None
    _default_connection_timeout: float = 10
    _private: dict[Location, PrivateKernel] = {}  # noqa: RUF012 - one a process, as the settings above
    _private_lock = threading.Lock()

    def __init__(self, port_or_path: int | str | None = None, connection_timeout: float | None = None) -> None:
        """
        Connect.

        @param port_or_path: a port of 127.0.0.1 or the path of a Unix socket. By default what L{set_default_port} or
            L{set_default_path} said, else C{$PAPA_SOCKET}, else this user's own kernel.
        @param connection_timeout: how long to wait for a kernel, in seconds; 10 by default.
        @raise Error: if there is no kernel and none can be started, with the reason.
        """
        self.port_or_path = port_or_path or self._default_port_or_path
        self.connection_timeout = connection_timeout or self._default_connection_timeout
        self.location = default_location() if self.port_or_path is None else Location.read(self.port_or_path)
        self.connection: Connection | None = None
        self._kernel: PrivateKernel | None = None
        self._lock = threading.RLock()
        self._connect(start=True)

    def __enter__(self) -> Papa:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, *, start: bool = False) -> Connection:
        if self._debug_mode and self._kernel is None:
            self._kernel = self._private_kernel()
        location = self._kernel.location if self._kernel else self.location
        try:
            try:
                self.connection = Connection(location, self.connection_timeout)
            except OSError:
                if not start or self._kernel:
                    raise
                start_once(location, self.connection_timeout)
                self.connection = Connection(location, self.connection_timeout)
        except OSError as error:
            raise Unreachable(f"No kernel answers at {location}: {error.strerror or error}") from error
        if self._kernel:
            self._kernel.connected()
        return self.connection

    def _private_kernel(self) -> PrivateKernel | None:
        """The debugging kernel of this process; L{None} if another kernel answers where one was asked for."""
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

    def _take_back(self, connection: Connection) -> None:
        """A watcher has finished with a connection."""
        with self._lock:
            if self.connection is None:
                self.connection = connection
            else:
                self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        if self._kernel:
            self._kernel.disconnected()

    def _ask(self, command: Command) -> Any:
        with self._lock:
            connection = self.connection or self._connect()
            return connection.ask(command)

    def _watch(self, command: MakeProcess | WatchProcesses) -> Watcher:
        with self._lock:
            connection = self.connection or self._connect()
            connection.begin_watch(command)
            self.connection = None
            return Watcher(self, connection)

    def fileno(self) -> int | None:
        """The descriptor of the connection, if there is one."""
        return self.connection.fileno() if self.connection else None

    def close(self) -> None:
        """End the connection. The next command makes a new one."""
        with self._lock:
            if self.connection is not None:
                connection, self.connection = self.connection, None
                self._discard(connection)

    def make_socket(
        self,
        name: str,
        host: str | None = None,
        port: int | None = None,
        family: int | None = None,
        socket_type: int | None = None,
        backlog: int | None = None,
        path: str | None = None,
        umask: int | None = None,
        interface: str | None = None,
        reuseport: bool | None = None,
    ) -> dict[str, Any]:
        """
        Bind a socket and have papa hold it; or get the one that was made so before.

        @param family: C{socket.AF_UNIX}, C{AF_INET} or C{AF_INET6}.
        @param socket_type: C{socket.SOCK_STREAM}, C{SOCK_DGRAM} or C{SOCK_SEQPACKET}.
        @return: its parameters; C{fileno} is its descriptor in papa and in children.
        @raise Error: if it cannot be bound, or the name is taken by another socket.
        """
        wanted: dict[str, Any] = {"family": _named(family, _FAMILIES, "Invalid socket family")}
        wanted["type"] = _named(socket_type, _TYPES, "Invalid socket type")
        wanted["backlog"] = None if backlog is None else int(backlog)
        if path:
            wanted |= {"path": path, "umask": None if umask is None else int(umask)}
        else:
            wanted |= {"host": host, "port": None if port is None else int(port), "interface": interface}
            wanted["reuseport"] = True if reuseport else None
        return _socket_dict(self._ask(MakeSocket(name=name, **_given(wanted))))

    def list_sockets(self, *args: str) -> dict[str, dict[str, Any]]:
        """The sockets of these names or patterns, or all."""
        return {name: _socket_dict(each) for name, each in self._ask(ListSockets(names=args)).items()}

    def remove_sockets(self, *args: str) -> bool:
        """
        Have papa close sockets.

        @raise Error: if a name is not held.
        """
        self._ask(RemoveSockets(names=args))
        return True

    def set(self, name: str, value: str | None = None) -> None:
        """Keep a value under a name; without a value, forget it."""
        self._ask(Set(name=name, value=value or None))

    def get(self, name: str) -> str | None:
        """The value of a name."""
        return cast("str | None", self._ask(Get(name=name)))

    def list_values(self, *args: str) -> dict[str, str]:
        """The values of these names or patterns, or all."""
        return cast("dict[str, str]", self._ask(ListValues(names=args)))

    def remove_values(self, *args: str) -> bool:
        """
        Forget values.

        @raise Error: for no name and for C{*}: not all at once.
        """
        self._ask(RemoveValues(names=args))
        return True

    def make_process(
        self,
        name: str,
        executable: str | None = None,
        args: str | Iterable[str] | None = None,
        env: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
        rlimits: Mapping[str, int | tuple[int, int]] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        bufsize: int | str | None = None,
        watch_immediately: bool | None = None,
        *,
        inherit_env: bool = False,
        groups: Iterable[int | str] | None = None,
        umask: int | None = None,
        stdin: int | None = None,
        overflow: str | None = None,
        listen: Iterable[str] = (),
    ) -> Any:
        """
        Have papa start a program; or get the process that was made so before.

        @param executable: the program; if left out, the first of C{args}.
        @param args: its arguments. One text is one argument.
        @param env: its whole environment, unless C{inherit_env}, which begins with papa's own.
        @param rlimits: a number, or soft and hard, by name: C{{"nofile": 1024}}.
        @param stdout: C{PIPE} (captured, the default) or C{DEVNULL}.
        @param stderr: C{PIPE}, C{DEVNULL}, or C{STDOUT}.
        @param bufsize: bytes of unread output to keep, 1 MiB by default, also as C{"10m"}; 0 captures nothing.
        @param stdin: C{DEVNULL} (the default) or C{PIPE}, for L{write_process}.
        @param overflow: C{"drop-oldest"} (the default) or C{"block"}: let the program wait for a reader.
        @param listen: names of held sockets to hand over as LISTEN_FDS.
        @return: what L{list_processes} gives of it; with C{watch_immediately} a L{Watcher}.
        @raise Error: if it cannot be started, or the name is taken by another process.
        """
        wanted = {
            "name": name,
            "args": _arguments(executable, args),
            "env": {key: str(value) for key, value in (env or {}).items()},
            "inherit_env": inherit_env,
            "working_dir": working_dir,
            "uid": uid,
            "gid": gid,
            "groups": None if groups is None else tuple(groups),
            "rlimits": {key.lower(): _limits(value) for key, value in (rlimits or {}).items()},
            "umask": umask,
            "stdin": _named(stdin, {PIPE: "pipe", DEVNULL: "null"}, "stdin must be DEVNULL or PIPE"),
            "bufsize": parameters.size(bufsize) if isinstance(bufsize, str) else bufsize,
            "overflow": overflow,
            "listen": tuple(listen),
            "watch": bool(watch_immediately),
        }
        if bufsize != 0:
            wanted["stdout"] = _named(stdout, {PIPE: "pipe", DEVNULL: "null"}, "stdout must be DEVNULL or PIPE")
            wanted["stderr"] = _named(stderr, _OUTPUTS, "stderr must be DEVNULL, PIPE or STDOUT")
        command = MakeProcess(**cast("Any", _given(wanted)))
        return self._watch(command) if command.watch else _process_dict(self._ask(command))

    def list_processes(self, *args: str) -> dict[str, dict[str, Any]]:
        """The processes of these names or patterns, or all."""
        return {name: _process_dict(each) for name, each in self._ask(ListProcesses(names=args)).items()}

    def remove_processes(self, *args: str) -> bool:
        """
        Have papa throw away what processes print, and forget them when they end. No process is stopped.

        @raise Error: if a name is not held.
        """
        self._ask(RemoveProcesses(names=args))
        return True

    def write_process(self, name: str, data: bytes) -> None:
        """
        Send bytes to the standard input of a process that was made with C{stdin=PIPE}.

        @raise Error: if it has none or does not read it.
        """
        self._ask(WriteProcess(name=name, data=data))

    def close_stdin(self, name: str) -> None:
        """
        End the standard input of a process.

        @raise Error: if it has none.
        """
        self._ask(CloseStdin(name=name))

    def watch_processes(self, *args: str, observe: bool = False, follow: bool = True) -> Watcher:
        """
        Read what processes print.

        @param observe: only look: what is read is kept for others, whatever is acknowledged.
        @param follow: wait for more; otherwise end with what is there.
        @raise Error: if a name is not held, or nothing matches.
        """
        return self._watch(WatchProcesses(names=args, observe=observe, follow=follow, holes=True))

    def exit_if_idle(self) -> bool:
        """Ask papa to end with its last connection, if it holds nothing; whether it does."""
        with self._lock:
            connection = self.connection or self._connect()
            leaving = connection.ask_to_exit_if_idle()
            if leaving:
                self.close()
            return leaving

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


def _given(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if value is not None}


def _named(number: int | None, names: Mapping[Any, str], refusal: str) -> str | None:
    if number is None:
        return None
    try:
        return names[number]
    except KeyError:
        raise BadRequest(refusal) from None


def _arguments(executable: str | None, args: str | Iterable[str] | None) -> tuple[str, ...]:
    first = () if executable is None else (executable,)
    if args is None:
        return first
    if isinstance(args, str):
        return (*first, args)
    try:
        return (*first, *map(str, args))
    except TypeError:
        return (*first, str(args))


def _limits(value: int | tuple[int, int]) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, tuple) else (int(value), int(value))


def _socket_dict(record: Socket) -> dict[str, Any]:
    """A socket as papa 1.0.6 gives it: texts but for the numbers that it made numbers, and nothing that is not set."""
    found: dict[str, Any] = {"family": record.family, "type": record.type, "backlog": record.backlog}
    found |= {
        "path": record.path,
        "umask": None if record.umask is None else str(record.umask),
        "host": record.host,
        "port": record.port,
        "interface": record.interface,
        "reuseport": "1" if record.reuseport else None,
        "fileno": record.fileno,
    }
    return _given(found)


def _process_dict(record: Process) -> dict[str, Any]:
    """A process as papa 1.0.6 gives it, with its exit code and losses where there are any."""
    return _given(
        {
            "args": " ".join(record.args),
            "pid": record.pid,
            "running": record.running,
            "started": record.started,
            "uid": str(record.uid),
            "gid": str(record.gid),
            "exit_code": record.exit_code,
            "dropped": record.dropped or None,
        }
    )
