"""C{papa console}: the console, with line editing and history."""

from __future__ import annotations

import io
import os
import re
import socket
import sys
from collections.abc import Mapping
from typing import Final

import click

from papa.cli.connecting import started_kernel
from papa.client.location import Location, default_location
from papa.commands import MakeProcess, WatchProcesses
from papa.errors import BadRequest, ConnectionLost, Error
from papa.visible import escaped
from papa.wire.grammar import TREE, parse
from papa.wire.text import BATCH_END, ERROR, EXITING, PROMPT, QUIT

__all__ = ["command"]

#: Telnet's interrupt: IAC IP.
_INTERRUPT: Final = b"\xff\xf4"
_EXITING_LINE: Final = EXITING.partition(b"\n")[0]
_QUIT_LINE: Final = QUIT.rstrip()
#: What stands before so many bytes of output, and a newline, in a watch.
_OUTPUT: Final = re.compile(rb"(?:out|err):[^:]+:[^:]+:([0-9]+)")


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """
    Talk to the kernel by hand; help lists what it understands.

    A kernel is started if none runs. Quotes hold words together: set greeting "hello world". While a watch waits,
    Ctrl-C stops it; Ctrl-D ends the conversation. Without a terminal, commands are read from standard input, and an
    error among the answers makes the exit code 1.
    """
    started_kernel(ctx).close()
    location = default_location(console=True) if ctx.obj is None else Location.read(ctx.obj)
    with location.connect(5) as sock:
        sys.exit(_Conversation(sock, interactive=sys.stdin.isatty()).hold())


class _Conversation:
    """A person, or a script, on the console wire."""

    def __init__(self, sock: socket.socket, *, interactive: bool) -> None:
        self._sock = sock
        self._interactive = interactive
        self._failed = False
        self._last = b""
        self._watching = False
        self._printed = 0

    def hold(self) -> int:
        """Talk until one side has had enough; the exit code."""
        if self._interactive:
            _prepare_editing()
        elif isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # Bytes that are no text are for the kernel to refuse.
        prompt = self._listen(show=self._interactive)
        line = ""
        while prompt:
            try:
                line = input(prompt if self._interactive else "")
            except EOFError:
                if self._interactive:
                    click.echo()
                break
            except KeyboardInterrupt:
                click.echo()
                continue
            self._watching = prompt == BATCH_END.decode() or _begins_watch(line)
            try:
                self._sock.sendall(line.encode(errors="surrogateescape") + b"\r\n")
            except OSError as error:
                raise ConnectionLost(f"Lost connection: {error.strerror}") from error
            prompt = self._listen()
            if line.strip() == "exit-if-idle" and self._last == _EXITING_LINE:
                break
        if not prompt and not (self._last == _QUIT_LINE and "quit".startswith(line.strip().lower())):
            raise ConnectionLost("Lost connection")
        return int(self._failed and not self._interactive)

    def _listen(self, *, show: bool = True) -> str:
        """Show what comes until it is our turn again; the prompt, or nothing once the kernel has hung up."""
        rest = b""
        while True:
            try:
                data = self._sock.recv(1 << 16)
            except KeyboardInterrupt:
                self._sock.sendall(_INTERRUPT)
                continue
            except OSError as error:
                raise ConnectionLost(f"Lost connection: {error.strerror}") from error
            rest += data
            if rest.startswith(b"\0"):
                raise BadRequest("That is the wire for programs; the one for people is console.sock in the same folder")
            rest = self._take_lines(rest, show=show)
            if not data:
                return ""
            if not self._printed and rest in (PROMPT, BATCH_END):
                return rest.decode()

    def _take_lines(self, said: bytes, *, show: bool) -> bytes:
        """Show whole lines; what is left. What a process has printed is no word of papa's, whatever it looks like."""
        while said:
            if self._printed:
                data, said = said[: self._printed], said[self._printed :]
                self._printed -= len(data)
                if show:
                    click.echo(self._written_out(data), nl=False)
                continue
            line, newline, behind = said.partition(b"\n")
            if not newline:
                return said
            said = behind
            self._last = line
            self._failed = self._failed or line.startswith(ERROR.encode())
            if show:
                click.echo(escaped(line.decode(errors="surrogateescape")))
            if self._watching and (output := _OUTPUT.fullmatch(line)) is not None:
                self._printed = int(output[1]) + 1  # And a newline.
        return said

    @staticmethod
    def _written_out(data: bytes) -> str:
        return "\n".join(escaped(line) for line in data.decode(errors="surrogateescape").split("\n"))


def _begins_watch(line: str) -> bool:
    """Whether what processes print comes in answer."""
    try:
        command = parse(line, typed=True)
    except Error:
        return False
    return isinstance(command, WatchProcesses) or (isinstance(command, MakeProcess) and command.watch)


def _prepare_editing() -> None:
    """Line editing, completion of commands, and a history that outlives the conversation."""
    import atexit
    import readline

    folder = os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "papa")
    history = os.path.join(folder, "history")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.path.exists(history):
            readline.read_history_file(history)
    except OSError:
        pass  # No history then; the conversation is worth more.
    else:
        atexit.register(_write_history, history)

    def complete(text: str, state: int) -> str | None:
        begun = readline.get_line_buffer()[: readline.get_begidx()].split()
        branch = TREE.get(begun[0]) if begun else TREE
        words = sorted(branch) if isinstance(branch, Mapping) and len(begun) < 2 else []
        matching = [f"{word} " for word in words if word.startswith(text)]
        return matching[state] if state < len(matching) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


def _write_history(path: str) -> None:
    import readline

    previous = os.umask(0o077)
    try:
        readline.write_history_file(path)
    except OSError:
        pass  # As above.
    finally:
        os.umask(previous)
