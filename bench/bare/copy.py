"""
One process sends bytes to another over a pair of Unix sockets, 64 KiB at a time: C{copy.py SIZE}.

Says when it is there; begins at a line, and prints how many bytes have come.
"""

import os
import socket
import sys

size = int(sys.argv[1])
here, there = socket.socketpair()
print("there", flush=True)
sys.stdin.readline()
if not os.fork():
    here.close()
    chunk = bytes(65536)
    for _ in range(size >> 16):
        there.sendall(chunk)
    os._exit(0)
there.close()
came = 0
while data := here.recv(65536):
    came += len(data)
os.wait()
print(came, flush=True)
