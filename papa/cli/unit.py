"""C{papa unit}: what systemd needs to know to look after a kernel."""

from __future__ import annotations

import sys
from typing import Final

import click

__all__ = ["command"]

#: The soft limit is for children, as the system has it for all; papa raises its own to the hard one.
_DESCRIPTORS: Final = "1024:524288"

#: Each takes up to 32 of what is held: enough for 5000 processes whose output is kept. All must have a number below the
#: soft limit as papa is started, or systemd cannot start it.
_STORED: Final = 512

_UNIT: Final = """\
[Unit]
Description=papa, the process kernel{whose}
{after}# What is held must not be given up because it was killed too often.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} -P -m papa serve --anchor
# The anchor stays, and a kernel of the version that is installed now goes on; each says itself when it serves.
ExecReload=kill -USR2 $MAINPID
NotifyAccess=all
# What papa has started is not to end with it.
KillMode=process
# The control groups below this one are for managers to use.
Delegate=yes
LimitNOFILE={descriptors}
TasksMax=infinity
Restart=on-failure
RestartSec=500ms
# systemd keeps all that is held over a restart, and if the anchor is killed together with its kernel.
FileDescriptorStoreMax={stored}
# It says so itself since version 254.
Environment=FDSTORE={stored}

[Install]
WantedBy={target}
"""


def _quoted(path: str) -> str:
    """A path in a unit file, where % and some others mean something (systemd.service(5))."""
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        path = path.replace(character, written)
    return f'"{path}"' if any(character.isspace() or character in "\"';" for character in path) else path


@click.command()
@click.option("--user", is_flag=True, help="For a kernel of your own, which systemd --user looks after.")
def command(user: bool) -> None:
    """
    Print a unit for systemd.

    \b
    For the kernel of root:
        papa unit > /etc/systemd/system/papa.service
        systemctl enable --now papa
    For one of your own:
        mkdir -p ~/.config/systemd/user
        papa unit --user > ~/.config/systemd/user/papa.service
        systemctl --user enable --now papa; loginctl enable-linger

    systemctl reports papa as started once it serves, and as ended without touching what it has started. A reload is
    papa upgrade.
    """
    click.echo(
        _UNIT.format(
            whose=" of one user" if user else "",
            after="" if user else "After=network.target\n",
            program=_quoted(sys.executable),
            descriptors=_DESCRIPTORS,
            stored=_STORED,
            target="default.target" if user else "multi-user.target",
        ),
        nl=False,
    )
