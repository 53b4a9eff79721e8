"""Becoming another user, for good."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Final

from papa.daemon.errors import DaemonError

__all__ = ["become", "group_id", "user_id"]

#: C{(uid_t) -1}.
_NOBODY_AT_ALL: Final = 0xFFFFFFFF


def user_id(user: int | str) -> int:
    """
    The number of a user.

    @raise DaemonError: if there is none of that name.
    """
    if isinstance(user, int):
        return _checked(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise DaemonError(f"There is no user {user!r}") from None


def group_id(group: int | str) -> int:
    """
    The number of a group.

    @raise DaemonError: if there is none of that name.
    """
    if isinstance(group, int):
        return _checked(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise DaemonError(f"There is no group {group!r}") from None


def _checked(number: int) -> int:
    # The largest means nobody at all: to become that is to stay who one is.
    if not 0 <= number < _NOBODY_AT_ALL:
        raise DaemonError(f"{number} is the number of no user and no group")
    return number


def become(uid: int | None, gid: int | None, *, init_groups: bool) -> None:
    """
    Change the ids of this process so that they cannot be changed back.

    @param uid: L{None} leaves it. A user that no file knows, as in containers, is a number all the same.
    @param gid: L{None} takes the user's own group if it is another user, where that is known.
    @param init_groups: take the user's supplementary groups, or the group alone where they are not known.
    @raise DaemonError: if the system refuses.
    """
    user = os.geteuid() if uid is None else user_id(uid)
    gid = None if gid is None else group_id(gid)
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        entry = None
    if gid is None and uid not in (None, os.geteuid()) and entry is not None:
        gid = entry.pw_gid
    group = os.getegid() if gid is None else gid
    try:
        if init_groups:
            if entry is None:
                os.setgroups([group])
            else:
                os.initgroups(entry.pw_name, group)
        # All three of each kind: a saved id would let it become who it was.
        if gid is not None:
            os.setresgid(gid, gid, gid)
        if uid is not None:
            os.setresuid(uid, uid, uid)
    except OSError as error:
        raise DaemonError(f"Cannot become uid {uid} and gid {gid}: {error.strerror}") from error
