"""What can go wrong on the way to a daemon, and with its lock."""

from __future__ import annotations

__all__ = ["AlreadyLocked", "DaemonError", "LockError", "LockFailed", "LockNotReentrant", "NotMyLock", "Parent"]


class DaemonError(Exception):
    """
    The daemon could not be started, or was asked for something out of order.

    @ivar code: what the daemon ends with, if it fails by this.
    """

    def __init__(self, message: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Parent(SystemExit):
    """Raised in the launcher, by a stage that was called there: the daemon goes on elsewhere."""


class LockError(Exception):
    """Something is wrong with a lock."""


class NotMyLock(LockError):
    """Somebody else's lock was to be released."""


class LockFailed(LockError):
    """The lock's file cannot be made."""


class AlreadyLocked(LockError):
    """Somebody else has the lock."""


class LockNotReentrant(AlreadyLocked):
    """The lock is held already, by us."""
