"""The files that papa makes or reads: said once, for the page and the manual page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from papa import places
from papa.cli.config import config_path
from papa_reference.rst import table

__all__ = ["FOLDER", "PERSONAL", "RUNTIME", "WATCHED", "File", "files"]

#: What stands for the runtime folder.
FOLDER = "$PAPA_RUNTIME_DIR"
_CONFIG = config_path({"XDG_CONFIG_HOME": "/"})


@dataclass(frozen=True)
class File:
    """
    A file or a folder.

    @ivar mode: in octal, or empty if that is for its owner to choose.
    """

    path: str
    mode: str
    meaning: str


RUNTIME = (
    File(FOLDER, "0700", "The folder itself. One that is another user's, or open to others, is not used."),
    File(places.control_path(FOLDER), "0600", "Where the kernel serves programs: the program wire."),
    File(places.console_path(FOLDER), "0600", "Where it serves people: the console."),
    File(f"{places.control_path(FOLDER)}.lock", "0600", "Locked as long as that socket is served."),
    File(f"{places.console_path(FOLDER)}.lock", "0600", "The same for the console."),
    File(f"{FOLDER}/start.lock", "0600", "Locked by whoever starts a kernel, so that only one is started."),
    File(places.log_path(FOLDER), "0640", "The log of a kernel in the background; opened anew on SIGHUP."),
)

PERSONAL = (
    File(f"$XDG_CONFIG_HOME{_CONFIG}", "", "Defaults for the options of verbs."),
    File("$XDG_STATE_HOME/papa/history", "0600", "What was typed at ``papa console``."),
)

WATCHED = (
    File("NAME.log", "0640", "What it has printed, standard output and standard error together."),
    File(
        "NAME.holes", "0640", "What is missing there, where a full buffer had to drop something: a JSON object a line."
    ),
    File("NAME.ends", "0640", "How each process of that name has ended: a JSON object a line."),
    File(".NAME.note", "0640", "Where in the log the output of the latest process of that name begins."),
    File(".papa-watch.pid", "0644", "Locked by whoever writes into the folder."),
)


def files(described: Iterable[File]) -> Iterator[str]:
    """A table of files."""
    rows = ((f"``{each.path}``", each.mode and f"``{each.mode}``", each.meaning) for each in described)
    yield from table(("path", "mode", "what it is"), rows, "40 10 50")
