"""The page on the console wire: its conversation is held with a real kernel."""

from __future__ import annotations

import ast
import re

from papa import Papa
from papa.records import Closed
from tests.docs.pages import source
from tests.support import KernelTestCase, Talk


def without_figures(said: str) -> str:
    """What is said, but for what is another each time: times, pids, ports, users."""
    said = re.sub(r"(?<=[:=])\d+\.\d+", "TIME", said)
    return re.sub(r"\b(pid|port|uid|gid|fileno)=\d+", r"\1=N", said)


class ConversationTests(KernelTestCase):
    """What the page shows."""

    def test_happens(self) -> None:
        """Every byte of it, but for figures."""
        lines = re.findall(r"^    (server|client)  ('.*')$", source("console-wire.rst"), flags=re.MULTILINE)
        self.assertGreater(len(lines), 25)
        kernel = self.serve()
        with Talk(kernel.connect()) as talk:
            for who, quoted in lines:
                said = ast.literal_eval(quoted)
                if who == "client":
                    if said.startswith("watch"):
                        self.wait_for_end(kernel.port, said.split()[-1])
                    talk.send(said.encode())
                    continue
                heard = talk.read_until(said[-2:].encode()) if said[-1] == " " else f"{talk.read_line()}\n".encode()
                self.assertEqual(without_figures(heard.decode()), without_figures(said))
            self.assertEqual(talk.read_to_end(), b"")

    def wait_for_end(self, port: int, name: str) -> None:
        """So that all it prints comes in one batch."""
        with Papa(port) as papa, papa.watch_processes(name, observe=True) as watcher:
            while (items := watcher.read_items()) is not None:
                if any(isinstance(item, Closed) for item in items):
                    return
