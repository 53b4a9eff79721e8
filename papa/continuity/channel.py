"""
The line between an anchor and its kernel: whole messages, with descriptors beside them. Standard library only.

A message is a JSON object in one packet; one too large for a packet travels in a memory file. What was sent is the
other side's, even if the sender is killed in the next instant.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["MOST_DESCRIPTORS", "Channel", "DescriptorsLost"]

#: How many descriptors the system lets go with one message: SCM_MAX_FD, less the memory file.
MOST_DESCRIPTORS: Final = 252

_MOST: Final = 32768
_IN_FILE: Final = b"@"
_SPACE: Final = socket.CMSG_SPACE((MOST_DESCRIPTORS + 1) * array.array("i").itemsize)


class DescriptorsLost(OSError):
    """
    A message has come, and too many files are open to have what came beside it.

    @ivar message: what it said, if it was not in a file.
    """

    def __init__(self, message: Mapping[str, Any]) -> None:
        super().__init__("too many open files to receive what was sent")
        self.message = message


class Channel:
    """
    One end of the line.

    @ivar gone: whether the other side was found to have gone; C{unheard}: without having received what was sent last.
    """

    def __init__(self, descriptor: int) -> None:
        """
        @param descriptor: a socket of type C{SOCK_SEQPACKET}, which is the channel's from now on.
        """
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self.gone = self.unheard = False

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Both ends of a new line."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one.detach()), cls(other.detach())

    def fileno(self) -> int:
        """Its descriptor, for a reactor or a poll."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """
        Send a message.

        @param descriptors: stay the caller's; the other side gets duplicates.
        @param wait: until there is room for it.
        @raise BlockingIOError: if there is no room, and C{wait} is not set; nothing was sent.
        @raise OSError: if the other side has gone.
        """
        body = json.dumps(message, separators=(",", ":")).encode()
        file = None
        try:
            if len(body) > _MOST:
                file = os.memfd_create("papa-message")
                with open(file, "wb", closefd=False) as whole:
                    whole.write(body)
                body, descriptors = _IN_FILE, [file, *descriptors]
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            flags = socket.MSG_NOSIGNAL | (0 if wait else socket.MSG_DONTWAIT)
            self._socket.sendmsg([body], beside, flags)
        except ConnectionError:
            self.gone = True
            raise
        finally:
            if file is not None:
                os.close(file)

    def receive(self, *, wait: bool = True, leave: bool = False) -> tuple[dict[str, Any], list[int]] | None:
        """
        The next message, and its descriptors, which are the caller's and not inheritable.

        @param leave: it stays there for whoever else has this end; where it is read next is up to C{SO_PEEK_OFF}.
        @return: L{None} if the other side has gone.
        @raise BlockingIOError: if there is none yet, and C{wait} is not set.
        @raise DescriptorsLost: if its descriptors were, because there are too many open.
        """
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT) | (socket.MSG_PEEK if leave else 0)
        try:
            body, beside, told, _ = self._received(flags)
        except ConnectionError:
            self.gone = True
            return None
        descriptors = array.array("i")
        for level, kind, data in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        received = list(descriptors)
        if told & socket.MSG_CTRUNC:
            for descriptor in received:
                os.close(descriptor)
            raise DescriptorsLost({} if body == _IN_FILE else json.loads(body))
        if not body:
            self.gone = True
            return None
        if body == _IN_FILE:
            with open(received.pop(0), "rb") as whole:
                whole.seek(0)
                body = whole.read()
        message: dict[str, Any] = json.loads(body)
        return message, received

    def _received(self, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        try:
            return self._socket.recvmsg(_MOST, _SPACE, flags)
        except ConnectionResetError:
            self.gone = self.unheard = True
            # Said once if the other side has gone without having read all. What it had sent before is there still.
            return self._socket.recvmsg(_MOST, _SPACE, flags)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
