"""A real terminal, as tmux emulates it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence

from twisted.trial.unittest import SkipTest

from tests.support import PATIENCE, KernelTestCase, until


class Terminal:
    """
    One command on a terminal of its own.

    What the command ended with is shown on the terminal, as C{ended with CODE}.
    """

    def __init__(self, test: KernelTestCase, command: Sequence[str], *, width: int = 100, **variables: str) -> None:
        if shutil.which("tmux") is None:
            raise SkipTest("needs tmux")
        number = len([name for name in os.listdir(test.folder) if name.startswith("tmux")])
        self._socket = os.path.join(test.folder, f"tmux{number}")
        self._environ = {
            **{key: value for key, value in test.environ.items() if key not in ("TMUX", "NO_COLOR")},
            "LC_ALL": "C.UTF-8",
            "PS1": "",
            **variables,
        }
        # The shell must outlive the interrupts that are meant for the command.
        shown = f"trap : INT; {shlex.join(command)}; echo ended with $?; exec sleep {10 * int(PATIENCE)}"
        sized = ["-x", str(width), "-y", "40"]
        self._tmux("-f", os.devnull, "new-session", "-d", *sized, "sh", "-c", shown)
        test.addCleanup(self._tmux, "kill-server")

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them; what is no name is typed."""
        self._tmux("send-keys", *keys)

    def describe(self, variable: str) -> str:
        """What tmux says of it, as C{cursor_flag} or C{alternate_on}."""
        return self._tmux("display-message", "-p", f"#{{{variable}}}").strip()

    def lines(self, *, styled: bool = False) -> list[str]:
        """What is shown, but for the empty lines at the end; C{styled} with its colours."""
        return self._tmux("capture-pane", "-p", *(["-e"] if styled else [])).rstrip("\n").split("\n")

    def wait_for(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """What is shown as soon as that is what was waited for."""
        try:
            return until(lambda: [lines for lines in [self.lines()] if condition(lines)])[0]
        except AssertionError:
            raise AssertionError("\n".join(self.lines())) from None

    def wait_for_line(self, line: str) -> list[str]:
        """What is shown once there is such a line, or one that ends in it."""
        return self.wait_for(lambda lines: any(each.endswith(line) for each in lines))
