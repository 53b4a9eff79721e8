"""The papa command: its verbs, each in a module that is imported when it is used."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

import papa
from papa.cli import config
from papa.cli.failures import reported
from papa.names import nearest

__all__ = ["cli", "main"]

_VERBS: Final = {
    "attach": "papa.cli.attach",
    "completion": "papa.cli.completion",
    "console": "papa.cli.console",
    "doctor": "papa.cli.doctor",
    "events": "papa.cli.events",
    "logs": "papa.cli.logs",
    "rm": "papa.cli.remove",
    "run": "papa.cli.run",
    "serve": "papa.cli.serve",
    "show": "papa.cli.show",
    "shutdown": "papa.cli.shutdown",
    "signal": "papa.cli.signalling",
    "socket": "papa.cli.sockets",
    "status": "papa.cli.status",
    "top": "papa.cli.top",
    "torture": "papa.cli.torture",
    "unit": "papa.cli.unit",
    "upgrade": "papa.cli.upgrade",
    "value": "papa.cli.values",
    "wait": "papa.cli.wait",
    "watch": "papa.cli.watch",
    "with": "papa.cli.with_sockets",
}
_ALIASES: Final = {"ls": "status", "ps": "status"}


class _Verbs(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _VERBS.get(_ALIASES.get(cmd_name, cmd_name))
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not (ctx.resilient_parsing or args[0].startswith("-") or self.get_command(ctx, args[0])):
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], [*_VERBS, *_ALIASES])}")
        name, command, rest = super().resolve_command(ctx, args)
        # By this name its options find their variables and their defaults.
        return _ALIASES.get(name or "", name), command, rest

    def invoke(self, ctx: click.Context) -> Any:
        with reported():
            return super().invoke(ctx)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(papa.__version__, "--version", prog_name="papa")
@click.option(
    "--socket",
    "where",
    envvar="PAPA_SOCKET",
    metavar="PORT|PATH",
    help="The kernel to talk to: a port of 127.0.0.1 or a Unix path; your own by default. [env: PAPA_SOCKET]",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours: on a terminal, unless $NO_COLOR is set; always; never. [default: auto; env: PAPA_COLOR]",
)
@click.pass_context
def cli(ctx: click.Context, where: str | None, color: str) -> None:
    """
    papa holds sockets, values and processes for programs that come and go.

    One kernel runs for each user. It starts processes, captures what they print, and keeps that and their exit codes
    until somebody has read them, whoever else comes and goes.

    \b
    Start a program, and see what it prints:
        papa run hello -- sh -c 'echo hi; sleep 1; echo bye'
    Start one in the background, look at it, and read along:
        papa run -d job -- ./job.sh
        papa status
        papa logs -f job

    Every option of a verb has an environment variable, as PAPA_RUN_BUFSIZE, and a default in the file papa/config.toml
    in $XDG_CONFIG_HOME or ~/.config, as bufsize = "10m" under [run].

    Exit codes: 0 done; 1 failed; 2 wrong usage; 3 what was asked for has not come to be; 4 no such name; 69 no kernel
    answers; run and attach end with the code of the program, or 128 and the number of the signal that ended it. What a
    signal ends before it is done ends with 128 and its number, as 130 for Ctrl-C, by which following logs or events is
    done.
    """
    ctx.obj = where
    defaults = config.read(config.config_path(), _VERBS)
    if defaults and ctx.invoked_subcommand:
        ctx.default_map = {ctx.invoked_subcommand: _named(ctx, ctx.invoked_subcommand, defaults)}
    if color != "auto":
        ctx.color = color == "always"
    elif os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def _named(ctx: click.Context, verb: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a verb, by the names that its options have in the program."""
    command = cli.get_command(ctx, verb)
    assert command is not None
    known = {word.lstrip("-").replace("-", "_"): each.name or "" for each in command.params for word in each.opts}
    if isinstance(command, click.Group):
        known |= {name: name for name in command.commands}
    return config.named(config.config_path(), verb, defaults.get(verb, {}), known)


def _open_streams() -> None:
    """Have what was closed lead nowhere: else the next connection would be it, and be printed to."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    # Few commands come to this.
    from papa.daemon.descriptors import STANDARD, is_open, redirect, renew_streams

    for number in STANDARD:
        if not is_open(number):
            redirect(number, None)
    renew_streams()


def main() -> None:
    """Run the command."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows few characters is no reason to fail in the middle of a log.
            stream.reconfigure(errors="backslashreplace")
    with reported():
        cli(prog_name="papa", auto_envvar_prefix="PAPA")
