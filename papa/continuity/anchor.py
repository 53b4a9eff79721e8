"""
The anchor: a process that outlives the kernels, and does so little that it never needs to change.

It holds a duplicate of every descriptor that matters, under keys that only kernels understand. It is the parent of all
children, which it starts for the kernel, and keeps how they ended. When a kernel ends without having said that it
would, or gives way to another, the anchor starts the next one and hands it everything.

It has one thread, uses the standard library only, and sleeps until something happens.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from papa.childspec import ChildSpec, Identity
from papa.continuity.anew import begin_anew, knows_format, passed_on
from papa.continuity.channel import Channel, DescriptorsLost
from papa.continuity.orphans import Orphans
from papa.daemon.logfile import LogFile
from papa.drivers.handles import handle_of, is_handle
from papa.drivers.inheritance import DescriptorLimit, reset_signals, shut_descriptors
from papa.drivers.starting import start
from papa.errors import Error
from papa.records import UNKNOWN_EXIT

__all__ = ["Anchor", "main"]

#: How long a kernel may take until it serves, in seconds.
_READY_WITHIN: Final = 60.0
#: The pause before the next start doubles with each kernel that did not come to serve, up to this many seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
#: How long a kernel has served that leaves no copy of itself waiting when another one is got ready, in seconds.
_QUIET: Final = 3.0
#: After so many such kernels the one that was replaced last is tried again.
_GIVE_UP_AFTER: Final = 3
#: What is held keeps clear of the numbers that a kernel has, under which children are to find their sockets.
_LOWEST: Final = 4096

#: What passes: no room, no memory, or too many descriptors of this user on their way.
_LATER: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)

#: Of prctl(2).
_PR_SET_CHILD_SUBREAPER: Final = 36

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class _Held:
    """Descriptors that are held."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = [_lifted(each) for each in descriptors]

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class _Child:
    """A child, and its end: as L{subprocess}, -9 for SIGKILL."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None


class _Kernel:
    """A kernel process and the line to it; what it cannot be sent at once waits."""

    def __init__(self, argv: Sequence[str], pid: int, channel: Channel) -> None:
        self.argv = list(argv)
        self.pid = pid
        self.channel = channel
        self.spare: _Kernel | None = None
        self.anchor: list[str] = []
        self.deadline: float | None = None
        self.served = self.leaving = self.rehearsed = False
        self.waiting: deque[tuple[Mapping[str, Any], Sequence[int], bool]] = deque()
        self.open = True

    @classmethod
    def started(
        cls, argv: Sequence[str], words: Sequence[str], descriptors: Iterable[int], limit: DescriptorLimit
    ) -> _Kernel:
        """A new one."""
        ours, theirs = Channel.pair()
        try:
            with limit.as_started():
                started = subprocess.Popen(
                    [*argv, *words, f"--anchor-fd={theirs.fileno()}"],
                    pass_fds=(theirs.fileno(), *descriptors),
                    stdin=subprocess.DEVNULL,
                )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        started.returncode = 0
        kernel = cls(argv, started.pid, ours)
        kernel.deadline = time.monotonic() + _READY_WITHIN
        return kernel

    @classmethod
    def copied(cls, argv: Sequence[str], pid: int, line: int) -> _Kernel:
        """A copy that a kernel has left waiting, and the line to it: see L{papa.continuity.turn}."""
        return cls(argv, pid, Channel(line))

    @property
    def lives(self) -> bool:
        """Whether it has not ended; it must be a child by now."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def say(self, message: Mapping[str, Any], descriptors: Sequence[int] = (), *, given: bool = False) -> None:
        """
        Send a message as soon as there is room.

        @param given: close the descriptors once they are sent; others are held, and are so until the kernel drops them.
        """
        self.waiting.append((message, descriptors, given))
        self.flush()

    def flush(self) -> None:
        while self.waiting:
            message, descriptors, given = self.waiting[0]
            try:
                if self.open:
                    self.channel.send(message, descriptors, wait=False)
            except OSError as error:
                if error.errno in _LATER:
                    return
                # It has gone, which its end will tell.
            self.waiting.popleft()
            if given:
                for descriptor in descriptors:
                    os.close(descriptor)

    def signal(self, number: int) -> None:
        """Send it a signal; one that is not our child may have gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def hang_up(self) -> None:
        if self.open:
            self.open = False
            self.channel.close()
            self.flush()


class Anchor:
    """Everything that is held, and the kernel that has it."""

    def __init__(self, argv: Sequence[str], first: Sequence[str] = ()) -> None:
        """
        @param argv: how to start a kernel.
        @param first: what the first one is told besides; of C{--OPTION=NUMBER} the number is a descriptor for it. Of
            C{--log-file=PATH} all of them are told, and the anchor writes to it, too.
        """
        logs = [word for word in first if word.startswith("--log-file=")]
        self._argv = [*argv, *logs]
        self._first = [word for word in first if word not in logs]
        self._log = LogFile(logs[0].partition("=")[2]) if logs else None
        self._previous: list[str] | None = None
        self._limit = DescriptorLimit()
        self._signals = -1
        self._anew: list[str] = []
        self._missed = b""
        self._held: dict[str, _Held] = {}
        self._children: dict[str, _Child] = {}
        self._orphans = Orphans()
        self._kernel: _Kernel | None = None
        self._successor: _Kernel | None = None
        self._spare: _Kernel | None = None
        self._kernels = 0
        self._failures = 0
        self._start_at = 0.0
        self._spare_at: float | None = None
        self._has_served = self._ending = False
        self._exit_code: int | None = None
        self._does: Mapping[str, Callable[[_Kernel, dict[str, Any], list[int]], None]] = {
            "hold": self._hold,
            "drop": self._drop,
            "adopt": self._adopt,
            "spawn": self._spawn,
            "ready": self._ready,
            "spare": self._keep_spare,
            "goodbye": self._goodbye,
            "rehearsed": self._rehearsed,
            "upgrade": self._upgrade,
        }

    def follow(self, pid: int, line: int, kernels: int) -> None:
        """
        Be the anchor of a kernel that has lost the one before, and will tell what that had held.

        @param line: descriptor of the line to it.
        @param kernels: how many there have been.
        """
        self._kernel = _Kernel(self._argv, pid, Channel(line))
        self._kernels = kernels
        if self._orphans.watch(pid) is not None:
            self._kernel_ended(self._kernel, UNKNOWN_EXIT)
            return
        self._kernel.say({"hear": os.getpid()})

    @classmethod
    def begun_anew(cls, state: dict[str, Any]) -> Anchor:
        """The anchor that had this state before it became another program: see L{papa.continuity.anew}."""
        anchor = cls(state["argv"])
        anchor._log = LogFile(state["log"]) if state["log"] else None
        anchor._previous, anchor._kernels, anchor._has_served = state["previous"], state["kernels"], True
        anchor._limit = DescriptorLimit(state["limit"])
        for key, descriptors in state["held"].items():
            anchor._held[key] = _Held(descriptors)
        for key, (pid, code) in state["children"].items():
            anchor._children[key] = _Child(pid)
            anchor._children[key].code = code
        for handle, pid in state["orphans"]:
            anchor._orphans.watch(pid, handle)
            os.close(handle)
        anchor._kernel = kernel = _Kernel(state["argv"], state["pid"], Channel(state["line"]))
        kernel.served = True
        if state["spare"]:
            kernel.spare = _Kernel.copied(kernel.argv, *state["spare"])
        else:
            anchor._spare_at = time.monotonic()
        anchor._missed = bytes(state["signals"])
        return anchor

    def _begin_anew_if_due(self) -> None:
        """Become the program of a new version, once its kernel serves and has been told everything."""
        kernel = self._kernel
        if not self._anew or kernel is None or not kernel.served or kernel.waiting or self._successor is not None:
            return
        argv, self._anew = self._anew, []
        self._dismiss_spare()
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, *_PASSED_ON))
        with suppress(BlockingIOError):
            self._missed = os.read(self._signals, 4096)
        spare = kernel.spare
        state = {
            "argv": self._argv,
            "previous": self._previous,
            "kernels": self._kernels,
            "log": None if self._log is None else self._log.path,
            "limit": self._limit.started_with,
            "held": {key: held.descriptors for key, held in self._held.items()},
            "children": {key: (child.pid, child.code) for key, child in self._children.items()},
            "orphans": list(self._orphans.pids.items()),
            "pid": kernel.pid,
            "line": kernel.channel.fileno(),
            "spare": None if spare is None else (spare.pid, spare.channel.fileno()),
            "signals": list(self._missed),
        }
        held = [descriptor for each in self._held.values() for descriptor in each.descriptors]
        lines = [each.channel.fileno() for each in (kernel, spare) if each is not None]
        error = begin_anew(argv, state, [*held, *self._orphans.pids, *lines])
        _say(f"cannot become {argv[0]}: {error}; this version of the anchor goes on")
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._spare_at = time.monotonic()
        self._signalled(set(self._missed))

    def run(self) -> int:
        """
        Serve until a kernel says goodbye.

        @return: that kernel's exit code.
        """
        self._limit.raise_to_most()
        _adopt_orphans()
        shut_descriptors()
        self._signals, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *_PASSED_ON):
            signal.signal(number, lambda *_: None)
        # An anchor that was begun anew has had signals blocked until now.
        reset_signals()
        os.write(writing, self._missed + bytes([signal.SIGCHLD]))
        while self._exit_code is None:
            self._start_if_due()
            self._prepare_spare()
            self._begin_anew_if_due()
            self._wait(self._signals)
        return self._exit_code

    # What happens

    def _wait(self, signals: int) -> None:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        poll.register(self._orphans, select.POLLIN)
        copy = self._kernel.spare if self._kernel else None
        lines = {each.channel.fileno(): each for each in (self._kernel, self._successor, copy) if each and each.open}
        for line, kernel in lines.items():
            poll.register(line, select.POLLIN | (select.POLLOUT if kernel.waiting else 0))
        for ready, events in poll.poll(self._timeout()):
            if ready == signals:
                self._signalled(set(os.read(signals, 4096)))
            elif ready == self._orphans.fileno():
                for pid, code in self._orphans.ended():
                    self._ended(pid, code)
            elif events & select.POLLOUT:
                lines[ready].flush()
            if ready in lines and events & ~select.POLLOUT:
                self._listen(lines[ready])
        if self._kernel is not None and copy is not None and not copy.open:
            self._kernel.spare = None
        self._check_deadlines()

    def _timeout(self) -> int | None:
        """Until when there is nothing to do, in milliseconds."""
        times = [each.deadline for each in (self._kernel, self._successor) if each and each.deadline is not None]
        if self._kernel is None:
            times.append(self._start_at)
        elif self._spare is None and self._spare_at is not None:
            times.append(self._spare_at)
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def _check_deadlines(self) -> None:
        for kernel in (self._kernel, self._successor):
            if kernel is not None and kernel.deadline is not None and time.monotonic() >= kernel.deadline:
                _say(f"kernel {kernel.pid} does not serve after {_READY_WITHIN:g} seconds: it is killed")
                kernel.deadline = None
                kernel.signal(signal.SIGKILL)

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGHUP in numbers and self._log is not None:
            self._log.reopen()
        for number in numbers - {signal.SIGCHLD}:
            self._ending |= number in (signal.SIGTERM, signal.SIGINT)
            if self._kernel is not None:
                self._kernel.signal(number)
            elif self._ending:
                self._exit_code = 0

    def _listen(self, kernel: _Kernel) -> None:
        """Do what a kernel says; one that is not understood is killed, since what it holds would be guesswork."""
        try:
            while kernel.open and (told := _received(kernel)) is not None:
                message, descriptors = told
                self._does[message["do"]](kernel, message, descriptors)
        except BlockingIOError:
            return
        except (OSError, LookupError, TypeError, ValueError) as error:
            _say(f"kernel {kernel.pid} is not understood and is killed: {error!r}")
            kernel.signal(signal.SIGKILL)
        kernel.hang_up()

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if ended is None:
                return
            self._ended(ended.si_pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)

    def _ended(self, pid: int, code: int) -> None:
        if self._kernel is not None and pid == self._kernel.pid:
            self._kernel_ended(self._kernel, code)
        elif self._successor is not None and pid == self._successor.pid:
            self._successor_ended(self._successor, code)
        elif self._spare is not None and pid == self._spare.pid:
            self._spare.hang_up()
            self._spare = None
        else:
            self._child_ended(pid, code)

    def _child_ended(self, pid: int, code: int) -> None:
        for key, child in self._children.items():
            if child.pid == pid and child.code is None:
                child.code = code
                if self._kernel is not None and self._kernel.served:
                    self._kernel.say({"exited": key, "code": code})
                return

    # What a kernel asks for

    def _hold(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        # In the place of what it replaces: what was held first is handed over first, and gets the lowest numbers.
        before = self._held.get(message["key"])
        self._held[message["key"]] = _Held(descriptors)
        if before is not None:
            before.close()

    def _drop(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        for key in message["keys"]:
            held = self._held.pop(key, None)
            if held is not None:
                held.close()
            self._children.pop(key, None)

    def _adopt(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        """Hold what an anchor before has held; of a child its pidfd, if there is one, comes last."""
        self._hold(kernel, message, descriptors)
        if message["pid"] is not None:
            child = self._children[message["key"]] = _Child(message["pid"])
            child.code = message["code"]
            if child.code is None:
                last = self._held[message["key"]].descriptors[-1:]
                child.code = self._orphans.watch(child.pid, *filter(is_handle, last))

    def _spawn(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        """
        Start a child. Its descriptors come in this order: its streams, what it inherits, its sockets in the manner of
        systemd, and last what is to be held as long as the child is; a pidfd of it is held behind that.
        """
        key = message["key"]
        rest = iter(descriptors)
        streams = {int(stream): next(rest) for stream in message["streams"]}
        inherited = {int(number): next(rest) for number in message["inherited"]}
        listen = tuple((name, next(rest)) for name in message["listen"])
        kept = list(rest)
        try:
            pid = start(_spec(message["spec"], inherited, listen), streams, self._limit)
        except (Error, LookupError, TypeError, ValueError) as error:
            # A kernel of another version may ask for what this anchor has never heard of: that is not worth its death.
            kernel.say({"failed": key, "error": type(error).__name__, "message": str(error)})
            for descriptor in kept:
                os.close(descriptor)
        else:
            self._children[key] = _Child(pid)
            self._held[key] = _Held([*kept, *handle_of(pid)])
            kernel.say({"spawned": key, "pid": pid}, self._held[key].descriptors[len(kept) :])
        finally:
            for descriptor in (*streams.values(), *inherited.values(), *(each for _, each in listen)):
                os.close(descriptor)

    def _ready(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.deadline = None
        kernel.served = self._has_served = True
        self._failures = 0
        if kernel.spare is None:
            self._spare_at = time.monotonic() + _QUIET
        # What ended while it was told of the rest.
        for key, child in self._children.items():
            if child.code is not None:
                kernel.say({"exited": key, "code": child.code})

    def _keep_spare(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.spare = _Kernel.copied(kernel.argv, message["pid"], descriptors[0])

    def _goodbye(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.leaving = True

    # One kernel after the other

    def _prepare_spare(self) -> None:
        """Have a kernel that has begun, and waits to be told what is held: it need not be waited for when it counts."""
        if self._spare is None and self._spare_at is not None and time.monotonic() >= self._spare_at:
            self._spare_at = None
            try:
                self._spare = _Kernel.started(self._argv, (), (), self._limit)
            except OSError as error:
                _say(f"cannot start a kernel to have in reserve: {error}")

    def _dismiss_spare(self) -> None:
        """Have none any more; it ends as its line does."""
        if self._spare is not None:
            self._spare.hang_up()
            self._spare = None

    def _start_if_due(self) -> None:
        if self._kernel is not None or self._exit_code is not None or time.monotonic() < self._start_at:
            return
        if self._spare is not None:
            self._kernel, self._spare = self._spare, None
            self._kernel.deadline = time.monotonic() + _READY_WITHIN
            self._hand_over(self._kernel)
            return
        words, self._first = self._first, []
        descriptors = [int(number) for _, _, number in (word.partition("=") for word in words) if number.isdecimal()]
        try:
            self._kernel = _Kernel.started(self._argv, words, descriptors, self._limit)
        except OSError as error:
            _say(f"cannot start a kernel: {error}")
            self._failed()
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._hand_over(self._kernel)

    def _hand_over(self, kernel: _Kernel) -> None:
        self._kernels += 1
        for key, held in self._held.items():
            child = self._children.get(key)
            kernel.say({"held": key, "pid": None if child is None else child.pid}, held.descriptors)
        kernel.say({"welcome": self._kernels, "anchor": os.getpid()})

    def _kernel_ended(self, kernel: _Kernel, code: int) -> None:
        # What it has said is done, even if that is known only after its end.
        self._listen(kernel)
        kernel.hang_up()
        self._kernel = None
        if self._spare is None and kernel.spare is not None and kernel.spare.lives:
            self._spare = kernel.spare
        if kernel.leaving or not self._has_served:
            self._exit_code = code if code >= 0 else 128 - code
            return
        if self._ending:
            self._exit_code = 0
            return
        if self._successor is not None and self._successor.rehearsed:
            self._promote(self._successor)
            return
        _say(f"kernel {kernel.pid} {_how(code)}: another is started, and goes on with what is held")
        if not kernel.served:
            self._failed()

    def _failed(self) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._failures += 1
        self._start_at = time.monotonic() + pause
        if self._failures >= _GIVE_UP_AFTER and self._previous is not None:
            _say("the new version does not come to serve: the one before it goes on")
            self._argv, self._previous, self._failures, self._anew = self._previous, None, 0, []
            self._dismiss_spare()

    # A kernel gives way to another

    def _upgrade(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        """Start a successor, which is to say first whether it can go on with a copy of the state."""
        if self._successor is not None:
            kernel.say({"refused": "an upgrade is under way already"})
            return
        try:
            self._successor = _Kernel.started(message["argv"], (), (), self._limit)
        except OSError as error:
            kernel.say({"refused": f"cannot start it: {error}"})
            return
        self._successor.say({"rehearse": True}, descriptors, given=True)

    def _rehearsed(self, kernel: _Kernel, message: dict[str, Any], descriptors: list[int]) -> None:
        if kernel is not self._successor or self._kernel is None:
            return
        if message.get("error"):
            kernel.waiting.clear()
            self._kernel.say({"refused": message["error"]})
            return
        kernel.deadline = None
        kernel.rehearsed = True
        kernel.anchor = message["anchor"] if knows_format(message.get("format")) else []
        self._kernel.say({"retire": True})

    def _successor_ended(self, successor: _Kernel, code: int) -> None:
        self._listen(successor)
        successor.hang_up()
        self._successor = None
        if self._kernel is not None:
            self._kernel.say({"refused": f"it {_how(code)} before it could go on; its log says why"})

    def _promote(self, successor: _Kernel) -> None:
        self._dismiss_spare()
        self._previous, self._argv, self._anew = self._argv, successor.argv, successor.anchor
        self._kernel, self._successor = successor, None
        successor.deadline = time.monotonic() + _READY_WITHIN
        self._hand_over(successor)


def _adopt_orphans() -> None:
    """Be the parent of what a kernel leaves when it ends: of the copy of itself that waits to be the next one."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _received(kernel: _Kernel) -> tuple[dict[str, Any], list[int]] | None:
    """What a kernel says next; that a child cannot be started for want of descriptors it is told at once."""
    while True:
        try:
            return kernel.channel.receive(wait=False)
        except DescriptorsLost as lost:
            if lost.message.get("do") != "spawn":
                raise
            kernel.say(
                {"failed": lost.message["key"], "error": "LimitReached", "message": f"Cannot start it now: {lost}"}
            )


def _spec(fields: dict[str, Any], inherited: dict[int, int], listen: tuple[tuple[str, int], ...]) -> ChildSpec:
    """What the kernel wrote down of a child, with the descriptors as they are here."""
    identity = fields["identity"]
    return ChildSpec(
        **(
            fields
            | {
                "args": tuple(fields["args"]),
                "identity": Identity(**(identity | {"groups": tuple(identity["groups"])})),
                "rlimits": {name: (soft, hard) for name, (soft, hard) in fields["rlimits"].items()},
                "descriptors": inherited,
                "listen": listen,
            }
        )
    )


def _lifted(descriptor: int) -> int:
    """The same thing under a number that is clear of the low ones, if there is one."""
    try:
        lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
    except OSError:
        return descriptor
    os.close(descriptor)
    return lifted


def _how(code: int) -> str:
    if code == UNKNOWN_EXIT:
        return "ended, nobody knows how"
    return f"ended with {code}" if code >= 0 else f"was killed by signal {-code}"


def _say(text: str) -> None:
    with suppress(OSError):
        print(f"papa anchor, pid {os.getpid()}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - this is its log


def main(arguments: Sequence[str]) -> int:
    """
    Be the anchor of the kernels that the words behind C{--} start; those before it are told to the first one besides.

    Where they begin with C{--line=}, C{--kernel=} and C{--kernels=} there is a kernel already: see L{Anchor.follow}.
    C{--state=} alone tells where there is all else, too: see L{Anchor.begun_anew}.

    @return: the exit code.
    """
    if arguments[0].startswith("--state="):
        return Anchor.begun_anew(passed_on(int(arguments[0].partition("=")[2]))).run()
    split = list(arguments).index("--")
    words, argv = arguments[:split], arguments[split + 1 :]
    if not words or not words[0].startswith("--line="):
        return Anchor(argv, words).run()
    line, pid, kernels = (int(word.partition("=")[2]) for word in words[:3])
    anchor = Anchor(argv, words[3:])
    anchor.follow(pid, line, kernels)
    return anchor.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
