"""Web servers from PyPI that know nothing of papa, on a socket that papa holds and hands over as systemd does."""

from __future__ import annotations

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tests.support import PATIENCE, TalkTestCase, installed

_APPLICATIONS = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]

async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})
"""


class ServerTests(TalkTestCase):
    """A server that is started, ended and started again behind a socket that stays."""

    def check(self, words: str, expected: bytes) -> None:
        """
        Clients are answered that come before the server, and between two of them.

        @param words: the program and its arguments; it finds its application in the module C{app}.
        """
        with open(os.path.join(self.folder, "app.py"), "w", encoding="ascii") as file:
            file.write(_APPLICATIONS)
        made = self.talk.ask("make socket web port=0 backlog=16")
        port = made.partition(" port=")[2].split()[0]
        name, _, arguments = words.partition(" ")
        program = installed(name)
        line = f"listen=web env.HOME={self.folder} working_dir={self.folder} {program} {arguments}"
        with ThreadPoolExecutor() as pool:
            for name in ("first", "second"):
                answer = pool.submit(urllib.request.urlopen, f"http://127.0.0.1:{port}/", timeout=PATIENCE)
                started = self.talk.ask(f"make process {name} {line}")
                with answer.result() as response:
                    self.assertEqual(response.read(), expected)
                os.kill(int(started.partition(" pid=")[2].split()[0]), signal.SIGTERM)
                self.assertIsNotNone(self.talk.watch_to_end(name)[name].code)

    def test_gunicorn(self) -> None:
        """gunicorn takes the socket because of LISTEN_FDS and LISTEN_PID alone."""
        self.check("gunicorn app:wsgi", b"wsgi")

    def test_uvicorn(self) -> None:
        """uvicorn is told that its socket is the first one that is handed over."""
        self.check("uvicorn --fd 3 --lifespan off app:asgi", b"asgi")
