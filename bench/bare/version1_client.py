"""
A reader with the blocking interface that papa 1.0.6 and this papa share: C{version1_client.py PATH NAME}.

Says when it watches; prints how many bytes of standard output have come once the process was closed.
"""

import sys

import papa

watcher = papa.Papa(sys.argv[1]).watch_processes(sys.argv[2])
print("watching", flush=True)
size = 0
while watcher:
    answer = watcher.read()
    if answer is None:
        break
    size += sum(len(item.data) for item in answer[0])
print(size, flush=True)
