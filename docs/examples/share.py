"""Have papa hold a socket and start two servers that share it; then end. The servers do not."""

import os
import sys

import papa

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")

with papa.Papa() as kernel:
    web = kernel.make_socket("web", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080, backlog=128)
    for number in (1, 2):
        kernel.make_process(
            f"web.{number}", sys.executable, [SERVER, "$(socket.web.fileno)"], working_dir=os.path.dirname(SERVER)
        )
    print(f"two servers share port {web['port']}; this program ends now, they do not")
