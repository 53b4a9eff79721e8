"""C{twistd papa --anchor}: twistd's process becomes the anchor, and each kernel is a twistd without that word."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from twisted.python.usage import UsageError

from papa.continuity.replacement import ANCHOR
from papa.continuity.requirements import MISSING, without_anchor

__all__ = ["become_anchor", "check_anchor", "check_twistd", "kernel_command"]

#: What twistd would do once papa listens, and what it does by itself: to be another user, elsewhere.
_TOO_LATE: Final = (("uid", None), ("gid", None), ("euid", 0), ("chroot", None))
#: What it would do to a kernel alone, though it is the anchor that starts processes.
_ALONE: Final = (("umask", None), ("rundir", "."), ("pidfile", "twistd.pid"))


def check_twistd(twistd: Mapping[str, Any] | None) -> None:
    """
    Whether what twistd was told goes together with a kernel.

    @param twistd: its options; L{None} if it is not twistd that was told to start one.
    @raise UsageError: if not; with what would.
    """
    for name, default in _TOO_LATE:
        if twistd is not None and twistd[name] not in (default, ""):
            raise UsageError(
                f"twistd --{name} would come too late: whose papa is, is settled before; start twistd as that user, "
                "with su, setpriv or systemd's User="
            )


def check_anchor(twistd: Mapping[str, Any] | None) -> None:
    """
    Whether what twistd was told goes together with an anchor, too.

    @param twistd: its options.
    @raise UsageError: if not; with what would.
    """
    if MISSING:
        raise UsageError(f"--anchor: {without_anchor()}")
    if twistd is None:
        raise UsageError("--anchor is for twistd papa; papa serve --anchor is its like")
    if not twistd["nodaemon"]:
        raise UsageError(
            "An anchor stays where it was started: twistd --nodaemon papa --anchor, or papa serve --daemonize"
        )
    for name, default in _ALONE:
        if twistd[name] not in (default, ""):
            raise UsageError(
                f"twistd --{name} would be for the kernel alone, not for the anchor, which starts the processes: "
                "have whatever starts twistd see to that"
            )


def kernel_command(words: Sequence[str], own: int) -> list[str]:
    """
    How twistd is to be started for a kernel at an anchor.

    @param words: how this one was started; C{own}: how many of them, at the end, are papa's own options.
    """
    before, own_words = list(words[: len(words) - own - 1]), list(words[len(words) - own :])
    # What is waiting to be the next kernel would take the pid file of this one for a reason not to start.
    return [*before, "--pidfile=", "papa", *_without_starter(own_words)]


def _without_starter(words: list[str]) -> list[str]:
    left = iter(words)
    found = []
    for word in left:
        if word == "--ready-fd":
            next(left, None)
        elif word != "--anchor" and not word.startswith("--ready-fd="):
            found.append(word)
    return found


def become_anchor(own: int, ready: int | None) -> NoReturn:
    """
    Have the anchor take this process over.

    @param own: as L{kernel_command} has it; C{ready}: the descriptor for the first kernel to tell that it serves.
    """
    first = []
    if ready is not None:
        os.set_inheritable(ready, True)
        first.append(f"--ready-fd={ready}")
    os.execv(  # noqa: S606 - there is nothing that a shell would do
        sys.executable, [sys.executable, *ANCHOR, *first, "--", *kernel_command(sys.orig_argv, own)]
    )
