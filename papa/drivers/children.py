"""
Real children: started, read and reaped.

The child is a Twisted L{Process<twisted.internet.process.Process>}, so its protocol is told of output and end as every
Twisted program is; three things are done otherwise. It is started by L{papa.drivers.starting}. Its pipes are read 64
KiB at a time. Its end is seen on a pidfd, so that an exit costs the same however many children there are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from twisted.internet import process
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess
from papa.drivers.crowd import Crowd, Singly, telling, watching
from papa.drivers.handles import exit_code
from papa.drivers.identity import look_up
from papa.drivers.inheritance import DescriptorLimit
from papa.drivers.starting import explain, start
from papa.errors import BadRequest, LimitReached, SpawnFailed
from papa.interfaces import IChild, IChildDriver, IChildObserver, ITape
from papa.records import UNKNOWN_EXIT

__all__ = ["READ_SIZE", "Child", "OutputPipe", "Pipes", "SystemChildren", "captured_channels"]

#: As much as a pipe holds. Larger reads are slower again: their memory comes from mmap each time.
READ_SIZE: Final = 65536


class OutputPipe(process.ProcessReader):
    """
    A pipe that the child prints to.

    @ivar reactor: the L{Crowd} that watches it.
    """

    reactor: Any

    def was_read(self, size: int) -> None:
        """So many bytes were in it."""
        if size == READ_SIZE:
            self.reactor.widening.found_full(self.fd)

    def connectionLost(self, reason: Failure) -> None:
        """It has ended."""
        self.reactor.widening.closed(self.fd)
        super().connectionLost(reason)


class _OutputReader(OutputPipe):
    """Reads it."""

    def doRead(self) -> Any:
        try:
            data = os.read(self.fd, READ_SIZE)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return None
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.was_read(len(data))
        return self.dataReceived(data)


class _Capture(ProcessProtocol):
    """Tells the kernel's observer what Twisted tells a protocol."""

    def __init__(self, observer: IChildObserver, channels: int) -> None:
        """
        @param channels: how many are captured.
        """
        self._observer = observer
        self._open = channels
        self._captures = channels > 0

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        with telling:
            self._observer.output_arrived(childFD, data)

    def childConnectionLost(self, childFD: int) -> None:
        if childFD:
            self._open -= 1
            if not self._open:
                with telling:
                    self._observer.output_ended()

    def processExited(self, reason: Failure) -> None:
        ended: Any = reason.value
        code = -ended.signal if getattr(ended, "signal", None) else ended.exitCode
        with telling:
            self._observer.exited(code)
        if not self._captures:
            with telling:
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

    @ivar child_pid: its process id, also after its end.
    @ivar tape: where its output is put.
    @ivar observer: whoever is told; L{None} once there is nothing left to tell.
    """

    _log = Logger()
    observer: IChildObserver | None

    def __init__(
        self,
        reactor: Any,
        crowd: Crowd | Singly,
        spec: ChildSpec,
        observer: IChildObserver,
        *,
        pid: int,
        ends: Mapping[int, int],
        handle: int | None = None,
        tape: ITape | None = None,
    ) -> None:
        """
        @param crowd: watches what comes of it.
        @param ends: papa's ends of its pipes, by stream.
        @param handle: a pidfd of it.
        """
        captured = captured_channels(spec)
        # Not Process.__init__, which starts a program.
        protocol = _Capture(observer, sum(stream in ends for stream in captured))
        process._BaseProcess.__init__(self, protocol)
        self._reactor = reactor
        self._crowd = crowd
        self.tape = tape
        self.pid = self.child_pid = pid
        self.observer = observer
        self._handle = handle
        self._gauge: _StdinGauge | None = None
        self.pipes: dict[int, Any] = {}
        for stream, end in ends.items():
            if stream in captured:
                self.pipes[stream] = self._reader(stream, end)
            else:
                self.pipes[stream] = self._writer(end)
                self._gauge = _StdinGauge()
                self.registerProducer(self._gauge, True)
        protocol.makeConnection(self)

    def _reader(self, stream: int, end: int) -> process.ProcessReader:
        return _OutputReader(self._crowd, self, stream, end)

    def _writer(self, end: int) -> process.ProcessWriter:
        return process.ProcessWriter(self._reactor, self, 0, end, forceReadHack=True)

    def processEnded(self, status: int) -> None:
        """It has been reaped."""
        process.Process.processEnded(self, status)
        self._let_go()

    def maybeCallProcessEnded(self) -> None:
        """If all is told, let go of whoever was: else both, with all the output, would wait to be found as garbage."""
        super().maybeCallProcessEnded()
        if self.proto is None:
            self.observer = None

    def exited(self, code: int) -> None:
        """It was reaped by somebody else, who has found that code."""
        self.processEnded(code << 8 if code >= 0 else -code)

    def _getReason(self, status: int) -> BaseException:
        # A status has eight bits for a code, so Twisted would look at no more.
        return (
            ProcessTerminated(UNKNOWN_EXIT, None, status) if status >> 8 == UNKNOWN_EXIT else super()._getReason(status)
        )

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def write(self, data: bytes) -> None:
        """Send bytes to its standard input."""
        self._check_stdin()
        if self._input_waits:
            raise LimitReached("The process has not read yet what it was sent before: try again later")
        self._send(data)

    @property
    def _input_waits(self) -> bool:
        """Whether so much of what it was sent is on its way that it is to be sent no more."""
        return self._gauge is not None and self._gauge.full

    def _send(self, data: bytes) -> None:
        self.writeToChild(0, data)

    def close_stdin(self) -> None:
        """End its standard input, after what was written."""
        self._check_stdin()
        self._end_input()

    def _end_input(self) -> None:
        # With a producer that was told to pause, the writer would wait for more instead of closing.
        self.unregisterProducer()
        self.closeChildFD(0)

    def unsent(self) -> tuple[bytes, bool]:
        """What of its standard input is still on its way to it, and whether that ends behind it."""
        writer = self.pipes.get(0)
        if writer is None:
            return b"", False
        return b"".join([writer.dataBuffer[writer.offset :], *writer._tempDataBuffer]), writer.disconnecting

    def _check_stdin(self) -> None:
        if 0 not in self.pipes or self.pipes[0].disconnecting:
            raise BadRequest("The standard input of the process is closed")

    def lend(self) -> int:
        """A pidfd of it."""
        try:
            if self._handle is not None:
                return os.dup(self._handle)
            if self.lostProcess:
                raise SpawnFailed("The process has exited: there is nothing left to signal")
            return os.pidfd_open(self.child_pid)
        except (AttributeError, OSError) as error:
            raise SpawnFailed(f"Cannot get a pidfd: {error}") from error

    def discard(self) -> None:
        """Its output is read, and nobody has it."""
        self.tape = None

    def forget(self) -> None:
        """There is nothing but this object to forget."""

    def pause_output(self) -> None:
        """Stop reading."""
        self.pauseProducing()

    def resume_output(self) -> None:
        """Read on."""
        self.resumeProducing()


class OwnChild(Child):
    """A child of papa's own, which papa reaps: as its pidfd it is in the crowd until it has exited."""

    def await_exit(self) -> None:
        """See the exit on a pidfd; where there is none to be had, Twisted's own SIGCHLD handling sees it."""
        try:
            self._handle = os.pidfd_open(self.child_pid)
        except (AttributeError, OSError):
            # Which may see it at once: but nobody has been told of this child yet, so its end must wait a turn.
            self._reactor.callLater(0, process.registerReapProcessHandler, self.child_pid, self)
            return
        self._crowd.addReader(self)

    def fileno(self) -> int:
        """The pidfd, which is readable once the child has exited."""
        assert self._handle is not None
        return self._handle

    def logPrefix(self) -> str:
        """What it is called in logs."""
        return "papa child"

    def doRead(self) -> None:
        """It has exited."""
        self.reapProcess()

    def connectionLost(self, reason: Failure) -> None:
        """The crowd lets go of it."""

    def reapProcess(self) -> None:
        """Take the exit status, if it is there."""
        if self._handle is None:
            process.Process.reapProcess(self)
            return
        try:
            pid, status = os.waitpid(self.child_pid, os.WNOHANG)
        except ChildProcessError:
            # Nobody else may do that in papa; but a pidfd that stays readable would never let it rest.
            self._crowd.removeReader(self)
            self._log.error("child {pid} was reaped by somebody else", pid=self.child_pid)
            self.exited(exit_code(self.child_pid, self._handle))
            return
        if pid:
            self._crowd.removeReader(self)
            self.processEnded(status)


def captured_channels(spec: ChildSpec) -> list[int]:
    """Which of its streams papa reads."""
    return [channel for channel, kind in ((1, spec.stdout), (2, spec.stderr)) if kind == "pipe"]


class Pipes:
    """
    The pipes of a child that is about to be started; entered around its start.

    @ivar ours: papa's ends, by stream; the caller's, once the start has succeeded.
    @ivar theirs: the child's ends, which are closed at the end.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self.ours: dict[int, int] = {}
        self.theirs: dict[int, int] = {}

    def __enter__(self) -> Pipes:
        try:
            for channel in captured_channels(self._spec):
                self.ours[channel], self.theirs[channel] = os.pipe()
            if self._spec.stdin == "pipe":
                self.theirs[0], self.ours[0] = os.pipe()
        except OSError as error:
            self._close(self.ours, self.theirs)
            raise explain(error, self._spec) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close(*([self.theirs] if error is None else [self.ours, self.theirs]))

    @staticmethod
    def _close(*ends: Mapping[int, int]) -> None:
        for each in ends:
            for descriptor in each.values():
                os.close(descriptor)


@implementer(IChildDriver)
class SystemChildren:
    """Starts real programs."""

    def __init__(self, reactor: IReactorCore | IReactorFDSet | IReactorTime, limit: DescriptorLimit) -> None:
        """
        @param reactor: watches descriptors and calls later.
        @param limit: gives each child the limit of open files that papa was started with.
        """
        self._reactor = reactor
        self._crowd = watching(reactor)
        self._limit = limit

    def identity(self, spec: MakeProcess) -> Identity:
        """Look up the user and groups that a request asks for."""
        return look_up(spec.uid, spec.gid, spec.groups)

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> Child:
        """Start a program."""
        with Pipes(spec) as pipes:
            pid = start(spec, pipes.theirs, self._limit)
        child = OwnChild(self._reactor, self._crowd, spec, observer, pid=pid, ends=pipes.ours)
        child.await_exit()
        return child

    def adopt(self, spec: ChildSpec, observer: IChildObserver) -> Child:
        """The children of a papa that ended without an anchor are nobody's."""
        raise SpawnFailed(f"Nobody holds {spec.args[0]!r}")
