"""
A bare read loop: starts a command, reads what it prints, 64 KiB at a time, and keeps none of it.

Prints the processor time that reading took, in seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main() -> None:
    """Read until the command has ended."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    before = time.process_time()
    read = os.read
    while read(descriptor, 65536):
        pass
    used = time.process_time() - before
    child.wait()
    print(used, flush=True)


main()
