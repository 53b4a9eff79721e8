"""Becoming a daemon, stage by stage (Kerrisk, The Linux Programming Interface, 37.2)."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

from papa.daemon import control, systemd
from papa.daemon.descriptors import (
    STANDARD,
    close_open_files,
    descriptor_of,
    duplicate_above,
    flush_streams,
    prevent_core_dump,
    redirect,
)
from papa.daemon.errors import DaemonError, LockError, Parent
from papa.daemon.identity import become, group_id, user_id
from papa.daemon.launch import Launch
from papa.daemon.logfile import LogFile
from papa.daemon.origin import started_by_init, started_by_super_server
from papa.daemon.pidfile import PidLockFile
from papa.daemon.processes import set_title
from papa.daemon.signals import OF_A_TERMINAL, Action, install, signal_map, signal_number
from papa.daemon.stages import check_stage

__all__ = ["AUTO", "Daemon"]

_log = logging.getLogger("papa.daemon.Daemon")

AUTO: Final = "auto"
"""Find out what is right: for C{detach}, C{process_ids} and C{init_groups}."""

#: The stage that stands for "started".
_LAST: Final = 10


class Daemon:
    """
    A program that goes into the background, or that is started there by something that looks after it.

    Everything given here is an attribute, which may be changed until the stage that uses it; C{process_ids} becomes
    C{uid} and C{gid}.

    @ivar i_am: C{main} before anything has happened; then C{parent} in the launcher and C{daemon} in the daemon.
    @ivar pid: the daemon's, in the launcher, once it was started.
    @ivar output: in the launcher, what the daemon printed on its way; C{error}: what it complained of, and why it
        failed if it did.
    @ivar ready_status: in the launcher, what the daemon has said in L{ready}.
    @ivar exit_code: in the launcher, what the daemon ended with if it failed.
    @ivar handler_map: what was done about signals, by number.
    """

    def __init__(
        self,
        target: Callable[..., object] | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        detach: bool | str | None = AUTO,
        working_directory: str | os.PathLike[str] = "/",
        umask: int = 0o077,
        prevent_core: bool = True,
        process_ids: tuple[int | str | None, int | str | None] | str | None = AUTO,
        init_groups: bool | str = AUTO,
        pid_file: str | os.PathLike[str] | PidLockFile | None = None,
        inherit_files: Iterable[Any] | None = None,
        signal_map: Mapping[int | str, Action] | None = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        *,
        root_directory: str | os.PathLike[str] | None = None,
        log_file: str | os.PathLike[str] | None = None,
        pid_file_mode: int = 0o644,
        pid_file_group: int | str | None = None,
        await_ready: bool = False,
        ready_timeout: float | None = None,
        title: str | None = None,
    ) -> None:
        """
        @param target: what to run in the daemon, with C{args} and C{kwargs}; or override L{run}.
        @param detach: go into the background. L{AUTO} does, unless init, systemd or a super server has started this.
        @param working_directory: within C{root_directory}.
        @param umask: of what the daemon makes.
        @param prevent_core: have no core dumped.
        @param process_ids: user and group to become, as numbers or names; L{None} for one of them leaves it, or takes
            the user's own group. L{AUTO} gives up the rights of a set-uid program; L{None} changes nothing.
        @param init_groups: take the user's supplementary groups, too. L{AUTO} does where that is allowed.
        @param pid_file: a path, or a lock that may have been acquired already.
        @param inherit_files: files or descriptors that stay open.
        @param signal_map: what signals do, by number or name.
        @param stdin: a file, a descriptor, or a text that is to be read there; C{stdout} and C{stderr}: a file or a
            descriptor. L{None} is C{/dev/null} for a daemon in the background; in the foreground it stays.
        @param root_directory: what C{/} is for the daemon; needs root.
        @param log_file: the path that output and errors are appended to where nothing else is given; opened again on
            SIGHUP.
        @param pid_file_mode: the mode of the pid file, and C{pid_file_group} its group.
        @param await_ready: whether the launcher waits until L{ready} is called. Otherwise it goes on when all stages
            are done.
        @param ready_timeout: how long it waits for either, in seconds; then the daemon is ended, and has failed.
        @param title: what C{ps} and C{top} call the daemon.
        @raise DaemonError: if something of it makes no sense.
        """
        if not working_directory:
            raise DaemonError("A daemon needs a working directory: / if any will do")
        self.i_am = "main"
        self.target = target
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.detach = detach
        self.working_directory = working_directory
        self.umask = umask
        self.prevent_core = prevent_core
        self.uid, self.gid = _ids(process_ids)
        if init_groups is True and not hasattr(os, "initgroups"):
            raise DaemonError("This system cannot change a process's supplementary groups")
        self.init_groups = os.getuid() == 0 and hasattr(os, "initgroups") if init_groups == AUTO else bool(init_groups)
        self.pid_file = pid_file
        self.inherit_files: Any = inherit_files
        self.signal_map: dict[int | str, Action] = dict(signal_map or {})
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.root_directory = root_directory
        self.log_file = log_file
        self.pid_file_mode = pid_file_mode
        self.pid_file_group = pid_file_group
        self.await_ready = await_ready
        self.ready_timeout = ready_timeout
        self.title = title
        self.pid: int | None = None
        self.output = ""
        self.error = ""
        self.ready_status = ""
        self.exit_code: int | None = None
        self.handler_map: dict[int, Any] = {}
        self._stage_completed = 0
        self._launch: Launch | None = None
        self._detached = False
        self._returns = True
        self._lock: PidLockFile | None = None
        self._lock_pid = 0
        self._log_descriptor: int | None = None
        self._sources: dict[int, int] = {}
        self._own_files: list[int] = []

    # What is overridden.

    def run(self) -> object:
        """
        What the daemon does; by default, call its target.

        @raise DaemonError: if there is none.
        """
        if self.target is None:
            raise DaemonError("Nothing to do: give a target, or override run")
        return self.target(*self.args, **self.kwargs)

    def sig_terminate(self, number: int, frame: FrameType | None) -> None:
        """End in order, on a signal."""
        raise SystemExit(0)

    def sig_reopen(self, number: int, frame: FrameType | None) -> None:
        """Go on in a new log."""
        if self.log_file is not None:
            LogFile(self.log_file).reopen()

    def monitor(self, comms_queue: Any, out_fd: int, err_fd: int) -> None:
        """
        In the launcher: gather what the daemon says on its way, until it is on its own.

        @param out_fd: where what it prints can be read, and C{err_fd}: what it complains of.
        """
        assert self._launch is not None
        self._launch.listen(self.ready_timeout)

    # Starting.

    def start(self) -> None:
        """
        Become a daemon, and run.

        In the launcher this returns once the daemon is on its own. The daemon runs in it, and ends with it; in the
        foreground by L{SystemExit}, in the background without ever coming back into what has called this.

        @raise DaemonError: in the launcher, if the daemon failed; C{output} and C{error} tell more.
        """
        self._returns = False
        try:
            self._run_all()
        except Parent:
            _write(sys.stderr, self.error)
            return
        except DaemonError:
            if self.i_am == "parent":
                _write(sys.stdout, self.output)
            raise
        self._end(self._live())

    def activate(self) -> None:
        """
        Become a daemon, and return there. The launcher ends in here: with 0, or with 1 or what the daemon failed with.
        """
        try:
            self._run_all()
        except Parent:
            self._leave_launcher(0)
        except DaemonError:
            if self.i_am == "parent":
                self._leave_launcher(self.exit_code or 1)
            raise
        self._stage_completed = _LAST
        if self._awaited:
            sys.excepthook = self._failed_later
            atexit.register(self._ended_early, 0)

    def _run_all(self) -> None:
        if self._stage_completed >= _LAST:
            raise DaemonError("This daemon was started, or activated, before")
        with self._reporting():
            for number in range(self._stage_completed + 1, _LAST):
                getattr(self, f"stage{number}")()

    def _run_stage(self, number: int, run: Callable[[], Any]) -> Any:
        """Run a stage, and those before it; see L{check_stage}."""
        if self._stage_completed >= number or self.i_am == "parent":
            raise DaemonError(f"Attempted to run stage {number} twice")
        with self._reporting():
            for lower in range(self._stage_completed + 1, number):
                getattr(self, f"stage{lower}")()
            _log.debug("stage %d", number)
            done = run()
            self._stage_completed = number
            if number == _LAST - 1 and not self.await_ready and self._launch is not None:
                self._launch.succeed()
        return done

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """What fails in the daemon is told to the launcher, and runs nothing of the launcher's."""
        try:
            yield
        except BaseException as error:
            self._finish()
            if self._detached:
                self._fail(error)
            raise

    def _fail(self, error: BaseException) -> NoReturn:
        assert self._launch is not None
        code = 1
        if isinstance(error, DaemonError | LockError):
            text = str(error)
            code = getattr(error, "code", code)
        elif isinstance(error, SystemExit):
            text = f"the daemon ended with {error.code!r} before it was ready"
            code = error.code if isinstance(error.code, int) else code
        else:
            text = "".join(traceback.format_exception(error))
        self._launch.fail(text, code or 1)

    @property
    def _awaited(self) -> bool:
        return self._launch is not None and self._launch.awaited

    def ready(self, status: str | None = None) -> None:
        """
        Say that the daemon serves: to the launcher, if it waits for that, and to systemd.

        @param status: what it does, for people who ask systemd, and for the launcher: C{ready_status}.
        """
        if self._awaited:
            assert self._launch is not None
            self._launch.succeed(status or "")
        systemd.notify(READY=1, MAINPID=os.getpid(), **({} if status is None else {"STATUS": status}))

    # In the launcher.

    def _follow(self) -> NoReturn:
        """See the daemon off."""
        assert self._launch is not None
        self.i_am = "parent"
        if isinstance(self.pid_file, PidLockFile):
            self.pid_file.forget()
        outcome = self._launch.follow(self.monitor, self.ready_timeout)
        self.pid, self.output, self.ready_status = outcome.pid, outcome.output, outcome.status
        self.error = outcome.warnings + outcome.failure
        if not outcome.failure:
            raise Parent
        self.exit_code = outcome.code
        raise DaemonError(self.error, outcome.code)

    def _leave_launcher(self, code: int) -> NoReturn:
        _write(sys.stdout, self.output)
        _write(sys.stderr, self.error)
        # What the launcher was to do at its exit is the daemon's to do.
        os._exit(code)

    def report(self) -> NoReturn:
        """In the launcher: print what the daemon has printed, and end."""
        print(self.output)  # noqa: T201 - that is what it is for
        raise SystemExit

    # The stages.

    @check_stage
    def stage1(self) -> None:
        """Leave the launcher, if this is to go into the background."""
        self.i_am = "daemon"
        self.inherit_files = {descriptor_of(file) for file in self.inherit_files or ()}
        if self.detach == AUTO:
            self.detach = not (started_by_init() or started_by_super_server())
        if isinstance(self.stdin, str):
            self._sources[0] = self._text(self.stdin)
        for number, stream in zip(STANDARD, (self.stdin, self.stdout, self.stderr), strict=True):
            if stream is not None and number not in self._sources:
                self._sources[number] = descriptor_of(stream)
        if not self.detach:
            return
        self._launch = Launch()
        keep = {number for number in (1, 2) if number in self.inherit_files and number not in self._sources}
        try:
            is_daemon = self._launch.fork(keep)
        except OSError as error:
            raise DaemonError(f"Cannot leave the launcher: {error.strerror}") from error
        if not is_daemon:
            self._follow()
        self._detached = True
        if not self._returns:
            # What the launcher is to do at its exit, it does.
            atexit._clear()
        self._sources |= self._launch.original
        self._own_files += self._launch.original.values()

    def _text(self, text: str) -> int:
        """A file to read a text from."""
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.seek(0)
            descriptor = duplicate_above(file.fileno())
        self._own_files.append(descriptor)
        return descriptor

    @check_stage
    def stage2(self) -> None:
        """Have no core dumped."""
        if self.prevent_core:
            prevent_core_dump()

    @check_stage
    def stage3(self) -> None:
        """Take what only the first user may take, the pid file and the log; then become the user to be."""
        if self.pid_file is not None:
            self._lock = (
                self.pid_file
                if isinstance(self.pid_file, PidLockFile)
                else PidLockFile(self.pid_file, mode=self.pid_file_mode, group=self.pid_file_group)
            )
            if not self._lock.is_primary():
                self._lock.acquire()
        uid = None if self.uid is None else user_id(self.uid)
        gid = None if self.gid is None else group_id(self.gid)
        if self.log_file is not None:
            self._log_descriptor = LogFile(self.log_file).open(uid, gid)
        if self.root_directory is not None:
            try:
                os.chroot(self.root_directory)
                os.chdir("/")
            except OSError as error:
                raise DaemonError(f"Cannot make {self.root_directory} the root: {error.strerror}") from error
        become(uid, gid, init_groups=self.init_groups)

    @check_stage
    def stage4(self) -> None:
        """Have files made with the right mode."""
        os.umask(self.umask)

    @check_stage
    def stage5(self) -> None:
        """Be in a folder that nobody wants to unmount."""
        try:
            os.chdir(self.working_directory)
        except OSError as error:
            raise DaemonError(f"Cannot work in {os.fspath(self.working_directory)}: {error.strerror}") from error

    @check_stage
    def stage6(self) -> None:
        """Write down who has the lock."""
        if self._lock is not None:
            self._lock.seal()
        self._lock_pid = os.getpid()
        atexit.register(self._finish)
        if self.title is not None:
            set_title(self.title)

    @check_stage
    def stage7(self) -> None:
        """Listen to signals."""
        self.set_signals()

    def set_signals(self) -> None:
        """
        Have signals do what C{signal_map} says.

        @raise DaemonError: if it says nothing that can be done.
        """
        actions = {
            signal_number(each): action
            for each, action in signal_map.items()
            if self._detached or signal_number(each) not in OF_A_TERMINAL
        }
        if self.log_file is not None:
            actions[signal.SIGHUP] = "sig_reopen"
        actions |= {signal_number(each): action for each, action in self.signal_map.items()}
        self.handler_map = install(actions, self)

    @check_stage
    def stage8(self) -> None:
        """Close what is the launcher's."""
        kept = {*STANDARD, *self.inherit_files, *self._sources.values(), *self._own_files}
        if self._launch is not None:
            kept |= self._launch.kept
        if self._lock is not None:
            kept |= self._lock.descriptors
        if self._log_descriptor is not None:
            kept.add(self._log_descriptor)
        if not self._detached:
            kept.update(systemd.inherited_descriptors())
        close_open_files(kept)

    @check_stage
    def stage9(self) -> None:
        """Give the standard streams what they are to be."""
        flush_streams()
        for number in STANDARD:
            source = self._sources.get(number)
            if source is None and number != 0:
                source = self._log_descriptor
            keeps = number == 0 and 0 in self.inherit_files
            if source is not None or (self._detached and not keeps):
                redirect(number, source)
        for descriptor in {*self._own_files, self._log_descriptor} - {None, *STANDARD, *self.inherit_files}:
            assert descriptor is not None
            with suppress(OSError):
                os.close(descriptor)

    # Living and ending.

    def _live(self) -> int:
        """Run, to the end; with what exit code."""
        self._stage_completed = _LAST
        _log.debug("running %r", self.target)
        try:
            self.run()
            code = 0
        except SystemExit as ending:
            code = _code(ending)
        except BaseException as error:
            if self._awaited:
                self._finish()
                self._fail(error)
            if not self._detached:
                raise
            _log.critical("the daemon failed", exc_info=error)
            traceback.print_exception(error)
            code = 1
        self._ended_early(code)
        return code

    def _ended_early(self, code: int) -> None:
        if self._awaited:
            assert self._launch is not None
            self._finish()
            self._launch.fail(f"the daemon ended with {code} before it was ready", code)

    def _failed_later(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        """What nobody has caught, in a daemon that was activated."""
        sys.__excepthook__(kind, error, where)
        if self._awaited:
            self._finish()
            self._fail(error)

    def _finish(self) -> None:
        """Let go of the pid file; what the daemon has forked does not."""
        if self._lock is not None and self._lock_pid in (0, os.getpid()):
            lock, self._lock = self._lock, None
            with suppress(LockError):
                lock.release()
        if self._stage_completed >= _LAST and self._lock_pid == os.getpid():
            systemd.notify(STOPPING=1)

    def _end(self, code: int) -> NoReturn:
        """The end of the daemon, in the background without a look back at the launcher's code."""
        if not self._detached:
            self._finish()
            raise SystemExit(code)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        logging.shutdown()
        flush_streams()
        os._exit(code)

    # From outside.

    def _path(self) -> str | os.PathLike[str]:
        if self.pid_file is None:
            raise DaemonError("Without a pid file the daemon cannot be found")
        return self.pid_file.file_name if isinstance(self.pid_file, PidLockFile) else self.pid_file

    def status(self) -> control.Status:
        """Whether the daemon of this pid file runs, whoever has started it."""
        return control.status(self._path())

    def stop(self, timeout: float = 10.0) -> bool:
        """
        End the daemon of this pid file, whoever has started it; with force if it takes longer.

        @param timeout: in seconds.
        @return: whether there was one.
        @raise DaemonError: if it is not ours to end.
        """
        return control.stop(self._path(), timeout)

    def restart(self, timeout: float = 10.0) -> None:
        """L{stop} it if it runs, and L{start} this one."""
        self.stop(timeout)
        self.start()

    def __enter__(self) -> Self:
        """Start it in the background, for as long as the launcher needs it: for tests."""
        self.detach = True
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.pid is not None
        with control.process(self.pid) as handle:
            control.end(self.pid, handle, 10.0, signal.SIGTERM)


def _ids(process_ids: tuple[Any, Any] | str | None) -> tuple[int | str | None, int | str | None]:
    if process_ids is None:
        return None, None
    if process_ids == AUTO:
        return os.getuid(), os.getgid()
    if isinstance(process_ids, tuple | list) and len(process_ids) == 2:
        uid, gid = process_ids
        if all(each is None or isinstance(each, int | str) for each in (uid, gid)):
            return uid, gid
    raise DaemonError(f"process_ids are a user and a group, as numbers or names, not {process_ids!r}")


def _code(ending: SystemExit) -> int:
    """The exit code that the interpreter would end with; what is no number is said."""
    if ending.code is None:
        return 0
    if isinstance(ending.code, int):
        return ending.code & 0xFF
    _write(sys.stderr, f"{ending.code}\n")
    return 1


def _write(stream: Any, text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):
        stream.write(text)
        stream.flush()
