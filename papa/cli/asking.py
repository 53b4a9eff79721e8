"""Asking the kernel, and if that is killed or gives way meanwhile, the one that goes on from it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from papa.client.location import Location
from papa.client.program import Connection
from papa.client.retrying import retried
from papa.errors import ConnectionLost, Unreachable
from papa.wire.boxes import READ_SIZE

if TYPE_CHECKING:
    from papa.asked.command import Command
    from papa.asked.processes import LendProcess
    from papa.records import Lent
    from papa.wire.messages import Greeting

__all__ = ["PATIENCE", "Asker"]

#: How long a kernel may take to greet, or to answer before a person is told that it has not, and how long one that
#: goes on is looked for, in seconds.
PATIENCE: Final = 5.0


class Asker:
    """Asks one thing after the other, each on the connection to the kernel that there is then."""

    def __init__(self, location: Location) -> None:
        """
        @raise OSError: if nobody answers.
        @raise Error: if the kernel refuses, or is none.
        """
        self._location = location
        self._connection: Connection = _Telling(location)

    @property
    def greeting(self) -> Greeting:
        """What the kernel of now has said of itself."""
        return self._connection.greeting

    def fileno(self) -> int:
        """The descriptor of the connection of now."""
        return self._connection.fileno()

    def close(self) -> None:
        """Ask no more."""
        self._connection.close()

    def ask(self, command: Command) -> Any:
        """
        As L{Connection.ask}; asked again if it was not done, or if that does no harm.

        @raise ConnectionLost: if no kernel goes on, or it cannot be known whether it was done.
        """
        return self._converse(lambda connection: connection.ask(command), repeatable=command.repeatable)

    def lend(self, command: LendProcess) -> Lent:
        """As L{Connection.lend}."""
        lent: Lent = self._converse(lambda connection: connection.lend(command), repeatable=True)
        return lent

    def _converse(self, say: Callable[[Connection], Any], *, repeatable: bool) -> Any:
        if self._connection.lost:
            self._go_on(ConnectionLost("Lost connection"))
        return retried(lambda: say(self._connection), self._go_on, PATIENCE, repeatable=repeatable)

    def _go_on(self, lost: ConnectionLost) -> None:
        """Be connected to the kernel that goes on."""
        try:
            connection = _Telling(self._location)
        except (OSError, Unreachable) as error:
            raise lost from error
        if connection.greeting.kernel != self.greeting.kernel:
            connection.close()
            raise lost
        self._connection.close()
        self._connection = connection


class _Telling(Connection):
    """A connection that tells whoever sits at a terminal, once, that an answer is long in coming."""

    _told = True

    def __init__(self, location: Location) -> None:
        super().__init__(location, PATIENCE)
        # The greeting has a limit.
        self._told = not (sys.stderr and sys.stderr.isatty())

    def _received(self, size: int = READ_SIZE) -> bytes:
        if not self._told and not self._incoming(1000 * PATIENCE):
            self._told = True
            click.echo(
                # Not behind what is there already, as on the screen of papa top.
                f"\rpapa: the kernel (pid {self.greeting.pid}) has not answered for {PATIENCE:g} seconds; "
                "still waiting (Ctrl-C to stop)",
                err=True,
            )
        return super()._received(size)
