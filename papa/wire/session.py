"""
One conversation on the console, as a machine that is fed lines and gives bytes: commanding, watching, over.

While a watch waits for output, or a batch waits to be acknowledged, a line means something else than at the prompt; the
states below are just these.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, cast

from automat import TypeMachineBuilder
from zope.interface import implementer

from papa.commands import Command, ExitIfIdle, Get, Help, Listing, MakeProcess, Quit, WatchProcesses
from papa.errors import BadRequest, Error, LimitReached, UnknownCommand
from papa.interfaces import IKernel, IWatch, IWatchObserver
from papa.records import Item, Process
from papa.steps import Steps
from papa.visible import escaped
from papa.wire import grammar, text
from papa.wire.manual import manual
from papa.wire.strangers import MAX_UNKNOWN, is_foreign

__all__ = ["BATCH_SIZE", "Host", "Session", "Talker"]

#: How much output, in bytes, is sent before it must be acknowledged.
BATCH_SIZE: Final = 256 << 10
#: How many things are listed at a time.
_PAGE: Final = 32


class Talker(Protocol):
    """The other side's ear."""

    def send(self, data: bytes) -> None:
        """Say something."""

    def take_steps(self, steps: Steps[None]) -> None:
        """Take them, if they are many with turns for others in between; what is heard meanwhile waits."""

    def set_apart(self) -> None:
        """What is said next must not be read together with what was said last."""

    def hang_up(self, reason: str | None = None) -> None:
        """End the connection once everything was said; a reason is for the log."""

    def speak_amp(self) -> None:
        """
        Hand the connection over to the program wire.

        @raise BadRequest: if it is not to be had here.
        """


class Host(Protocol):
    """Whoever decides when papa ends."""

    def exit_if_idle(self) -> bool:
        """End papa once nobody is connected, if it holds nothing; whether that is so now."""


class _Inputs(Protocol):
    """What can happen to a conversation."""

    def line(self, line: str, typed: bool) -> None:
        """A line has come that is not C{q}."""

    def q(self) -> None:
        """The line C{q} has come."""

    def watch_began(self) -> None:
        """A command has started a watch."""

    def refused(self, reason: str) -> None:
        """Something has come that is no line."""

    def output_ready(self) -> None:
        """The watch has something."""

    def watch_ended(self) -> None:
        """The watch has nothing left to wait for."""

    def interrupted(self) -> None:
        """The person has pressed the interrupt key."""

    def lost(self) -> None:
        """The connection has gone."""


class _Conversation:
    """What a conversation knows, and what it can do in any state."""

    def __init__(self, kernel: IKernel, talker: Talker, host: Host) -> None:
        self.kernel = kernel
        self.talker = talker
        self.host = host
        self.inputs: _Inputs
        self.watch: IWatch
        self.request: WatchProcesses
        self.unknown = 0

    def reply(self, body: str) -> None:
        """Say an answer and the prompt."""
        newline = "" if body.endswith("\n") else "\n"
        self.talker.send(f"{body}{newline}".encode(errors="backslashreplace") + text.PROMPT)

    def perform(self, line: str, *, typed: bool) -> None:
        """Do what a line asks."""
        try:
            if line.strip().lower() == text.AMP:
                self.talker.speak_amp()
                self.inputs.lost()
                return
            command = grammar.parse(line, typed=typed)
            if command is None:
                self.talker.send(text.PROMPT)
            else:
                self.unknown = -1
                self._do(command)
        except UnknownCommand as error:
            self.reply(text.refusal(error))
            self._count_unknown()
        except Error as error:
            self.unknown = -1
            self.reply(text.refusal(error))

    def _count_unknown(self) -> None:
        if self.unknown >= 0:
            self.unknown += 1
            if self.unknown == MAX_UNKNOWN:
                self.talker.hang_up(f"the first {MAX_UNKNOWN} lines were no commands")

    def _do(self, command: Command) -> None:
        if isinstance(command, Help):
            self.reply(manual(list(command.topic)))
        elif isinstance(command, Quit):
            self.talker.send(text.QUIT)
            self.talker.hang_up()
        elif isinstance(command, ExitIfIdle):
            self._exit_if_idle()
        elif isinstance(command, WatchProcesses):
            self._begin_watch(command, None)
        elif isinstance(command, MakeProcess) and command.watch:
            process = self.kernel.perform(command)
            assert isinstance(process, Process)
            self._begin_watch(WatchProcesses(names=(command.name,)), text.process_line(process))
        else:
            text.check_sayable(command)
            self.talker.take_steps(self._steps(command))

    def _steps(self, command: Command) -> Steps[None]:
        try:
            if isinstance(command, Listing):
                answer = yield from self._list(command)
            else:
                name = command.name if isinstance(command, Get) else ""
                answer = text.answer_line((yield from self.kernel.steps(command)), name)
        except Error as error:
            self.reply(text.refusal(error))
        else:
            self.reply(answer)

    def _list(self, command: Listing) -> Steps[str]:
        pages: list[str] = []
        most = min(_PAGE, command.page)
        while True:
            page = cast("Mapping[str, object]", self.kernel.perform(replace(command, most=most)))
            if page:
                pages.append(text.answer_line(page))
            if len(page) < most:
                return "\n".join(pages)
            command = replace(command, after=max(page))
            yield

    def _exit_if_idle(self) -> None:
        if self.host.exit_if_idle():
            self.talker.send(text.EXITING)
            self.talker.hang_up()
        else:
            self.reply(text.NOT_IDLE)

    def _begin_watch(self, request: WatchProcesses, headline: str | None) -> None:
        self.talker.take_steps(self._beginning(request, headline))

    def _beginning(self, request: WatchProcesses, headline: str | None) -> Steps[None]:
        try:
            self.watch = yield from self.kernel.watch(request, _Alarm(self))
        except Error as error:
            self.reply(text.refusal(error))
            return
        self.request = request
        try:
            self.talker.send(f"{headline or text.watching(self.watch.count)}\n".encode())
            # The client of version 1 reads this line and all that has come with it, and then selects on the socket: a
            # batch that it had swallowed would never be seen.
            self.talker.set_apart()
            self.inputs.watch_began()
        except BaseException:
            self.watch.stop()  # Nobody would, and output would wait for it.
            raise

    def go_on(self) -> None:
        """After a watch began, or a batch was acknowledged: see what comes next."""
        if self.watch.pending:
            self.inputs.output_ready()
        elif self.watch.done or not self.request.follow:
            self.inputs.watch_ended()

    def send_batch(self) -> None:
        """Send what there is, up to the size of a batch."""
        items = cast("Sequence[Item]", self.watch.take(BATCH_SIZE))  # Only processes are watched on a console.
        self.talker.send(text.items_as_frames(items, holes=self.request.holes))


@implementer(IWatchObserver)
class _Alarm:
    """Tells the conversation, which has the watch, that this has something; not before it has begun."""

    def __init__(self, conversation: _Conversation) -> None:
        self._conversation = conversation

    def output_ready(self) -> None:
        """There is something to take."""
        self._conversation.inputs.output_ready()


def _machine() -> object:  # noqa: C901 - a table, not a branch
    builder = TypeMachineBuilder(_Inputs, _Conversation)
    commanding = builder.state("commanding")
    waiting = builder.state("waiting")
    offered = builder.state("offered")
    over = builder.state("over")

    @commanding.upon(_Inputs.line).loop()
    def _command(inputs: _Inputs, core: _Conversation, line: str, typed: bool) -> None:
        core.perform(line, typed=typed)

    @commanding.upon(_Inputs.q).loop()
    def _command_q(inputs: _Inputs, core: _Conversation) -> None:
        core.perform("q", typed=False)

    @commanding.upon(_Inputs.refused).loop()
    def _refuse(inputs: _Inputs, core: _Conversation, reason: str) -> None:
        core.reply(text.refusal(BadRequest(reason)))

    @waiting.upon(_Inputs.refused).to(commanding)
    @offered.upon(_Inputs.refused).to(commanding)
    def _refuse_and_stop(inputs: _Inputs, core: _Conversation, reason: str) -> None:
        # The answer ends in a prompt: what the client says next is meant as a command, not as an acknowledgement.
        core.watch.stop()
        core.reply(text.refusal(BadRequest(reason)))

    @commanding.upon(_Inputs.interrupted).loop()
    def _prompt_again(inputs: _Inputs, core: _Conversation) -> None:
        core.talker.send(b"\n" + text.PROMPT)

    @commanding.upon(_Inputs.watch_began).to(waiting)
    def _begin(inputs: _Inputs, core: _Conversation) -> None:
        core.go_on()

    @waiting.upon(_Inputs.output_ready).to(offered)
    def _offer(inputs: _Inputs, core: _Conversation) -> None:
        core.send_batch()

    @waiting.upon(_Inputs.watch_ended).to(commanding)
    def _end(inputs: _Inputs, core: _Conversation) -> None:
        core.watch.stop()
        core.talker.send(text.NOTHING_LEFT)

    @waiting.upon(_Inputs.q).to(commanding)
    @waiting.upon(_Inputs.interrupted).to(commanding)
    @offered.upon(_Inputs.interrupted).to(commanding)
    def _stop(inputs: _Inputs, core: _Conversation) -> None:
        core.watch.stop()
        core.talker.send(text.STOPPED)

    @offered.upon(_Inputs.line).to(waiting)
    def _acknowledge(inputs: _Inputs, core: _Conversation, line: str, typed: bool) -> None:
        try:
            core.watch.acknowledge()
        except LimitReached as error:
            inputs.refused(str(error))
        else:
            core.go_on()

    @offered.upon(_Inputs.q).to(commanding)
    def _acknowledge_and_stop(inputs: _Inputs, core: _Conversation) -> None:
        try:
            core.watch.acknowledge()
        except LimitReached as error:
            inputs.refused(str(error))
            return
        done = core.watch.done
        core.watch.stop()
        core.talker.send(text.NOTHING_LEFT if done else text.STOPPED)

    @waiting.upon(_Inputs.lost).to(over)
    @offered.upon(_Inputs.lost).to(over)
    def _abandon(inputs: _Inputs, core: _Conversation) -> None:
        core.watch.stop()

    # Nothing was sent that a line could acknowledge: it must not count for what comes later.
    waiting.upon(_Inputs.line).loop().returns(None)
    offered.upon(_Inputs.output_ready).loop().returns(None)

    @over.upon(_Inputs.watch_began).loop()
    def _abandon_at_once(inputs: _Inputs, core: _Conversation) -> None:
        core.watch.stop()

    commanding.upon(_Inputs.output_ready).loop().returns(None)
    commanding.upon(_Inputs.lost).to(over).returns(None)
    for happening in (_Inputs.q, _Inputs.output_ready, _Inputs.interrupted, _Inputs.lost):
        over.upon(happening).loop().returns(None)
    over.upon(_Inputs.line).loop().returns(None)
    over.upon(_Inputs.refused).loop().returns(None)
    return builder.build()


_new_machine = _machine()


class Session:
    """A conversation with one client."""

    def __init__(self, kernel: IKernel, talker: Talker, host: Host) -> None:
        # What a session is made of does not live by itself: nothing is left behind to be found as garbage.
        self._conversation = _Conversation(kernel, weakref.proxy(talker), host)
        self._inputs: _Inputs = _new_machine(self._conversation)  # type: ignore[operator]
        self._conversation.inputs = weakref.proxy(self._inputs)
        self._first = True

    def begin(self) -> None:
        """Greet."""
        self._conversation.talker.send(text.GREETING)

    def receive_line(self, line: bytes) -> None:
        """A line, without its newline. Telnet ends a line with CR LF, and writes a lone CR as CR NUL."""
        line = line.replace(b"\r\0", b"\r")
        talker = self._conversation.talker
        if self._first and is_foreign(line):
            talker.hang_up(f"its first line was {escaped(line[:80].decode(errors='replace'))!r}")
            self._inputs.lost()
            return
        self._first = self._first and not line.strip()
        typed = line.endswith(b"\r")
        try:
            words = line.rstrip(b"\r").decode()
        except UnicodeDecodeError as error:
            self.refuse(
                f"The line is not UTF-8: {error.reason} at byte {error.start}; the program wire takes any bytes"
            )
            return
        if words.strip().lower() == "q":
            self._inputs.q()
        else:
            self._inputs.line(words, typed)

    def refuse(self, reason: str) -> None:
        """Answer something that was no line; a watch ends with it, and what it had not acknowledged is kept."""
        self._inputs.refused(reason)

    def interrupt(self) -> None:
        """The interrupt key was pressed."""
        self._inputs.interrupted()

    def lost(self) -> None:
        """The connection has gone."""
        self._inputs.lost()
