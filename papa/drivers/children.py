"""
Real children: started, read and reaped.

The child is a Twisted L{Process<twisted.internet.process.Process>}, so its protocol is told of output and end as every
Twisted program is; three things are done otherwise. It is started by L{subprocess.Popen}, which does not copy papa's
memory and reports at once why a program does not start. Its pipes are read 64 KiB at a time. Its end is seen on a
pidfd, so that an exit costs the same however many children there are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet import process
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess
from papa.drivers.identity import look_up
from papa.drivers.inheritance import DescriptorLimit
from papa.drivers.starting import explain, start
from papa.errors import BadRequest, LimitReached, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IChildObserver

__all__ = ["Child", "SystemChildren"]

#: As much as a pipe holds. Larger reads are slower again: their memory comes from mmap each time.
_READ_SIZE: Final = 65536


class _OutputReader(process.ProcessReader):
    """Reads a pipe of the child."""

    def doRead(self) -> Any:
        try:
            data = os.read(self.fd, _READ_SIZE)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return None
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        return self.dataReceived(data)


class _ExitReader:
    """A pidfd in the reactor: readable once the child has exited."""

    def __init__(self, child: Child, handle: int) -> None:
        self._child = child
        self._handle = handle

    def fileno(self) -> int:
        return self._handle

    def logPrefix(self) -> str:
        return "papa child"

    def doRead(self) -> None:
        self._child.reapProcess()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of it when it ends."""

    def close(self) -> None:
        os.close(self._handle)


class _Capture(ProcessProtocol):
    """Tells the kernel's observer what Twisted tells a protocol."""

    def __init__(self, observer: IChildObserver, channels: set[int]) -> None:
        self._observer = observer
        self._open = channels
        self._captures = bool(channels)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._observer.output_arrived(childFD, data)

    def childConnectionLost(self, childFD: int) -> None:
        if childFD in self._open:
            self._open.remove(childFD)
            if not self._open:
                self._observer.output_ended()

    def processExited(self, reason: Failure) -> None:
        ended: Any = reason.value
        code = -ended.signal if getattr(ended, "signal", None) else ended.exitCode
        self._observer.exited(code)
        if not self._captures:
            self._observer.output_ended()


class _StdinGauge:
    """Knows whether the child has taken what it was sent."""

    full = False

    def pauseProducing(self) -> None:
        self.full = True

    def resumeProducing(self) -> None:
        self.full = False

    def stopProducing(self) -> None:
        self.full = False


@implementer(IChild)
class Child(process.Process):
    """
    A started program, its pipes and its end.

    @ivar pid: its process id.
    """

    processReaderFactory = _OutputReader
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        spec: ChildSpec,
        observer: IChildObserver,
        start: Callable[[ChildSpec, Mapping[int, int]], int],
    ) -> None:
        """
        @param start: starts the program with the given ends of pipes as its streams, and gives its pid.
        """
        self.child_pid = 0
        self._spec = spec
        self._start = start
        self._constructed = False
        self._early_status: int | None = None
        self._exit_reader: _ExitReader | None = None
        self._gauge = _StdinGauge()
        pipes = {1: spec.stdout, 2: spec.stderr}
        captured = {channel for channel, kind in pipes.items() if kind == "pipe"}
        descriptors: dict[int, str] = dict.fromkeys(captured, "r")
        if spec.stdin == "pipe":
            descriptors[0] = "w"
        process.Process.__init__(
            self, reactor, spec.args[0], spec.args, spec.env, None, _Capture(observer, captured), childFDs=descriptors
        )
        self._constructed = True
        if spec.stdin == "pipe":
            self.registerProducer(self._gauge, True)
        if self._early_status is None:
            self._await_exit()
        else:
            # Gone already: but nobody has been told of this child yet, so its end must wait a turn.
            reactor.callLater(0, process.Process.processEnded, self, self._early_status)

    def _fork(self, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, **kwargs: Any) -> None:
        self.pid = self.child_pid = self._start(self._spec, kwargs["fdmap"])

    def _await_exit(self) -> None:
        """See the exit on a pidfd; where there is none to be had, Twisted's own SIGCHLD handling sees it."""
        try:
            handle = os.pidfd_open(self.child_pid)
        except (AttributeError, OSError):
            return
        process.unregisterReapProcessHandler(self.pid, self)
        self._exit_reader = _ExitReader(self, handle)
        self._reactor.addReader(self._exit_reader)

    def reapProcess(self) -> None:
        """Take the exit status, if it is there."""
        if self._exit_reader is None:
            process.Process.reapProcess(self)
            return
        try:
            pid, status = os.waitpid(self.child_pid, os.WNOHANG)
        except ChildProcessError:
            # Nobody else may do that in papa; but a pidfd that stays readable would never let it rest.
            self._reactor.removeReader(self._exit_reader)
            self._log.error("child {pid} was reaped by somebody else: how it ended is not known", pid=self.child_pid)
            return
        if pid:
            self._reactor.removeReader(self._exit_reader)
            self._exit_reader.close()
            self._exit_reader = None
            self.processEnded(status)

    def processEnded(self, status: int) -> None:
        """It has been reaped."""
        if self._constructed:
            process.Process.processEnded(self, status)
        else:
            self._early_status = status

    def write(self, data: bytes) -> None:
        """Send bytes to its standard input."""
        self._check_stdin()
        if self._gauge.full:
            raise LimitReached("The process has not read yet what it was sent before: try again later")
        self.writeToChild(0, data)

    def close_stdin(self) -> None:
        """End its standard input, after what was written."""
        self._check_stdin()
        # With a producer that was told to pause, the writer would wait for more instead of closing.
        self.unregisterProducer()
        self.closeChildFD(0)

    def _check_stdin(self) -> None:
        if 0 not in self.pipes or self.pipes[0].disconnecting:
            raise BadRequest("The standard input of the process is closed")

    def lend(self) -> int:
        """A pidfd of it."""
        try:
            if self._exit_reader is not None:
                return os.dup(self._exit_reader.fileno())
            if self.lostProcess:
                raise SpawnFailed("The process has exited: there is nothing left to signal")
            return os.pidfd_open(self.child_pid)
        except (AttributeError, OSError) as error:
            raise SpawnFailed(f"Cannot get a pidfd: {error}") from error

    def pause_output(self) -> None:
        """Stop reading."""
        self.pauseProducing()

    def resume_output(self) -> None:
        """Read on."""
        self.resumeProducing()


@implementer(IChildDriver)
class SystemChildren:
    """Starts real programs."""

    def __init__(self, reactor: IReactorCore | IReactorFDSet | IReactorTime, limit: DescriptorLimit) -> None:
        """
        @param reactor: watches descriptors and calls later.
        @param limit: gives each child the limit of open files that papa was started with.
        """
        self._reactor = reactor
        self._limit = limit

    def identity(self, spec: MakeProcess) -> Identity:
        """Look up the user and groups that a request asks for."""
        return look_up(spec.uid, spec.gid, spec.groups)

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> Child:
        """Start a program."""
        try:
            return Child(self._reactor, spec, observer, self._start)
        except OSError as error:
            raise explain(error, spec) from error

    def _start(self, spec: ChildSpec, streams: Mapping[int, int]) -> int:
        return start(spec, streams, self._limit)
