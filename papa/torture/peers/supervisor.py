"""
supervisor, as its documentation has it run: C{supervisord -n -c FILE}.

Programs are started again whatever they exit with, at once; output goes to files that are not rotated; exit codes are
in its log. It holds no listening sockets but those of FastCGI programs, so the service binds its own.
"""

from __future__ import annotations

import re
import shlex
import subprocess

from papa.torture.peers.manager import Daemon, Plan, installed

__all__ = ["Supervisor"]

_SETTINGS = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
logfile_maxbytes=0
pidfile={folder}/supervisord.pid
childlogdir={folder}

[program:printer]
command={printer}
process_name=printer%(process_num)d
numprocs={printers}
autorestart=true
startsecs=0
stdout_logfile={folder}/out.%(process_num)d
stdout_logfile_maxbytes=0
stderr_logfile={folder}/err.%(process_num)d

[program:service]
command={service}
autorestart=true
stdout_logfile={folder}/service
stderr_logfile={folder}/service.err
"""

_SPAWNED = re.compile(r"INFO spawned: '(\S+)' with pid (\d+)")
_EXITED = re.compile(r"(?:INFO|WARN) exited: (\S+) \((?:exit status (\d+)|terminated by (\S+))")


class Supervisor(Daemon):
    """One supervisord."""

    def __init__(self, plan: Plan) -> None:
        program = installed("supervisord", "supervisor")
        settings = plan.path("supervisord.conf")
        super().__init__(plan, [program, "-n", "-c", settings])
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
        self.version = f"supervisor {said.stdout.strip()}"
        with open(settings, "w", encoding="utf-8") as file:
            file.write(
                _SETTINGS.format(
                    folder=plan.folder,
                    printers=plan.printers,
                    printer=shlex.join(plan.printer("printer%(process_num)d")).replace("'", ""),
                    service=shlex.join(plan.service(f"port:{plan.port}")),
                )
            )

    def codes(self) -> dict[int, int]:
        """What is in the log."""
        codes: dict[int, int] = {}
        pids: dict[str, int] = {}
        with open(self._plan.path("supervisord.log"), encoding="utf-8") as log:
            for line in log:
                if spawned := _SPAWNED.search(line):
                    pids[spawned[1]] = int(spawned[2])
                elif (exited := _EXITED.search(line)) and exited[2] and exited[1] in pids:
                    codes[pids.pop(exited[1])] = int(exited[2])
        return codes
