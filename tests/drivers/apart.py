"""
Tests in a process of their own: what changes a process for good, or needs one that was started in a special way.

A test calls L{apart} with a function of its module. The function runs in another Python, may limit it, take away its
rights or a system call, and returns what the test then looks at.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

import tests
from tests.support import PATIENCE

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(tests.__file__)))
_CALL: Final = """
import importlib, json, sys
function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
answer = json.dumps(function(*json.loads(sys.argv[3])))
print("\\n" + answer, flush=True)
"""
#: The exit code of a function that cannot run here; its last line says why.
_SKIPPED: Final = 77


#: Signals 32 and 33 are the C library's own: what it starts by posix_spawn ignores them, and nobody can change that.
_INTERNAL_SIGNALS: Final = 0b11 << 31


def signal_set(field: str) -> int:
    """A set of signals as /proc/PID/status shows it, without the C library's own."""
    return int(field, 16) & ~_INTERNAL_SIGNALS


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """
    What a function of a test's module returns in a process of its own; with its arguments, something JSON can say.

    @raise AssertionError: if it fails; with all that it said.
    @raise SkipTest: if it cannot run here.
    """
    finished = subprocess.run(
        [sys.executable, "-c", _CALL, function.__module__, function.__name__, json.dumps(arguments)],
        check=False,
        env={**os.environ, "PYTHONPATH": _ROOT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    if finished.returncode == _SKIPPED:
        raise SkipTest(finished.stdout.splitlines()[-1])
    if finished.returncode:
        raise AssertionError(f"{function.__name__} ended with {finished.returncode}: {finished.stderr}")
    return json.loads(finished.stdout.splitlines()[-1])


def not_here(reason: str) -> None:
    """End a function that runs apart: its test is skipped."""
    print(reason, flush=True)
    sys.exit(_SKIPPED)


def react(function: Callable[[], Coroutine[Deferred[Any], Any, Any]]) -> Any:
    """Run a coroutine to its end in a reactor that is started for it; once a process."""
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorCore, IReactorTime

    core, results = IReactorCore(reactor), []

    def ended(result: Any) -> None:
        results.append(result)
        core.stop()

    core.callWhenRunning(lambda: Deferred.fromCoroutine(function()).addBoth(ended))
    IReactorTime(reactor).callLater(PATIENCE, core.crash)
    core.run()
    if not results:
        raise AssertionError(f"nothing came of it within {PATIENCE} seconds")
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


#: The numbers of the system calls that tests forbid; the newer are the same on every machine.
_NUMBERS: Final = {
    "ioctl": {"x86_64": 16, "aarch64": 29},
    "pidfd_open": dict.fromkeys(("x86_64", "aarch64"), 434),
    "socket": {"x86_64": 41, "aarch64": 198},
}


def forbid(call: str, first: int | None = None) -> None:
    """
    From now on a system call fails in this process, as it does on a system that does not have it.

    @param first: only where this is the first argument.
    """
    number = _NUMBERS[call].get(os.uname().machine)
    if sys.platform != "linux" or number is None:
        not_here(f"does not know how to forbid {call} on this machine")
        return
    # From linux/filter.h: load the number, compare, load the first argument, compare, answer.
    load, equal, answer = 0x20, 0x15, 0x06
    allow, fail = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    steps = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (equal, 0, 1, first or 0)]
    if first is None:
        steps[2:] = [(load, 0, 0, 0), (equal, 0, 1, number)]
    steps += [(answer, 0, 0, fail), (answer, 0, 0, allow)]
    rules = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(rules))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, filtering = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filtering, program, 0, 0):
        not_here(f"may not forbid system calls here: {os.strerror(ctypes.get_errno())}")
