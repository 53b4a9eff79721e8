"""What signals do in a daemon."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final, TypeAlias

from papa.daemon.errors import DaemonError

__all__ = ["OF_A_TERMINAL", "Action", "install", "signal_map", "signal_name", "signal_number"]

Action: TypeAlias = str | signal.Handlers | Callable[[int, FrameType | None], Any] | None
"""What a signal does: call a method, by its name; what L{signal.signal} takes; or, L{None}, nothing."""

signal_map: dict[int | str, Action] = {
    signal.SIGTERM: "sig_terminate",
    signal.SIGTSTP: None,
    signal.SIGTTIN: None,
    signal.SIGTTOU: None,
}
"""What signals do in every daemon, unless its own map says otherwise."""

OF_A_TERMINAL: Final = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
"""Those that only concern who has a terminal, which a daemon in the foreground may have."""


def signal_number(given: int | str) -> int:
    """
    A signal, by number or name, with or without SIG.

    @raise DaemonError: if there is none.
    """
    if isinstance(given, str):
        name = given.upper()
        with suppress(KeyError):
            return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    elif given in signal.valid_signals():
        return given
    raise DaemonError(f"{given!r} is not a valid signal")


def install(actions: Mapping[int, Action], owner: object) -> dict[int, Any]:
    """
    Have signals do something.

    @param owner: whose methods are meant by names.
    @return: what was done about each.
    @raise DaemonError: if one cannot do what it should.
    """
    installed: dict[int, Any] = {}
    for number, action in actions.items():
        handler: Any = signal.SIG_IGN if action is None else action
        try:
            if isinstance(action, str):
                handler = getattr(owner, action)
            signal.signal(number, handler)
        except (AttributeError, OSError, ValueError, TypeError) as error:
            raise DaemonError(f"{signal_name(number)} cannot do {action!r}: {error}") from error
        installed[number] = handler
    return installed


def signal_name(number: int) -> str:
    """How a signal is called; those of real time have no names of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"Signal {number}"
