"""How a conversation on the program wire begins, for a client."""

from __future__ import annotations

from typing import Final

from papa.errors import LimitReached, NotAllowed, Unreachable, by_code
from papa.wire.messages import PROTOCOL_VERSION, Greeting, Refused
from papa.wire.phrases import AMP, ERROR, FULL, GREETING
from papa.wire.program import Push

__all__ = ["Opening", "check_greeting"]

#: How long a line is waited for, in bytes, from something that is no kernel.
_LONGEST_LINE: Final = 4096


class Opening:
    """
    How a conversation begins for a client: on a program wire with boxes, on a console with its greeting.

    @ivar boxes: what has come of the boxes, once they have begun; L{None} before that.
    """

    def __init__(self) -> None:
        self.boxes: bytes | None = None
        self._heard = b""

    def receive(self, data: bytes) -> bytes:
        """
        Some bytes from the kernel.

        @return: what to answer to them.
        @raise NotAllowed: if it does not let this client in.
        @raise LimitReached: if that is because there are too many.
        @raise Unreachable: if it is no kernel, or one that does not have this wire.
        """
        heard = self._heard = self._heard + data
        # A box begins with the length of a key, in two bytes of which the first is zero.
        if heard[:1] == b"\0":
            self.boxes = heard
        elif heard == GREETING:
            self._heard = b""
            return f"{AMP}\n".encode()
        elif not GREETING.startswith(heard) and (b"\n" in heard or len(heard) > _LONGEST_LINE):
            self._refuse(heard.partition(b"\n")[0].decode(errors="replace"))
        return b""

    @staticmethod
    def _refuse(line: str) -> None:
        if line.startswith(f"{ERROR}Refused"):
            kind = LimitReached if line.endswith(FULL) else NotAllowed
            raise kind(line.removeprefix(ERROR))
        if line.startswith(ERROR):
            raise Unreachable(f"The kernel does not speak the program wire: {line.removeprefix(ERROR)}")
        raise Unreachable(f"What answers is no papa; it said {line[:80]!r}")


def check_greeting(push: Push) -> Greeting:
    """
    The greeting that the first box is.

    @raise NotAllowed: if it says that this client is not let in.
    @raise LimitReached: if it says that there are too many.
    @raise Unreachable: if it is something else, or of a kernel of another time.
    """
    if isinstance(push, Refused):
        raise by_code(push.code, f"Refused: {push.reason}")
    if not isinstance(push, Greeting):
        raise Unreachable("What answers is no papa: it does not greet")
    if push.version != PROTOCOL_VERSION:
        raise Unreachable(
            f"The kernel speaks version {push.version} of the program wire, this client version {PROTOCOL_VERSION}: "
            "upgrade the older one"
        )
    return push
