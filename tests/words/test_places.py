"""The runtime folder."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from papa.errors import NotAllowed
from papa.places import console_path, control_path, log_path, prepare, runtime_folder


class RuntimeFolderTests(SynchronousTestCase):
    """Where it is."""

    def test_chosen(self) -> None:
        """$PAPA_RUNTIME_DIR goes before all else, for root too, and becomes absolute."""
        environ = {"PAPA_RUNTIME_DIR": "/srv/papa", "XDG_RUNTIME_DIR": "/run/user/7"}
        self.assertEqual(runtime_folder(environ, uid=7), "/srv/papa")
        self.assertEqual(runtime_folder(environ, uid=0), "/srv/papa")
        self.assertEqual(runtime_folder({"PAPA_RUNTIME_DIR": "here"}, uid=7), os.path.abspath("here"))

    def test_root(self) -> None:
        """Root's is /run/papa, whatever session root was reached from."""
        self.assertEqual(runtime_folder({"XDG_RUNTIME_DIR": "/run/user/7"}, uid=0), "/run/papa")

    def test_root_elsewhere(self) -> None:
        """Where the system has no /run, root's is in /var/run."""
        self.patch(os.path, "isdir", lambda path: path != "/run")
        self.assertEqual(runtime_folder({}, uid=0), "/var/run/papa")

    def test_session(self) -> None:
        """A user's is in the folder of the session."""
        self.assertEqual(runtime_folder({"XDG_RUNTIME_DIR": "/run/user/7"}, uid=7), "/run/user/7/papa")

    def test_without_session(self) -> None:
        """Without a session folder, or with one that is not absolute, it is under /tmp, with the uid in its name."""
        for environ in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "run"}, {"PAPA_RUNTIME_DIR": ""}):
            self.assertEqual(runtime_folder(environ, uid=7), "/tmp/papa-7")

    def test_files_in_it(self) -> None:
        """The sockets of the console and of programs and the log are in it, or in a folder that is named."""
        self.assertEqual(console_path("/x"), "/x/console.sock")
        self.assertEqual(control_path("/x"), "/x/papa.sock")
        self.assertEqual(log_path("/x"), "/x/papa.log")
        for path in (console_path(), control_path(), log_path()):
            self.assertEqual(os.path.dirname(path), runtime_folder())


class PrepareTests(SynchronousTestCase):
    """Making it, and trusting it."""

    def setUp(self) -> None:
        self.base = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.base)
        self.folder = os.path.join(self.base, "papa")

    def refused(self, folder: str) -> str:
        return str(self.assertRaises(NotAllowed, prepare, folder))

    def test_makes_it(self) -> None:
        """It is made for this user alone, with the folders above it, and given back."""
        folder = os.path.join(self.base, "a", "b", "papa")
        self.assertEqual(prepare(folder), folder)
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)

    def test_takes_one_that_is_safe(self) -> None:
        """One that is there, with all that is in it, stays as it is."""
        os.mkdir(self.folder, 0o700)
        with open(os.path.join(self.folder, "kept"), "w", encoding="utf-8"):
            pass
        self.assertEqual(prepare(self.folder), self.folder)
        self.assertEqual(os.listdir(self.folder), ["kept"])

    def test_refuses_what_others_can_open(self) -> None:
        """One that any other user can look into is refused, unchanged, and the message says what to run."""
        for mode in (0o701, 0o710, 0o750, 0o777):
            folder = f"{self.folder}-{mode:o}"
            os.mkdir(folder)
            os.chmod(folder, mode)
            self.assertIn("chmod 700 it", self.refused(folder))
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), mode)

    def test_refuses_what_is_no_folder(self) -> None:
        """A file, a link to a folder and a link to nothing are refused, and stay."""
        target = os.path.join(self.base, "target")
        os.mkdir(target, 0o700)
        made = {name: os.path.join(self.base, name) for name in ("file", "link", "dangling")}
        with open(made["file"], "w", encoding="utf-8"):
            pass
        os.symlink(target, made["link"])
        os.symlink(os.path.join(self.base, "nothing"), made["dangling"])
        for path in made.values():
            self.assertIn("is not a folder: remove it, or set PAPA_RUNTIME_DIR", self.refused(path))
            self.assertTrue(os.path.lexists(path))

    def test_refuses_another_users(self) -> None:
        """One that belongs to somebody else is refused, and the message says to whom."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a folder to somebody else")
        os.mkdir(self.folder, 0o700)
        os.chown(self.folder, 65534, 65534)
        self.assertIn("belongs to uid 65534", self.refused(self.folder))

    def test_cannot_be_made(self) -> None:
        """Where none can be made, because of a file in the way for one, the message says which and why."""
        with open(self.folder, "w", encoding="utf-8"):
            pass
        for folder in (os.path.join(self.folder, "papa"), os.path.join(self.folder, "a", "papa")):
            self.assertIn(f"Cannot create the runtime folder {folder}: ", self.refused(folder))
