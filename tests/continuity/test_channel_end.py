"""What was said before one side of the line has gone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.channel import Channel


class EndTests(SynchronousTestCase):
    """One side ends."""

    def test_said_before(self) -> None:
        """What it has said is heard, though it ended without having heard everything itself."""
        ours, theirs = Channel.pair()
        self.addCleanup(ours.close)
        theirs.send({"said": 1})
        theirs.send({"said": 2})
        ours.send({"never": "read"})
        theirs.close()
        self.assertEqual([ours.receive(), ours.receive(), ours.receive()], [({"said": 1}, []), ({"said": 2}, []), None])
