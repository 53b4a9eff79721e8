"""A person at a terminal, who types along with a page of the documentation."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Mapping

import papa
from tests.functional.pages import INTERRUPT, UNTYPED, Block, blocks, pattern_of, python_exchanges, shell_exchanges
from tests.support import PATIENCE, KernelTestCase, program, script, until

__all__ = ["DOCS", "PageTestCase"]

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")

#: What a prompt looks like here: nothing else prints these characters. Between them stands the last exit code.
_PROMPT = "\x1e{}\x1f"
_PROMPTED = re.compile("\x1e(\\d*)\x1f$")
_ESCAPE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
_PORT = re.compile(r"\b(?:20202|80\d\d)\b")
#: Nothing is given these by the system on its own.
_PORTS = range(20300, 32000)


class _Conversation:
    """A program on a terminal of its own, which shows nothing of what is typed."""

    def __init__(self, command: list[str], folder: str, environ: Mapping[str, str]) -> None:
        self._terminal, inner = pty.openpty()
        modes = termios.tcgetattr(inner)
        modes[1] &= ~termios.OPOST
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(inner, termios.TCSANOW, modes)
        termios.tcsetwinsize(inner, (40, 100))
        self._program = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=_begin_at_terminal,  # noqa: PLW1509 - these tests have one thread
        )
        os.close(inner)
        self._unread = ""
        self._wait_for(_PROMPTED)
        self._unread = ""

    def _wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """
        Wait until what is shown contains something.

        @raise AssertionError: if it does not come.
        """
        deadline = time.monotonic() + PATIENCE
        while (found := pattern.search(self._unread)) is None:
            if not select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"waited for {pattern.pattern!r}, and was shown:\n{self._unread}")
            try:
                data = os.read(self._terminal, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                raise AssertionError(f"the program has ended, and had shown:\n{self._unread}") from error
            self._unread += data.decode(errors="replace")
        return found

    def type(self, text: str) -> None:
        os.write(self._terminal, f"{text}\n".encode())

    def answer(self, interrupted_after: str | None = None) -> tuple[str, int]:
        """
        What is shown until the next prompt, and the exit code that it tells.

        @param interrupted_after: Ctrl-C is pressed as soon as this is shown.
        """
        if interrupted_after is not None:
            self._wait_for(re.compile(rf"\A{pattern_of(interrupted_after).pattern}"))
            os.write(self._terminal, b"\x03")
        prompt = self._wait_for(_PROMPTED)
        text = _ESCAPE.sub("", self._unread[: prompt.start()]).replace("\r\n", "\n")
        self._unread = ""
        return "".join(f"{line.rstrip()}\n" for line in text.rstrip("\n").split("\n") if text.strip()), int(
            prompt[1] or 0
        )

    def close(self) -> None:
        """Hang up."""
        os.close(self._terminal)
        try:
            self._program.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()


def _begin_at_terminal() -> None:
    """Make standard input the terminal of this session, where Ctrl-C means something even if the tests ignore it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class PageTestCase(KernelTestCase):
    """
    Tests that do what a page says, in a folder with nothing but C{docs} in it, and compare what is shown.

    There is no kernel at first. The ports that a page names are others here.
    """

    def setUp(self) -> None:
        super().setUp()
        program("bash")
        self.home = os.path.join(self.folder, "home")
        os.mkdir(self.home)
        os.symlink(DOCS, os.path.join(self.home, "docs"))
        self._ports: dict[str, str] = {}
        # A page shows what a stranger sees, and no warnings that only tests ask for.
        self.environ.pop("PYTHONWARNINGS", None)
        self.environ |= {
            "HOME": self.home,
            "PATH": os.pathsep.join([os.path.dirname(script("python")), os.environ["PATH"]]),
            "PAPA_SERVE_PORT": self._port("20202"),
            "PYTHONSTARTUP": os.path.join(self.folder, "startup.py"),
            "PYTHON_BASIC_REPL": "1",
            # A page changes a program more than once a second, which a compiled one would not notice.
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            "PS1": _PROMPT.format("$?"),
            "PS2": "",
            "TERM": "dumb",
        }
        with open(self.environ["PYTHONSTARTUP"], "w", encoding="utf-8") as startup:
            startup.write(f"import sys; sys.ps1, sys.ps2 = {_PROMPT.format('')!r}, ''")
        self._conversations: dict[str, _Conversation] = {}
        self.addCleanup(self._leave)

    def _port(self, named: str) -> str:
        """The port to use for one that a page names."""
        if named not in self._ports:
            start = os.getpid() * 37 % len(_PORTS) + len(self._ports)
            for port in (_PORTS[(start + step * 101) % len(_PORTS)] for step in range(len(_PORTS))):
                with contextlib.suppress(OSError), socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
                    self._ports[named] = str(port)
                    break
        return self._ports[named]

    def here(self, text: str) -> str:
        """A text of a page, with the ports of this test."""
        return _PORT.sub(lambda found: self._port(found[0]), text)

    def follow(self, path: str, *, without: tuple[str, ...] = ()) -> int:
        """
        Do what a page says.

        @param without: what to leave out: the blocks of these classes.
        @return: how many commands were typed.
        """
        return sum(self.do(block) for block in blocks(path) if not set(without) & set(block.classes))

    def do(self, block: Block) -> int:
        """Write the file of a block, or type what it says; how many commands were typed."""
        if block.file:
            self._write(block)
        elif block.language == "console":
            return self._type("shell", ["bash", "--noprofile", "--norc", "--noediting", "-i"], block)
        elif block.language == "pycon":
            return self._type("python", [sys.executable, "-q"], block)
        elif block.language in UNTYPED:
            raise AssertionError(f"{block.where}: nobody can type a block of {block.language!r} along")
        return 0

    def _write(self, block: Block) -> None:
        path = os.path.join(self.home, block.file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.here(block.text))
        if block.text.startswith("#!"):
            os.chmod(path, 0o755)

    def _type(self, kind: str, command: list[str], block: Block) -> int:
        if kind not in self._conversations:
            self._conversations[kind] = _Conversation(command, self.home, self.environ)
        conversation = self._conversations[kind]
        exchanges = list((shell_exchanges if kind == "shell" else python_exchanges)(block.text))
        self.assertTrue(exchanges, f"{block.where}: nothing is typed")
        for index, exchange in enumerate(exchanges):
            place = f"{block.where}: {exchange.typed}"
            conversation.type(self.here(exchange.typed))
            before, pressed, after = self.here(exchange.shown).rpartition(f"{INTERRUPT}\n")
            expected = before + after
            try:
                shown, code = conversation.answer(before if pressed else None)
            except AssertionError as error:
                raise AssertionError(f"{place}\n{error}") from None
            if pattern_of(expected).fullmatch(shown) is None:
                raise AssertionError(f"{place}\nis to show:\n{expected}\nbut shows:\n{shown}")
            asked = [each.typed for each in exchanges[index + 1 : index + 2]] == ["echo $?"]
            if code and not asked and not pressed:
                raise AssertionError(f"{place}\nends with exit code {code}, and shows:\n{shown}")
        return len(exchanges)

    def end(self, name: str) -> None:
        """Kill the daemon whose pid is in a file that a page had it write, if it is still there."""
        with contextlib.suppress(OSError, ValueError), open(os.path.join(self.home, name), encoding="ascii") as file:
            os.kill(int(file.readline()), signal.SIGKILL)

    def _leave(self) -> None:
        for conversation in self._conversations.values():
            conversation.close()
        path = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        if not os.path.exists(path):
            return
        with contextlib.suppress(papa.Error), papa.Papa(path) as client:
            for process in client.list_processes().values():
                with contextlib.suppress(OSError):
                    os.killpg(process["pid"], signal.SIGKILL)
            # Whoever serves now need not be who began to listen there.
            assert client.kernel_pid is not None
            os.kill(client.kernel_pid, signal.SIGTERM)
            until(lambda: not os.path.exists(path), "the kernel's end")
