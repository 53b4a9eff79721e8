"""What C{twistd papa --anchor} starts, and what it refuses."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.twistd import check_anchor, kernel_command


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
            (("-n", "--umask=22"), "--umask would be"),
            (("-n", "--rundir=/"), "--rundir would be"),
        ):
            with self.assertRaisesRegex(UsageError, said):
                self.parse(*words)
        with self.assertRaisesRegex(UsageError, "papa serve --anchor"):
            check_anchor(None)

    def test_other_user(self) -> None:
        """To become another user once papa listens is refused, with an anchor or without."""
        for words in (("--uid=1",), ("-n", "--gid=1"), ("--chroot=/",), ("--uid=1", "--euid")):
            for own in ((), ("--anchor",)):
                with self.assertRaisesRegex(UsageError, "would come too late: .*start twistd as that user"):
                    ServerOptions().parseOptions([*words, "papa", *own])
