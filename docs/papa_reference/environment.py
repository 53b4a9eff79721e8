"""The environment variables beside those of the options: said once, for the page and the manual page."""

from __future__ import annotations

from collections.abc import Iterator

from papa_reference.rst import table

__all__ = ["READ", "SET", "variables"]

READ = {
    "PAPA_SOCKET": "The kernel to talk to, as ``--socket`` says it: a port of 127.0.0.1, or the path of a Unix socket.",
    "PAPA_RUNTIME_DIR": "The runtime folder, of kernels and of clients.",
    "XDG_RUNTIME_DIR": "Where the runtime folder of a user lies: in ``papa`` there. A relative path is passed over.",
    "XDG_CONFIG_HOME": "Where ``papa/config.toml`` lies, instead of ``~/.config``.",
    "XDG_STATE_HOME": "Where ``papa console`` keeps its history, instead of ``~/.local/state``.",
    "NO_COLOR": "No colours, whatever it is set to.",
    "TERM": "``dumb`` means no colours, too.",
    "FDSTORE": "How many descriptors systemd keeps for the anchor; no child inherits it.",
    "NOTIFY_SOCKET": "Where a kernel tells systemd that it serves; no child inherits it.",
    "WATCHDOG_USEC": "How often systemd wants to hear from a kernel, in microseconds; with ``WATCHDOG_PID``.",
    "WATCHDOG_PID": "Which process is meant by ``WATCHDOG_USEC``.",
    "SYSTEMD_EXEC_PID": "Which process systemd has started: that one does not go into the background.",
    "LISTEN_FDS": "How many sockets systemd hands over to a program that uses ``papa.daemon.systemd``.",
    "LISTEN_PID": "Which process is meant by ``LISTEN_FDS``.",
    "LISTEN_FDNAMES": "Their names.",
}
"""What papa reads."""

SET = {
    "LISTEN_FDS": "How many held sockets a process has been handed with ``listen``, or by ``papa with``: from 3 on.",
    "LISTEN_PID": "Its pid.",
    "LISTEN_FDNAMES": "The names of these sockets, with colons between them.",
}
"""What papa sets for the programs that it starts."""


def variables(which: dict[str, str]) -> Iterator[str]:
    """A table of variables."""
    yield from table(("variable", "meaning"), ((f"``{name}``", text) for name, text in which.items()), "25 75")
