"""Where papa's own files are, and that they are nobody else's."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from papa.errors import NotAllowed

__all__ = [
    "CONSOLE",
    "CONTROL",
    "DEFAULT_PORT",
    "check",
    "console_path",
    "control_path",
    "log_path",
    "prepare",
    "runtime_folder",
]

#: The port that papa has had since its first version.
DEFAULT_PORT: Final = 20202
CONSOLE: Final = "console.sock"
CONTROL: Final = "papa.sock"


def runtime_folder(environ: Mapping[str, str] = os.environ, uid: int | None = None) -> str:
    """
    The folder of the kernel that this user runs by default.

    C{$PAPA_RUNTIME_DIR}; else C{/run/papa} for root, C{$XDG_RUNTIME_DIR/papa}, or C{/tmp/papa-UID}. Some systems have
    C{/var/run} instead of C{/run}.
    """
    uid = os.geteuid() if uid is None else uid
    if chosen := environ.get("PAPA_RUNTIME_DIR"):
        return os.path.abspath(chosen)
    if uid == 0:
        return "/run/papa" if os.path.isdir("/run") else "/var/run/papa"
    # A relative path is invalid there and is to be ignored, says the XDG Base Directory Specification.
    if os.path.isabs(session := environ.get("XDG_RUNTIME_DIR", "")):
        return os.path.join(session, "papa")
    return f"/tmp/papa-{uid}"  # noqa: S108 - its owner and mode are checked


def console_path(folder: str | None = None) -> str:
    """The Unix socket of the default kernel's console."""
    return os.path.join(folder or runtime_folder(), CONSOLE)


def control_path(folder: str | None = None) -> str:
    """The Unix socket at which the default kernel serves programs."""
    return os.path.join(folder or runtime_folder(), CONTROL)


def log_path(folder: str | None = None) -> str:
    """The log of a kernel that has no terminal."""
    return os.path.join(folder or runtime_folder(), "papa.log")


def prepare(folder: str) -> str:
    """
    Make the runtime folder if it is not there, and give it back if it is safe.

    @raise NotAllowed: if it cannot be made, is no folder, belongs to another user, or is open to others.
    """
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
    except OSError as error:
        raise NotAllowed(f"Cannot create the runtime folder {folder}: {error.strerror}") from error
    check(folder)
    return folder


def check(folder: str) -> None:
    """
    See that the runtime folder is safe: what is in another one could be anybody's.

    @raise NotAllowed: if it is no folder, belongs to another user, is open to others, or out of reach.
    @raise FileNotFoundError: if it is not there.
    """
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotAllowed(f"Cannot look at the runtime folder {folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotAllowed(f"The runtime folder {folder} is not a folder: remove it, or set PAPA_RUNTIME_DIR")
    if found.st_uid != os.geteuid():
        raise NotAllowed(f"The runtime folder {folder} belongs to uid {found.st_uid}: set PAPA_RUNTIME_DIR to another")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise NotAllowed(f"The runtime folder {folder} is open to other users: chmod 700 it, or set PAPA_RUNTIME_DIR")
