"""Passes connections to one Unix socket on to another, as ssh does between machines. Run as a program by a test."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    """All that comes, to the end."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def main(path: str, target: str) -> None:
    """Serve until ended; a line says that it does."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        while True:
            client, _ = listening.accept()
            kernel = socket.socket(socket.AF_UNIX)
            kernel.connect(target)
            for ends in ((client, kernel), (kernel, client)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
