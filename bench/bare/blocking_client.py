"""
A reader with the blocking client: C{blocking_client.py PATH NAME}.

Says when it is there; begins at a line, reads until the process is closed, and prints how many bytes have come.
"""

import sys

import papa
from papa.records import Output

client = papa.Papa(sys.argv[1])
client.list_values()
print("there", flush=True)
sys.stdin.readline()
size = 0
with client.watch_processes(sys.argv[2]) as watcher:
    while (items := watcher.read_items()) is not None:
        size += sum(len(item.data) for item in items if isinstance(item, Output))
print(size, flush=True)
