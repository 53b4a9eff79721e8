"""The peers that are managers: supervisor and circus, each started anew with what it is to run."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from bench.field import Field
from bench.started import Program

__all__ = ["CIRCUS", "SUPERVISOR", "Manager", "Starter", "managers"]

SUPERVISOR: Final = "supervisor"
CIRCUS: Final = "circus"

_SUPERVISOR: Final = """\
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={folder}/pid
minfds=8192
[program:child]
command={command}
numprocs={count}
process_name=%(program_name)s%(process_num)d
autorestart=false
startsecs=0
redirect_stderr=true
stdout_logfile={folder}/child%(process_num)d.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=0
"""

_CIRCUS: Final = """\
[circus]
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/pubsub
check_delay = 5
[watcher:child]
cmd = {command}
numprocesses = {count}
warmup_delay = 0
respawn = False
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/child.log
stdout_stream.max_bytes = 1048576
stdout_stream.backup_count = 0
"""


class Manager(Program):
    """
    A running manager.

    @ivar pids: of the processes that it consists of.
    """

    @property
    def pids(self) -> list[int]:
        return [self.pid]

    def children(self) -> list[int]:
        """The pids of what it has started."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as children:
            return [int(pid) for pid in children.read().split()]


Starter: TypeAlias = Callable[[Sequence[str], int], Manager]
"""Starts a manager that runs so many of a command."""


def managers(field: Field, names: Collection[str]) -> dict[str, Starter]:
    """What starts each of these managers that can run here, by its name."""
    found: dict[str, Starter] = {}
    for name, requirement, program, configuration in (
        (SUPERVISOR, "supervisor==4.3.*", ("supervisord", "-n", "-c"), _SUPERVISOR),
        (CIRCUS, "circus==0.19", ("circusd",), _CIRCUS),
    ):
        if name not in names:
            continue
        for python in field.perhaps(name, lambda requirement=requirement: field.python_with(requirement)):  # type: ignore[misc]
            folder = os.path.dirname(python)
            found[name] = _starter(field, [os.path.join(folder, program[0]), *program[1:]], configuration)
    return found


def _starter(field: Field, program: Sequence[str], configuration: str) -> Starter:
    def start(command: Sequence[str], count: int) -> Manager:
        folder = tempfile.mkdtemp(prefix="manager-", dir=field.folder)
        path = os.path.join(folder, "configuration")
        with open(path, "w", encoding="utf-8") as file:
            file.write(configuration.format(folder=folder, command=shlex.join(command), count=count))
        return Manager([*program, path], folder=folder, log=os.path.join(folder, "log"))

    return start
