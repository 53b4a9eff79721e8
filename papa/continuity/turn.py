"""
Waiting for one's turn to be the kernel.

A process that has everything loaded, and nothing opened, waits until the anchor has something to tell it. Then it
leaves a copy of itself waiting in its place, and becomes the kernel. So there is always one that can begin at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from papa.continuity.channel import Channel

__all__ = ["await_turn"]


def await_turn(line: int, *, own: Iterable[int] = ()) -> bool:
    """
    Return when it is this process's turn; end it if that will not come.

    Each return is in a process of its own. There must be one thread, and no reactor yet.

    @param line: descriptor of the line to the anchor; it leads there in whichever process this returns.
    @param own: descriptors that are not for copies.
    @return: whether this is a copy.
    """
    copied = False
    while True:
        if not _told(line):
            os._exit(0)
        ours, theirs = Channel.pair()
        try:
            pid = os.fork()
        except OSError:
            # The anchor starts another in its own way.
            ours.close()
            theirs.close()
            return copied
        if pid:
            ours.close()
            _introduce(line, theirs, pid)
            return copied
        if not copied:
            copied = True
            for descriptor in own:
                os.close(descriptor)
        theirs.close()
        os.dup2(ours.fileno(), line, inheritable=False)
        ours.close()


def _told(line: int) -> bool:
    """Wait until the anchor has something to tell; whether it has, and did not hang up."""
    with socket.socket(fileno=os.dup(line)) as waiting:
        waiting.setblocking(True)
        try:
            return bool(waiting.recv(1, socket.MSG_PEEK))
        except ConnectionError:
            return False


def _introduce(line: int, theirs: Channel, pid: int) -> None:
    """Tell the anchor of the copy."""
    channel = Channel(os.dup(line))
    try:
        channel.send({"do": "spare", "pid": pid}, [theirs.fileno()])
    except OSError:
        pass  # It has gone, as this process will see for itself.
    finally:
        channel.close()
        theirs.close()
