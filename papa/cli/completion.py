"""C{papa completion}: what a shell needs to complete papa's words and the names of what papa holds."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """
    Print a script that has SHELL complete papa's words, and names from the kernel that runs.

    \b
        cd ~/.local/share/bash-completion/completions && papa completion bash > papa
        cd ~/.config/fish/completions && papa completion fish > papa.fish
        cd ~/.zfunc && papa completion zsh > _papa    # fpath+=~/.zfunc before compinit
    """
    from papa.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "papa", "_PAPA_COMPLETE").source())
