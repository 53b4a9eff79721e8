"""
What is said on the program wire: every command of papa, what belongs to a watch, and what the kernel says by itself.

A client sends a box with C{_command} (the command's words), C{_ask} (any number, where it wants an answer) and the
fields. The answer has C{_answer} with that number; a refusal has C{_error}, C{_error_code} and C{_error_description}.
The kernel sends boxes without C{_ask}, which are not to be answered.

Whatever bytes come, what reads them raises nothing but leaves of L{papa.errors}.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from papa.asked.command import Command, Listing
from papa.errors import BadRequest, Error, LimitReached, UnknownCommand, by_code
from papa.records import Closed, Happened, Hole, Item, Lent, Output
from papa.wire import boxes, schema
from papa.wire.boxes import Box
from papa.wire.messages import Acknowledge, Greeting, Message, Received, Refused, StopWatching, WatchEnded, Watching

__all__ = [
    "PUSHES",
    "Asked",
    "Push",
    "answer_box",
    "answered",
    "commands_by_name",
    "next_page",
    "push_box",
    "read_answer",
    "read_push",
    "read_request",
    "refusal_box",
    "request_bytes",
    "write_answer",
]

#: A page of a list ends with the item that makes it as large as this, in bytes.
_PAGE_SIZE: Final = 256 << 10

#: How many bytes of a refusal's sentence are said; it may quote what was asked, of any length.
_LONGEST_SENTENCE: Final = 4096

_SCALARS: Final = (str, bool)

_COMMAND: Final = b"_command"
_ASK: Final = b"_ask"
_ANSWER: Final = b"_answer"
_ERROR: Final = b"_error"
_ERROR_CODE: Final = b"_error_code"
_ERROR_DESCRIPTION: Final = b"_error_description"
_DESCRIPTOR: Final = b"descriptor"
_MORE: Final = b"more"
_WATCH: Final = b"watch"

Push: TypeAlias = Item | Happened | WatchEnded | Greeting | Refused
"""What the kernel says by itself; an item comes with the number of its watch."""

Asked: TypeAlias = Command | Acknowledge | Received | StopWatching
"""What a client says."""


def _name_of(kind: type[Command | Message]) -> bytes:
    return " ".join(kind.words).encode()


@functools.cache
def commands_by_name() -> Mapping[bytes, type[Asked]]:
    """What a client may say, by name."""
    from papa import commands  # Who asks one thing need not load what could be asked.

    here = [kind for kind in commands.ALL if kind not in (commands.Help, commands.Quit)]
    return {_name_of(kind): kind for kind in (*here, Acknowledge, Received, StopWatching)}


PUSHES: Final[Mapping[bytes, type[Push]]] = {
    b"output": Output,
    b"hole": Hole,
    b"closed": Closed,
    b"event": Happened,
    **{_name_of(kind): kind for kind in (WatchEnded, Greeting, Refused)},
}
"""What the kernel may say by itself, by name."""

_PUSH_NAMES: Final = {kind: name for name, kind in PUSHES.items()}


def request_bytes(asked: Asked, number: int | None) -> bytes:
    """
    What a client sends.

    @param number: by which the answer will be known; L{None} asks for none.
    @raise Unsayable: if a text in it has no bytes.
    @raise LimitReached: if it is larger than what a kernel takes.
    """
    box = {_COMMAND: _name_of(type(asked))}
    if number is not None:
        box[_ASK] = b"%d" % number
    box |= schema.to_box(asked)
    if boxes.size(box) > boxes.MAX_REQUEST:
        raise LimitReached(f"{' '.join(asked.words)!r} with more than {boxes.MAX_REQUEST >> 20} MiB in all its fields")
    return boxes.serialize(box)


def read_request(box: Mapping[bytes, bytes]) -> Asked:
    """
    What a client has sent.

    A field that is not known is refused: to pass it over would be to do something else than what was asked.

    @raise BadRequest: if it is not valid.
    """
    name = box.get(_COMMAND, b"")
    kind = commands_by_name().get(name)
    if kind is None:
        raise UnknownCommand(f"{name[:80]!r} is no command of this kernel on the program wire")
    known = schema.fields_of(kind)
    for key in box:
        if key not in known and key[:1] != b"_" and (field := key.partition(b".")[0]) not in known:
            raise BadRequest(f"{name.decode()!r} has no field {field.decode(errors='replace')!r}")
    return schema.read_record(kind, box)


def answer_box(asked_with: Mapping[bytes, bytes], answer: Box) -> Box | None:
    """The answer to a request; L{None} if it wanted none."""
    number = asked_with.get(_ASK)
    return None if number is None else {_ANSWER: number} | answer


def refusal_box(asked_with: Mapping[bytes, bytes], error: Error) -> Box | None:
    """The refusal of a request; L{None} if it wanted no answer."""
    number = asked_with.get(_ASK)
    if number is None:
        return None
    return {_ERROR: number, _ERROR_CODE: error.code.encode(), _ERROR_DESCRIPTION: _sentence(str(error))}


def _sentence(sentence: str) -> bytes:
    """What fits into a value of what an error says; the end of it tends to say what would be right."""
    data = sentence.encode(errors="backslashreplace")
    if len(data) <= _LONGEST_SENTENCE:
        return data
    return data[: _LONGEST_SENTENCE // 2] + b" ... " + data[-_LONGEST_SENTENCE // 2 :]


def write_answer(kind: type[Command], answer: Any, most: int = 0) -> Box:
    """
    The fields of an answer.

    @param answer: what the kernel's method gave; of a list as much goes into the box as a page holds.
    @param most: of a list, how many things the kernel was asked for: if so many came, there may be more.
    """
    if kind.listed:
        return _write_page(kind, answer, most)
    if answer is None or kind.answer is None:
        return {}
    if kind.lends:
        return schema.to_box(answer.record) | {_DESCRIPTOR: b"%d" % answer.descriptor}
    if kind.answer in _SCALARS:
        return boxes.split("value", schema.codec_of(kind.answer).write(answer))
    return schema.to_box(answer)


def _write_page(kind: type[Command], answer: Mapping[str, Any], most: int) -> Box:
    parts: list[bytes] = []
    size = 0
    for name, item in answer.items():
        data = schema.codec_of(str).write(item) if kind.answer is str else boxes.serialize(schema.to_box(item))
        parts += (name.encode(), data)
        size += len(data)
        if size >= _PAGE_SIZE:
            break
    page = boxes.split("items", schema.write_list(parts))
    cut = len(parts) < 2 * len(answer) or len(answer) == most > 0
    return page | {_MORE: parts[-2]} if cut else page


def next_page(command: Asked, box: Mapping[bytes, bytes]) -> Command | None:
    """
    What to ask for the rest of a list, a page of which is in a box; L{None} if that is all.

    The page itself need not be read before that.

    @raise BadRequest: if it is no page.
    """
    if not isinstance(command, Listing) or _MORE not in box:
        return None
    most = command.most - len(_page_parts(box)) if command.most else 0
    if command.most and most <= 0:
        return None
    return replace(command, after=schema.read_value(_MORE.decode(), schema.codec_of(str), box), most=most)


def answered(box: Mapping[bytes, bytes]) -> int | None:
    """
    The number of the request that a box answers or refuses; L{None} if it does not.

    @raise BadRequest: if it is no number.
    """
    number = box.get(_ANSWER, box.get(_ERROR))
    if number is None:
        return None
    try:
        return int(number)
    except ValueError as error:
        raise BadRequest(f"{number[:80]!r} is not the number of a request") from error


def read_answer(command: Asked, box: Mapping[bytes, bytes]) -> Any:
    """
    The answer in a box.

    @return: what the kernel's method gave; of a list, the page that has come. The descriptor of something lent is the
        number of descriptors that came before it on this connection.
    @raise Error: what was refused.
    @raise BadRequest: if it is no answer to this command.
    """
    if _ERROR in box:
        code = box.get(_ERROR_CODE, b"").decode(errors="replace")
        raise by_code(code, box.get(_ERROR_DESCRIPTION, b"").decode(errors="replace") or code)
    if isinstance(command, Command) and command.watches:
        return schema.read_record(Watching, box)
    if not isinstance(command, Command) or command.answer is None:
        return None
    if command.listed:
        return _read_page(command.answer, box)
    if command.answer in _SCALARS:
        return schema.read_value("value", schema.codec_of(command.answer), box)
    record: Any = schema.read_record(command.answer, box)
    if command.lends:
        number = schema.read_value(_DESCRIPTOR.decode(), schema.codec_of(int), box)
        return Lent(record=record, descriptor=-1 if number is None else number)
    return record


def _read_page(kind: type[Any], box: Mapping[bytes, bytes]) -> dict[str, Any]:
    pairs = _page_parts(box)
    try:
        if kind is str:
            return {name: schema.codec_of(str).read(data) for name, data in pairs}
        return {name: schema.read_record(kind, boxes.read_box(data)) for name, data in pairs}
    except ValueError as error:
        raise _no_page(error) from error


def _page_parts(box: Mapping[bytes, bytes]) -> list[tuple[str, bytes]]:
    """The names in a page, and what is said of each."""
    try:
        parts = schema.read_list(boxes.joined("items", box) or b"")
        return [(name.decode(), data) for name, data in zip(parts[::2], parts[1::2], strict=True)]
    except ValueError as error:
        raise _no_page(error) from error


def _no_page(error: Exception) -> BadRequest:
    return BadRequest(f"What came is no page of a list: {error}")


def push_box(push: Push, watch: int | None = None) -> Box:
    """What the kernel sends by itself; an item with the number of its watch."""
    box = {_COMMAND: _PUSH_NAMES[type(push)]} | schema.to_box(push)
    if watch is not None:
        box[_WATCH] = b"%d" % watch
    return box


def read_push(box: Mapping[bytes, bytes]) -> tuple[Push, int | None]:
    """
    What the kernel has sent by itself, and the number of the watch it belongs to.

    @raise BadRequest: if it is nothing that a kernel says.
    """
    name = box.get(_COMMAND, b"")
    kind = PUSHES.get(name)
    if kind is None:
        raise BadRequest(f"The kernel said what it never says: {name[:80]!r}")
    return schema.read_record(kind, box), schema.read_value(_WATCH.decode(), schema.codec_of(int), box)
