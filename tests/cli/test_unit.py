"""C{papa unit}, and what a kernel tells systemd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess

from tests.support import PATIENCE, KernelTestCase

#: What a kernel says again and again, where systemd watches it.
_ALIVE = [b"WATCHDOG=1", b"WATCHDOG=1"]


class UnitTests(KernelTestCase):
    """The printed unit."""

    def verify(self, *options: str) -> str:
        """What systemd has to say of the unit, of root's or a user's."""
        if shutil.which("systemd-analyze") is None:
            self.skipTest("needs systemd-analyze")
        path = os.path.join(self.folder, "papa.service")
        with open(path, "w", encoding="utf-8") as unit:
            unit.write(self.papa("unit", *options).stdout)
        finished = subprocess.run(
            ["systemd-analyze", "verify", *(["--user"] if options else []), path],
            env={**self.environ, "XDG_RUNTIME_DIR": self.folder},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return "".join(line for line in finished.stderr.splitlines() if "papa" in line)

    def test_systemd_takes_it(self) -> None:
        """Systemd finds nothing wrong with it."""
        self.assertEqual([self.verify(), self.verify("--user")], ["", ""])

    def test_children_are_left_alone(self) -> None:
        """It says what an operator counts on: started when it serves, ended alone, with descriptors for all."""
        for options in ((), ("--user",)):
            unit = self.papa("unit", *options).stdout
            for line in (
                "Type=notify",
                "KillMode=process",
                "Delegate=yes",
                "LimitNOFILE=1024:524288",
                "TasksMax=infinity",
                "NotifyAccess=all",
                "ExecReload=kill -USR2 $MAINPID",
                "FileDescriptorStoreMax=512",
                "Environment=FDSTORE=512",
                "StartLimitIntervalSec=0",
            ):
                self.assertIn(f"\n{line}\n", unit)
            self.assertIn(" papa serve --anchor\n", unit)


class NotifyTests(KernelTestCase):
    """A kernel that systemd has started."""

    def test_told(self) -> None:
        """Systemd is told when the kernel serves, and where, that it is alive if it asks for that, and that it ends."""
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            self.environ["NOTIFY_SOCKET"] = path
            for start in (self.serve, self.twistd):
                kernel = start()
                said = manager.recv(4096).decode()
                self.assertEqual(said, f"READY=1\nSTATUS=serving at {' and '.join(kernel.where)}")
                self.assertEqual(kernel.end(), 0)
                self.assertEqual(manager.recv(4096), b"STOPPING=1")
            self.environ["WATCHDOG_USEC"] = "200000"
            self.serve()
            self.assertEqual([manager.recv(4096)[:6], *(manager.recv(4096) for _ in range(2))], [b"READY=", *_ALIVE])

    def test_told_of_kernels(self) -> None:
        """Of an anchored one too, by each kernel, and that it is alive if systemd asks that of the anchor."""
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            self.environ |= {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
            # As systemd does it: the variable has the pid of the program that takes the shell's place.
            words = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]
            kernel = self.serve("--anchor", "-u", os.path.join(self.folder, "c.sock"), under=words)
            for _ in range(2):
                while not manager.recv(4096).startswith(b"READY=1"):
                    pass
                self.assertEqual([manager.recv(4096) for _ in range(2)], _ALIVE)
                kernel.process.send_signal(signal.SIGUSR2)
