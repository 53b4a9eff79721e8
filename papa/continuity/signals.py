"""Signals as bytes in a pipe, for a program that sleeps in a poll."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from papa.drivers.inheritance import reset_signals

__all__ = ["signal_pipe"]


def signal_pipe(numbers: Iterable[int], missed: bytes = b"") -> int:
    """
    Have these signals do nothing but write their numbers into a pipe.

    @param missed: numbers that are there from the beginning.
    @return: the end of it to read from, without waiting.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    # A program that has taken another's place has had signals blocked until now.
    reset_signals()
    os.write(writing, missed)
    return reading
