"""
Asks a kernel for a value again and again, and finds how long it was kept waiting: C{prober.py PATH PID…}.

At a line it says how long at most since the last line: in seconds by the clock, and in seconds that the kernel's
processes, the given ones, have computed meanwhile; the latter is not disturbed by whatever else the machine does. Where
two of them have computed side by side, it is no more than the time by the clock.
"""

from __future__ import annotations

import select
import socket
import sys
import time

from papa.commands import Get
from papa.wire import program
from papa.wire.boxes import BoxReader


def main() -> None:
    """Ask until standard input ends."""
    clocks = [(~int(pid)) << 3 | 2 for pid in sys.argv[2:]]
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    reader = BoxReader()
    request = program.request_bytes(Get(name="probe"), 1)

    def await_box() -> None:
        while reader.take() is None:
            reader.receive(sock.recv(65536))

    def computed() -> int:
        return sum(map(time.clock_gettime_ns, clocks))

    await_box()
    longest = most = 0
    asked = select.poll()
    asked.register(0, select.POLLIN | select.POLLHUP)
    while True:
        began, used = time.perf_counter_ns(), computed()
        sock.sendall(request)
        await_box()
        waited = time.perf_counter_ns() - began
        longest = max(longest, waited)
        most = max(most, min(waited, computed() - used))
        if asked.poll(1):
            if not sys.stdin.readline():
                return
            print(longest / 1e9, most / 1e9, flush=True)
            longest = most = 0


main()
