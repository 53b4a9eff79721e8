"""The way to a daemon, stage by stage (Kerrisk, The Linux Programming Interface, 37.2)."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn

from papa.daemon import systemd
from papa.daemon.descriptors import (
    STANDARD,
    close_open_files,
    descriptor_of,
    duplicate_above,
    flush_streams,
    open_above,
    prevent_core_dump,
    redirect,
    renew_streams,
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

__all__ = ["AUTO", "LAST_STAGE", "StagedDaemon"]

_log = logging.getLogger("papa.daemon.Daemon")

AUTO: Final = "auto"
"""Find out what is right: for C{detach}, C{process_ids} and C{init_groups}."""

LAST_STAGE: Final = 9


class StagedDaemon:
    """
    What a daemon is to be, and the stages that make it so.

    Everything given here is an attribute, which may be changed until the stage that uses it; C{process_ids} becomes
    C{uid} and C{gid}.

    @ivar i_am: C{main} before anything has happened; then C{parent} in the launcher and C{daemon} in the daemon.
    @ivar pid: the daemon's, in the launcher, once it was started.
    @ivar output: in the launcher, what the daemon printed on its way; C{error}: what it complained of, and why it
        failed if it did.
    @ivar ready_status: in the launcher, what the daemon has said when it was ready.
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
        @param await_ready: whether the launcher waits until C{ready} is called. Otherwise it goes on when all stages
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
        self._detached = False
        self._returns = True
        self._reset()

    def _reset(self) -> None:
        """Nothing has been done yet."""
        self.i_am = "main"
        self._stage_completed = 0
        self._depth = 0
        self._launch: Launch | None = None
        self._lock: PidLockFile | None = None
        self._lock_pid = 0
        self._log_file: LogFile | None = None
        self._sources: dict[int, int] = {}
        self._own_files: set[int] = set()

    # What may be overridden, beside the stages.

    def sig_terminate(self, number: int, frame: FrameType | None) -> None:
        """End in order, on a signal."""
        raise SystemExit(0)

    def sig_reopen(self, number: int, frame: FrameType | None) -> None:
        """Go on in a new log."""
        if self._log_file is not None:
            self._log_file.reopen()

    def monitor(self, comms_queue: Any, out_fd: int, err_fd: int) -> None:
        """
        In the launcher: gather what the daemon says on its way, until it is on its own.

        @param out_fd: where what it prints can be read, and C{err_fd}: what it complains of.
        """
        assert self._launch is not None
        self._launch.listen(self.ready_timeout)

    # Running stages.

    def _run_stages(self) -> None:
        """Run all that were not."""
        if self._stage_completed > LAST_STAGE or self.i_am == "parent":
            raise DaemonError("This daemon was started, or activated, before")
        with self._reporting():
            for number in range(self._stage_completed + 1, LAST_STAGE + 1):
                getattr(self, f"stage{number}")()

    def _run_stage(self, number: int, run: Callable[[], Any]) -> Any:
        """Run a stage, and those before it; see L{check_stage}."""
        if self._stage_completed >= number or self.i_am == "parent":
            raise DaemonError(f"Attempted to run stage {number} twice")
        with self._reporting():
            for lower in range(self._stage_completed + 1, number):
                getattr(self, f"stage{lower}")()
            _log.debug("stage %d", number)
            # An override calls what it overrides: the stage is done when both are.
            self._depth += 1
            try:
                done = run()
            finally:
                self._depth -= 1
            if not self._depth:
                self._stage_completed = number
                if number == LAST_STAGE and not self.await_ready and self._launch is not None:
                    self._launch.succeed()
        return done

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """What fails in the daemon is told to the launcher, and runs nothing of the launcher's."""
        try:
            yield
        except BaseException as error:
            if self.i_am == "parent":
                raise
            self._finish()
            if not self._detached:
                raise
            self._report(error)
            self._exit(_code_of(error) or 1)

    def _report(self, error: BaseException) -> None:
        """Tell the launcher why the daemon failed."""
        if isinstance(error, DaemonError | LockError):
            text = str(error)
        elif not isinstance(error, SystemExit):
            text = "".join(traceback.format_exception(error))
        elif isinstance(error.code, str):
            text = error.code
        else:
            text = f"the daemon ended with {_code_of(error)} before it was ready"
        if self._launch is not None:
            self._launch.report_failure(text, _code_of(error))

    def _exit(self, code: int) -> NoReturn:
        """End the daemon without a look back at the launcher's code; what it was to do itself in the end, it does."""
        if not self._returns:
            atexit._run_exitfuncs()
        flush_streams()
        os._exit(code)

    @property
    def _awaited(self) -> bool:
        return self._launch is not None and self._launch.awaited

    def _see_off(self) -> NoReturn:
        """In the launcher: learn what becomes of the daemon."""
        assert self._launch is not None
        self.i_am = "parent"
        for descriptor in self._own_files:
            os.close(descriptor)
        if isinstance(self.pid_file, PidLockFile):
            self.pid_file.forget()
        outcome = self._launch.follow(self.monitor, self.ready_timeout)
        self.pid, self.output, self.ready_status = outcome.pid, outcome.output, outcome.status
        self.error = outcome.warnings + outcome.failure
        if not outcome.failure:
            raise Parent
        self.exit_code = outcome.code
        raise DaemonError(self.error, outcome.code)

    def _await_the_end(self) -> None:
        """Where the daemon goes on in the launcher's code: whatever ends it, the launcher learns that it was."""
        sys.excepthook = self._uncaught
        atexit.register(self._ended)

    def _uncaught(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if self._awaited:
            self._report(error)
        else:
            sys.__excepthook__(kind, error, where)

    def _ended(self) -> None:
        if self._awaited and self._launch is not None:
            if self.await_ready:
                self._launch.report_failure("the daemon ended before it was ready", 1)
            else:
                self._launch.succeed()

    # The stages.

    @check_stage
    def stage1(self) -> None:
        """Leave the launcher, if this is to go into the background."""
        self.i_am = "daemon"
        self.inherit_files = {descriptor_of(file) for file in self.inherit_files or ()}
        if self.detach == AUTO:
            self.detach = not (started_by_init() or started_by_super_server())
        self._take_streams()
        if self.detach:
            self._launch = Launch()
            try:
                is_daemon = self._launch.fork()
            except OSError as error:
                for descriptor in self._own_files:
                    os.close(descriptor)
                self._reset()
                raise DaemonError(f"Cannot leave the launcher: {error.strerror}") from error
            if not is_daemon:
                self._see_off()
            self._detached = True
            if isinstance(self.pid_file, PidLockFile):
                self.pid_file.take_over()
            if self._returns:
                self._await_the_end()
            else:
                # What the launcher is to do at its exit, it does.
                atexit._clear()
        if self.title is not None:
            set_title(self.title)

    def _take_streams(self) -> None:
        """See what the standard streams are to be; what is one now will not be it for long, and is kept aside."""
        for number, stream in zip(STANDARD, (self.stdin, self.stdout, self.stderr), strict=True):
            if number == 0 and isinstance(stream, str):
                self._sources[number] = self._set_aside(_file_with(stream))
            elif stream is not None:
                source = descriptor_of(stream)
                self._sources[number] = self._set_aside(duplicate_above(source)) if source in STANDARD else source
            elif number in self.inherit_files:
                with suppress(OSError):
                    self._sources[number] = self._set_aside(duplicate_above(number))

    def _set_aside(self, descriptor: int) -> int:
        self._own_files.add(descriptor)
        return descriptor

    @check_stage
    def stage2(self) -> None:
        """Have no core dumped."""
        if self.prevent_core:
            prevent_core_dump()

    @check_stage
    def stage3(self) -> None:
        """Take what only the first user may take, the pid file and the log; then become the user to be."""
        group = None if self.pid_file_group is None else group_id(self.pid_file_group)
        if self.pid_file is not None:
            self._lock = (
                self.pid_file
                if isinstance(self.pid_file, PidLockFile)
                else PidLockFile(self.pid_file, mode=self.pid_file_mode, group=group)
            )
            if not self._lock.is_primary():
                self._lock.acquire()
        uid = None if self.uid is None else user_id(self.uid)
        gid = None if self.gid is None else group_id(self.gid)
        if self.log_file is not None:
            self._log_file = LogFile(self.log_file)
            log = self._set_aside(self._log_file.open(uid, gid))
            for number in (1, 2):
                self._sources.setdefault(number, log)
        if self._detached:
            null = self._set_aside(open_above(os.devnull, os.O_RDWR))
            for number in STANDARD:
                self._sources.setdefault(number, null)
        if self.root_directory is not None:
            try:
                os.chroot(self.root_directory)
                os.chdir("/")
            except OSError as error:
                raise DaemonError(f"Cannot make {self.root_directory} the root: {error.strerror}") from error
        become(uid, gid, init_groups=self.init_groups)
        if self._lock is not None and self.root_directory is not None and os.geteuid() != 0:
            self._lock.let_go_of_folder()

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

    @check_stage
    def stage7(self) -> None:
        """Listen to signals, also to those that the launcher had blocked for itself."""
        if self._detached:
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
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
            kept |= self._launch.descriptors
        if self._lock is not None:
            kept |= self._lock.descriptors
        if not self._detached:
            kept.update(systemd.inherited_descriptors())
        close_open_files(kept)

    @check_stage
    def stage9(self) -> None:
        """Give the standard streams what they are to be."""
        flush_streams()
        for number, source in self._sources.items():
            redirect(number, source)
        renew_streams(self._sources)
        for descriptor in self._own_files:
            with suppress(OSError):
                os.close(descriptor)

    def _finish(self) -> None:
        """Let go of the pid file; what the daemon has forked does not."""
        if self._lock is not None and self._lock_pid in (0, os.getpid()):
            lock, self._lock = self._lock, None
            with suppress(LockError):
                lock.release()
        if self._stage_completed > LAST_STAGE and self._lock_pid == os.getpid():
            systemd.notify(STOPPING=1)


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


def _code_of(error: BaseException) -> int:
    """What a process ends with that ends by this."""
    code = getattr(error, "code", 1) if isinstance(error, SystemExit | DaemonError) else 1
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _file_with(text: str) -> int:
    """A file to read a text from."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        return duplicate_above(file.fileno())
