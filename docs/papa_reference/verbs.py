"""The papa command as click has it: every verb, with its arguments, options and variables."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import click

from papa.cli import main
from papa_reference.rst import block, escaped, section, table

__all__ = ["PREFIX", "Option", "Verb", "paragraphs", "verb_pages", "verbs"]

#: What the variables of options begin with.
PREFIX = "PAPA"


@dataclass(frozen=True, kw_only=True)
class Option:
    """
    An option of a verb.

    @ivar spelling: as the help shows it, with what stands for its value.
    @ivar variable: the environment variable that sets it; empty where there is none.
    """

    spelling: str
    help: str
    variable: str


@dataclass(frozen=True, kw_only=True)
class Verb:
    """
    A verb, or papa itself.

    @ivar name: all its words, C{papa socket make}.
    @ivar usage: what may follow them.
    @ivar help: its help text, as click has it.
    @ivar group: whether it needs another word.
    """

    name: str
    usage: str
    summary: str
    help: str
    options: tuple[Option, ...]
    group: bool = False

    @property
    def label(self) -> str:
        """What references call it."""
        return self.name.replace(" ", "-")


def verbs() -> Iterator[Verb]:
    """Papa itself and all its verbs, each group before its own."""
    settings = main.cli.context_settings
    yield from _walk(click.Context(main.cli, info_name="papa", auto_envvar_prefix=PREFIX, **settings))


def paragraphs(help: str) -> Iterator[tuple[bool, str]]:
    """The paragraphs of a help text; and of each, whether its lines are to stay as they are."""
    for part in inspect.cleandoc(help).split("\n\n"):
        if not part.startswith("\b\n"):
            yield False, " ".join(part.split())
            continue
        as_is: list[str] = []
        for line in part.splitlines()[1:]:
            if line.startswith(" "):
                as_is.append(line)
                continue
            if as_is:
                yield True, textwrap.dedent("\n".join(as_is))
                as_is = []
            yield False, line
        yield True, textwrap.dedent("\n".join(as_is))


def verb_pages() -> Iterator[str]:
    """A table of all verbs, and a section for each."""
    everything = list(verbs())
    rows = ((f":ref:`{each.name} <{each.label}>`", escaped(each.summary)) for each in everything[1:] if not each.group)
    yield from table(("verb", "what it does"), rows, "30 70")
    for verb in everything:
        yield from _section(verb)


def _walk(ctx: click.Context) -> Iterator[Verb]:
    command = ctx.command
    yield Verb(
        name=ctx.command_path,
        usage=" ".join(command.collect_usage_pieces(ctx)),
        summary=command.get_short_help_str(limit=1000),
        help=command.help or "",
        options=tuple(_options(ctx)),
        group=isinstance(command, click.Group),
    )
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from _walk(click.Context(child, parent=ctx, info_name=name))


def _options(ctx: click.Context) -> Iterator[Option]:
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        # To have a help is nothing particular of a verb.
        particular = parameter.expose_value or ctx.parent is None
        if isinstance(parameter, click.Option) and record is not None and particular:
            variable = parameter.envvar or f"{ctx.auto_envvar_prefix}_{(parameter.name or '').upper()}"
            assert isinstance(variable, str)
            yield Option(spelling=record[0], help=record[1], variable=variable if parameter.expose_value else "")


def _section(verb: Verb) -> Iterator[str]:
    yield from section(verb.name, "-", verb.label)
    yield from block(f"{verb.name} {verb.usage}".rstrip())
    for as_is, text in paragraphs(verb.help):
        yield from block(text, "shell") if as_is else (escaped(text), "")
    yield from (f".. program:: {verb.name}", "")
    for option in verb.options:
        yield from (f".. option:: {option.spelling}", "", f"   {escaped(option.help)}", "")
        if option.variable and option.variable not in option.help:
            yield from (f"   Variable: ``{option.variable}``", "")
