"""What it takes to start a child, said so that whoever starts it need know nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ChildSpec", "Identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    Whom a child runs as.

    @ivar groups: its supplementary groups.
    @ivar changed: whether this differs from papa's own identity, so that something must be done about it.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """
    All that a driver needs to start a child.

    @ivar key: what no other child has had, nor will have.
    @ivar args: the program and its arguments, sockets substituted.
    @ivar env: its environment; the driver adds nothing but what C{listen} and C{inherit_env} stand for.
    @ivar captured: whether anything of its output will be asked for.
    @ivar descriptors: what the child inherits beyond its streams: by its number in the child, the one here.
    @ivar listen: name and descriptor of each socket handed over as LISTEN_FDS, in order.
    """

    key: str = ""
    args: tuple[str, ...]
    env: Mapping[str, str]
    inherit_env: bool = False
    working_dir: str | None = None
    identity: Identity
    rlimits: Mapping[str, tuple[int, int]]
    umask: int | None = None
    stdin: str = "null"
    stdout: str = "pipe"
    stderr: str = "pipe"
    captured: bool = True
    descriptors: Mapping[int, int] = field(default_factory=dict)
    listen: tuple[tuple[str, int], ...] = ()
