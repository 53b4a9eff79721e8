"""Say hello over HTTP, on the listening socket that was handed over, as its first: descriptor 3."""

import http.server
import socket
import sys


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"hello from {sys.argv[1]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *args):
        print(self.requestline, flush=True)


server = http.server.HTTPServer(("", 0), Hello, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
