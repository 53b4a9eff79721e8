"""
A process that keeps another, and ends all that it has left.

Whatever its descendants start becomes its own child at the latest when its parent ends, and it ends only once it has no
child: so nothing of them stays, however it came to be. It hears that it is to end as its standard input does, thus also
when the one at the other end of that is killed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from papa.continuity.orphans import adopt_orphans

__all__ = ["main"]

#: How long it waits for what it keeps to end in order, in seconds.
_PATIENCE: Final = 60.0
#: After what time it looks again for children that have come to it meanwhile, in seconds.
_AGAIN: Final = 0.01


def main(command: Sequence[str]) -> int:
    """
    Run a command until it ends or standard input does, then end it and all that it has left.

    @return: the command's exit code, as a shell has it.
    """
    adopt_orphans()
    kept = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ended = os.pidfd_open(kept.pid)
    select.select([sys.stdin.fileno(), ended], [], [])
    if kept.poll() is None:
        kept.terminate()
        select.select([ended], [], [], _PATIENCE)
    if kept.poll() is None:
        kept.kill()
    code = kept.wait()
    while _has_children():
        for pid in _children():
            # Nobody but this process reaps it, so that the number is still its own.
            os.kill(pid, signal.SIGKILL)
        select.select([], [], [], _AGAIN)
    return code if code >= 0 else 128 - code


def _has_children() -> bool:
    """Whether there is one left; those that have ended are reaped."""
    try:
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
