"""
Write the time into a file, in the background, until told to end.

    python clock_daemon.py start ~/clock
    python clock_daemon.py status ~/clock
    python clock_daemon.py stop ~/clock
"""

import sys
import time

from papa.daemon import Daemon, DaemonError


def tick(path):
    with open(path, "w", buffering=1) as clock:
        daemon.ready(f"writing to {path}")
        while True:
            print(time.strftime("%H:%M:%S"), file=clock)
            time.sleep(1)


verb, path = sys.argv[1:]
daemon = Daemon(tick, [path], pid_file=f"{path}.pid", log_file=f"{path}.log", await_ready=True, ready_timeout=10)
try:
    if verb == "start":
        daemon.start()
        print(f"process {daemon.pid} is {daemon.ready_status}")
    elif verb == "stop":
        print("ended" if daemon.stop() else "there was none")
    else:
        print(daemon.status())
except DaemonError as error:
    raise SystemExit(f"clock_daemon: {error}") from None
