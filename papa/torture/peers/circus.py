"""
circus, as its documentation has it run: C{circusd FILE}.

Each printer has a watcher, since the processes of one share its file, which C{FileStream} writes. Exit codes come with
the C{reap} events, to which C{circusctl listen} listens. circusd holds the service's socket, with C{use_sockets}.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
from contextlib import ExitStack
from importlib import metadata

from papa.torture.peers.manager import Daemon, Plan, installed

__all__ = ["Circus"]

_SETTINGS = """\
[circus]
endpoint = tcp://127.0.0.1:{endpoint}
pubsub_endpoint = tcp://127.0.0.1:{pubsub}
statsd = False

[socket:service]
host = 127.0.0.1
port = {port}
blocking = True
so_reuseport = True

[watcher:service]
cmd = {service}
use_sockets = True
max_retry = -1
"""
_PRINTER = """
[watcher:{slot}]
cmd = {printer}
max_retry = -1
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/out.{slot}
stderr_stream.class = FileStream
stderr_stream.filename = {folder}/err.{slot}
"""

_REAPED = re.compile(r"^b'watcher\.printer\d+\.reap': b'(\{.*\})'$")


class Circus(Daemon):
    """One circusd, and a circusctl that listens to it."""

    def __init__(self, plan: Plan) -> None:
        settings = plan.path("circus.ini")
        super().__init__(plan, [installed("circusd", "circus"), settings])
        self.version = f"circus {metadata.version('circus')}"
        endpoint, pubsub = _free_ports(2)
        self._listen = [installed("circusctl", "circus"), "--endpoint", f"tcp://127.0.0.1:{pubsub}", "listen"]
        self._events = plan.path("events")
        self._listener: subprocess.Popen[bytes] | None = None
        with open(settings, "w", encoding="utf-8") as file:
            file.write(
                _SETTINGS.format(
                    port=plan.port,
                    endpoint=endpoint,
                    pubsub=pubsub,
                    service=shlex.join(plan.service("$(circus.sockets.service)")).replace("'", ""),
                )
            )
            for slot in (f"printer{number}" for number in range(plan.printers)):
                file.write(_PRINTER.format(slot=slot, folder=plan.folder, printer=shlex.join(plan.printer(slot))))

    def start(self) -> None:
        """Start circusd, and the first time who listens to it: that goes on by itself."""
        super().start()
        if self._listener is None:
            with open(self._events, "wb") as events:
                self._listener = subprocess.Popen(
                    [*self._listen, "watcher.printer"],
                    stdin=subprocess.DEVNULL,
                    stdout=events,
                    stderr=events,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )

    def end(self) -> None:
        """End both."""
        super().end()
        if self._listener is not None:
            self._listener.terminate()
            self._listener.wait()

    def codes(self) -> dict[int, int]:
        """What was told to the listener."""
        codes: dict[int, int] = {}
        with open(self._events, encoding="utf-8") as events:
            for line in events:
                if found := _REAPED.match(line.strip()):
                    told = json.loads(found[1])
                    codes[told["process_pid"]] = told["exit_code"]
        return codes


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
