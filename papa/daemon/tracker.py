"""Finding the files that a program has open."""

from __future__ import annotations

import builtins
import weakref
from typing import Any, Final

__all__ = ["FileTracker"]

_MISSING: Final = object()


class FileTracker:
    """
    Records every C{open}, so that a daemon can tell which files to keep.

    An instance is called instead of C{open}; L{install} puts it there.
    """

    _open: Any = staticmethod(builtins.open)
    _opened: list[tuple[Any, weakref.ref[Any]]] = []  # noqa: RUF012 - there is one C{open}, too

    def __call__(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a file."""
        file = self._open(name, *args, **kwargs)
        self._opened.append((name, weakref.ref(file)))
        return file

    @classmethod
    def install(cls) -> None:
        """Record what is opened from now on."""
        if not isinstance(builtins.open, cls):
            builtins.open = cls()  # type: ignore[assignment]

    @classmethod
    def uninstall(cls) -> None:
        """Record nothing any more, and forget."""
        builtins.open = cls._open
        cls._opened.clear()

    @classmethod
    def open_files(cls) -> list[tuple[Any, Any]]:
        """The name and the file of everything that is open."""
        files = [(name, reference()) for name, reference in cls._opened]
        still = [(name, file) for name, file in files if file is not None and not file.closed]
        cls._opened[:] = [(name, weakref.ref(file)) for name, file in still]
        return still

    @classmethod
    def active(cls, name: Any, default: Any = _MISSING) -> Any:
        """
        The file that was opened last under a name.

        @param default: what to give if there is none.
        @raise ValueError: if there is none, and no default.
        """
        for opened, file in reversed(cls.open_files()):
            if opened == name:
                return file
        if default is _MISSING:
            raise ValueError(f"{name!r} is not open")
        return default
