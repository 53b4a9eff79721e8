"""C{papa doctor}: see whether everything is as it should be, and say how to mend what is not."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Literal

import click

import papa
from papa import places
from papa.cli.answers import json_option, print_json
from papa.cli.describing import counted
from papa.cli.dumped import print_state
from papa.cli.failures import EXIT_FAILED
from papa.client.location import location_of
from papa.client.program import Connection
from papa.commands import ListProcesses, ListSockets
from papa.continuity.dump import dumps
from papa.continuity.requirements import MISSING, without_anchor
from papa.drivers.families import descriptors
from papa.drivers.peers import TELLS_OF_TCP, listener_uid
from papa.errors import Error
from papa.visible import escaped
from papa.wire.messages import Greeting

if TYPE_CHECKING:
    from papa.cli import shapes

__all__ = ["command"]

#: Fewer descriptors than this, or less disk in bytes, is soon too little.
_FEW_DESCRIPTORS: Final = 4096
_LITTLE_DISK: Final = 100 << 20
_PATIENCE: Final = 5.0
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """
    What was found of one thing.

    @ivar remedy: what to do about it, if anything should be done.
    """

    level: Literal["ok", "warning", "failure"]
    subject: str
    text: str
    remedy: str = ""


def _installation(where: str | None) -> Iterator[_Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield _Finding(level="ok", subject="papa", text=f"{papa.__version__} on Python {python}, at {papa.__path__[0]}")
    for package, purpose, needed in (
        ("twisted", "the kernel needs", True),
        ("pyopenssl", "ssl: endpoints need", False),
    ):
        try:
            yield _Finding(level="ok", subject=package, text=version(package))
        except PackageNotFoundError:
            level: Literal["ok", "failure"] = "failure" if needed else "ok"
            extra = "papa" if needed else "papa[tls]"
            yield _Finding(
                level=level, subject=package, text=f"not installed: {purpose} it", remedy=f"pip install '{extra}'"
            )
    found = shutil.which("papa")
    own = os.path.join(os.path.dirname(sys.executable), "papa")
    if found is not None and os.path.exists(own) and not os.path.samefile(found, own):
        remedy = "put the folder of the right one first in PATH"
        yield _Finding(level="warning", subject="command", text=f"papa in PATH is another, {found}", remedy=remedy)


def _system(where: str | None) -> Iterator[_Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if hard != resource.RLIM_INFINITY and hard < _FEW_DESCRIPTORS:
        yield _Finding(
            level="warning",
            subject="descriptors",
            text=f"a kernel started here may open {shown} files; each process takes two or three",
            remedy="raise the hard limit: ulimit -Hn, LimitNOFILE= in a unit, /etc/security/limits.conf",
        )
    else:
        yield _Finding(level="ok", subject="descriptors", text=f"a kernel started here may open {shown} files")
    if not hasattr(os, "pidfd_open"):
        text = "this system has none: papa signal goes by the process id"
        yield _Finding(level="ok", subject="pidfd", text=text)
    if not TELLS_OF_TCP:
        text = "this system does not tell whose a TCP connection is: papa serves at Unix paths"
        yield _Finding(level="ok", subject="port", text=text)


def _folder(where: str | None) -> Iterator[_Finding]:
    folder = places.runtime_folder()
    try:
        places.check(folder)
    except FileNotFoundError:
        yield _Finding(level="ok", subject="folder", text=f"{folder} is not there yet; the first kernel makes it")
        return
    except Error as error:
        yield _Finding(level="failure", subject="folder", text=str(error), remedy="mend that, or set PAPA_RUNTIME_DIR")
        return
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_DISK:
        text = f"{folder} has {free >> 20} MiB left"
        yield _Finding(level="warning", subject="folder", text=text, remedy="make room: papa's log grows there")
    else:
        yield _Finding(level="ok", subject="folder", text=f"{folder} is yours alone")
    for path in dumps(folder):
        text = f"no kernel came to serve when this was written, with what was held: {path}"
        remedy = f"papa doctor --state {path} shows it, papa's log says why; delete it when that is settled"
        yield _Finding(level="warning", subject="state", text=text, remedy=remedy)


def _port(where: str | None) -> Iterator[_Finding]:
    owner = listener_uid(places.DEFAULT_PORT)
    if owner is not None and owner not in (0, os.geteuid()):
        yield _Finding(
            level="warning",
            subject="port",
            text=f"{places.DEFAULT_PORT} is served by a program of uid {owner}; your kernel does without it",
            remedy="programs of papa 1.0.6 need PAPA_SOCKET, or a kernel with papa serve -p",
        )


def _kernel(where: str | None) -> Iterator[_Finding]:
    try:
        location = location_of(where)
        connection = Connection(location, _PATIENCE)
    except (Error, OSError) as error:
        refused = isinstance(error, Error)
        text = str(error) if refused else f"none answers at {location}"
        remedy = "papa serve --daemonize starts one" if not refused else "papa --socket says which kernel to ask"
        yield _Finding(level="failure" if refused else "warning", subject="kernel", text=text, remedy=remedy)
        return
    try:
        pid = connection.greeting.pid
        held = (
            counted(len(connection.ask(ListProcesses())), "process"),
            counted(len(connection.ask(ListSockets())), "socket"),
        )
    finally:
        connection.close()
    text = f"pid {pid} answers at {location}; it holds {' and '.join(held)}"
    yield _Finding(level="ok", subject="kernel", text=text)
    yield _anchor(connection.greeting)
    yield from _limits(pid)


def _anchor(kernel: Greeting) -> _Finding:
    """Whether another would go on with what the kernel holds."""
    if not kernel.anchor:
        if MISSING:
            return _Finding(level="ok", subject="anchor", text=without_anchor())
        text = "it has none: what the kernel holds ends with it"
        return _Finding(level="ok", subject="anchor", text=text, remedy="papa serve --anchor has one")
    text = f"pid {kernel.anchor}; kernels so far: {kernel.kernels}"
    return _Finding(level="ok", subject="anchor", text=text)


def _limits(pid: int) -> Iterator[_Finding]:
    """How near the kernel is to what it may open."""
    used, most = descriptors(pid)
    if used is None:
        return
    text = f"it has {used} of {most or 'any number of'} descriptors open"
    if most is not None and used > most * 0.8:
        yield _Finding(level="warning", subject="kernel", text=text, remedy="start the next one with a higher limit")
    else:
        yield _Finding(level="ok", subject="kernel", text=text)


_CHECKS: Final[tuple[Callable[[str | None], Iterator[_Finding]], ...]] = (
    _installation,
    _system,
    _folder,
    _port,
    _kernel,
)


def _shape(finding: _Finding) -> shapes.Finding:
    return {"level": finding.level, "subject": finding.subject, "text": finding.text, "remedy": finding.remedy}


@click.command()
@click.option(
    "--state",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Show a state that was written down as no kernel came to serve.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, state: str | None, json: bool) -> None:
    """
    Check the installation, the limits, the runtime folder and the kernel, and say how to mend what is wrong.

    With exit code 1 if something does not work.
    """
    if state is not None:
        print_state(state, as_json=json)
        return
    findings = [finding for check in _CHECKS for finding in check(ctx.obj)]
    if json:
        answer: shapes.Diagnosis = {"findings": [_shape(finding) for finding in findings]}
        print_json(answer)
    else:
        for finding in findings:
            mark = click.style(f"{finding.level:8}", fg=_COLOURS[finding.level])
            click.echo(f"{mark} {finding.subject}: {escaped(finding.text)}")
            if finding.remedy:
                click.echo(f"{'':8}   to mend it: {escaped(finding.remedy)}")
    if any(finding.level == "failure" for finding in findings):
        sys.exit(EXIT_FAILED)
