"""How a command's field is described and read from text: the material that L{papa.commands} is made of."""

from __future__ import annotations

import enum
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, Final

from papa.errors import BadRequest

__all__ = [
    "Parameter",
    "Role",
    "argv",
    "descriptor",
    "flag",
    "identity",
    "listed",
    "mapping",
    "mask",
    "name",
    "names",
    "number",
    "of",
    "option",
    "page",
    "rlimit",
    "shown_rlimit",
    "size",
    "text",
    "typed",
]

_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_MAX_DIGITS: Final = 20


class Role(enum.Enum):
    """Where on a line a field stands."""

    NAME = "one word, in its place"
    OPTION = "key=value"
    MAPPING = "key.NAME=value, any number of them"
    NAMES = "all the words that are left"
    ARGV = "all the words that are left, the first not an option"
    TEXT = "the rest of the line"
    PAGE = "not on a line: only programs ask for pages"
    DESCRIPTOR = "not on a line: a descriptor that comes beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """
    What the text wire and the help need to know of a field; kept in the field's metadata.

    @ivar key: its spelling on the line.
    @ivar hint: what stands for the value in a synopsis.
    @ivar parse: text to value; raises L{BadRequest} or L{ValueError}.
    """

    role: Role
    help: str
    key: str = ""
    hint: str = ""
    parse: Callable[[str], Any] = str


def of(described: Field[Any]) -> Parameter:
    """The description of a dataclass field."""
    parameter = described.metadata["parameter"]
    assert isinstance(parameter, Parameter)
    return parameter


def _described(parameter: Parameter, default: Any = MISSING, factory: Any = MISSING) -> Any:
    metadata = {"parameter": parameter}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def name(help: str = "the name to give it", hint: str = "NAME") -> Any:
    """A name: one word in its place."""
    return _described(Parameter(role=Role.NAME, help=help, hint=hint))


def names(help: str) -> Any:
    """Names and patterns: all the words that are left; a tuple of str."""
    return _described(Parameter(role=Role.NAMES, help=help, hint="NAME..."), ())


def argv(help: str) -> Any:
    """A program and its arguments: a tuple of str."""
    return _described(Parameter(role=Role.ARGV, help=help, hint="PROGRAM [ARGUMENT...]"))


def text(
    help: str,
    hint: str,
    *,
    default: Any,
    parse: Callable[[str], Any] = str,
) -> Any:
    """The rest of the line, as one value."""
    return _described(Parameter(role=Role.TEXT, help=help, hint=hint, parse=parse), default)


def option(
    key: str,
    help: str,
    *,
    hint: str = "TEXT",
    default: Any = None,
    parse: Callable[[str], Any] = str,
) -> Any:
    """A C{key=value} word."""
    return _described(Parameter(role=Role.OPTION, help=help, key=key, hint=hint, parse=parse), default)


def mapping(
    key: str,
    help: str,
    *,
    hint: str,
    parse: Callable[[str], Any] = str,
) -> Any:
    """Any number of C{key.NAME=value} words: a mapping."""
    return _described(Parameter(role=Role.MAPPING, help=help, key=key, hint=hint, parse=parse), factory=dict)


def page(help: str, *, default: Any = "") -> Any:
    """Which part of a list is asked for; not said on a line."""
    return _described(Parameter(role=Role.PAGE, help=help), default)


def _is_number(word: str) -> bool:
    # Python refuses to read thousands of digits, with an error of its own.
    return word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS


def descriptor() -> Any:
    """
    A descriptor that comes with the command.

    On a wire it is a number that counts the descriptors sent before it; in the kernel the descriptor itself.
    """
    return _described(Parameter(role=Role.DESCRIPTOR, help="the descriptor"), -1)


def number(word: str) -> int:
    """A decimal number."""
    if not _is_number(word):
        raise BadRequest(f"{word!r} is not a whole number")
    return int(word)


def flag(word: str) -> bool:
    """1 or 0; also yes, no, true, false, on, off."""
    known = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
    try:
        return known[word.lower()]
    except KeyError:
        raise BadRequest(f"{word!r} is neither 1 nor 0") from None


def mask(word: str) -> int:
    """A file mode mask: octal with a leading 0, decimal without."""
    if _is_number(word):
        with suppress(ValueError):
            return int(word, 8 if len(word) > 1 and word.startswith("0") else 10)
    raise BadRequest(f"{word!r} is not a mask: write it in octal with a leading 0, as 027")


def typed(line: str) -> bytes:
    """What a program reads when somebody types a line."""
    return line.encode() + b"\n"


def size(word: str) -> int:
    """A number of bytes, alone or with k, m or g."""
    digits, unit = (word[:-1], word[-1].lower()) if word[-1:].lower() in _UNITS else (word, "")
    if not _is_number(digits):
        raise BadRequest(f"{word!r} is not a size: write a number of bytes, or one with k, m or g, as 512k")
    return int(digits) * _UNITS.get(unit, 1)


def identity(word: str) -> int | str:
    """A user or group: a number stays a number, anything else is a name."""
    return int(word) if _is_number(word) else word


def listed(item: Callable[[str], Any] = str) -> Callable[[str], tuple[Any, ...]]:
    """A reader of items that commas separate; the empty word is no item."""
    return lambda word: tuple(item(part) for part in word.split(",")) if word else ()


def _limit(word: str) -> int:
    if word.lower() in ("unlimited", "infinity", "-1"):
        return resource.RLIM_INFINITY
    return number(word)


def rlimit(word: str) -> tuple[int, int]:
    """A limit for both soft and hard, or C{soft:hard}; C{unlimited} is a number too."""
    soft, colon, hard = word.partition(":")
    return (_limit(soft), _limit(hard if colon else soft))


def shown_rlimit(limit: tuple[int, int]) -> str:
    """A limit as L{rlimit} reads it."""
    soft, hard = limit
    return str(soft) if soft == hard else f"{soft}:{hard}"
