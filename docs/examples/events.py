"""
Show what happens in a kernel, from as far back as it is kept.

    python events.py
"""

import sys
import time

from twisted.internet.task import react

from papa.client.deferred import connect


async def main(reactor, since=0):
    kernel = await connect(reactor)
    async with kernel.watch_events(since=int(since)) as events:
        async for event in events:
            when = time.strftime("%H:%M:%S", time.localtime(event.timestamp))
            print(event.number, when, event.kind, event.name, event.detail, flush=True)


if __name__ == "__main__":
    react(main, sys.argv[1:])
