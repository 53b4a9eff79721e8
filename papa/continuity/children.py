"""Children of the anchor: started by it, read by the kernel, and held by both."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from twisted.internet import process
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from papa.childspec import ChildSpec, Identity
from papa.commands import MakeProcess
from papa.continuity.feed import Feed
from papa.continuity.link import AnchorLink
from papa.continuity.tape import Scratch, Tape
from papa.drivers.children import READ_SIZE, Child, OutputPipe, Pipes, captured_channels
from papa.drivers.crowd import Crowd, telling
from papa.drivers.identity import look_up
from papa.drivers.inheritance import inheritable_environment
from papa.errors import LimitReached, SpawnFailed
from papa.interfaces import IChildDriver, IChildObserver

__all__ = ["AnchoredChild", "AnchoredChildren"]

#: How long a process waits to be read again when there was no memory for what it had printed, in seconds.
_PAUSE: Final = 1.0
#: How many bytes of input may wait for a process when it is sent more: as many as a pipe holds.
_MOST_WAITING: Final = 65536


class _Recorder(OutputPipe):
    """Puts on the tape what is in it."""

    proc: AnchoredChild

    def doRead(self) -> Any:
        return self.proc.record(self)


class _Sender(process.ProcessWriter):
    """Sends what is in the feed."""

    proc: AnchoredChild

    def doWrite(self) -> Any:
        return self.proc.send(self)


class _Keeping:
    """Has the anchor hold files that are made later."""

    __slots__ = ("_key", "_link")

    def __init__(self, link: AnchorLink, key: str) -> None:
        self._link = link
        self._key = key

    def __call__(self, made: list[int]) -> None:
        self._link.hold(self._key, made, stays=True)


class AnchoredChild(Child):
    """
    A child that does not end with the kernel.

    What the anchor holds of it: under C{process KEY} papa's ends of its output and a pidfd, under C{stdin KEY} that of
    its input, under C{input KEY} the file of its feed, under C{tape KEY} the files of its tape.

    @ivar held: whether it holds anything else than how it has ended, and the tape.
    """

    def __init__(
        self,
        link: AnchorLink,
        wall: Callable[[], float],
        reactor: Any,
        crowd: Crowd,
        spec: ChildSpec,
        *args: Any,
        feed: Feed | None,
        **kwargs: Any,
    ) -> None:
        """
        @param feed: where what is to be sent to it is put; L{None} if it has no input to be sent anything.
        """
        self._link = link
        self._wall = wall
        self._key = spec.key
        self._fed = feed
        self._paused = False
        self.held = True
        super().__init__(reactor, crowd, spec, *args, **kwargs)
        link.when_exited(f"process {spec.key}", self.exited)
        if feed is not None and 0 in self.pipes and (feed.waiting or feed.closes):
            self.pipes[0].disconnecting = feed.closes
            self._start_sending()

    def _reader(self, stream: int, end: int) -> process.ProcessReader:
        return _Recorder(self._crowd, self, stream, end)

    def _writer(self, end: int) -> process.ProcessWriter:
        return _Sender(self._reactor, self, 0, end, forceReadHack=True)

    @property
    def _feed(self) -> Feed:
        assert self._fed is not None
        return self._fed

    @property
    def _input_waits(self) -> bool:
        return self._feed.waiting > _MOST_WAITING

    def _send(self, data: bytes) -> None:
        self._feed.add(data, self.pipes[0].fd)
        self._start_sending()

    def _start_sending(self) -> None:
        # While there is something to send, that the other side has gone is found by sending it.
        self.pipes[0].stopReading()
        self.pipes[0].startWriting()

    def send(self, writer: _Sender) -> Exception | None:
        """Put into the pipe what there is room for."""
        try:
            if self._feed.waiting:
                self._feed.send(writer.fd)
        except BlockingIOError:
            return None
        except OSError as error:
            self._log.info("process {pid} takes no more input: {error}", pid=self.child_pid, error=error)
            return CONNECTION_LOST
        if not self._feed.waiting:
            if self._feed.closes:
                return CONNECTION_DONE
            writer.stopWriting()
            writer.startReading()
        return None

    def _end_input(self) -> None:
        # What is answered for is done, though papa be killed right then.
        if self._feed.waiting:
            self._feed.end()
            self.pipes[0].disconnecting = True
        else:
            self.pipes[0].connectionLost(Failure(CONNECTION_DONE))

    def unsent(self) -> tuple[bytes, bool]:
        """What of its standard input is still on its way to it, and whether that ends behind it."""
        return (b"", False) if self._fed is None else (self._fed.unsent(), self._fed.closes)

    def record(self, reader: _Recorder) -> Exception | None:
        """Put on the tape what a pipe has, and tell the observer."""
        if self.tape is None:
            return self._read_past(reader)
        assert isinstance(self.tape, Tape)
        assert self.observer is not None
        try:
            size = self.tape.record(reader.fd, reader.name, self._wall())
        except BlockingIOError:
            return None
        except (OSError, LimitReached) as error:
            self._log.error(
                "no room for what process {pid} prints: it waits ({error})", pid=self.child_pid, error=error
            )
            reader.stopReading()
            self._reactor.callLater(_PAUSE, self._try_again, reader)
            return None
        if not size:
            return CONNECTION_DONE
        reader.was_read(size)
        with telling:
            self.observer.output_stored(reader.name, size)
        return None

    def _try_again(self, reader: _Recorder) -> None:
        if not self._paused and reader in self.pipes.values():
            reader.startReading()

    def pause_output(self) -> None:
        """Stop reading."""
        self._paused = True
        super().pause_output()

    def resume_output(self) -> None:
        """Read on."""
        self._paused = False
        super().resume_output()

    def _read_past(self, reader: _Recorder) -> Exception | None:
        """Read what nobody wants, so that the process need not wait."""
        try:
            return None if os.read(reader.fd, READ_SIZE) else CONNECTION_DONE
        except BlockingIOError:
            return None

    def reapProcess(self) -> None:
        """The anchor does that."""

    def childConnectionLost(self, childFD: int, reason: Any) -> None:
        """One of its pipes was closed: its input has an end only once nobody holds the other side."""
        if childFD == 0:
            self._feed.close()
            self._link.drop(f"stdin {self._key}", f"input {self._key}")
        super().childConnectionLost(childFD, reason)

    def maybeCallProcessEnded(self) -> None:
        """If it has ended, and so has its output, there is nothing to hold but its code."""
        super().maybeCallProcessEnded()
        if self.lostProcess and not self.pipes and self.held:
            self.held = False
            self._link.empty(f"process {self._key}")

    def discard(self) -> None:
        """Its output is read, and nobody has it."""
        self._link.drop(*self._close_tape())

    def _close_tape(self) -> list[str]:
        """Have none any more; the key that it was held under."""
        if self.tape is None:
            return []
        assert isinstance(self.tape, Tape)
        self.tape.close()
        self.tape = None
        return [f"tape {self._key}"]

    def forget(self) -> None:
        """Have the anchor let go of it."""
        self.held = False
        if self._fed is not None:
            self._fed.close()
        keys = (f"process {self._key}", f"stdin {self._key}", f"input {self._key}")
        self._link.drop(*self._close_tape(), *keys)


@implementer(IChildDriver)
class AnchoredChildren:
    """Has the anchor start programs."""

    def __init__(self, reactor: Any, link: AnchorLink, scratch: Scratch, wall: Callable[[], float]) -> None:
        self._reactor = reactor
        self._crowd = Crowd(reactor)
        self._link = link
        self._scratch = scratch
        self._wall = wall

    def identity(self, spec: MakeProcess) -> Identity:
        """Look up the user and groups that a request asks for."""
        return look_up(spec.uid, spec.gid, spec.groups)

    def spawn(self, spec: ChildSpec, observer: IChildObserver) -> AnchoredChild:
        """Start a program."""
        env = inheritable_environment(os.environ) if spec.inherit_env else {}
        started = replace(spec, env={**env, **spec.env}, inherit_env=False)
        with Pipes(spec) as pipes:
            if 0 in pipes.ours:
                self._link.hold(f"stdin {spec.key}", [pipes.ours[0]])
            kept = [pipes.ours[channel] for channel in captured_channels(spec)]
            try:
                pid, handle = self._link.spawn(f"process {spec.key}", started, pipes.theirs, kept)
            except BaseException:
                self._link.drop(f"stdin {spec.key}")
                raise
        return self._child(spec, observer, pid, pipes.ours, handle)

    def adopt(self, spec: ChildSpec, observer: IChildObserver) -> AnchoredChild:
        """Go on with a child that the kernel before has had started."""
        key = f"process {spec.key}"
        pid = self._link.pid_of(key)
        if pid is None:
            raise SpawnFailed(f"Nobody has started {spec.args[0]!r}")
        channels = captured_channels(spec)
        held = self._link.take(key)
        ends = dict(zip(channels, held, strict=False))
        for end in self._link.take(f"stdin {spec.key}"):
            ends[0] = end
        handle = held[len(channels)] if len(held) > len(channels) else None
        child = self._child(spec, observer, pid, ends, handle)
        child.held = bool(held)
        return child

    def _child(
        self, spec: ChildSpec, observer: IChildObserver, pid: int, ends: dict[int, int], handle: int | None
    ) -> AnchoredChild:
        tape = None
        if spec.captured and captured_channels(spec):
            tape = Tape(self._scratch, *self._files(f"tape {spec.key}"))
        feed = Feed(*self._files(f"input {spec.key}")) if 0 in ends else None
        return AnchoredChild(
            self._link,
            self._wall,
            self._reactor,
            self._crowd,
            spec,
            observer,
            pid=pid,
            ends=ends,
            handle=handle,
            tape=tape,
            feed=feed,
        )

    def _files(self, key: str) -> tuple[Callable[[list[int]], object], Sequence[int]]:
        """How files are held that are made later, and those that were held by the kernel before."""
        return _Keeping(self._link, key), self._link.take(key, stays=True)
