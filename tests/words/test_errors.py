"""The tree of refusals, and the codes by which wires carry them."""

from __future__ import annotations

import inspect
import re

from twisted.trial.unittest import SynchronousTestCase

from papa import errors
from papa.errors import ALL, Error, by_code

#: What has been promised to other programs: a code may be added here, never changed.
CODES = {
    "error": errors.Error,
    "bad-request": errors.BadRequest,
    "unknown-command": errors.UnknownCommand,
    "unsayable": errors.Unsayable,
    "not-found": errors.NotFound,
    "already-differs": errors.AlreadyDiffers,
    "socket-failed": errors.SocketFailed,
    "spawn-failed": errors.SpawnFailed,
    "not-allowed": errors.NotAllowed,
    "limit-reached": errors.LimitReached,
    "unreachable": errors.Unreachable,
    "too-old": errors.TooOld,
    "connection-lost": errors.ConnectionLost,
    "gives-way": errors.GivesWay,
}


class TreeTests(SynchronousTestCase):
    """The classes among themselves."""

    def test_all_is_complete(self) -> None:
        """Every error of the module is in ALL, once, and is exported."""
        defined = {each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, Error)}
        self.assertEqual(set(ALL), defined)
        self.assertEqual(len(ALL), len(defined))
        self.assertLessEqual({each.__name__ for each in defined}, set(errors.__all__))

    def test_leaf_before_parent(self) -> None:
        """A table tried in the order of ALL never lets a parent swallow a leaf."""
        for place, error in enumerate(ALL):
            for later in ALL[place + 1 :]:
                self.assertFalse(issubclass(later, error), f"{error.__name__} comes before {later.__name__}")

    def test_one_root(self) -> None:
        """One class catches every refusal, and it is a RuntimeError, as in papa 1.0.6."""
        for error in ALL:
            self.assertTrue(issubclass(error, Error))
        self.assertTrue(issubclass(Error, RuntimeError))


class CodeTests(SynchronousTestCase):
    """What a wire carries."""

    def test_codes_stay(self) -> None:
        """Each class has the code of its own that other programs know."""
        self.assertEqual({error.code: error for error in ALL}, CODES)
        self.assertEqual(len({error.code for error in ALL}), len(ALL))

    def test_codes_are_plain_words(self) -> None:
        """A code is of small letters and hyphens, which every wire can say."""
        for error in ALL:
            self.assertTrue(re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code), error.code)

    def test_round_trip(self) -> None:
        """A code and a message give the same error at the other end."""
        for error in ALL:
            rebuilt = by_code(error.code, "it was é so")
            self.assertIs(type(rebuilt), error)
            self.assertEqual(str(rebuilt), "it was é so")

    def test_unknown_code(self) -> None:
        """A code of a later version gives the root class, with the message."""
        rebuilt = by_code("of-the-future", "no")
        self.assertIs(type(rebuilt), Error)
        self.assertEqual(str(rebuilt), "no")
