"""The clock on the wall is moved, for a kernel alone: what was to happen happens, and nothing is lost."""

from __future__ import annotations

import glob
import os
import resource
import signal
import time

from twisted.trial.unittest import SkipTest

import papa
from papa.records import Closed, Item, Output
from tests.support import PATIENCE, KernelTestCase, until

_HOUR = 3600


class ClockTests(KernelTestCase):
    """A kernel whose clock is moved by hours."""

    def setUp(self) -> None:
        super().setUp()
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib/faketime/libfaketime.so.1")
        if not found:
            raise SkipTest("needs libfaketime, which is not installed here")
        self.clock = os.path.join(self.folder, "clock")
        self.move(0)
        self.environ |= {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": self.clock,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.serve("--anchor", "-u", os.path.join(self.folder, "console.sock"))
        del self.environ["LD_PRELOAD"]
        self.client = papa.Papa(os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock"))
        self.addCleanup(self.client.close)

    def move(self, seconds: int) -> None:
        """Have the clock go wrong by so much."""
        with open(f"{self.clock}.new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}\n")
        os.replace(f"{self.clock}.new", self.clock)

    def kill(self) -> None:
        """Kill the kernel."""
        self.client.list_values("none")
        assert self.client.kernel_pid is not None
        os.kill(self.client.kernel_pid, signal.SIGKILL)

    def test_what_happens_by_itself(self) -> None:
        """Output that there was no room for is read a second later, though it is an hour earlier by then."""
        self.client.list_values("none")
        pid = self.client.kernel_pid
        assert pid is not None
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        go, printed = os.path.join(self.folder, "go"), os.path.join(self.folder, "printed")
        os.mkfifo(go)
        self.client.make_process("job", "/bin/sh", ["-c", f"read x < {go}; echo text; : > {printed}"])
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        with open(go, "w", encoding="ascii") as fifo:
            fifo.write("go\n")
        until(lambda: os.path.exists(printed), "its output")
        for _ in range(2):
            self.client.list_values("none")
        self.assertNotIn("captured", self.client.list_processes()["job"])
        self.move(-_HOUR)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        until(lambda: self.client.list_processes()["job"].get("captured") == 5, "its output, read")

    def test_upgrade(self) -> None:
        """A kernel gives way at once, whatever its clock says meanwhile."""
        for seconds in (-_HOUR, _HOUR, -3 * _HOUR):
            before = self.client.kernel_pid
            begun = time.monotonic()
            self.move(seconds)
            self.client.upgrade()
            self.client.list_values("none")
            self.assertNotEqual(self.client.kernel_pid, before)
            self.assertLess(time.monotonic() - begun, PATIENCE)

    def test_output_and_events(self) -> None:
        """Marks and numbers go on; what has a time has the one that the clock showed."""
        self.client.make_process("job", "/bin/sh", ["-c", "while read x; do echo $x; done; exit 3"], stdin=papa.PIPE)
        read: list[Item] = []
        path = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        shifts = (0, -_HOUR, _HOUR, -2 * _HOUR, 0)
        with papa.Papa(path) as other, other.watch_processes("job", cursor="shipper") as watcher:
            for number, seconds in enumerate(shifts):
                self.move(seconds)
                self.client.set("shift", str(number))
                self.client.write_process("job", b"%d\n" % number)
                while not (items := watcher.read_items()):
                    self.assertIsNotNone(items)  # The connection was lost.
                read += items
                if number % 2:
                    self.kill()
            self.client.close_stdin("job")
            while (items := watcher.read_items()) is not None:
                read += items
        output = [item for item in read if isinstance(item, Output)]
        self.assertEqual(b"".join(item.data for item in output), b"0\n1\n2\n3\n4\n")
        for item, seconds in zip(output, shifts, strict=True):
            self.assertLess(abs(item.timestamp - time.time() - seconds), PATIENCE)
        self.assertEqual([item.exit_code for item in read if isinstance(item, Closed)], [3])
        with self.client.watch_events(since=0, follow=False) as events:
            told = list(events)
        self.assertEqual([each.number for each in told], list(range(1, len(told) + 1)))
        self.assertEqual(len([each for each in told if each.kind == "value-set"]), len(shifts))

    def test_logs(self) -> None:
        """What is shown since a time is what has a later one, and each process's lines come in their order."""
        for number, seconds in enumerate((0, -2 * _HOUR, 0)):
            self.move(seconds)
            name = f"job.{number}"
            self.client.make_process(name, "/bin/sh", ["-c", f"echo {number}"])
            until(lambda name=name: self.client.list_processes()[name].get("captured") == 2, "its output")
        self.assertEqual(self.papa("logs", "--raw").stdout, "1\n0\n2\n")
        self.assertEqual(self.papa("logs", "--raw", "--since", "1h").stdout, "0\n2\n")
