"""
The page on JSON, made of the shapes that the verbs are checked against.

    python docs/shapes.py > docs/json.rst
"""

import inspect
import re
import sys
import types
import typing

from papa.cli import shapes

PAGE = """\
What ``--json`` prints
======================

With ``--json`` a verb prints JSON on standard output, and nothing else there: one object on one line.
Those that stream, {streams}, print any number of objects, one a line,
each as soon as it is known. Failures are said on standard error, in words, and by the exit code, as without ``--json``.

Every object has ``version``, now 1. It is counted up when a program that reads it would have to change; new keys may
come without that. Every key below is always there. Times are seconds since the epoch; texts that are no text, such as
arguments of odd bytes, have them as Python's surrogate escapes (U+DC80 to U+DCFF).

This page is made by ``docs/shapes.py`` of ``papa/cli/shapes.py``, and the tests hold the verbs to it.

Verbs
-----

{verbs}
Objects
-------

{objects}"""


def written(annotation):
    """A type in the words of JSON."""
    if isinstance(annotation, types.UnionType):
        return " or ".join(written(each) for each in typing.get_args(annotation))
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return f"list of {written(arguments[0])}"
    if origin is dict:
        return f"object of {written(arguments[1])}"
    if origin is typing.Literal:
        return "text"
    if typing.is_typeddict(annotation):
        return f"`{annotation.__name__}`_"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}
    return names[annotation]


def described(shape):
    """What a shape is, in a sentence, and its fields."""
    doc = inspect.cleandoc(shape.__doc__).replace("\n    ", " ")
    sentence = re.sub(r"\s+", " ", doc.partition("@ivar")[0]).strip()
    fields = dict(re.findall(r"@ivar (\w+): (.*)", doc))
    return re.sub(r"C{(.*?)}", r"``\1``", sentence), {
        name: re.sub(r"C{(.*?)}", r"``\1``", text) for name, text in fields.items()
    }


def mentioned(shape, found):
    """The shapes that a shape is made of, itself first."""
    if typing.is_typeddict(shape) and shape not in found:
        found.append(shape)
        for annotation in typing.get_type_hints(shape).values():
            mentioned(annotation, found)
    for argument in typing.get_args(shape):
        mentioned(argument, found)
    return found


def section(shape):
    """What is written of a shape."""
    sentence, fields = described(shape)
    hints = typing.get_type_hints(shape)
    shared = typing.get_type_hints(shapes.Process)
    if shape is not shapes.Process and shared.items() <= hints.items():
        sentence += " All keys of `Process`_, and:"
        hints = {name: annotation for name, annotation in hints.items() if name not in shared}
    lines = [shape.__name__, "~" * len(shape.__name__), "", sentence, ""]
    for name, annotation in hints.items():
        text = f" {fields[name]}" if name in fields else ""
        lines.append(f"* ``{name}``, {written(annotation)}{':' if text else ''}{text}")
    return "\n".join(lines) + "\n"


def page():
    """The whole page."""
    verbs = ""
    found = []
    for verb, printed in shapes.PRINTED.items():
        links = ", ".join(f"`{shape.__name__}`_" for shape in printed)
        verbs += f"* ``papa {verb} --json``: {links}\n"
        for shape in printed:
            mentioned(shape, found)
    streams = ", ".join(f"``{verb}``" for verb in shapes.STREAMS)
    return PAGE.format(streams=streams, verbs=verbs, objects="\n".join(map(section, found)))


if __name__ == "__main__":
    sys.stdout.write(page())
