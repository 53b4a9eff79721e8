"""Asking a kernel that is killed, or gives way, meanwhile."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import threading

import papa
from papa.asked.listings import ListProcesses, ListValues
from papa.asked.processes import LendProcess, MakeProcess, WriteProcess
from papa.asked.values import Get, Set
from papa.cli.asking import Asker
from papa.client.location import Location
from papa.errors import ConnectionLost, NotFound
from tests.functional.test_continuity import AnchoredTestCase
from tests.support import KernelTestCase, until


class AskerTests(AnchoredTestCase):
    """At an anchor another kernel goes on."""

    def setUp(self) -> None:
        super().setUp()
        self.asker = Asker(Location.read(self.anchor.path))
        self.addCleanup(self.asker.close)
        self.asker.ask(Set(name="a", value="b"))

    def test_killed_before(self) -> None:
        """The one that goes on is asked, whatever it is."""
        before = self.kill()
        made = self.asker.ask(MakeProcess(name="job", args=("/bin/sleep", "100")))
        self.assertEqual(list(self.asker.ask(ListProcesses())), ["job"])
        self.assertNotEqual(self.asker.greeting.pid, before)
        self.kill()
        handle = self.asker.lend(LendProcess(name="job")).descriptor
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        self.assertEqual(self.asker.ask(ListProcesses())["job"].pid, made.pid)

    def test_killed_with_the_question_in_hand(self) -> None:
        """It is asked again if that does no harm; what might be done twice is not."""
        self.client.make_process("job", "/bin/sh", ["-c", "read x; read y"], stdin=papa.PIPE)
        for harmless in (True, False):
            kernel = self.asker.greeting.pid
            os.kill(kernel, signal.SIGSTOP)
            killer = threading.Thread(target=self.kill_when_asked, args=(kernel,))
            killer.start()
            if harmless:
                self.assertEqual(self.asker.ask(Get(name="a")), "b")
            else:
                self.assertRaises(ConnectionLost, self.asker.ask, WriteProcess(name="job", data=b"x\n"))
            killer.join()

    def kill_when_asked(self, kernel: int) -> None:
        """Kill a kernel that was stopped, once there is something that it has not heard."""

        def unheard() -> int:
            return struct.unpack("i", fcntl.ioctl(self.asker.fileno(), termios.TIOCOUTQ, bytes(4)))[0]

        until(unheard, "a question")
        os.kill(kernel, signal.SIGKILL)

    def test_gives_way(self) -> None:
        """Nobody notices."""
        before = self.asker.greeting.pid
        self.client.upgrade()
        self.assertEqual(self.asker.ask(ListValues()), {"a": "b"})
        self.assertNotEqual(self.asker.greeting.pid, before)
        with self.assertRaises(NotFound):
            self.asker.ask(LendProcess(name="job"))


class GoneTests(KernelTestCase):
    """Without an anchor none does."""

    def test_gone(self) -> None:
        """That is said, also if there is another of its own at the same place by then."""
        kernel = self.serve()
        asker = Asker(Location.read(kernel.path))
        self.addCleanup(asker.close)
        kernel.end()
        with self.assertRaisesRegex(ConnectionLost, "^Lost connection$"):
            asker.ask(ListValues())
        self.serve()
        with self.assertRaisesRegex(ConnectionLost, "^Lost connection$"):
            asker.ask(ListValues())
