"""
Store what processes print in a database, each byte once, whenever this is killed.

    python ship.py output.db 'web.*'
"""

import sqlite3
import sys

import papa
from papa.records import Closed, Hole, Output

database = sqlite3.connect(sys.argv[1])
database.execute("CREATE TABLE IF NOT EXISTS output (process, invocation, time, channel, data)")
database.execute("CREATE TABLE IF NOT EXISTS places (invocation PRIMARY KEY, mark)")
database.execute("CREATE TABLE IF NOT EXISTS ends (process, invocation PRIMARY KEY, time, code)")


def store(item):
    if isinstance(item, Closed):
        end = (item.name, item.invocation, item.timestamp, item.exit_code)
        database.execute("INSERT OR IGNORE INTO ends VALUES (?, ?, ?, ?)", end)
        return
    [done] = database.execute("SELECT max(mark) FROM places WHERE invocation = ?", [item.invocation]).fetchone()
    if isinstance(item, Output):
        begin = item.mark - len(item.data)
        new = item.data[max(0, (done or 0) - begin) :]
        row = (item.name, item.invocation, item.timestamp, item.channel, new)
        database.execute("INSERT INTO output VALUES (?, ?, ?, ?, ?)", row)
    elif isinstance(item, Hole):
        print(f"{item.name}: {item.size} bytes are missing", flush=True)
    database.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (item.invocation, max(item.mark, done or 0)))


with papa.Papa() as kernel, kernel.watch_processes(*sys.argv[2:], cursor="database") as watcher:
    while (items := watcher.read_items()) is not None:  # This tells papa that the items before are safe.
        with database:  # One transaction: both what was printed and how far, or neither.
            for item in items:
                store(item)
