"""
A dump: what an anchor holds of the state, in a file for people, when no kernel comes to serve. Standard library only.

It is a ledger, with an entry for each child before it: its pid, and how it has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from papa import places
from papa.continuity.kept import Child
from papa.continuity.log import encoded

__all__ = ["CHILD", "STATE", "dump", "dumps"]

#: The key under which the ledger is held.
STATE: Final = "ledger"
#: The kind of the entries of children, by the keys that they are held under.
CHILD: Final = "child"

#: How many are kept: the latest.
_MOST: Final = 3
_BEGIN: Final = "state-"
_END: Final = ".ledger"


def dump(state: int, children: Mapping[str, Child]) -> str:
    """
    Write one into the runtime folder, for this user's eyes only: values and environments may be secret.

    @param state: descriptor of the ledger, which stays as it is, with its offset.
    @return: where it is and what to do, or why there is none; in words.
    """
    running = sum(child.code is None for child in children.values())
    run = "process runs" if running == 1 else "processes run"
    told = f"{running} {run} on, nothing that is held is lost, and a kernel is tried again and again; "
    try:
        path = _written(state, children, places.runtime_folder())
    except Exception as error:  # noqa: BLE001 - a dump is not worth an anchor
        return f"{told}the state cannot be written down: {error}"
    return f"{told}papa doctor --state {path} shows the state as it is now"


def _written(state: int, children: Mapping[str, Child], folder: str) -> str:
    places.check(folder)
    for old in dumps(folder)[: 1 - _MOST]:
        with suppress(OSError):
            os.unlink(old)
    now = time.time()
    stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
    path = os.path.join(folder, f"{_BEGIN}{stamp}-{os.getpid()}{_END}")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(file, "wb", closefd=False) as target:
            target.writelines(encoded([CHILD, key, [child.pid, child.code]]) for key, child in children.items())
        size, copied = os.fstat(state).st_size, 0
        while copied < size:
            copied += os.sendfile(file, state, copied, size - copied)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)
    return path


def dumps(folder: str) -> list[str]:
    """The paths of those that lie in a folder, the oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if name.startswith(_BEGIN) and name.endswith(_END)]
