"""
Record a session with papa, for README: real commands, on a terminal of their own, with a kernel of their own.

    pip install rich && python docs/recording.py docs/papa.svg

The picture is drawn as the session went: each line comes at its time, and stays. Pids, ports and times differ from one
recording to the next.
"""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios

from rich.console import Console
from rich.text import Text

WIDTH = 92

SESSION = [
    "papa run hello -- sh -c 'echo hello; echo oops >&2; exit 3'",
    "papa socket make web --port 18080",
    "papa run -d --listen web web.1 -- python3 server.py",
    "papa run -d --listen web web.2 -- python3 server.py",
    "papa wait --for 'output=serving' web.2",
    "papa value set deployed 2041",
    "papa status",
    "curl -s http://127.0.0.1:18080/",
    "papa signal TERM web.1",
    "curl -s http://127.0.0.1:18080/",
    "papa logs 'web.*'",
]

#: What is not shown: the end of it all.
ENDING = [
    "papa signal KILL 'web.*'",
    "papa rm 'web.*'",
    "papa socket rm web",
    "papa value rm deployed",
    "papa shutdown",
]

#: A server that takes its socket as systemd hands it over.
SERVER = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"served by process {os.getpid()}\\n".encode())
    def log_message(self, format, *args):
        print(f"{self.client_address[0]} {format % args}", flush=True)
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.server_name, server.server_port = server.socket.getsockname()
print("serving port", server.server_port, flush=True)
server.serve_forever()
"""

#: How long somebody who looks on needs for a command and what came of it, in seconds.
READING = 1.2


def run(command, environ, folder):
    """Run a command on a terminal; what it printed."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, WIDTH, 0, 0))
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], env=environ, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    said = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # Nobody has it open any more.
            break
        said += data
    os.close(master)
    process.wait()
    return said.decode().replace("\r\n", "\n")


def record(folder):
    """The lines of the session, as a terminal was sent them, each with the time at which it comes."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PAPA_")},
        "PAPA_RUNTIME_DIR": os.path.join(folder, "run"),
        "XDG_CONFIG_HOME": folder,
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
    }
    environ.pop("NO_COLOR", None)
    with open(os.path.join(folder, "server.py"), "w", encoding="utf-8") as server:
        server.write(SERVER)
    run("papa serve --daemonize -u $PWD/console.sock", environ, folder)
    lines = []
    clock = 0.5
    try:
        for command in SESSION:
            lines.append((clock, f"\x1b[1;32m$\x1b[0m {command}"))
            clock += 0.5
            lines += [(clock, line) for line in run(command, environ, folder).splitlines()]
            clock += READING
    finally:
        for command in ENDING:
            run(command, environ, folder)
    return lines


def draw(lines):
    """The picture."""
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    for _, line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, crop=True)
    svg = console.export_svg(title="papa", unique_id="papa")
    # What is fetched from elsewhere is not shown in a picture.
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    comes = "".join(
        f'[clip-path="url(#papa-line-{number})"]{{animation-delay:{when:.1f}s}}'
        for number, (when, _) in enumerate(lines)
    )
    style = (
        "<style>@media (prefers-reduced-motion:no-preference){"
        "@keyframes come{from{opacity:0}}"
        f".papa-matrix text{{animation:come 0.1s both}}{comes}}}</style>"
    )
    return svg.replace("</defs>", f"</defs>{style}", 1)


if __name__ == "__main__":
    folder = tempfile.mkdtemp(prefix="papa-recording-")
    try:
        picture = draw(record(folder))
    finally:
        shutil.rmtree(folder)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(picture)
