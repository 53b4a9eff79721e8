"""A server on a held socket, or on one of its own: it says the same to each who connects. Standard library only."""

from __future__ import annotations

import socket
import sys

__all__ = ["WORD", "main"]

WORD = b"still here\n"


def main(where: str, mark: str = "") -> None:
    """
    Serve for ever.

    @param where: the number of a descriptor, or C{port:} and that of a port of 127.0.0.1.
    @param mark: by which others know it.
    """
    own = where.startswith("port:")
    listener = socket.create_server(("127.0.0.1", int(where[5:]))) if own else socket.socket(fileno=int(where))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(WORD)


if __name__ == "__main__":
    main(*sys.argv[1:])
