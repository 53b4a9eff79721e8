"""C{papa run}: start a program under papa, and read along."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from papa import parameters
from papa.cli.answers import json_lines_option, print_json
from papa.cli.completing import files, socket_names
from papa.cli.connecting import started_kernel
from papa.cli.failures import fail
from papa.cli.foreground import Program, read_along
from papa.cli.printing import printer
from papa.client.blocking import Papa
from papa.client.streams import DEVNULL, PIPE
from papa.errors import AlreadyDiffers, BadRequest
from papa.records import UNKNOWN_EXIT

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]

#: So many characters leave room for a number.
_LONGEST_OWN_NAME: Final = 120


class _Run(click.Command):
    """Its own options end where the program begins: what follows is the program's, with or without a --."""

    allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found = self._name_and_end(args)
        if found is not None:
            name, end = found
            args = [*args[:name], *args[name + 1 : end], "--", args[name], *args[end:]]
        return super().parse_args(ctx, args)

    def _name_and_end(self, args: Sequence[str]) -> tuple[int, int] | None:
        """Where a name stands, and the -- behind it; options may stand around it."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        flags = "".join(each.opts[0][1] for each in options if each.is_flag and len(each.opts[0]) == 2)
        with_value = {spelling for each in options if not each.is_flag for spelling in each.opts}
        name = None
        words = iter(enumerate(args))
        for index, word in words:
            if word == "--":
                return None if name is None else (name, index)
            if not word.startswith("-"):
                if name is not None:
                    return None
                name = index
            elif (word if word.startswith("--") else f"-{word[1:].lstrip(flags)}") in with_value:
                next(words, None)
        return None


@click.command(cls=_Run)
@click.argument(
    "words",
    metavar="[NAME --] PROGRAM...",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    shell_complete=files,
)
@click.option("--name", metavar="NAME", help="The name to give it, as NAME -- does. [default: that of the program]")
@click.option("-d", "--detach", is_flag=True, help="Start it and return at once; read it with papa logs.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable; may be repeated.")
@click.option("--clean-env", is_flag=True, help="Give it only the variables that -e sets, not your environment.")
@click.option(
    "--cwd",
    type=click.Path(),
    metavar="PATH",
    help="The folder to start in. [default: the current one]",
)
@click.option("--user", metavar="USER", help="The user to run as; papa must be root's.")
@click.option("--group", metavar="GROUP", help="The group to run as. [default: the user's own]")
@click.option("--rlimit", multiple=True, metavar="NAME=N[:N]", help="Set a resource limit, as nofile=1024.")
@click.option("--bufsize", metavar="SIZE", help="Unread output to keep, with k, m or g. [default: 1m]")
@click.option(
    "--overflow",
    type=click.Choice(["drop-oldest", "block"]),
    help="With a full buffer: lose the oldest, or make the program wait. [default: drop-oldest]",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="SOCKET",
    shell_complete=socket_names,
    help="Hand over a held socket, as systemd does.",
)
@click.option("-i", "--stdin", is_flag=True, help="Give it a standard input, which papa attach writes to.")
@click.option("--rm", is_flag=True, help="Forget it once it has ended, also if nobody reads it.")
@click.option("--no-output", is_flag=True, help="Capture nothing of what it prints.")
@click.option("--raw", is_flag=True, help="Show the very bytes that it prints.")
@json_lines_option
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...], name: str | None, **options: Any) -> None:
    """
    Start PROGRAM under papa as NAME, show what it prints, and end as it ends.

    A kernel is started if none runs. Ctrl-C is passed on to the program; a second one, or SIGTERM, asks it to
    terminate; another one leaves it running. Without a NAME it is called as the program, with a number if that is
    taken. Output that comes quicker than it can be shown is dropped, which is said; with --overflow block the program
    waits instead.

    \b
        papa run hello -- sh -c 'echo hi; exit 3'
        papa run -d --bufsize 10m job -- ./job.sh --fast
        papa run ./job.sh --fast
    """
    name, program = _named(words, name)
    with started_kernel(ctx) as papa:
        name, process = _start_under(papa, name, program, options)
        if options["detach"]:
            if options["json"]:
                answer: shapes.Started = {"name": name, "pid": process["pid"]}
                print_json(answer)
            else:
                click.echo(f"{name} runs with pid {process['pid']}{_hint(name, options)}")
            return
        try:
            with Program(papa, name, process["pid"]) as started, papa.watch_processes(name) as watcher:
                shown = printer(raw=options["raw"], as_json=options["json"], names=[name])
                code = read_along(watcher, started, shown)
        except KeyboardInterrupt:
            _leave(papa, name, options)
            raise
    sys.exit(code)


def _named(words: tuple[str, ...], name: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The name, if one was given, and the program."""
    if words[0] == "--":
        words = words[1:]
    elif words[1:2] == ("--",):
        if name is not None:
            raise click.UsageError(f"Two names: {name!r} and {words[0]!r}.")
        name, words = words[0], words[2:]
    if not words:
        raise click.UsageError("Missing the program to run.")
    return name, words


def _start_under(
    papa: Papa, name: str | None, program: tuple[str, ...], options: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Start a program under that name, or one that is free."""
    while True:
        chosen = _free_name(papa, program[0]) if name is None else name
        try:
            return chosen, _start(papa, chosen, program, options)
        except AlreadyDiffers:
            if name is None:
                continue  # Somebody else was quicker.
            _refuse_existing(papa, name)
            raise


def _free_name(papa: Papa, program: str) -> str:
    """A name for a program that is not taken: its own, or that with a number."""
    own = re.sub(r"[^A-Za-z0-9._@%+-]", "-", os.path.basename(program))[:_LONGEST_OWN_NAME] or "process"
    taken = papa.list_processes(f"{own}*")
    return next(
        name for number in itertools.count(1) if (name := own if number == 1 else f"{own}.{number}") not in taken
    )


def _hint(name: str, options: Mapping[str, Any]) -> str:
    """How it can be read, if there will be anything."""
    if not _captured(options):
        return ""
    return f"; papa logs -f {name} shows what it prints{', until it has ended' if options['rm'] else ''}"


def _captured(options: Mapping[str, Any]) -> bool:
    """Whether anything is kept of what it prints."""
    bufsize = options["bufsize"]
    return not options["no_output"] and (bufsize is None or parameters.size(bufsize) > 0)


def _leave(papa: Papa, name: str, options: Mapping[str, Any]) -> None:
    """Say how the program can be read on, if it can."""
    if options["rm"]:
        papa.remove_processes(name)
        click.echo(f"papa: {name} is left running, and nobody will read it", err=True)
    elif not _captured(options):
        click.echo(f"papa: {name} is left running", err=True)
    else:
        click.echo(f"papa: {name} is left running; papa logs -f {name} reads on", err=True)


def _refuse_existing(papa: Papa, name: str) -> None:
    existing = papa.list_processes(name).get(name)
    if existing is None:
        return
    if existing["running"]:
        fail(f"{name} runs already, with pid {existing['pid']}: read it with papa logs -f {name}, or take another name")
    code = existing["exit_code"]
    how = "" if code == UNKNOWN_EXIT else f" with {code}"
    fail(f"{name} has ended{how}, and nobody has collected that yet: see papa logs, or take another name")


def _start(papa: Papa, name: str, program: tuple[str, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    silent = DEVNULL if options["no_output"] else None
    wanted: dict[str, Any] = {
        "args": program,
        "env": _environment(options["env"], clean=options["clean_env"]),
        "working_dir": _folder(options["cwd"] or "."),
        "uid": options["user"],
        "gid": options["group"],
        "rlimits": dict(_pair(each, parameters.rlimit) for each in options["rlimit"]),
        "bufsize": options["bufsize"],
        "overflow": options["overflow"],
        "listen": options["listen"],
        # Who runs something means a process of its own, whoever else runs the same at the same moment.
        "exclusive": True,
        "stdout": silent,
        "stderr": silent,
        "stdin": PIPE if options["stdin"] else None,
        # Who reads along collects its end; it must not be forgotten before that.
        "forget": options["rm"] and options["detach"],
    }
    process: dict[str, Any] = papa.make_process(name, **wanted)
    return process


def _folder(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        fail("the current folder is there no more: say with --cwd where to start")


def _pair(word: str, parse: Any = str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals:
        raise BadRequest(f"{word!r} is not NAME=VALUE")
    return name, parse(value)


def _environment(variables: Iterable[str], *, clean: bool) -> dict[str, str]:
    """The caller's variables but those that are for it alone, and those that were asked for."""
    asked = dict(_pair(each) for each in variables)
    if clean:
        return asked
    from papa.drivers.inheritance import inheritable_environment  # What starts no program is to do without.

    return inheritable_environment(os.environ) | asked
