"""What a figure has at hand: a folder, the sides, and how much to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

from bench.environments import Unavailable, python_with
from bench.gate import Gate, Leash, gate
from bench.kernels import AnchoredKernel, Kernel, PapaKernel, Version1

__all__ = ["Field", "field"]

_Made = TypeVar("_Made")
_Number = TypeVar("_Number", int, float)


class Field:
    """
    Where one figure is taken; all that was started in it ends with it.

    @ivar quick: whether a rough value will do.
    @ivar folder: below the system's folder for temporary files.
    @ivar missing: by side, why it cannot be measured.
    @ivar notes: what is to be known of the figure beside its values.
    """

    def __init__(self, stack: ExitStack, folder: str, cache: str, say: Callable[[str], object], *, quick: bool) -> None:
        self._stack = stack
        self._cache = cache
        self.say = say
        self.folder = folder
        self.quick = quick
        self.missing: dict[str, str] = {}
        self.notes: list[str] = []

    def amount(self, full: _Number, quick: _Number) -> _Number:
        """How much of something to do."""
        return quick if self.quick else full

    def on_end(self, call: Callable[[], object]) -> None:
        """Call something when the figure has been taken."""
        self._stack.callback(call)

    def gate(self) -> Gate:
        """A gate for children."""
        return self._stack.enter_context(gate(self.folder))

    def leash(self) -> Leash:
        """What idle children hang on; they end when the figure has been taken."""
        made = Leash(self.folder)
        self.on_end(made.release)
        return made

    def papa(self, kind: type[PapaKernel] = PapaKernel) -> PapaKernel:
        """A kernel of this papa."""
        made = kind(self.folder)
        self.on_end(made.end)
        return made

    def papas(self) -> list[PapaKernel]:
        """A kernel in each mode."""
        return [self.papa(kind) for kind in (PapaKernel, AnchoredKernel)]

    def python_with(self, requirement: str) -> str:
        """
        The Python of an environment with a package.

        @raise Unavailable: if it cannot be had.
        """
        return python_with(requirement, self._cache, self.say)

    def version1(self) -> list[Version1]:
        """A kernel of papa 1.0.6, if it can run."""
        return self.perhaps(Version1.name, lambda: Version1(self.folder, self.python_with("papa==1.0.6")))

    def fresh_papas(self) -> dict[str, Callable[[], PapaKernel]]:
        """What starts a kernel in each mode; it is the caller's to end."""
        return {kind.name: partial(kind, self.folder) for kind in (PapaKernel, AnchoredKernel)}

    def fresh_version1(self) -> dict[str, Callable[[], Kernel]]:
        """What starts a kernel of papa 1.0.6, if it can run; it is the caller's to end."""
        pythons = self.perhaps(Version1.name, lambda: self.python_with("papa==1.0.6"))
        return {Version1.name: partial(Version1, self.folder, python) for python in pythons}  # noqa: B035 - one at most

    def perhaps(self, side: str, make: Callable[[], _Made]) -> list[_Made]:
        """Something that may not be there: what was made, or nothing."""
        try:
            made = make()
        except (Unavailable, RuntimeError) as error:
            self.missing[side] = str(error)
            return []
        if isinstance(made, Kernel):
            self.on_end(made.end)
        return [made]


@contextmanager
def field(cache: str, say: Callable[[str], object], *, quick: bool) -> Iterator[Field]:
    """
    A field.

    @param cache: where environments are kept.
    """
    with tempfile.TemporaryDirectory(prefix="papa-bench-") as folder, ExitStack() as stack:
        yield Field(stack, folder, cache, say, quick=quick)
