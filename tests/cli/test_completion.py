"""C{papa completion}: words and names, while somebody types."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.client.sharing import SharedKernelTestCase
from tests.support import PATIENCE


class CompletionTests(SharedKernelTestCase):
    """What a shell is told."""

    def complete(self, *words: str, kind: str = "plain") -> list[str]:
        """What may stand in the place of the last word, or what kind of thing the shell completes it to."""
        said = self.papa(
            env={
                **self.environ,
                "_PAPA_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(["papa", *words]),
                "COMP_CWORD": str(len(words)),
            }
        ).stdout
        found = [line.partition(",") for line in said.splitlines() if line]
        return [word for told, _, word in found if told == kind]

    def test_words(self) -> None:
        """Verbs, options and choices are completed."""
        self.assertEqual(self.complete("sta"), ["status"])
        self.assertEqual(self.complete("value", "g"), ["get"])
        self.assertIn("--follow", self.complete("logs", "--f"))
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])

    def test_names(self) -> None:
        """So are the names of what papa holds, each where it fits, and none twice."""
        with self.connect_papa() as papa:
            for name in ("web.1", "web.2", "job"):
                papa.make_process(name, "sleep", ["1000"])
            papa.make_socket("http")
            papa.set("deployed", "x")
            papa.watch_processes("job", cursor="ship").close()
        self.assertEqual(self.complete("logs", "web"), ["web.1", "web.2"])
        self.assertEqual(self.complete("rm", "web.1", "w"), ["web.2"])
        self.assertEqual(self.complete("signal", "TERM", ""), ["job", "web.1", "web.2"])
        self.assertEqual(self.complete("with", "h"), ["http"])
        self.assertEqual(self.complete("value", "get", ""), ["deployed"])
        self.assertEqual(self.complete("watch", "--cursor", ""), ["ship"])

    def test_files(self) -> None:
        """Where a program or a path is wanted, the shell completes files."""
        for words in (
            ("run", "./j"),
            ("run", "-d", "job", "--", "./j"),
            ("run", "--cwd", "./j"),
            ("with", "http", "./j"),
            ("serve", "-u", "./j"),
            ("socket", "make", "web", "--path", "./j"),
        ):
            self.assertEqual(self.complete(*words, kind="file"), ["./j"], words)
        self.assertEqual(self.complete("run", "--listen", "", kind="plain"), [])

    def test_unknown_verb(self) -> None:
        """A verb that there is not is no reason to complain while somebody types."""
        self.assertIn("status", self.complete("statsu", ""))

    def test_no_kernel(self) -> None:
        """Where there is none, nothing is completed, said or started."""
        self.environ["PAPA_SOCKET"] = os.path.join(self.folder, "none.sock")
        self.assertEqual(self.complete("logs", ""), [])
        self.assertFalse(os.path.exists(self.environ["PAPA_SOCKET"]))

    def test_shells(self) -> None:
        """The printed script is one that the shell takes."""
        for shell in ("bash", "zsh", "fish"):
            said = self.papa("completion", shell).stdout
            self.assertIn("_PAPA_COMPLETE", said)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=said, text=True, check=True, timeout=PATIENCE)
