"""
A reader with the client for Twisted programs: C{deferred_client.py PATH NAME}.

Says when it is there; begins at a line, reads until the process is closed, and prints how many bytes have come.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from papa.client.deferred import connect
from papa.records import Closed, Output


async def read(reactor: Any) -> None:
    """Read to the end, and acknowledge each piece."""
    kernel = await connect(reactor, sys.argv[1])
    print("there", flush=True)
    sys.stdin.readline()
    size = 0
    async with kernel.watch_processes(sys.argv[2]) as watch:
        async for item in watch:
            if isinstance(item, Output):
                size += len(item.data)
            acknowledged = watch.acknowledge(item)
            if isinstance(item, Closed):
                await acknowledged
                break
    print(size, flush=True)
    await kernel.close()


react(lambda reactor: Deferred.fromCoroutine(read(reactor)))
