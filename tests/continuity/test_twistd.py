"""What C{twistd papa --anchor} starts, and what it refuses."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.twistd import check_twistd, kernel_command


class CommandTests(SynchronousTestCase):
    """How kernels are started."""

    def test_without_the_word(self) -> None:
        """As this one was, but for the anchor, the pid file, and whom the first one tells that it serves."""
        for own, expected in (
            (["--anchor"], []),
            (["-p", "0", "--anchor", "--ready-fd", "7", "-u", "papa"], ["-p", "0", "-u", "papa"]),
            (["--ready-fd=7", "--anchor", "-p0"], ["-p0"]),
        ):
            words = ["python3", "/bin/twistd", "--prefix", "papa", "-n", "papa", *own]
            self.assertEqual(
                kernel_command(words, len(own)),
                ["python3", "/bin/twistd", "--prefix", "papa", "-n", "--pidfile=", "papa", *expected],
            )


class CheckTests(SynchronousTestCase):
    """What goes together."""

    def parse(self, *words: str) -> None:
        ServerOptions().parseOptions([*words, "papa", "--anchor"])

    def test_together(self) -> None:
        """In the foreground, with or without what does no harm to an anchor."""
        self.parse("--nodaemon")
        self.parse("-n", "--pidfile=", "--logfile=x")

    def test_refused(self) -> None:
        """What twistd would do for the kernel alone is refused, with what would be right."""
        for words, said in (
            ((), "twistd --nodaemon papa --anchor, or papa serve --daemonize"),
            (("-n", "--pidfile=x"), "--pidfile would be for the kernel alone"),
            (("-n", "--uid=0"), "--uid would be"),
            (("-n", "--umask=22"), "--umask would be"),
            (("-n", "--rundir=/"), "--rundir would be"),
            (("-n", "--chroot=/"), "--chroot would be"),
        ):
            with self.assertRaisesRegex(UsageError, said):
                self.parse(*words)
        with self.assertRaisesRegex(UsageError, "papa serve --anchor"):
            check_twistd(None)
