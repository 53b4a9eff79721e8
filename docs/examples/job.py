"""
Run a program under papa, show what it prints, and end with its exit code.

    papa serve --daemonize
    python job.py /bin/sh -c 'echo hello; exit 3'
"""

import sys
import time

from twisted.internet.task import react

from papa.client.deferred import connect
from papa.records import Closed, Output


async def main(reactor, *args):
    kernel = await connect(reactor)
    process = await kernel.make_process("job", args)
    print(f"pid {process.pid}")
    async with kernel.watch_processes("job") as watch:
        async for item in watch:
            if isinstance(item, Output):
                print(time.strftime("%H:%M:%S", time.localtime(item.timestamp)), item.data)
            elif isinstance(item, Closed):
                code = item.exit_code
            watch.acknowledge(item)
    raise SystemExit(code)


if __name__ == "__main__":
    react(main, sys.argv[1:])
