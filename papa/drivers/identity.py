"""Users and groups: whom a child is to run as, and becoming it."""

from __future__ import annotations

import functools
import grp
import os
import pwd
from typing import Final

from papa.childspec import Identity
from papa.errors import BadRequest, NotAllowed

__all__ = ["become", "look_up"]

#: The number after it says "leave it as it is" to the system.
_GREATEST: Final = (1 << 32) - 2


def look_up(uid: int | str | None, gid: int | str | None, groups: tuple[int | str, ...] | None) -> Identity:
    """
    The identity that a request asks for: by default papa's own, and a user's own groups.

    @raise BadRequest: if there is no such user or group.
    @raise NotAllowed: if papa is not root and the identity is not its own.
    """
    own = _identity(os.geteuid(), os.getegid(), tuple(sorted(set(os.getgroups()))))
    if uid is None and gid is None and groups is None:
        return own
    user = _user(uid)
    number = own.uid if uid is None else user.pw_uid if user is not None else int(uid)
    group = _primary_group(uid, gid, user, own)
    if groups is not None:
        supplementary = tuple(_group(each) for each in groups)
    elif user is not None:
        supplementary = tuple(os.getgrouplist(user.pw_name, group))
    else:
        supplementary = (group,)
    supplementary = tuple(sorted(set(supplementary)))
    if own.uid != 0:
        if (number, group) != (own.uid, own.gid) or not set(supplementary) <= {own.gid, *own.groups}:
            raise NotAllowed("Only a papa that runs as root can start processes as another user or group")
        return own
    return _identity(number, group, supplementary, changed=True)


@functools.lru_cache(maxsize=256)
def _identity(uid: int, gid: int, groups: tuple[int, ...], *, changed: bool = False) -> Identity:
    """One for all who are the same: there are many processes, and few users."""
    return Identity(uid=uid, gid=gid, groups=groups, changed=changed)


def _user(uid: int | str | None) -> pwd.struct_passwd | None:
    """The user's entry; L{None} if no user was asked for, or a bare number that has none."""
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid) if isinstance(uid, int) else pwd.getpwnam(uid)
    except (KeyError, OverflowError, ValueError):
        if isinstance(uid, int) and 0 <= uid <= _GREATEST:
            return None
        raise BadRequest(f"There is no user {uid!r}") from None


def _primary_group(uid: int | str | None, gid: int | str | None, user: pwd.struct_passwd | None, own: Identity) -> int:
    if gid is not None:
        return _group(gid)
    if user is not None:
        return user.pw_gid
    if uid is None:
        return own.gid
    raise BadRequest(f"User {uid} has no entry among the users, so no group of its own: give gid too")


def _group(gid: int | str) -> int:
    if isinstance(gid, int):
        if 0 <= gid <= _GREATEST:
            return gid
        raise BadRequest(f"There is no group {gid}")
    try:
        return grp.getgrnam(gid).gr_gid
    except (KeyError, ValueError):
        raise BadRequest(f"There is no group {gid!r}") from None


def become(identity: Identity) -> None:
    """
    Give up papa's own rights for good, in the child.

    @raise OSError: if the system refuses, or the identity is not exactly the one asked for afterwards.
    """
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if (
        os.getresuid() != (identity.uid,) * 3
        or os.getresgid() != (identity.gid,) * 3
        or set(os.getgroups()) != set(identity.groups)
    ):
        raise OSError("the identity did not become what was asked for")
