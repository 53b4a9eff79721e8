"""The stages on the way to a daemon: each once, in order."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from papa.daemon.errors import DaemonError

__all__ = ["check_stage"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def check_stage(method: _Method) -> _Method:
    """
    Make a stage of a method whose name ends in a number: it runs once, behind all stages with lower numbers.

    An override has to be decorated, too.

    @raise DaemonError: when it is called, if it has run before, or in the launcher after the daemon has left it.
    """
    found = re.search("[0-9]+$", method.__name__)
    if found is None:
        raise DaemonError(f"The name of a stage ends in its number, which {method.__name__!r} does not")
    number = int(found[0])

    @functools.wraps(method)
    def stage(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run_stage(number, lambda: method(self, *args, **kwargs))

    return stage  # type: ignore[return-value]
