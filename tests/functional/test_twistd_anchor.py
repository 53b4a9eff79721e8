"""C{twistd papa --anchor}."""

from __future__ import annotations

import os
import signal

import papa
from tests.client.sharing import parent_of
from tests.functional import test_continuity
from tests.support import PATIENCE, RealKernel, until


class TwistdTests(test_continuity.AnchoredTestCase):
    """Kernels under twistd, at an anchor."""

    def serve(self, *options: str, under: object = ()) -> RealKernel:
        """Under twistd instead."""
        return self.twistd(*options)

    def test_killed(self) -> None:
        """Another kernel goes on; it is a twistd too."""
        self.client.set("a", "b")
        self.client.make_process("job", "/bin/sh", ["-c", "read x; exit 3"], stdin=papa.PIPE)
        until(lambda: len(self.anchor.children()) == 3, "the kernel in reserve")
        for _ in range(2):
            self.kill()
            self.assertEqual(self.client.get("a"), "b")
            assert self.client.kernel_pid is not None
            self.assertEqual(parent_of(self.client.kernel_pid), self.anchor.pid)
            with open(f"/proc/{self.client.kernel_pid}/cmdline", "rb") as words:
                self.assertIn(b"twistd", words.read())
        self.client.write_process("job", b"go\n")
        with self.client.watch_processes("job") as watcher:
            self.assertEqual(test_continuity.KilledTests.read_all(watcher), (b"", 3))

    def test_upgrade(self) -> None:
        """It can give way, and its anchor become another program."""
        self.client.set("a", "b")
        before = self.client.kernel_pid
        self.client.upgrade()
        self.assertEqual(self.client.get("a"), "b")
        self.assertNotEqual(self.client.kernel_pid, before)
        self.kill()
        self.assertEqual(self.client.get("a"), "b")

    def test_ends(self) -> None:
        """SIGTERM ends all with exit code 0, and no file is left."""
        self.client.list_values("none")
        self.client.close()
        os.kill(self.anchor.pid, signal.SIGTERM)
        self.assertEqual(self.anchor.process.wait(PATIENCE), 0)
        left = os.listdir(self.environ["PAPA_RUNTIME_DIR"])
        self.assertEqual([name for name in left if name.endswith((".sock", ".pid"))], [])
