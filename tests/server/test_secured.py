"""Connections over TLS that do not get as far as a handshake, and how a producer is asked for more."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from papa.endpoints import TlsEndpoint
from papa.server.secured import _MOST_WAITING, _PATIENCE, _Drain, secured
from tests.certificates import Authority


class WaitingTests(SynchronousTestCase):
    """Clients that have shown nothing yet."""

    def setUp(self) -> None:
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        authority = Authority(folder)
        key, certificate = authority.sign("papa")
        endpoint = TlsEndpoint(port=0, private_key=key, certificate=certificate, authorities=authority.path)
        self.clock = Clock()
        self.factory = secured(Factory.forProtocol(Protocol), endpoint, self.clock)

    def connect(self) -> tuple[Any, StringTransport]:
        """A connection."""
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def test_silent(self) -> None:
        """Who says nothing is hung up on before long."""
        _, transport = self.connect()
        self.clock.advance(_PATIENCE - 1)
        self.assertFalse(transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(transport.disconnected)

    def test_crowd(self) -> None:
        """So many may wait and no more; who has waited longest makes room for who comes."""
        crowd = [self.connect() for _ in range(_MOST_WAITING)]
        self.assertFalse(any(transport.disconnected for _, transport in crowd))
        crowd.append(self.connect())
        self.assertEqual([transport.disconnected for _, transport in crowd], [True] + [False] * _MOST_WAITING)
        with capturedLogs() as logs:
            crowd[0][0].connectionLost()
        self.assertIn("there are too many who have not shown a certificate", formatEvent(logs[0]))
        crowd[1][0].connectionLost()
        crowd.append(self.connect())
        self.assertEqual(sum(transport.disconnected for _, transport in crowd), 1)
        for protocol, _ in crowd[2:]:
            protocol.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_strangers_do_not_fill_the_log(self) -> None:
        """Of many that are refused, some are logged."""
        with capturedLogs() as logs:
            for _ in range(1000):
                self.connect()[0].connectionLost()
        self.assertLess(len(logs), 120)


class Source:
    """Counts how often it was asked for more."""

    asked = 0

    def resumeProducing(self) -> None:
        self.asked += 1


class DrainTests(SynchronousTestCase):
    """How a producer is asked for more."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.source = Source()
        self.drain = _Drain(self.source, self.clock.callLater)

    def asked(self) -> int:
        """How often the producer was asked since the last time, once all is quiet."""
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        asked, self.source.asked = self.source.asked, 0
        return asked

    def test_once_for_all_that_was_said(self) -> None:
        """It is asked in a turn of its own after it has said something, and not again."""
        self.drain.written()
        self.drain.written()
        self.assertEqual(self.source.asked, 0)
        self.assertEqual((self.asked(), self.asked()), (1, 0))

    def test_not_while_the_client_does_not_read(self) -> None:
        """It is not asked while what was said is not taken, and at once when it is."""
        self.drain.written()
        self.drain.pauseProducing()
        self.assertEqual(self.asked(), 0)
        self.drain.resumeProducing()
        self.assertEqual(self.source.asked, 1)

    def test_not_after_the_end(self) -> None:
        """It is not asked when the connection has gone."""
        self.drain.written()
        self.drain.stopProducing()
        self.assertEqual(self.asked(), 0)
