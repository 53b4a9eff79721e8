"""Users and groups: looking up whom a child is to run as, and becoming it."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.childspec import Identity
from papa.drivers.identity import become, look_up
from papa.errors import BadRequest, NotAllowed
from tests.drivers.apart import apart, not_here

#: A number that no system gives to a user or group.
NOBODYS = 4_000_000_000


class LookUpTests(SynchronousTestCase):
    """Whom a request means."""

    def setUp(self) -> None:
        self.user = next(user for user in pwd.getpwall() if user.pw_uid not in (0, os.geteuid()))

    def needs_root(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root may become another")

    def test_own(self) -> None:
        """Who asks for nothing gets papa's own identity, and nothing is to be done about it."""
        own = look_up(None, None, None)
        self.assertEqual((own.uid, own.gid, own.changed), (os.geteuid(), os.getegid(), False))
        self.assertEqual(set(own.groups), set(os.getgroups()))

    def test_user_by_name_and_number(self) -> None:
        """A name and its number mean the same: the user, its own group, and the groups that it is in."""
        self.needs_root()
        found = look_up(self.user.pw_name, None, None)
        self.assertEqual(found, look_up(self.user.pw_uid, None, None))
        groups = tuple(sorted(set(os.getgrouplist(self.user.pw_name, self.user.pw_gid))))
        expected = Identity(uid=self.user.pw_uid, gid=self.user.pw_gid, groups=groups, changed=True)
        self.assertEqual(found, expected)

    def test_group_by_name_and_number(self) -> None:
        """A group alone leaves the user as it is, and no supplementary group but that one."""
        self.needs_root()
        group = grp.getgrall()[-1]
        expected = Identity(uid=0, gid=group.gr_gid, groups=(group.gr_gid,), changed=True)
        self.assertEqual(look_up(None, group.gr_name, None), expected)
        self.assertEqual(look_up(None, group.gr_gid, None), expected)

    def test_supplementary_groups(self) -> None:
        """Supplementary groups are those that were asked for, names and numbers, each once and in order; or none."""
        self.needs_root()
        group = grp.getgrall()[-1]
        self.assertEqual(look_up(None, None, (9, group.gr_name, 7, 9)).groups, tuple(sorted({7, 9, group.gr_gid})))
        self.assertEqual(look_up(self.user.pw_uid, None, ()).groups, ())

    def test_number_without_entry(self) -> None:
        """A number that is no user's can be asked for with a group, and has no groups besides."""
        self.needs_root()
        self.assertEqual(look_up(NOBODYS, 7, None), Identity(uid=NOBODYS, gid=7, groups=(7,), changed=True))
        error = self.assertRaises(BadRequest, look_up, NOBODYS, None, None)
        self.assertIn("give gid too", str(error))

    def test_unknown(self) -> None:
        """What is no user or group is refused and named: numbers too that the system would take for something else."""
        for wrong in ("papa-no-such", "", "a\0b", "\ud800", -1, (1 << 32) - 1, 1 << 32, 1 << 70):
            error = self.assertRaises(BadRequest, look_up, wrong, 1, None)
            self.assertIn("There is no user", str(error))
            error = self.assertRaises(BadRequest, look_up, None, wrong, None)
            self.assertIn("There is no group", str(error))
            self.assertRaises(BadRequest, look_up, None, None, (1, wrong))

    def test_without_rights(self) -> None:
        """A papa that is not root can give only what it has; asking for just that is no change."""
        found = apart(_look_up_as_nobody)
        own = [65534, 65533, [7, 65533], False]
        self.assertEqual(found["own"], own)
        self.assertEqual(found["asked for its own"], own)
        for asked in ("another user", "another group", "more groups", "root"):
            self.assertIn("Only a papa that runs as root", found[asked])


class BecomeTests(SynchronousTestCase):
    """Becoming somebody."""

    def test_exactly(self) -> None:
        """Real, effective and saved ids, and the groups, are those asked for; there is no way back."""
        found = apart(_become)
        self.assertEqual(found, {"uids": [65534] * 3, "gids": [65533] * 3, "groups": [5, 6], "back": False})

    def test_no_groups(self) -> None:
        """No supplementary groups means none, whatever papa had."""
        self.assertEqual(apart(_become_without_groups), [])

    def test_not_what_was_asked(self) -> None:
        """A number that the system takes for "as it is" is seen through."""
        self.assertEqual(apart(_become_unchanged), "the identity did not become what was asked for")

    def test_without_rights(self) -> None:
        """Who has no right to it gets the system's refusal."""
        self.assertEqual(apart(_become_as_nobody), "Operation not permitted")


def _as_nobody() -> None:
    if os.geteuid() != 0:
        not_here("only root can become another user")
    os.setgroups([7, 65533])
    os.setresgid(65533, 65533, 65533)
    os.setresuid(65534, 65534, 65534)


def _look_up_as_nobody() -> dict[str, Any]:
    _as_nobody()
    found: dict[str, Any] = {}
    for name, asked in {
        "own": (None, None, None),
        "asked for its own": (65534, 65533, (7,)),
        "another user": (1, 65533, None),
        "another group": (None, 1, None),
        "more groups": (None, None, (7, 8)),
        "root": ("root", None, None),
    }.items():
        try:
            identity = look_up(*asked)
        except NotAllowed as error:
            found[name] = str(error)
        else:
            found[name] = [identity.uid, identity.gid, list(identity.groups), identity.changed]
    return found


def _become() -> dict[str, Any]:
    if os.geteuid() != 0:
        not_here("only root can become another user")
    os.setgroups([4, 24, 27])
    become(Identity(uid=65534, gid=65533, groups=(5, 6), changed=True))
    try:
        os.setuid(0)
        back = True
    except PermissionError:
        back = False
    return {"uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()), "back": back}


def _become_without_groups() -> list[int]:
    if os.geteuid() != 0:
        not_here("only root can become another user")
    os.setgroups([4, 24, 27])
    become(Identity(uid=65534, gid=65533, changed=True))
    return os.getgroups()


def _become_unchanged() -> str:
    if os.geteuid() != 0:
        not_here("only root can become another user")
    try:
        become(Identity(uid=(1 << 32) - 1, gid=0, changed=True))
    except OSError as error:
        return str(error)
    return "became it"


def _become_as_nobody() -> str:
    _as_nobody()
    try:
        become(Identity(uid=0, gid=0, changed=True))
    except OSError as error:
        return str(error.strerror)
    return "became it"
