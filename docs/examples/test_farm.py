"""Tests of farm.py that start nothing: python -m twisted.trial test_farm"""

import io

from farm import keep
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papa.testing import MemoryKernel, result_of


class FarmTests(SynchronousTestCase):
    def setUp(self):
        self.papa = MemoryKernel()
        self.log = io.BytesIO()
        self.begin()
        self.addCleanup(self.end)

    def begin(self):
        """Start a manager."""
        self.kernel = result_of(self.papa.client())
        self.keeping = Deferred.fromCoroutine(keep(self.kernel, 8080, self.log, count=3))

    def end(self):
        """Disconnect it; what waits for a watch of its goes on as if that had ended."""
        self.kernel.close()
        self.papa.clock.advance(0)
        result_of(self.keeping)

    def child(self, number):
        """The program that runs in one of the processes."""
        return self.papa.child(f"farm.{number}")

    def test_servers_run(self):
        self.assertEqual(list(result_of(self.kernel.list_processes())), ["farm.0", "farm.1", "farm.2"])
        self.child(1).print(b"hello\n")
        self.assertEqual(self.log.getvalue(), b"hello\n")

    def test_one_that_ends_is_started_again(self):
        before = self.child(1)
        before.exit(1)
        self.assertIsNot(self.child(1), before)
        self.assertTrue(result_of(self.kernel.list_processes("farm.1"))["farm.1"].running)

    def test_connection_is_lost(self):
        self.papa.cut()
        self.child(2).print(b"meanwhile\n")
        self.papa.clock.advance(10)
        self.assertEqual(self.log.getvalue(), b"meanwhile\n")

    def test_another_takes_over(self):
        before = [self.child(number) for number in range(3)]
        self.end()
        before[0].print(b"while nobody was there\n")
        before[2].exit(1)
        self.begin()
        self.assertEqual(self.log.getvalue(), b"while nobody was there\n")
        self.assertEqual([self.child(0), self.child(1)], before[:2])
        self.assertIsNot(self.child(2), before[2])
