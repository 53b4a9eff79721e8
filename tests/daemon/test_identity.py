"""Becoming another user, for good."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.daemon import DaemonError
from papa.daemon.identity import become, group_id, user_id
from tests.daemon.programs import need_root
from tests.drivers.apart import apart

#: A user and a group that no file knows.
UNKNOWN = 54321


class NumberTests(SynchronousTestCase):
    """The numbers of users and groups."""

    def test_user(self) -> None:
        """A user is known by name; a number is one already, whether anybody knows it or not."""
        entry = pwd.getpwuid(os.geteuid())
        self.assertEqual(user_id(entry.pw_name), entry.pw_uid)
        self.assertEqual(user_id(entry.pw_uid), entry.pw_uid)
        self.assertEqual(user_id(UNKNOWN), UNKNOWN)

    def test_group(self) -> None:
        """So is a group."""
        entry = grp.getgrgid(os.getegid())
        self.assertEqual(group_id(entry.gr_name), entry.gr_gid)
        self.assertEqual(group_id(entry.gr_gid), entry.gr_gid)
        self.assertEqual(group_id(UNKNOWN), UNKNOWN)

    def test_nobody_of_that_name(self) -> None:
        """A name that nobody has is refused by name, and so is a number that is written as a name."""
        for name in ("no such one", "", str(UNKNOWN)):
            self.assertIn(repr(name), str(self.assertRaises(DaemonError, user_id, name)))
            self.assertIn(repr(name), str(self.assertRaises(DaemonError, group_id, name)))


class BecomeTests(SynchronousTestCase):
    """Giving up rights; everything here happens in processes of their own."""

    def test_nobody_else(self) -> None:
        """Becoming nobody in particular changes nothing."""
        before, after = apart(becoming, None, None, False)
        self.assertEqual(after, before)

    def test_oneself(self) -> None:
        """Becoming oneself is always allowed."""
        before, after = apart(becoming, os.geteuid(), os.getegid(), False)
        self.assertEqual(after["user"], [os.geteuid()] * 3)
        self.assertEqual(after["group"], [os.getegid()] * 3)
        self.assertEqual(after["groups"], before["groups"])

    def test_forbidden(self) -> None:
        """Who may not is told so."""
        if os.geteuid() == 0:
            self.assertIn("Operation not permitted", apart(becoming_twice))
        else:
            self.assertIn("Operation not permitted", apart(becoming, 0, 0, False))

    def test_another(self) -> None:
        """Another user with all that belongs to it, and no way back."""
        need_root()
        entry = other_user()
        _, after = apart(becoming, entry.pw_uid, entry.pw_gid, True)
        self.assertEqual(after["user"], [entry.pw_uid] * 3)
        self.assertEqual(after["group"], [entry.pw_gid] * 3)
        self.assertEqual(after["groups"], sorted({*os.getgrouplist(entry.pw_name, entry.pw_gid)}))
        self.assertEqual(after["back"], ["PermissionError"] * 4)
        self.assertEqual(after["rights"], 0)

    def test_own_group(self) -> None:
        """Where no group is given it is the user's own."""
        need_root()
        entry = other_user()
        _, after = apart(becoming, entry.pw_uid, None, True)
        self.assertEqual(after["group"], [entry.pw_gid] * 3)
        self.assertEqual(after["groups"], sorted({*os.getgrouplist(entry.pw_name, entry.pw_gid)}))

    def test_unknown_user(self) -> None:
        """A user that no file knows, as in containers: the group is all that it has."""
        need_root()
        _, after = apart(becoming, UNKNOWN, UNKNOWN + 1, True)
        self.assertEqual(after["user"], [UNKNOWN] * 3)
        self.assertEqual(after["group"], [UNKNOWN + 1] * 3)
        self.assertEqual(after["groups"], [UNKNOWN + 1])
        self.assertEqual(after["back"], ["PermissionError"] * 4)

    def test_group_alone(self) -> None:
        """Another group, and the same user, with its own supplementary groups."""
        need_root()
        _, after = apart(becoming, None, UNKNOWN, True)
        self.assertEqual(after["user"], [0] * 3)
        self.assertEqual(after["group"], [UNKNOWN] * 3)
        self.assertEqual(after["groups"], sorted({*os.getgrouplist(pwd.getpwuid(0).pw_name, UNKNOWN)}))

    def test_groups_kept(self) -> None:
        """Supplementary groups are left alone where that is asked for."""
        need_root()
        before, after = apart(becoming, UNKNOWN, UNKNOWN, False)
        self.assertEqual(after["groups"], before["groups"])
        self.assertEqual(after["user"], [UNKNOWN] * 3)

    def test_set_uid(self) -> None:
        """A set-uid program gives up the rights that it was started with, and cannot take them back."""
        need_root()
        after = apart(becoming_oneself_again)
        self.assertEqual(after["user"], [UNKNOWN] * 3)
        self.assertEqual(after["group"], [UNKNOWN] * 3)
        self.assertEqual(after["back"], ["PermissionError"] * 4)

    def test_number_of_nobody(self) -> None:
        """A number that no user can have is refused; to the system -1 and its like mean: stay who you are."""
        numbers = [-1, 2**32 - 1, -2, 2**32, 2**70]
        self.assertEqual(apart(refusals, numbers), [["DaemonError", "DaemonError"]] * len(numbers))


def other_user() -> pwd.struct_passwd:
    """A user that is not root, and has a group that is not root's."""
    return next(each for each in pwd.getpwall() if each.pw_uid and each.pw_gid)


# What runs in processes of its own.


def outcome_of(function: Any, *arguments: int) -> str:
    try:
        function(*arguments)
    except OSError as error:
        return type(error).__name__
    return "nothing"


def now() -> dict[str, Any]:
    """Who this process is, and whether it can become root."""
    found: dict[str, Any] = {
        "user": os.getresuid(),
        "group": os.getresgid(),
        "groups": sorted({*os.getgroups()}),
    }
    if os.getuid():
        found["back"] = [
            outcome_of(os.setuid, 0),
            outcome_of(os.seteuid, 0),
            outcome_of(os.setresuid, 0, 0, 0),
            outcome_of(os.setresgid, 0, 0, 0),
        ]
    with open("/proc/self/status", encoding="utf-8") as status:
        found["rights"] = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return found


def becoming(uid: int | None, gid: int | None, init_groups: bool) -> Any:
    """Who this process was before, and is afterwards."""
    before = now()
    try:
        become(uid, gid, init_groups=init_groups)
    except DaemonError as error:
        return str(error)
    return before, now()


def becoming_twice() -> str:
    """What the second user is told that a process is to become."""
    become(UNKNOWN, UNKNOWN, init_groups=True)
    try:
        become(UNKNOWN + 1, None, init_groups=False)
    except DaemonError as error:
        return str(error)
    return "nothing"


def becoming_oneself_again() -> dict[str, Any]:
    """Be a set-uid program of root's, and give that up."""
    os.setgroups([])
    os.setresgid(UNKNOWN, 0, 0)
    os.setresuid(UNKNOWN, 0, 0)
    become(os.getuid(), os.getgid(), init_groups=False)
    return now()


def refusals(numbers: list[int]) -> list[list[str]]:
    """What somebody is told that is to become a user and a group that there cannot be; its kind."""
    found = []
    for number in numbers:
        told = []
        for uid, gid in ((number, None), (None, number)):
            try:
                become(uid, gid, init_groups=False)
            except Exception as error:  # noqa: BLE001 - its kind is asked for
                told.append(type(error).__name__)
            else:
                told.append("nothing")
        found.append(told)
    return found
