"""What signals do in a daemon."""

from __future__ import annotations

import signal
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.daemon import DaemonError, signal_map
from papa.daemon.signals import install, signal_number
from tests.drivers.apart import apart


class NumberTests(SynchronousTestCase):
    """The number of a signal."""

    def test_names(self) -> None:
        """A name counts with and without SIG, in any case."""
        for name in ("SIGHUP", "HUP", "hup", "sighup", "SigHup"):
            self.assertEqual(signal_number(name), signal.SIGHUP)
        self.assertEqual(signal_number("SIGRTMIN"), signal.SIGRTMIN)

    def test_numbers(self) -> None:
        """A number is one already, if the system has such a signal; those without a name are some, too."""
        for number in (1, signal.SIGHUP, signal.SIGUSR1, 15):
            self.assertEqual(signal_number(number), number)
        self.assertEqual(
            [signal_number(number) for number in sorted(signal.valid_signals())], sorted(signal.valid_signals())
        )

    def test_no_signal(self) -> None:
        """Anything else is refused, and the message shows it."""
        for what in ("SIGNOTHING", "", "SIG", "1", "SIG_IGN", 0, -1, 65, 4096, 2**70, None, 1.5, b"HUP"):
            error = self.assertRaises(DaemonError, signal_number, what)
            self.assertEqual(str(error), f"{what!r} is not a valid signal")


class InstallTests(SynchronousTestCase):
    """Having signals do something."""

    def setUp(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.heard: list[int] = []

    def hear(self, number: int, frame: object) -> None:
        self.heard.append(number)

    def test_method(self) -> None:
        """A name means a method of the owner."""
        installed = install({signal.SIGUSR1: "hear"}, self)
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(self.heard, [signal.SIGUSR1])
        self.assertEqual(installed, {signal.SIGUSR1: self.hear})

    def test_function(self) -> None:
        """A function is called with the number."""
        heard = []
        install({signal.SIGUSR1: lambda number, frame: heard.append(number)}, self)
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(heard, [signal.SIGUSR1])

    def test_nothing(self) -> None:
        """None is to do nothing, and what is given for the system goes to the system."""
        installed = install({signal.SIGUSR1: None, signal.SIGUSR2: signal.SIG_DFL}, self)
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(signal.getsignal(signal.SIGUSR1), signal.SIG_IGN)
        self.assertEqual(signal.getsignal(signal.SIGUSR2), signal.SIG_DFL)
        self.assertEqual(installed, {signal.SIGUSR1: signal.SIG_IGN, signal.SIGUSR2: signal.SIG_DFL})

    def test_without_a_name(self) -> None:
        """A signal that has no name can do something, too, and fail to."""
        number = signal.SIGRTMIN + 1
        install({number: "hear"}, self)
        signal.raise_signal(number)
        self.assertEqual(self.heard, [number])
        self.assertRaises(DaemonError, install, {number: "no_such_method"}, self)

    def test_cannot(self) -> None:
        """What cannot be done is said, with the signal and what it was to do."""
        for number, action, name in (
            (signal.SIGUSR1, "no_such_method", "SIGUSR1"),
            (signal.SIGUSR1, "heard", "SIGUSR1"),
            (signal.SIGUSR1, 3.5, "SIGUSR1"),
            (signal.SIGKILL, None, "SIGKILL"),
            (signal.SIGSTOP, "hear", "SIGSTOP"),
        ):
            actions: Any = {number: action}
            error = self.assertRaises(DaemonError, install, actions, self)
            self.assertIn(f"{name} cannot do {action!r}", str(error))

    def test_thread(self) -> None:
        """Only the main thread can."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                install({signal.SIGUSR1: None}, self)
            except DaemonError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual(len(errors), 1)
        self.assertIn("main thread", str(errors[0]))


class MapTests(SynchronousTestCase):
    """What signals do in every daemon."""

    def test_map(self) -> None:
        """A daemon ends in order when it is asked to, and has nothing to do with a terminal."""
        self.assertEqual(
            signal_map,
            {signal.SIGTERM: "sig_terminate", signal.SIGTSTP: None, signal.SIGTTIN: None, signal.SIGTTOU: None},
        )

    def test_changed(self) -> None:
        """A program may change that for all its daemons."""
        self.assertEqual(apart(change_map), "ignored")


def change_map() -> str:
    """What a signal does in a daemon of a program that has put it into the map of all."""
    from papa.daemon import Daemon

    signal_map["USR1"] = None
    Daemon(detach=False, process_ids=None).set_signals()
    return "ignored" if signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN else "not ignored"
