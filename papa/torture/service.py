"""A server on a held socket: it says the same to each who connects. Standard library only."""

from __future__ import annotations

import socket
import sys

__all__ = ["WORD", "main"]

WORD = b"still here\n"


def main(descriptor: int) -> None:
    """Serve for ever."""
    listener = socket.socket(fileno=descriptor)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(WORD)


if __name__ == "__main__":
    main(int(sys.argv[1]))
