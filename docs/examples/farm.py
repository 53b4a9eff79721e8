"""
Keep ten web servers running on one socket. Kill this program, with -9 too, and start it again: nobody notices.

    papa serve --daemonize
    python farm.py 8080 farm.log
"""

import os
import sys

from twisted.internet.task import react

from papa.client.deferred import connect
from papa.records import Closed, Hole, Output

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")


async def start(kernel, name):
    """Start a server; nothing happens if it runs."""
    command = [sys.executable, SERVER, "$(socket.farm.fileno)"]
    await kernel.make_process(name, command, working_dir=os.path.dirname(SERVER))


async def keep(kernel, port, log, count=10):
    """Keep the servers running, and what they print in a file, until somebody removes the cursor."""
    await kernel.make_socket("farm", port=port, backlog=128)
    for number in range(count):
        await start(kernel, f"farm.{number}")
    # The cursor holds our place while we are not there: what the servers print meanwhile waits for us.
    async with kernel.watch_processes("farm.*", cursor="farm") as watch:
        async for item in watch:
            if isinstance(item, Output):
                log.write(item.data)
            elif isinstance(item, Hole):
                log.write(b"... %d bytes are missing ...\n" % item.size)
            log.flush()
            noted = watch.acknowledge(item)
            if isinstance(item, Closed):
                print(f"{item.name} has ended with {item.exit_code}: starting another", flush=True)
                await noted  # Then the name is free.
                await start(kernel, item.name)


async def main(reactor, port, path):
    kernel = await connect(reactor)
    with open(path, "ab") as log:
        await keep(kernel, int(port), log)


if __name__ == "__main__":
    react(main, sys.argv[1:])
