"""
Holds connections to a Unix path that a kernel serves: C{holder.py PATH COUNT}.

Each is held once the kernel has greeted it. Says so, and holds them until its standard input ends.
"""

import resource
import socket
import sys

most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
for _ in range(int(sys.argv[2])):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    if not sock.recv(1):
        sys.exit("the kernel refuses")
    held.append(sock)
print("holding", flush=True)
sys.stdin.read()
