"""Finding the files that a program has open."""

from __future__ import annotations

import builtins
import weakref
from typing import Any, ClassVar, Final

__all__ = ["FileTracker"]

_MISSING: Final = object()


class FileTracker:
    """
    Records every C{open}, so that a daemon can tell which files to keep.

    An instance is called instead of C{open}; L{install} puts it there.
    """

    _open: Any = staticmethod(builtins.open)
    # There is one C{open}, too. Files that nobody has any more drop out by themselves.
    _opened: ClassVar[weakref.WeakKeyDictionary[Any, Any]] = weakref.WeakKeyDictionary()

    def __call__(self, file: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a file."""
        opened = self._open(file, *args, **kwargs)
        self._opened[opened] = file
        return opened

    @classmethod
    def install(cls) -> None:
        """Record what is opened from now on."""
        if not isinstance(builtins.open, cls):
            builtins.open = cls()

    @classmethod
    def uninstall(cls) -> None:
        """Record nothing any more, and forget."""
        builtins.open = cls._open
        cls._opened.clear()

    @classmethod
    def open_files(cls) -> list[tuple[Any, Any]]:
        """The name and the file of everything that is open."""
        return [(name, file) for file, name in list(cls._opened.items()) if not file.closed]

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
