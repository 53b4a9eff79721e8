"""The page on files: what is said of their modes is so."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any

from tests.docs.pages import writer
from tests.support import KernelTestCase


class FileTests(KernelTestCase):
    """The files of a real kernel, and of C{papa watch}."""

    def check(self, folder: str, described: Iterable[Any], **names: str) -> set[str]:
        """Each file in a folder is described, with its mode; those that were found."""
        modes = {}
        for each in described:
            path = each.path
            for placeholder, name in names.items():
                path = path.replace(placeholder, name)
            modes[path] = each.mode
        found = {os.path.join(folder, name) for name in os.listdir(folder)}
        for path in found:
            self.assertEqual(f"{stat.S_IMODE(os.lstat(path).st_mode):04o}", modes[path], path)
        return found

    def test_runtime_folder(self) -> None:
        """A kernel in the background has all that is listed, but for the lock of those who start one by need."""
        files = writer("files")
        self.papa("serve", "--daemonize", "-u", os.path.join(self.folder, "other.sock"))
        self.addCleanup(self.papa, "shutdown")
        folder = self.environ["PAPA_RUNTIME_DIR"]
        found = self.check(
            folder, [each for each in files.RUNTIME if each.path != files.FOLDER], **{files.FOLDER: folder}
        )
        described = {each.path.replace(files.FOLDER, folder) for each in files.RUNTIME}
        self.assertEqual(described - found, {folder, os.path.join(folder, "start.lock")})
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)

    def test_started_by_need(self) -> None:
        """A program that starts a kernel because it needs one leaves the lock, too."""
        files = writer("files")
        self.papa("run", "job", "--", "true")
        self.addCleanup(self.papa, "shutdown")
        folder = self.environ["PAPA_RUNTIME_DIR"]
        found = self.check(folder, files.RUNTIME, **{files.FOLDER: folder})
        self.assertIn(os.path.join(folder, "start.lock"), found)

    def test_watch(self) -> None:
        """C{papa watch --to-dir} makes what is listed, under a usual umask."""
        files = writer("files")
        self.papa("run", "-d", "--bufsize", "64", "job", "--", "sh", "-c", "seq 1000")
        self.addCleanup(self.papa, "shutdown")
        self.papa("wait", "job")
        folder = os.path.join(self.folder, "logs")
        self.papa("watch", "--to-dir", folder, "job", umask=0o022)
        described = [files.File(os.path.join(folder, each.path), each.mode, "") for each in files.WATCHED]
        found = self.check(folder, described, NAME="job")
        self.assertEqual({os.path.basename(path) for path in found}, {"job.log", "job.holes", "job.ends", ".job.note"})
