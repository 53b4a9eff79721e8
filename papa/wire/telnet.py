"""
The little of the telnet protocol (RFC 854, 1143) that real telnet clients need: their negotiation is answered with a
refusal and taken out of the text.

Commands are only looked for at the start of a line. Anywhere else the byte 255 is left where it is: no client of papa
sends it, and a line with such a byte is then refused, never half understood.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["IAC", "TelnetFilter"]

IAC: Final = 255
DONT: Final = 254
DO: Final = 253
WONT: Final = 252
WILL: Final = 251
SB: Final = 250
IP: Final = 244
SE: Final = 240
TIMING_MARK: Final = 6

_REFUSALS: Final = {WILL: DONT, DO: WONT, WONT: None, DONT: None}


class _State(enum.Enum):
    TEXT = "between commands"
    COMMAND = "after IAC"
    OPTION = "after WILL, WONT, DO or DONT"
    SUBNEGOTIATION = "in SB"
    SUBNEGOTIATION_IAC = "after IAC in SB"


class TelnetFilter:
    """
    Takes telnet commands out of what a client sends.

    @ivar interrupted: whether the client has sent the interrupt key since this was last set to L{False}.
    """

    def __init__(self) -> None:
        self._state = _State.TEXT
        self._verb = 0
        self._line_start = True
        self.interrupted = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """
        Some bytes from the client.

        @return: the text in them, and what to answer the client's telnet.
        """
        if IAC not in data and self._state is _State.TEXT:
            if data:
                self._line_start = data.endswith(b"\n")
            return data, b""
        text, reply = bytearray(), bytearray()
        for byte in data:
            if self._state is _State.COMMAND and byte == IAC:
                # Written twice it is a byte of the text.
                self._state = _State.TEXT
                self._line_start = False
                text.append(byte)
            elif self._state is not _State.TEXT:
                self._command_byte(byte, reply)
            elif byte == IAC and self._line_start:
                self._state = _State.COMMAND
            else:
                text.append(byte)
                self._line_start = byte == 0x0A
        return bytes(text), bytes(reply)

    def _command_byte(self, byte: int, reply: bytearray) -> None:
        if self._state is _State.COMMAND:
            if byte in _REFUSALS:
                self._verb = byte
                self._state = _State.OPTION
            elif byte == SB:
                self._state = _State.SUBNEGOTIATION
            else:
                self.interrupted = self.interrupted or byte == IP
                self._state = _State.TEXT
        elif self._state is _State.OPTION:
            self._state = _State.TEXT
            refusal = _REFUSALS[self._verb]
            if refusal is not None:
                # A client that asks for a timing mark throws output away until it is answered.
                reply += bytes([IAC, WILL if (self._verb, byte) == (DO, TIMING_MARK) else refusal, byte])
        elif self._state is _State.SUBNEGOTIATION:
            if byte == IAC:
                self._state = _State.SUBNEGOTIATION_IAC
        else:
            self._state = _State.TEXT if byte == SE else _State.SUBNEGOTIATION
