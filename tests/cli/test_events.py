"""C{papa events} and C{papa shutdown}."""

from __future__ import annotations

import json
import signal

import papa
from tests.support import PATIENCE, KernelTestCase


class EventsTests(KernelTestCase):
    """What happens."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve("-p", "0")
        self.client = papa.Papa(self.kernel.port)
        self.addCleanup(self.client.close)

    def test_shown(self) -> None:
        """What has happened is shown with number, time and figure; behind a number, the rest of it."""
        self.client.set("x", "1")
        pid = self.client.make_process("job", "/bin/sh", ["-c", "exit 3"])["pid"]
        self.papa("wait", "job")
        said = self.papa("events").stdout
        time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
        self.assertRegex(
            said,
            rf"^ +1  {time}  value-set        x\n +2  {time}  process-made     job \(pid {pid}\)\n"
            rf" +3  {time}  process-exited   job \(exit code 3\)\n +4  {time}  process-closed   job\n$",
        )
        told = [json.loads(line) for line in self.papa("events", "--json", "--since", "2").stdout.splitlines()]
        self.assertEqual([told[0][key] for key in ("number", "kind", "detail")], [3, "process-exited", 3])
        self.papa("events", "--since", "99", code=2)

    def test_followed(self) -> None:
        """With -f it goes on until it is interrupted; clients are told of if that is asked for."""
        events = self.begin_papa("events", "-f", "--clients", "--json", stderr=None)
        assert events.stdout is not None
        self.client.set("x", "1")
        kinds = (json.loads(line)["kind"] for line in events.stdout)
        self.assertIn("value-set", kinds)
        self.papa("status")
        # The follower's own comings and goings may still be told.
        self.assertIn("client-came", kinds)
        self.assertIn("client-gone", kinds)
        events.send_signal(signal.SIGINT)
        self.assertEqual(events.wait(PATIENCE), 0)


class ShutdownTests(KernelTestCase):
    """Ending a kernel."""

    def test_held(self) -> None:
        """A kernel that holds something stays, and what it holds is said."""
        kernel = self.serve("-p", "0")
        with papa.Papa(kernel.port) as client:
            client.set("x", "1")
            client.set("y", "1")
            client.make_socket("web")
            client.make_process("job", "sleep", ["1000"])
        said = self.papa("shutdown", code=3).stderr
        self.assertIn("the kernel stays: it holds 1 process, 1 socket, 2 values; papa status shows what", said)
        self.assertIsNone(kernel.process.poll())

    def test_ends(self) -> None:
        """One that holds nothing ends."""
        kernel = self.serve("-p", "0")
        self.assertEqual(self.papa("shutdown").stdout, "papa ends with its last connection\n")
        self.assertEqual(kernel.process.wait(PATIENCE), 0)
        self.papa("shutdown", code=69)
