"""
The blocking client, with the interface of papa 1.0.6: L{Papa} asks, L{Watcher} reads output.

Every method sends one command and waits for its answer. Threads may share a L{Papa}: their commands go one after the
other.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, cast

from papa import parameters
from papa.client import version1
from papa.client.conversation import Conversation
from papa.client.streams import DEVNULL, PIPE
from papa.client.watcher import EventReader, ProcessOutput, Watcher
from papa.commands import (
    CloseStdin,
    ExitIfIdle,
    Get,
    LendProcess,
    LendSocket,
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    MoveCursor,
    RemoveCursors,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    TakeSocket,
    Upgrade,
    WatchEvents,
    WatchProcesses,
    WriteProcess,
)

__all__ = ["Papa", "ProcessOutput", "Watcher"]


class Papa(Conversation):
    """A client of a kernel, with a method for each command; a kernel is started if none runs."""

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
        wanted: dict[str, Any] = {"family": version1.named(family, version1.FAMILIES, "Invalid socket family")}
        wanted["type"] = version1.named(socket_type, version1.TYPES, "Invalid socket type")
        wanted["backlog"] = None if backlog is None else int(backlog)
        if path:
            wanted |= {"path": path, "umask": None if umask is None else int(umask)}
        else:
            wanted |= {"host": host, "port": None if port is None else int(port), "interface": interface}
            wanted["reuseport"] = True if reuseport else None
        return version1.socket_dict(self._ask(MakeSocket(name=name, **version1.given(wanted))))

    def list_sockets(self, *args: str) -> dict[str, dict[str, Any]]:
        """The sockets of these names or patterns, or all."""
        return {name: version1.socket_dict(each) for name, each in self._ask(ListSockets(names=args)).items()}

    def remove_sockets(self, *args: str) -> bool:
        """
        Have papa close sockets.

        @raise Error: if a name is not held.
        """
        self._ask(RemoveSockets(names=args))
        return True

    def lend_socket(self, name: str) -> socket.socket:
        """
        A duplicate of a held socket, to serve on; papa goes on holding its own. Over Unix sockets only.

        @raise Error: if it is not held, or this is no Unix socket.
        """
        lent = self._converse(lambda connection: connection.lend(LendSocket(name=name)), repeatable=True)
        return socket.socket(fileno=lent.descriptor)

    def take_socket(self, name: str, sock: socket.socket) -> dict[str, Any]:
        """
        Have papa hold a duplicate of a socket that was bound here. Over Unix sockets only.

        @raise Error: if it is not bound, the name is taken, or this is no Unix socket.
        """
        taken = TakeSocket(name=name, descriptor=sock.fileno())
        return version1.socket_dict(self._converse(lambda connection: connection.take(taken)))

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
        exclusive: bool = False,
        forget: bool = False,
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
        @param exclusive: refuse if there is a process of this name, even if it was made the same.
        @param forget: forget it once it has ended and nobody reads it any more; its cursors have it first.
        @return: what L{list_processes} gives of it; with C{watch_immediately} a L{Watcher}.
        @raise Error: if it cannot be started, or the name is taken by another process.
        """
        wanted = {
            "name": name,
            "args": version1.arguments(executable, args),
            "env": {key: str(value) for key, value in (env or {}).items()},
            "inherit_env": inherit_env,
            "working_dir": working_dir,
            "uid": uid,
            "gid": gid,
            "groups": None if groups is None else tuple(groups),
            "rlimits": {key.lower(): version1.limits(value) for key, value in (rlimits or {}).items()},
            "umask": umask,
            "stdin": version1.named(stdin, {PIPE: "pipe", DEVNULL: "null"}, "stdin must be DEVNULL or PIPE"),
            "bufsize": parameters.size(bufsize) if isinstance(bufsize, str) else bufsize,
            "overflow": overflow,
            "listen": tuple(listen),
            "exclusive": exclusive,
            "forget": forget,
        }
        if bufsize != 0:
            wanted["stdout"] = version1.named(stdout, {PIPE: "pipe", DEVNULL: "null"}, "stdout must be DEVNULL or PIPE")
            wanted["stderr"] = version1.named(stderr, version1.OUTPUTS, "stderr must be DEVNULL, PIPE or STDOUT")
        process = self._ask(MakeProcess(**cast("Any", version1.given(wanted))))
        return self.watch_processes(name) if watch_immediately else version1.process_dict(process)

    def list_processes(self, *args: str) -> dict[str, dict[str, Any]]:
        """The processes of these names or patterns, or all."""
        return {name: version1.process_dict(each) for name, each in self._ask(ListProcesses(names=args)).items()}

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

    def lend_process(self, name: str) -> int:
        """
        A pidfd of a process, by which it, and no other in its place, can be signalled. Over Unix sockets only.

        @return: a descriptor, the caller's to close.
        @raise Error: if it is not held or has exited, or this is no Unix socket.
        """
        return self._converse(lambda connection: connection.lend(LendProcess(name=name)), repeatable=True).descriptor

    def watch_processes(self, *args: str, observe: bool = False, follow: bool = True, cursor: str = "") -> Watcher:
        """
        Read what processes print.

        @param observe: only look: what is read is kept for others, whatever is acknowledged.
        @param follow: wait for more; otherwise end with what is there.
        @param cursor: read with a place of this name. It outlives the reader; output waits for it, as far as the
            buffers go; and processes that are made later and match a wildcard join.
        @raise Error: if a name is not held, or nothing matches.
        """
        request = WatchProcesses(names=args, observe=observe, follow=follow, cursor=cursor)
        return Watcher(self, self._begin_watch(request), request)

    def list_cursors(self, *args: str) -> dict[str, dict[str, Any]]:
        """
        The cursors of these names or patterns, or all.

        @return: of each its C{patterns}, its C{marks} by process, how many bytes it is C{behind}, and whether somebody
            is C{reading} with it.
        """
        return {name: version1.cursor_dict(each) for name, each in self._ask(ListCursors(names=args)).items()}

    def move_cursor(self, name: str, process: str, mark: int) -> None:
        """
        Have the next reading with a cursor begin behind so many bytes of a process's output.

        @raise Error: if the cursor does not read that process, or it has not printed so much.
        """
        self._ask(MoveCursor(name=name, process=process, mark=mark))

    def remove_cursors(self, *args: str) -> bool:
        """
        Forget cursors.

        @raise Error: if a name is not held.
        """
        self._ask(RemoveCursors(names=args))
        return True

    def watch_events(self, since: int = -1, *, follow: bool = True, clients: bool = False) -> EventReader:
        """
        Follow what happens to sockets, values and processes, each event with a number and none left out.

        @param since: begin behind this number; -1 begins now, 0 with the oldest event that is kept.
        @param follow: wait for more; otherwise end with what is there.
        @param clients: tell of clients that come and go, too; that is not kept, and has no numbers of its own.
        @raise TooOld: if what comes behind that number is no longer kept.
        """
        request = WatchEvents(since=since, follow=follow, clients=clients)
        return EventReader(self, self._begin_watch(request), request)

    def exit_if_idle(self) -> bool:
        """Ask papa to end with its last connection, if it holds nothing; whether it does."""
        leaving = bool(self._ask(ExitIfIdle()))
        if leaving:
            self.close()
        return leaving

    def upgrade(self, python: str = "") -> None:
        """
        Have papa give way to another kernel, of the code that is installed now, which goes on with all that is held.

        @param python: the path of the Python to run it with; the same by default.
        @raise Error: if the next one cannot go on, with the reason; then nothing has happened.
        """
        self._ask(Upgrade(python=python))
