"""
The anchor: a process that outlives the kernels, and does so little that it never needs to change.

It holds a duplicate of every descriptor that matters, under keys that only kernels understand. It is the parent of all
children, which it starts for the kernel, and keeps how they ended. When a kernel ends without having said that it
would, or gives way to another, the anchor starts the next one and hands it everything. It has one thread, uses the
standard library only, and sleeps until something happens.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final

from papa.continuity.anew import begin_anew, knows_format, passed_on
from papa.continuity.channel import Channel
from papa.continuity.door import KEY
from papa.continuity.dump import STATE, dump
from papa.continuity.kept import Kept
from papa.continuity.kernels import READY_WITHIN, KernelProcess, how
from papa.continuity.orphans import Orphans, adopt_orphans
from papa.continuity.reaping import Reaper
from papa.continuity.signals import signal_pipe
from papa.continuity.store import Store
from papa.continuity.succession import Succession
from papa.daemon.logfile import LogFile
from papa.drivers.inheritance import DescriptorLimit, shut_descriptors
from papa.records import UNKNOWN_EXIT

__all__ = ["Anchor", "main"]

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Anchor:
    """Everything that is held, and the kernel that has it."""

    def __init__(self, argv: Sequence[str], first: Sequence[str] = ()) -> None:
        """
        @param argv: how to start a kernel.
        @param first: what the first one is told besides; of C{--OPTION=NUMBER} the number is a descriptor for it. Of
            C{--log-file=PATH} all of them are told, and the anchor writes to it, too.
        """
        logs = [word for word in first if word.startswith("--log-file=")]
        self._next = Succession([*argv, *logs])
        self._first = [word for word in first if word not in logs]
        self._log = LogFile(logs[0].partition("=")[2]) if logs else None
        self._limit = DescriptorLimit()
        self._signals = -1
        self._anew: list[str] = []
        self._missed = b""
        self._reaper = Reaper()
        self._kept = Kept(self._reaper)
        self._store = Store(_say, self._limit.started_with)
        self._orphans = Orphans()
        self._kernel: KernelProcess | None = None
        self._successor: KernelProcess | None = None
        self._kernels = 0
        self._dumped = self._has_served = self._ending = False
        self._exit_code: int | None = None
        self._does: Mapping[str, Callable[[KernelProcess, dict[str, Any], list[int]], None]] = {
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

    def follow(self, kernel: KernelProcess, kernels: int) -> None:
        """
        Be the anchor of a kernel that has lost the one before, and will tell what that had held.

        @param kernels: how many there have been.
        """
        self._kernel, self._kernels = kernel, kernels

    @classmethod
    def begun_anew(cls, state: dict[str, Any]) -> Anchor:
        """The anchor that had this state before it became another program: see L{papa.continuity.anew}."""
        anchor = cls(state["argv"])
        anchor._log = LogFile(state["log"]) if state["log"] else None
        anchor._next = Succession(state["argv"], state["previous"])
        anchor._kernels, anchor._has_served = state["kernels"], True
        anchor._limit, anchor._missed = DescriptorLimit(state["limit"]), bytes(state["signals"])
        anchor._store = Store(_say, state["limit"], state.get("stored", ()))
        anchor._kept.go_on(state["held"], state["children"])
        anchor._orphans.go_on(state["orphans"])
        anchor._kernel = KernelProcess.serving(state["argv"], state["pid"], state["line"], state["spare"])
        anchor._next.spare_at = None if state["spare"] else time.monotonic()
        return anchor

    def _begin_anew_if_due(self) -> None:
        """Become the program of a new version, once its kernel serves and has been told everything."""
        kernel = self._kernel
        if not self._anew or kernel is None or not kernel.served or kernel.waiting or self._successor is not None:
            return
        argv, self._anew = self._anew, []
        self._next.dismiss()
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, *_PASSED_ON))
        with suppress(BlockingIOError):
            self._missed = os.read(self._signals, 4096)
        state = {
            "argv": self._next.argv,
            "previous": self._next.previous,
            "kernels": self._kernels,
            "log": None if self._log is None else self._log.path,
            "limit": self._limit.started_with,
            **self._kept.state(),
            "stored": self._store.names,
            "orphans": list(self._orphans.pids.items()),
            **kernel.state(),
            "signals": list(self._missed),
        }
        error = begin_anew(argv, state, [*self._kept.descriptors(), *self._orphans.pids, *kernel.lines()])
        _say(f"cannot become {argv[0]}: {error}; this version of the anchor goes on")
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._next.spare_at = time.monotonic()
        self._signalled(set(self._missed))

    def run(self) -> int:
        """
        Serve until a kernel says goodbye.

        @return: that kernel's exit code.
        """
        self._limit.raise_to_most()
        adopt_orphans()
        shut_descriptors()
        self._signals = signal_pipe((signal.SIGCHLD, *_PASSED_ON), self._missed + bytes([signal.SIGCHLD]))
        self._come_back()
        while self._exit_code is None:
            self._start_if_due()
            self._prepare_spare()
            self._begin_anew_if_due()
            self._wait(self._signals)
            for late in filter(None, (self._kernel, self._successor)):
                if late.end_if_late():
                    _say(f"kernel {late.pid} does not serve after {READY_WITHIN:g} seconds: it is killed")
            if self._has_served:
                self._store.update(self._kept, self._kernels)
        return self._exit_code

    def _come_back(self) -> None:
        """Go on with what an anchor before has left with the service manager, and with its kernel, if that lives."""
        if self._store.bring_back(self._kept, self._orphans):
            self._has_served, self._kernels = True, self._store.kernels
            _say("what an anchor before has held is here: this one goes on with it")
            kernel = KernelProcess.behind(self._next.argv, self._kept.held.get(KEY, ()))
            if kernel is not None:
                self.follow(kernel, self._kernels)
        if self._kernel is not None and not self._kernel.served:
            self._report_to(self._kernel)

    def _report_to(self, kernel: KernelProcess) -> None:
        """Have a kernel that had another anchor tell this one; not before signals are heard, which may come then."""
        if self._orphans.watch(kernel.pid) is None:
            kernel.say({"hear": os.getpid()})
        else:
            self._kernel_ended(kernel, UNKNOWN_EXIT)

    # What happens

    def _wait(self, signals: int) -> None:
        poll = select.poll()
        for each in (signals, self._orphans, self._reaper):
            poll.register(each, select.POLLIN)
        copy = self._kernel.spare if self._kernel else None
        lines = {each.channel.fileno(): each for each in (self._kernel, self._successor, copy) if each and each.open}
        for line, kernel in lines.items():
            poll.register(line, select.POLLIN | (select.POLLOUT if kernel.waiting else 0))
        for ready, events in poll.poll(self._timeout()):
            if ready == signals:
                self._signalled(set(os.read(signals, 4096)))
            elif events & select.POLLOUT:
                lines[ready].flush()
            if ready in lines and events & ~select.POLLOUT:
                self._listen(lines[ready])
        urgent = [each.pid for each in (self._kernel, self._successor, self._next.spare) if each]
        for pid, code in chain(self._reaper.ended(urgent), self._orphans.ended()):
            self._ended(pid, code)
        if self._kernel is not None and copy is not None and not copy.open:
            self._kernel.spare = None

    def _timeout(self) -> int | None:
        """Until when there is nothing to do, in milliseconds."""
        deadlines = [self._reaper.due, *(each.deadline for each in (self._kernel, self._successor) if each)]
        times = [*filter(None, deadlines), *self._next.times(running=self._kernel is not None)]
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            self._reaper.signalled()
        if signal.SIGHUP in numbers and self._log is not None:
            self._log.reopen()
        for number in numbers - {signal.SIGCHLD}:
            ended_before, self._ending = self._ending, self._ending or number in (signal.SIGTERM, signal.SIGINT)
            if self._kernel is None:
                if self._ending:
                    self._exit_code = 0
            elif number == signal.SIGTERM and self._store.keeps and self._kernel.served and not ended_before:
                # It may be for a restart, which is not told from a stop: then another goes on.
                self._kernel.say({"retire": True})
            elif not self._leaves(self._kernel):
                self._kernel.signal(number)

    def _leaves(self, kernel: KernelProcess) -> bool:
        """Whether a kernel has said that it ends: it may be past hearing signals, and end of one."""
        self._listen(kernel)
        return kernel.leaving

    def _listen(self, kernel: KernelProcess) -> None:
        """Do what a kernel says; one that is not understood is killed, since what it holds would be guesswork."""
        try:
            while kernel.open and (told := kernel.received()) is not None:
                message, descriptors = told
                self._does[message["do"]](kernel, message, descriptors)
        except BlockingIOError:
            return
        except (OSError, LookupError, TypeError, ValueError) as error:
            _say(f"kernel {kernel.pid} is not understood and is killed: {error!r}")
            kernel.signal(signal.SIGKILL)
        kernel.hang_up()

    def _ended(self, pid: int, code: int) -> None:
        if self._kernel is not None and pid == self._kernel.pid:
            self._kernel_ended(self._kernel, code)
        elif self._successor is not None and pid == self._successor.pid:
            self._successor_ended(self._successor, code)
        elif self._next.spare is not None and pid == self._next.spare.pid:
            self._next.dismiss()
        elif (key := self._kept.ended(pid, code)) is not None and self._kernel is not None and self._kernel.served:
            self._kernel.say({"exited": key, "code": code})

    # What a kernel asks for

    def _hold(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        self._kept.hold(message["key"], descriptors)

    def _drop(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        self._kept.drop(message["keys"])

    def _adopt(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        self._kept.hold(message["key"], descriptors)
        kernel.told.add(message["key"])
        if message["pid"] is not None:
            self._kept.adopt(message["key"], message["pid"], message["code"], self._orphans)

    def _spawn(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.say(*self._kept.spawn(message, descriptors, self._limit))

    def _ready(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.deadline = None
        kernel.served = self._has_served = True
        self._dumped = False
        self._next.served(kernel)
        if kernel.told:
            self._kept.drop([key for key in self._kept.held if key not in kernel.told])
        # What ended while it was told of the rest.
        for key, child in self._kept.children.items():
            if child.code is not None:
                kernel.say({"exited": key, "code": child.code})

    def _keep_spare(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.spare = KernelProcess.copied(kernel.argv, message["pid"], descriptors[0])

    def _goodbye(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        kernel.leaving = True

    # One kernel after the other

    def _prepare_spare(self) -> None:
        try:
            self._next.prepare(self._limit)
        except OSError as error:
            _say(f"cannot start a kernel to have in reserve: {error}")

    def _start_if_due(self) -> None:
        if self._kernel is not None or self._exit_code is not None or time.monotonic() < self._next.start_at:
            return
        words, self._first = self._first, []
        try:
            self._kernel = self._next.next(words, self._limit)
        except OSError as error:
            _say(f"cannot start a kernel: {error}")
            self._failed()
            return
        self._hand_over(self._kernel)

    def _hand_over(self, kernel: KernelProcess) -> None:
        self._kernels += 1
        for key, descriptors in self._kept.held.items():
            child = self._kept.children.get(key)
            kernel.say({"held": key, "pid": None if child is None else child.pid}, descriptors)
        kernel.say({"welcome": self._kernels, "anchor": os.getpid()})

    def _kernel_ended(self, kernel: KernelProcess, code: int) -> None:
        # What it has said is done, even if that is known only after its end.
        self._listen(kernel)
        kernel.hang_up()
        self._kernel = None
        self._next.ended(kernel)
        if kernel.leaving:
            # A signal behind its last word was one too many, as when a whole process group is sent it.
            self._exit_code = max(code, 0)
        elif not self._has_served:
            self._exit_code = code if code >= 0 else 128 - code
        elif self._ending:
            self._exit_code = 0
        elif self._successor is not None and self._successor.rehearsed:
            self._promote(self._successor)
        else:
            _say(f"kernel {kernel.pid} {how(code)}: another is started, and goes on with what is held")
            if not kernel.served:
                self._failed()

    def _failed(self) -> None:
        if not self._next.failed():
            return
        self._dump()
        if self._next.go_back():
            _say("this version does not come to serve: the one before it goes on")
            self._anew = []

    def _dump(self) -> None:
        """Write the state down for people, once."""
        if not self._dumped and STATE in self._kept.held:
            self._dumped = True
            _say(f"{self._next.failures} kernels in a row did not come to serve: what they said stands above")
            _say(dump(self._kept.held[STATE][0], self._kept.children))

    # A kernel gives way to another

    def _upgrade(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        """Start a successor, which is to say first whether it can go on with a copy of the state."""
        refusal = "an upgrade is under way already"
        if self._successor is None:
            try:
                self._successor = KernelProcess.started(message["argv"], (), (), self._limit)
            except (OSError, ValueError) as error:
                refusal = f"cannot start it: {error}"
            else:
                self._successor.say({"rehearse": True}, descriptors, given=True)
                return
        for descriptor in descriptors:
            os.close(descriptor)
        kernel.say({"refused": refusal})

    def _rehearsed(self, kernel: KernelProcess, message: dict[str, Any], descriptors: list[int]) -> None:
        if kernel is not self._successor or self._kernel is None:
            return
        if message.get("error"):
            # It ends as its line does.
            self._successor = None
            kernel.hang_up()
            # Which formats of the state it reads, a version does not say that knows the first one only.
            self._kernel.say({"refused": message["error"], "reads": message.get("reads", (1, 1))})
            return
        kernel.deadline = None
        kernel.rehearsed = True
        kernel.anchor = message["anchor"] if knows_format(message.get("format")) else []
        self._kernel.say({"retire": True})

    def _successor_ended(self, successor: KernelProcess, code: int) -> None:
        self._listen(successor)
        successor.hang_up()
        self._successor = None
        if self._kernel is not None:
            why = "" if self._log is None else f"; {self._log.path} says why"
            self._kernel.say({"refused": f"it {how(code)} before it could go on{why}"})

    def _promote(self, successor: KernelProcess) -> None:
        self._next.promote(successor)
        self._kernel, self._successor, self._anew = successor, None, successor.anchor
        self._hand_over(successor)


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
    anchor.follow(KernelProcess([*argv, *words[3:]], pid, Channel(line)), kernels)
    return anchor.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
