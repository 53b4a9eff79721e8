"""Asking the kernel, and if that is killed or gives way meanwhile, the one that goes on from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from papa.client.location import Location
from papa.client.program import Connection
from papa.client.retrying import retried
from papa.errors import ConnectionLost, Unreachable

if TYPE_CHECKING:
    from papa.asked.command import Command
    from papa.asked.processes import LendProcess
    from papa.records import Lent
    from papa.wire.messages import Greeting

__all__ = ["PATIENCE", "Asker"]

#: How long a kernel may take to greet, and how long one that goes on is looked for, in seconds.
PATIENCE: Final = 5.0


class Asker:
    """Asks one thing after the other, each on the connection to the kernel that there is then."""

    def __init__(self, location: Location) -> None:
        """
        @raise OSError: if nobody answers.
        @raise Error: if the kernel refuses, or is none.
        """
        self._location = location
        self._connection = Connection(location, PATIENCE)

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
            connection = Connection(self._location, PATIENCE)
        except (OSError, Unreachable) as error:
            raise lost from error
        if connection.greeting.kernel != self.greeting.kernel:
            connection.close()
            raise lost
        self._connection.close()
        self._connection = connection
