"""What is taken out of a telnet client's bytes, and what is answered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.wire.telnet import TelnetFilter

QUICK = settings(max_examples=200)

IAC, DONT, DO, WONT, WILL, SB, IP, DM, SE = (bytes([code]) for code in (255, 254, 253, 252, 251, 250, 244, 242, 240))
TIMING_MARK = b"\x06"
ECHO = b"\x01"

pieces = st.lists(
    st.sampled_from([b"get x", b"\n", b"\r\n", IAC, DO, WILL, WONT, DONT, SB, SE, IP, ECHO, TIMING_MARK, b"\0", b"q"]),
    max_size=16,
).map(b"".join)


def filtered(*chunks: bytes) -> tuple[bytes, bytes, bool]:
    """The text, the answer and the interruption in chunks that come one after the other."""
    telnet = TelnetFilter()
    received = [telnet.receive(chunk) for chunk in chunks]
    return b"".join(text for text, _ in received), b"".join(reply for _, reply in received), telnet.interrupted


class TextTests(SynchronousTestCase):
    """What is no telnet command."""

    @QUICK
    @given(st.binary().map(lambda data: data.replace(IAC, b"")))
    def test_text_is_untouched(self, data: bytes) -> None:
        """Bytes without a 255 pass as they are."""
        self.assertEqual(filtered(data), (data, b"", False))

    def test_middle_of_a_line(self) -> None:
        """Within a line the byte 255, and what would be a command after it, is left where it is."""
        for line in (b"set x \xff\xfd\x06\n", b" \xff\xf4\n", b"get x\n get \xff\xff\n", b"\nx\xff\n"):
            self.assertEqual(filtered(line), (line, b"", False))

    def test_middle_of_a_line_that_comes_in_pieces(self) -> None:
        """A line is remembered to have begun, however it is cut."""
        self.assertEqual(filtered(b"ge", b"", b"t", IAC + IP + b"\n"), (b"get\xff\xf4\n", b"", False))

    def test_doubled_at_the_start_of_a_line(self) -> None:
        """Where commands are looked for, a byte 255 that is meant as one is written twice."""
        self.assertEqual(filtered(IAC + IAC + b"x" + IAC + b"\n"), (b"\xffx\xff\n", b"", False))


class NegotiationTests(SynchronousTestCase):
    """What a telnet client offers and asks for."""

    def test_offers_are_declined(self) -> None:
        """WILL is answered with DONT, and DO with WONT, of the same option."""
        self.assertEqual(filtered(IAC + WILL + ECHO + b"help\n"), (b"help\n", IAC + DONT + ECHO, False))
        self.assertEqual(filtered(IAC + DO + ECHO + b"help\n"), (b"help\n", IAC + WONT + ECHO, False))

    def test_refusals_are_not_answered(self) -> None:
        """WONT and DONT are taken out in silence, so that no two sides ever answer each other for ever."""
        self.assertEqual(filtered(IAC + WONT + ECHO + IAC + DONT + ECHO + b"help\n"), (b"help\n", b"", False))

    def test_timing_mark(self) -> None:
        """DO TIMING-MARK is granted: the client throws away what it is sent until then."""
        self.assertEqual(filtered(IAC + DO + TIMING_MARK), (b"", IAC + WILL + TIMING_MARK, False))

    def test_offered_timing_mark(self) -> None:
        """WILL TIMING-MARK is declined like anything else."""
        self.assertEqual(filtered(IAC + WILL + TIMING_MARK), (b"", IAC + DONT + TIMING_MARK, False))

    def test_subnegotiation(self) -> None:
        """A subnegotiation is taken out up to its end, with the bytes 255 in it."""
        sent = IAC + SB + b"\x18\x00vt100\n" + IAC + IAC + b"x" + IAC + SE + b"get x\n"
        self.assertEqual(filtered(sent), (b"get x\n", b"", False))

    def test_behind_a_line(self) -> None:
        """The start of each line is looked at, not only of the first."""
        self.assertEqual(filtered(b"a\r\n" + IAC + DO + ECHO + b"b\r\n"), (b"a\r\nb\r\n", IAC + WONT + ECHO, False))


class InterruptTests(SynchronousTestCase):
    """The interrupt key."""

    def test_interrupt(self) -> None:
        """IP is noticed; with what telnet clients send along with it."""
        sent = IAC + IP + IAC + DM + IAC + DO + TIMING_MARK
        self.assertEqual(filtered(sent), (b"", IAC + WILL + TIMING_MARK, True))

    def test_stays_until_it_is_reset(self) -> None:
        """Whoever asked resets it; nothing that is received does."""
        telnet = TelnetFilter()
        telnet.receive(IAC + IP)
        telnet.receive(b"get x\n")
        self.assertTrue(telnet.interrupted)
        telnet.interrupted = False
        telnet.receive(b"get x\n")
        self.assertFalse(telnet.interrupted)


class SplittingTests(SynchronousTestCase):
    """Bytes come as the network likes."""

    @QUICK
    @given(pieces)
    def test_any_two_chunks(self, data: bytes) -> None:
        """Cut at any byte, they mean the same."""
        whole = filtered(data)
        for position in range(len(data) + 1):
            self.assertEqual(filtered(data[:position], data[position:]), whole)

    @QUICK
    @given(st.one_of(pieces, st.binary()))
    def test_byte_by_byte(self, data: bytes) -> None:
        """Coming one by one, they mean the same."""
        self.assertEqual(filtered(*(bytes([byte]) for byte in data)), filtered(data))
