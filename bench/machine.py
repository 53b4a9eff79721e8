"""What the machine is, and what a process has used of it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import papa

__all__ = ["anonymous", "cpu", "descriptors", "facts", "processes_left", "proportional", "threads"]


def cpu(pids: Iterable[int]) -> float:
    """
    The processor time that processes have used, in seconds.

    By the system's own clock of each (C{clock_gettime}), to the nanosecond and with threads that have ended; /proc
    would tell it in ticks of 10 ms.
    """
    return sum(time.clock_gettime_ns((~pid) << 3 | 2) for pid in pids) / 1e9


def _rollup(pids: Iterable[int], key: str) -> int:
    found = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            found += next(int(line.split()[1]) << 10 for line in rollup if line.startswith(f"{key}:"))
    return found


def proportional(pids: Iterable[int]) -> int:
    """The memory of processes in bytes, shared pages divided by those that share them (PSS)."""
    return _rollup(pids, "Pss")


def anonymous(pids: Iterable[int]) -> int:
    """
    The memory in bytes that is of no file, and so is what grows.

    PSS would shrink with each child that is started, for that shares the C library.
    """
    return _rollup(pids, "Anonymous")


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def processes_left() -> int:
    """How many more processes and threads there may be, as far as the system says."""
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    left = [1 << 22 if most == resource.RLIM_INFINITY else most]
    for folder in _groups():
        with suppress(OSError, ValueError):
            left.append(_number(folder, "pids.max") - _number(folder, "pids.current"))
    return min(left)


def _groups() -> Iterator[str]:
    """The folders of the control groups that bound how many processes there are, this process's and those above."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            root = "/sys/fs/cgroup" if not controllers else f"/sys/fs/cgroup/{controllers}"
            while "pids" in controllers or not controllers:
                yield root + path
                if path in ("/", ""):
                    break
                path = os.path.dirname(path)


def _number(folder: str, name: str) -> int:
    with open(os.path.join(folder, name), encoding="ascii") as file:
        return int(file.read())


def facts() -> dict[str, str]:
    """The machine and the programs, in words."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "Twisted": importlib.metadata.version("twisted"),
        "papa": papa.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()
