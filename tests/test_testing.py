"""The kernel in memory that users test with."""

from __future__ import annotations

import doctest

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from papa import steps, testing
from papa.errors import ConnectionLost, NotFound
from papa.records import Output
from papa.testing import MemoryKernel, result_of


class MemoryKernelTests(SynchronousTestCase):
    """A kernel in memory, as a user's test has it."""

    def test_documentation(self) -> None:
        """The example in the documentation does what it says."""
        self.assertEqual(doctest.testmod(testing), doctest.TestResults(failed=0, attempted=13))

    def test_an_endpoint(self) -> None:
        """It is an endpoint as any other."""
        self.assertTrue(verifyObject(IStreamClientEndpoint, MemoryKernel()))

    def test_result_of(self) -> None:
        """A result is given, a failure raised, and what has not come is an error of the test."""
        papa = MemoryKernel()
        kernel = result_of(papa.client())
        self.assertIsNone(result_of(kernel.get("x")))
        with self.assertRaises(NotFound):
            result_of(kernel.remove_sockets("nothing"))
        with self.assertRaises(AssertionError):
            result_of(Deferred())

    def test_however_long_it_takes(self) -> None:
        """A request is done though no time goes by, even where a kernel of its own would let others have turns."""
        self.patch(steps, "_WHILE", 0.0)
        papa = MemoryKernel()
        kernel = result_of(papa.client())
        for name in "abc":
            result_of(kernel.make_process(name, ["/bin/job"]))
        papa.child("b").print(b"x")
        said = result_of(kernel.watch_processes().__anext__())
        assert isinstance(said, Output)
        self.assertEqual(said.data, b"x")
        result_of(kernel.remove_processes())

    def test_several_clients(self) -> None:
        """Clients share what the kernel holds, and each is a connection of its own."""
        papa = MemoryKernel()
        first, second = result_of(papa.client()), result_of(papa.client())
        result_of(first.set("x", "y"))
        self.assertEqual(result_of(second.get("x")), "y")
        self.assertEqual(len(papa.attendance.guests), 2)

    def test_cut(self) -> None:
        """After a cut clients connect again when time has passed; what the kernel held stays."""
        papa = MemoryKernel()
        kernel = result_of(papa.client())
        result_of(kernel.set("x", "y"))
        papa.cut()
        got = kernel.get("x")
        self.assertNoResult(got)
        papa.clock.advance(1)
        self.assertEqual(self.successResultOf(got), "y")

    def test_cut_in_the_middle(self) -> None:
        """What is on its way when a connection is cut does not arrive."""
        papa = MemoryKernel()
        kernel = result_of(papa.client())
        papa.deaf = True
        made = kernel.make_process("job", ["/bin/job"])
        papa.cut()
        papa.deaf = False
        self.failureResultOf(made, ConnectionLost)
        self.assertTrue(papa.kernel.idle)

    def test_restart(self) -> None:
        """Another kernel holds nothing of what the first did."""
        papa = MemoryKernel()
        kernel = result_of(papa.client())
        result_of(kernel.set("x", "y"))
        papa.restart()
        papa.clock.advance(1)
        self.assertIsNone(result_of(kernel.get("x")))

    def test_events(self) -> None:
        """What happened can be looked up."""
        papa = MemoryKernel()
        result_of(result_of(papa.client()).set("x", "y"))
        self.assertEqual([(event.kind, event.name) for event in papa.events], [("value-set", "x")])
