"""
Starting a program, with nothing but the standard library: L{subprocess.Popen} does not copy the memory of whoever
calls it, and says at once why a program does not start.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from papa.childspec import ChildSpec
from papa.drivers.inheritance import DescriptorLimit, handed_over, inheritable_environment
from papa.drivers.preparation import Preparation
from papa.errors import BadRequest, Error, LimitReached, SpawnFailed

__all__ = ["explain", "start"]

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


def start(spec: ChildSpec, streams: Mapping[int, int], limit: DescriptorLimit) -> int:
    """
    Start a program in a session of its own.

    @param streams: what it gets as descriptors 0, 1 and 2; /dev/null where there is nothing.
    @param limit: gives it the limit of open files that papa was started with.
    @return: its pid; it is the caller's to reap.
    @raise BadRequest: if what it is given cannot be handed to a program.
    @raise SpawnFailed: if it does not start; nothing is left behind.
    @raise LimitReached: if the machine has no process or descriptor left.
    """
    env = inheritable_environment(os.environ) if spec.inherit_env else {}
    env.update(spec.env)
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            with (
                Preparation(spec, env) as preparation,
                limit.as_started(),
                handed_over(preparation.in_place) as others_shut,
            ):
                started = subprocess.Popen(
                    spec.args,
                    executable=_found(spec.args[0], env),
                    env=preparation.env,
                    cwd=spec.working_dir,
                    stdin=streams.get(0, null),
                    stdout=streams.get(1, null),
                    stderr=subprocess.STDOUT if spec.stderr == "stdout" else streams.get(2, null),
                    close_fds=not others_shut,
                    pass_fds=() if others_shut else preparation.descriptors,
                    preexec_fn=preparation.function,  # noqa: PLW1509 - papa has one thread
                    start_new_session=True,
                    umask=-1 if spec.umask is None else spec.umask,
                )
        except subprocess.SubprocessError as error:
            raise preparation.failure() from error
        finally:
            os.close(null)
    except UnicodeEncodeError as error:
        raise BadRequest(f"{error.object!r} cannot be handed to a program: no bytes stand for it") from error
    except OSError as error:
        raise explain(error, spec) from error
    # A Popen that is collected would take the exit status for itself.
    started.returncode = 0
    return started.pid


def _found(program: str, env: Mapping[str, str]) -> str:
    """Where the PATH of the child's environment has the program."""
    if "/" in program:
        return program
    path = env.get("PATH", os.defpath)
    found = shutil.which(program, path=path)
    if found is None:
        raise SpawnFailed(f"Program {program!r} not found in {path}: give its whole path, or set env.PATH")
    return found


def explain(error: OSError, spec: ChildSpec) -> Error:
    """What a failed start means, in words for the person who asked for it."""
    program = spec.args[0]
    if error.errno in _EXHAUSTED:
        return LimitReached(f"Cannot start {program!r} now: {error.strerror}")
    folder = spec.working_dir
    if folder is not None and error.filename == folder:
        return SpawnFailed(f"Bad working_dir {folder!r}: {error.strerror}")
    if error.errno == errno.ENOENT and os.path.lexists(os.path.join(folder or "", error.filename or program)):
        return SpawnFailed(f"Cannot start {program!r}: the interpreter that its first line names does not exist")
    if error.errno == errno.ENOEXEC:
        return SpawnFailed(f"Cannot start {program!r}: it is no program for this machine, nor begins with #!")
    return SpawnFailed(f"Cannot start {program!r}: {error.strerror or error}")
