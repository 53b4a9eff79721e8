"""What a kernel is for a Twisted program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping

from twisted.internet.defer import Deferred
from zope.interface import Interface

from papa.asked.processes import DEFAULT_BUFSIZE
from papa.records import Cursor, Happened, Item, Lent, Process, Socket

__all__ = ["IRemoteKernel"]


class IRemoteKernel(Interface):
    """
    A kernel that is asked over a wire: its methods are those of the commands.

    A Deferred fails with a leaf of L{papa.errors}: with what the kernel refuses, with C{Unreachable} if none answers,
    and with C{ConnectionLost} if the connection went and it cannot be known whether it was done.
    """

    def make_socket(
        name: str,
        *,
        host: str | None = None,
        port: int = 0,
        family: str = "",
        type: str = "stream",
        backlog: int = 5,
        path: str | None = None,
        umask: int | None = None,
        interface: str | None = None,
        reuseport: bool = False,
    ) -> Deferred[Socket]:
        """Bind and hold a socket."""

    def list_sockets(*names: str) -> Deferred[dict[str, Socket]]:
        """The held sockets, by name."""

    def remove_sockets(*names: str) -> Deferred[None]:
        """Close and forget sockets."""

    def lend_socket(name: str) -> Deferred[Lent]:
        """A duplicate of a held socket; its descriptor is the caller's to close. Over Unix sockets only."""

    def take_socket(name: str, descriptor: int) -> Deferred[Socket]:
        """Have papa hold a duplicate of a bound socket. Over Unix sockets only."""

    def lend_process(name: str) -> Deferred[Lent]:
        """A pidfd of a process; its descriptor is the caller's to close. Over Unix sockets only."""

    def set(name: str, value: str | None = None) -> Deferred[None]:
        """Keep or remove a value."""

    def get(name: str) -> Deferred[str | None]:
        """A value, or L{None}."""

    def list_values(*names: str) -> Deferred[dict[str, str]]:
        """The values, by name."""

    def remove_values(*names: str) -> Deferred[None]:
        """Forget values."""

    def make_process(
        name: str,
        args: Iterable[str],
        *,
        env: Mapping[str, str] | None = None,
        inherit_env: bool = False,
        working_dir: str | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
        groups: Iterable[int | str] | None = None,
        rlimits: Mapping[str, tuple[int, int]] | None = None,
        umask: int | None = None,
        stdin: str = "null",
        stdout: str = "pipe",
        stderr: str = "pipe",
        bufsize: int = DEFAULT_BUFSIZE,
        overflow: str = "drop-oldest",
        listen: Iterable[str] = (),
        exclusive: bool = False,
        forget: bool = False,
    ) -> Deferred[Process]:
        """Start a process."""

    def list_processes(*names: str) -> Deferred[dict[str, Process]]:
        """The held processes, by name."""

    def remove_processes(*names: str) -> Deferred[None]:
        """Throw processes' output away, and forget them when they end."""

    def write_process(name: str, data: bytes) -> Deferred[None]:
        """Send bytes to the standard input of a process."""

    def close_stdin(name: str) -> Deferred[None]:
        """End the standard input of a process."""

    def exit_if_idle() -> Deferred[bool]:
        """End the kernel with its last connection, if it holds nothing: whether it will."""

    def upgrade(*, python: str = "") -> Deferred[None]:
        """Have another kernel go on with all that is held."""

    def list_cursors(*names: str) -> Deferred[dict[str, Cursor]]:
        """The cursors, by name."""

    def move_cursor(name: str, process: str, mark: int) -> Deferred[None]:
        """Have the next reading with a cursor begin elsewhere."""

    def remove_cursors(*names: str) -> Deferred[None]:
        """Forget cursors."""

    def watch_processes(
        *names: str, observe: bool = False, follow: bool = True, cursor: str = ""
    ) -> AsyncIterator[Item]:
        """Read what processes print."""

    def watch_events(since: int = -1, *, follow: bool = True, clients: bool = False) -> AsyncIterator[Happened]:
        """Follow what happens."""

    def close() -> Deferred[None]:
        """Disconnect for good."""
