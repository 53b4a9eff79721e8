"""Serve the current folder over HTTP, on a listening socket that somebody else made; the argument is its descriptor."""

import http.server
import os
import socket
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    """Tells on standard output who was served."""

    def log_message(self, format: str, *args: object) -> None:
        print(f"worker {os.getpid()}: {format % args}", flush=True)


server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.server_name, server.server_port = server.socket.getsockname()[:2]
print(f"worker {os.getpid()} serves port {server.server_port}", flush=True)
server.serve_forever()
