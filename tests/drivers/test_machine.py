"""What the machine has."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from papa.drivers import machine
from tests.drivers.apart import apart


class MemoryTests(SynchronousTestCase):
    """How much memory there is."""

    def setUp(self) -> None:
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path: str, text: str) -> str:
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def test_no_more_than_the_machine_has(self) -> None:
        """It is something, and no more than all."""
        with open("/proc/meminfo", encoding="ascii") as info:
            total = int(info.readline().split()[1]) << 10
        self.assertTrue(0 < machine.memory() <= total)

    def test_own_limit(self) -> None:
        """A limit of the address space counts."""
        self.assertEqual(apart(_limited), 1 << 30)

    def test_control_groups(self) -> None:
        """So does that of each group that papa is in; one without a limit does not, nor one that cannot be read."""
        own = self.write("own", "1:name=systemd:/other\n0::/a/b\n")
        self.write("a/b/memory.max", "max\n")
        self.write("a/memory.max", "300\n")
        self.write("memory.max", "500\n")
        self.assertEqual(list(machine._of_control_groups(self.root, own)), [300, 500])
        self.assertEqual(list(machine._of_control_groups("/nonexistent", "/nonexistent")), [])


def _limited() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    return machine.memory()
