"""A bare Twisted server at a Unix path that sends back what it receives: C{echo.py PATH}. Says when it serves."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        assert self.transport is not None
        self.transport.write(data)


def main() -> None:
    """Serve until it is ended."""
    system: Any = reactor
    system.listenUNIX(sys.argv[1], Factory.forProtocol(Echo))
    print("serves", flush=True)
    system.run()


main()
