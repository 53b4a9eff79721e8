"""The sockets that papa holds, and how they are lent to processes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from papa.commands import ListSockets, MakeSocket, TakeSocket
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotFound, SocketFailed
from papa.interfaces import IEventObserver, IHeldSocket, ILedger, ISocketDriver
from papa.kernel.remembered import from_ledger, to_ledger
from papa.names import Named, nearest, select
from papa.records import Event, Lent, Socket

__all__ = ["Loan", "Sockets"]

#: The kind of entry in the ledger, by name.
_SOCKET: Final = "socket"

_REFERENCE = re.compile(r"\$\(socket\.([^)]*)(\)?)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    request: MakeSocket
    held: IHeldSocket

    def record(self) -> Socket:
        request = self.request
        return Socket(
            name=request.name,
            family=request.family,
            type=request.type,
            backlog=request.backlog,
            path=request.path,
            umask=request.umask,
            host=request.host,
            port=self.held.port,
            interface=request.interface,
            reuseport=request.reuseport,
            fileno=self.held.fileno,
        )


class Sockets:
    """All held sockets, by name."""

    def __init__(self, driver: ISocketDriver, *, events: IEventObserver, ledger: ILedger) -> None:
        self._ledger = ledger
        self._driver = driver
        self._events = events
        self._held: Named[_Entry] = Named()
        # The first socket that is held at each path: what was taken may have the path of another.
        self._paths: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._held)

    def make(self, request: MakeSocket) -> Socket:
        """Bind and hold a socket, or give the one that was made with the same request."""
        existing = self._held.get(request.name)
        if existing is not None:
            self._check_same(existing, request)
            return existing.record()
        if request.path in self._paths:
            raise SocketFailed(f"Socket path {request.path} is held already, as {self._paths[request.path]}")
        return self._keep(_Entry(request=request, held=self._driver.hold(request)))

    @staticmethod
    def _check_same(existing: _Entry, request: MakeSocket) -> None:
        """Port 0, any port, is the same as the one that was given for it."""
        port = existing.held.port if request.port else 0
        before = dataclasses.replace(existing.request, port=port or 0)
        different = before.differences(request)
        if different:
            listed = ", ".join(f"{field}={value}" for field, value in different.items())
            raise AlreadyDiffers(
                f"Socket {request.name} has already been created with {listed}: remove it first, or choose another name"
            )

    def lend(self, name: str) -> Lent:
        """A descriptor of a held socket."""
        return Lent(descriptor=self.get(name).lend(), record=self._held[name].record())

    def take(self, request: TakeSocket) -> Socket:
        """Hold a socket that was bound elsewhere."""
        if request.name in self._held:
            raise AlreadyDiffers(f"Socket {request.name} has already been created: remove it first")
        spec, held = self._driver.take(request.name, request.descriptor)
        return self._keep(_Entry(request=spec, held=held))

    def _keep(self, entry: _Entry) -> Socket:
        name = entry.request.name
        try:
            self._ledger.put(_SOCKET, name, {"request": to_ledger(entry.request), "fileno": entry.held.fileno})
        except BaseException:
            entry.held.close()
            raise
        self._add(entry)
        self._events.happened(Event(kind="socket-made", name=name, detail=entry.held.fileno))
        return entry.record()

    def _add(self, entry: _Entry) -> None:
        self._held[entry.request.name] = entry
        if entry.request.path is not None:
            self._paths.setdefault(entry.request.path, entry.request.name)

    def restore(self, entries: Mapping[str, Any]) -> None:
        """Hold again what the ledger knows of; what is no longer there is forgotten."""
        for name, entry in entries.items():
            request = from_ledger(MakeSocket, entry["request"])
            try:
                held = self._driver.adopt(request, entry["fileno"])
            except SocketFailed:
                # All else is not to be lost with it.
                with suppress(LimitReached):
                    self._ledger.remove(_SOCKET, name)
                self._events.happened(Event(kind="socket-removed", name=name))
            else:
                self._add(_Entry(request=request, held=held))

    def list(self, request: ListSockets) -> dict[str, Socket]:
        """The sockets that a request selects."""
        selected = self._select(request.names, after=request.after, most=request.most)
        return {name: entry.record() for name, entry in selected.items()}

    def remove(self, patterns: Sequence[str]) -> None:
        """Close and forget sockets."""
        for name, entry in self._select(patterns, required=True).items():
            self._ledger.remove(_SOCKET, name)
            del self._held[name]
            if entry.request.path is not None and self._paths.get(entry.request.path) == name:
                del self._paths[entry.request.path]
            entry.held.close()
            self._events.happened(Event(kind="socket-removed", name=name))

    def _select(
        self, patterns: Sequence[str], *, required: bool = False, after: str = "", most: int = 0
    ) -> dict[str, _Entry]:
        return select(
            self._held,
            patterns,
            kind="Socket",
            required=required,
            number=lambda entry: entry.held.fileno,
            after=after,
            most=most,
        )

    def get(self, name: str) -> IHeldSocket:
        """
        The socket of that name.

        @raise NotFound: if there is none.
        """
        try:
            return self._held[name].held
        except KeyError:
            raise NotFound(f"Socket {name!r} not found{nearest(name, self._held)}") from None

    @contextmanager
    def loan(self) -> Iterator[Loan]:
        """Collect what one process needs of the sockets; those made for it alone are closed in papa at the end."""
        loan = Loan(self)
        try:
            yield loan
        finally:
            loan.close()


class Loan:
    """The sockets that one process is given."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._own: dict[str, IHeldSocket] = {}
        self._descriptors: dict[str, int] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that the process is to inherit."""
        return tuple(self._descriptors.values())

    def descriptor(self, name: str) -> int:
        """
        The number under which the process finds the socket.

        @raise NotFound: if there is no such socket.
        """
        if name not in self._descriptors:
            held = self._sockets.get(name)
            if held.fileno is None:
                held = self._own[name] = held.duplicate()
            assert held.fileno is not None
            self._descriptors[name] = held.fileno
        return self._descriptors[name]

    def substitute(self, text: str) -> str:
        """Put in the numbers for C{$(socket.NAME.fileno)} and C{$(socket.NAME.port)}, wherever they stand."""
        return _REFERENCE.sub(self._number, text)

    def _number(self, reference: re.Match[str]) -> str:
        inside, closing = reference.groups()
        name, _, part = inside.rpartition(".")
        if not closing:
            raise BadRequest(f"{reference.group()!r} has no closing parenthesis: write $(socket.NAME.fileno)")
        if not name or part not in ("fileno", "port"):
            raise BadRequest(f"{reference.group()!r} must end in .fileno or .port, as $(socket.NAME.fileno)")
        if part == "fileno":
            return str(self.descriptor(name))
        port = self._sockets.get(name).port
        if port is None:
            raise BadRequest(f"Socket {name!r} is a unix socket and has no port")
        return str(port)

    def close(self) -> None:
        """Close the sockets that were made for the process alone: it has them by now, or it did not start."""
        for held in self._own.values():
            held.close()
