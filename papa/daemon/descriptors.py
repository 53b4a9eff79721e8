"""The descriptors of a daemon: which stay open, and where its standard streams go."""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Final

from papa.daemon.errors import DaemonError

__all__ = [
    "STANDARD",
    "close_open_files",
    "descriptor_of",
    "duplicate_above",
    "flush_streams",
    "is_open",
    "open_above",
    "pipe_above",
    "prevent_core_dump",
    "redirect",
    "renew_streams",
]

STANDARD: Final = (0, 1, 2)
#: Up to where descriptors are closed where the system does not list the open ones.
_MOST_UNLISTED: Final = 1 << 16


def descriptor_of(file: Any) -> int:
    """
    The descriptor of something that is or has one.

    @raise DaemonError: if it has none.
    """
    if isinstance(file, int) and not isinstance(file, bool):
        return file
    try:
        return int(file.fileno())
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise DaemonError(f"{file!r} is no open file and no descriptor: {error}") from error


def close_open_files(exclude: Iterable[Any] = ()) -> None:
    """
    Close all descriptors but some; what is open counts, however many there might be.

    @param exclude: descriptors, or what has one.
    """
    kept = {descriptor_of(file) for file in exclude}
    for descriptor in _open_descriptors():
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)


def _open_descriptors() -> Collection[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return range(_MOST_UNLISTED if most == resource.RLIM_INFINITY else min(most, _MOST_UNLISTED))


def is_open(descriptor: int) -> bool:
    """Whether a descriptor is one of an open file."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def duplicate_above(descriptor: int, lowest: int = 3) -> int:
    """
    A duplicate that is none of the standard descriptors, also where those are closed; not inheritable.

    @raise OSError: if there is nothing to duplicate.
    """
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


def pipe_above() -> tuple[int, int]:
    """Both ends of a pipe, none of them a standard descriptor; not inheritable."""
    ends = os.pipe()
    try:
        reading = duplicate_above(ends[0])
        try:
            return reading, duplicate_above(ends[1])
        except OSError:
            os.close(reading)
            raise
    finally:
        for end in ends:
            os.close(end)


def open_above(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
    """
    Open a file with a descriptor that is none of the standard ones; not inheritable.

    @raise OSError: if it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        return duplicate_above(descriptor)
    finally:
        os.close(descriptor)


def redirect(target: int, source: int | None) -> None:
    """
    Have a standard descriptor be another file, for children too.

    @param source: L{None} is C{/dev/null}.
    """
    if source == target:
        os.set_inheritable(target, True)
        return
    if source is not None:
        os.dup2(source, target)
        return
    # Where the target is closed, the file may get just that number.
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != target:
        os.dup2(opened, target)
        os.close(opened)
    os.set_inheritable(target, True)


def flush_streams() -> None:
    """Write out what was printed and not written yet, so that it is not written twice, or elsewhere."""
    for stream in (sys.stdout, sys.stderr):
        # A signal may have come in the middle of a print, where nothing more can be written: RuntimeError.
        with suppress(AttributeError, OSError, ValueError, RuntimeError):
            stream.flush()


def renew_streams(numbers: Collection[int] = STANDARD) -> None:
    """Have C{sys.stdin} and the others, or some, use the standard descriptors, whatever they were before."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if number in numbers and _descriptor(getattr(sys, name)) != number:
            # Bytes that are no text must not keep a daemon from saying something.
            stream = open(number, mode, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    printing: Any
    for printing in (sys.stdout, sys.stderr):
        # What goes to a log is read while it grows.
        with suppress(AttributeError, OSError, ValueError):
            printing.reconfigure(line_buffering=True)


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def prevent_core_dump() -> None:
    """
    Have no core written when this process crashes: it may hold secrets.

    @raise DaemonError: if the system refuses.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        raise DaemonError(f"Cannot prevent core dumps: {error}") from error
