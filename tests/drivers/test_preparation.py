"""The steps inside a child between its birth and its program, done here by a process that says what they did."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.childspec import Identity
from papa.drivers.preparation import Preparation
from papa.errors import SpawnFailed
from tests.drivers.apart import apart, not_here
from tests.drivers.contracts import spec


def own() -> Identity:
    return Identity(uid=os.geteuid(), gid=os.getegid())


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


class PreparationTests(SynchronousTestCase):
    """What is made ready, and given back."""

    def test_nothing_to_do(self) -> None:
        """Most children need no step: no code runs in them, and no descriptor is taken."""
        before = open_files()
        with Preparation(spec("x", identity=own(), descriptors={7: 7}), {"A": "1"}) as preparation:
            self.assertEqual(open_files(), before)
            self.assertIsNone(preparation.function)
            self.assertEqual((preparation.env, preparation.descriptors), ({"A": "1"}, (7,)))
        self.assertEqual(open_files(), before)

    def test_given_back(self) -> None:
        """Whatever was taken for a start is given back, also when the start fails."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            for fields in ({"rlimits": {"core": (0, 0)}}, {"listen": (("a", held.fileno()), ("b", held.fileno()))}):
                before = open_files()
                with Preparation(spec("x", identity=own(), **fields), {}) as preparation:
                    self.assertNotEqual(open_files(), before)
                    self.assertIsNotNone(preparation.function)
                self.assertEqual(open_files(), before)
                with self.assertRaises(ZeroDivisionError), Preparation(spec("x", identity=own(), **fields), {}):
                    raise ZeroDivisionError
                self.assertEqual(open_files(), before)

    def test_given_back_when_half_taken(self) -> None:
        """What was taken is given back when not everything can be had."""
        before = open_files()
        asked = spec("x", identity=own(), listen=(("gone", 9999),))
        self.assertRaises(OSError, Preparation(asked, {}).__enter__)
        self.assertEqual(open_files(), before)

    def test_failure_without_a_word(self) -> None:
        """A child that failed without saying why is told of all the same."""
        failure = Preparation(spec("prog", identity=own()), {}).failure()
        self.assertIsInstance(failure, SpawnFailed)
        self.assertEqual(str(failure), "Cannot start 'prog': it could not be prepared")

    def test_first_numbers_are_kept(self) -> None:
        """While a child is started that sockets are handed over to, nothing new comes to lie where they will."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            listen = tuple((f"n{number}", held.fileno()) for number in range(20))
            with Preparation(spec("x", identity=own(), listen=listen), {}) as preparation, open(os.devnull) as new:
                self.assertGreaterEqual(new.fileno(), 23)
                self.assertEqual(preparation.descriptors, tuple(range(3, 23)))
                self.assertIsNone(preparation.env)

    def test_another_number(self) -> None:
        """What is to lie at a number that is free here is put there for the moment: no code has to run in the child."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            free = fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, 90)
            os.close(free)
            with Preparation(spec("x", identity=own(), descriptors={free: held.fileno()}), {}) as preparation:
                self.assertIsNone(preparation.function)
                self.assertEqual(preparation.descriptors, (free,))
                self.assertTrue(os.path.sameopenfile(free, held.fileno()))
            self.assertRaises(OSError, os.fstat, free)

    def test_numbers_that_cross(self) -> None:
        """Two that are to lie where the other is are exchanged in the child."""
        self.assertEqual(apart(_exchanged), [True, True])

    def test_beyond_the_limit(self) -> None:
        """A child finds its socket where it was promised, though that is beyond the limit that it begins with."""
        self.assertEqual(apart(_beyond), [True, 200])


class StepTests(SynchronousTestCase):
    """What is done in the child."""

    def test_limits_identity_and_sockets(self) -> None:
        """Limits are set, the identity is taken, the sockets lie where the protocol says, and the variables say so."""
        self.assertEqual(
            apart(_all_steps),
            {
                "sockets": [True, True],
                "inheritable": [True, True],
                "limit": [90, 95],
                "env": {"A": "1", "LISTEN_PID": "own", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "one:two"},
                "uid": 65534,
            },
        )

    def test_sockets_alone(self) -> None:
        """Nothing but the sockets and their variables changes where nothing else is asked for."""
        found = apart(_hand_over)
        self.assertEqual(found["files"], [True, True, True])
        self.assertEqual(found["env"], {"B": "\udcff", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c"})

    def test_what_went_wrong(self) -> None:
        """The step that failed is told to papa in words, with the reason."""
        limit, identity = apart(_failing_steps)
        self.assertRegex(limit, "^Cannot start 'prog': the process could not set rlimit nofile=2199023255552:.*: \\S")
        self.assertEqual(
            identity,
            "Cannot start 'prog': the process could not become uid 4294967295: "
            "the identity did not become what was asked for",
        )


def _all_steps() -> dict[str, Any]:
    if os.geteuid() != 0:
        not_here("only root can become another user")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    # Clear of the low numbers, as papa holds them; what lies there now is in the way.
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 80) for each in sockets]
    asked = spec(
        "prog",
        identity=Identity(uid=65534, gid=65534, changed=True),
        rlimits={"nofile": (90, 95)},
        listen=(("one", high[0]), ("two", high[1])),
    )
    with Preparation(asked, {"A": "1"}) as preparation:
        assert preparation.function is not None
        preparation.function()
        env = dict(os.environ)
        if env["LISTEN_PID"] == str(os.getpid()):
            env["LISTEN_PID"] = "own"
        return {
            "sockets": [os.path.sameopenfile(number, each) for number, each in zip((3, 4), high, strict=True)],
            "inheritable": [os.get_inheritable(3), os.get_inheritable(4)],
            "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
            "env": env,
            "uid": os.geteuid(),
        }


def _hand_over() -> dict[str, Any]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 80) for each in sockets]
    listen = tuple(zip("abc", high, strict=True))
    with Preparation(spec("prog", identity=own(), listen=listen), {"B": "\udcff", "LISTEN_FDS": "9"}) as preparation:
        assert preparation.function is not None
        preparation.function()
        files = [os.path.sameopenfile(number, each) for number, each in zip((3, 4, 5), high, strict=True)]
        env = dict(os.environ)
        assert env.pop("LISTEN_PID") == str(os.getpid())
        return {"files": files, "env": env}


def _exchanged() -> list[bool]:
    one, two = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    was = [os.fstat(each.fileno()).st_ino for each in (one, two)]
    crossed = {one.fileno(): two.fileno(), two.fileno(): one.fileno()}
    with Preparation(spec("prog", identity=own(), descriptors=crossed), {}) as preparation:
        assert preparation.function is not None
        preparation.function()
        return [os.fstat(each.fileno()).st_ino == other for each, other in zip((two, one), was, strict=True)]


def _beyond() -> list[Any]:
    sock = socket.create_server(("127.0.0.1", 0))
    was = os.fstat(sock.fileno()).st_ino
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    os.dup2(2, 500)
    with Preparation(spec("prog", identity=own(), descriptors={500: sock.fileno()}), {}) as preparation:
        assert preparation.function is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000))
        preparation.function()
        return [os.fstat(500).st_ino == was, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]


def _failing_steps() -> list[str]:
    if os.geteuid() != 0:
        not_here("only root is asked to become another")
    found = []
    for asked in (
        spec("prog", identity=own(), rlimits={"nofile": (1 << 41, 1 << 41)}),
        spec("prog", identity=Identity(uid=(1 << 32) - 1, gid=0, changed=True)),
    ):
        preparation = Preparation(asked, {})
        try:
            with preparation:
                assert preparation.function is not None
                preparation.function()
        except (OSError, ValueError):
            found.append(str(preparation.failure()))
    return found
