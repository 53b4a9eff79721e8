"""Starting a process that is at the other end of a line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence

from papa.continuity.channel import Channel
from papa.drivers.inheritance import DescriptorLimit

__all__ = ["start_at_line"]


def start_at_line(
    command: Callable[[int], Sequence[str]], limit: DescriptorLimit, descriptors: Iterable[int] = ()
) -> tuple[int, Channel]:
    """
    Start a process.

    @param command: gives its words, from the number of the descriptor of its end of the line.
    @param limit: gives it the limit of open files that papa was started with.
    @param descriptors: that it is to have besides.
    @return: its pid, which the caller reaps, and this end of the line.
    @raise OSError: if there is none to be had.
    """
    ours, theirs = Channel.pair()
    try:
        with limit.as_started():
            started = subprocess.Popen(
                command(theirs.fileno()), pass_fds=(theirs.fileno(), *descriptors), stdin=subprocess.DEVNULL
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    # A Popen that is collected would take the exit status for itself.
    started.returncode = 0
    return started.pid, ours
