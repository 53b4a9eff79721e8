"""
A bare read loop of a program that has other things to do as well: it asks the system what is ready before each read,
and keeps the last MiB with the time of each piece. Starts a command, and reads what it prints, 64 KiB at a time.

Prints the processor time that reading took, in seconds.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections import deque


def main() -> None:
    """Read until the command has ended."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)
    ready = select.epoll()
    ready.register(descriptor, select.EPOLLIN)
    before = time.process_time()
    kept: deque[tuple[float, bytes]] = deque()
    size = 0
    while True:
        ready.poll()
        data = os.read(descriptor, 65536)
        if not data:
            break
        kept.append((time.time(), data))
        size += len(data)
        while size > 1 << 20:
            size -= len(kept.popleft()[1])
    used = time.process_time() - before
    child.wait()
    print(used, flush=True)


main()
