"""Sockets: held, compared, lent to processes."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.commands import LendSocket, ListSockets, MakeSocket, RemoveSockets, TakeSocket
from papa.drivers.memory import MemorySocket
from papa.errors import AlreadyDiffers, BadRequest, LimitReached, NotFound, SocketFailed, SpawnFailed
from papa.records import Socket
from tests.kernel.building import House


def remove(house: House, *names: str) -> None:
    house.kernel.remove_sockets(RemoveSockets(names=names))


def listed(house: House, *names: str) -> dict[str, Socket]:
    return house.kernel.list_sockets(ListSockets(names=names))


class HoldingTests(SynchronousTestCase):
    """Making, listing, removing."""

    def test_record(self) -> None:
        """The answer has the port that was given and the descriptor."""
        house = House()
        made = house.socket("web")
        (held,) = house.bound()
        self.assertEqual(
            made,
            Socket(
                name="web",
                family="inet",
                type="stream",
                backlog=5,
                host="127.0.0.1",
                port=held.port,
                fileno=held.fileno,
            ),
        )
        self.assertEqual(listed(house), {"web": made})

    def test_unix_record(self) -> None:
        """A unix socket has a path, and no host or port."""
        made = House().socket("app", path="/run/app", umask=0o77)
        self.assertEqual((made.family, made.path, made.umask), ("unix", "/run/app", 0o77))
        self.assertEqual((made.host, made.port), (None, None))

    def test_same_again(self) -> None:
        """The same request gives the socket that is held; so does one for any port, or for the port it got."""
        house = House()
        made = house.socket("web")
        assert made.port
        self.assertEqual(house.socket("web"), made)
        self.assertEqual(house.socket("web", port=made.port), made)
        fixed = house.socket("fixed", port=8080)
        self.assertEqual(house.socket("fixed", port=8080), fixed)
        self.assertEqual(house.socket("fixed"), fixed)
        app = house.socket("app", path="/run/app")
        self.assertEqual(house.socket("app", path="/run/app"), app)
        self.assertEqual(len(house.bound()), 3)

    def test_differs(self) -> None:
        """The same name with anything else is refused, and the message says what it was made with."""
        house = House()
        made = house.socket("web", port=8080)
        asked: dict[str, Any]
        for asked, said in (
            ({"port": 8081}, "port=8080"),
            ({"port": 8080, "backlog": 100}, "backlog=5"),
            ({"port": 8080, "host": "0.0.0.0", "reuseport": True}, "host=127.0.0.1, reuseport=False"),
            ({"path": "/run/web"}, "family=inet"),
        ):
            error = self.assertRaises(AlreadyDiffers, house.socket, "web", **asked)
            self.assertIn(f"Socket web has already been created with {said}", str(error))
        self.assertEqual(listed(house), {"web": made})

    def test_path_is_held_once(self) -> None:
        """A path that is held under another name is not taken from under it."""
        house = House()
        house.socket("app", path="/run/app")
        error = self.assertRaises(SocketFailed, house.socket, "other", path="/run/app")
        self.assertIn("/run/app is held already, as app", str(error))
        self.assertEqual(list(listed(house)), ["app"])
        remove(house, "app")
        self.assertEqual(house.socket("other", path="/run/app").path, "/run/app")

    def test_path_that_is_taken_as_well(self) -> None:
        """A path stays held by the first that has it when another that was taken with the same path is removed."""
        house = House()
        house.socket("app", path="/run/app")
        spec = MakeSocket(name="taken", path="/run/app")
        self.patch(house.sockets, "take", lambda name, descriptor: (spec, MemorySocket(house.sockets, spec, None, 99)))
        house.kernel.take_socket(TakeSocket(name="taken", descriptor=0))
        remove(house, "taken")
        error = self.assertRaises(SocketFailed, house.socket, "other", path="/run/app")
        self.assertIn("/run/app is held already, as app", str(error))
        remove(house, "app")
        self.assertEqual(house.socket("other", path="/run/app").path, "/run/app")

    def test_list_by_descriptor(self) -> None:
        """A socket may be named by its descriptor; a name that is not held is no error in a list."""
        house = House()
        made = house.socket("web")
        house.socket("db")
        self.assertEqual(listed(house, str(made.fileno)), {"web": made})
        self.assertEqual(listed(house, "nothing"), {})

    def test_remove(self) -> None:
        """A removed socket is closed, and its name and address are free."""
        house = House()
        house.socket("web", port=8080)
        remove(house, "web")
        self.assertEqual((listed(house), house.bound()), ({}, []))
        self.assertEqual(house.socket("other", port=8080).port, 8080)

    def test_removal_is_refused(self) -> None:
        """A socket whose removal there is no room to note stays, and can be removed when there is."""
        house = House(lasting=True)
        assert house.ledger is not None
        made = house.socket("web", path="/run/web")
        house.ledger.refusals = 1
        self.assertRaises(LimitReached, remove, house, "web")
        self.assertEqual((listed(house), len(house.bound())), ({"web": made}, 1))
        remove(house, "web")
        self.assertEqual((listed(house), house.bound()), ({}, []))
        self.assertEqual(house.socket("other", path="/run/web").name, "other")

    def test_remove_unknown(self) -> None:
        """If one plain name is not held, none is removed."""
        house = House()
        house.socket("web")
        self.assertRaises(NotFound, remove, house, "web", "unknown")
        self.assertEqual(list(listed(house)), ["web"])
        remove(house, "x*")
        remove(house)
        self.assertEqual(listed(house), {})

    def test_release(self) -> None:
        """When papa ends all are closed."""
        house = House()
        house.socket("web")
        house.socket("app", path="/run/app")
        house.kernel.release_sockets()
        self.assertEqual(house.bound(), [])


class LendingTests(SynchronousTestCase):
    """Descriptors that go to and come from programs."""

    def test_lend(self) -> None:
        """A held socket's descriptor is given with its record; papa goes on holding it."""
        house = House()
        made = house.socket("web")
        lent = house.kernel.lend_socket(LendSocket(name="web"))
        self.addCleanup(os.close, lent.descriptor)
        self.assertEqual((lent.record, listed(house)), (made, {"web": made}))
        error = self.assertRaises(NotFound, house.kernel.lend_socket, LendSocket(name="wbe"))
        self.assertIn("did you mean 'web'?", str(error))

    def test_take(self) -> None:
        """A socket that was bound elsewhere is held like any other, under a name that was free."""
        house = House()
        taken = house.kernel.take_socket(TakeSocket(name="web", descriptor=0))
        self.assertEqual(listed(house), {"web": taken})
        self.assertEqual(house.diary.read(), [("socket-made", "web", taken.fileno)])
        bound = house.bound()
        self.assertRaises(AlreadyDiffers, house.kernel.take_socket, TakeSocket(name="web", descriptor=0))
        self.assertEqual((house.bound(), house.diary.read()), (bound, []))
        remove(house, "web")
        self.assertEqual(house.bound(), [])


class SubstitutionTests(SynchronousTestCase):
    """Numbers of sockets in arguments and environment."""

    def test_several_in_one_argument(self) -> None:
        """Every reference is replaced, wherever it stands in an argument, the program included."""
        house = House()
        web, db = house.socket("web"), house.socket("db")
        spec = house.child(
            "job",
            "/opt/$(socket.web.port)/run",
            "--fds=$(socket.web.fileno),$(socket.db.fileno)",
            "$(socket.web.port)$(socket.db.port)",
            "plain $HOME $(date) $$",
        ).spec
        self.assertEqual(
            spec.args,
            (
                f"/opt/{web.port}/run",
                f"--fds={web.fileno},{db.fileno}",
                f"{web.port}{db.port}",
                "plain $HOME $(date) $$",
            ),
        )
        self.assertEqual(spec.descriptors, {web.fileno: web.fileno, db.fileno: db.fileno})

    def test_in_env(self) -> None:
        """References are replaced in the values of variables, and their descriptors handed over too."""
        house = House()
        web = house.socket("web")
        spec = house.child(env={"FD": "$(socket.web.fileno)", "$(socket.web.port)": "stays"}).spec
        self.assertEqual(spec.env, {"FD": str(web.fileno), "$(socket.web.port)": "stays"})
        self.assertEqual(spec.descriptors, {web.fileno: web.fileno})

    def test_odd_names(self) -> None:
        """Names with dots, signs and the very words of a reference are told apart."""
        house = House()
        for name in ("a.fileno", "a", "socket.a", "x@y%z+w-v_u", "7", ".."):
            held = house.socket(name)
            spec = house.child(f"of-{held.fileno}", f"$(socket.{name}.fileno) $(socket.{name}.port)").spec
            self.assertEqual(spec.args, (f"{held.fileno} {held.port}",))

    def test_only_what_is_used(self) -> None:
        """A process is given the descriptors that it refers to, each once, and a port alone is no descriptor."""
        house = House()
        house.socket("unused")
        web = house.socket("web")
        reference = "$(socket.web.fileno)"
        self.assertEqual(house.child("none").spec.descriptors, {})
        self.assertEqual(house.child("port", "$(socket.web.port)").spec.descriptors, {})
        twice = house.child("twice", reference, reference, env={"A": reference}, listen=("web",)).spec
        self.assertEqual(twice.descriptors, {web.fileno: web.fileno})

    def test_listen(self) -> None:
        """Sockets handed over as systemd does keep their order, and are not inherited under papa's numbers as well."""
        house = House()
        web, admin = house.socket("web"), house.socket("admin")
        spec = house.child(listen=("web", "admin")).spec
        self.assertEqual(spec.listen, (("web", web.fileno), ("admin", admin.fileno)))
        self.assertEqual(spec.descriptors, {})

    def test_refused(self) -> None:
        """A reference that names nothing is refused in words that say what would be right; nothing is started."""
        house = House()
        house.socket("web")
        house.socket("app", path="/run/app")
        for argument, refusal, said in (
            ("$(socket.wbe.fileno)", NotFound, "Socket 'wbe' not found; did you mean 'web'?"),
            ("$(socket.web)", BadRequest, "must end in .fileno or .port, as $(socket.NAME.fileno)"),
            ("$(socket.web.host)", BadRequest, "must end in .fileno or .port"),
            ("$(socket.)", BadRequest, "must end in .fileno or .port"),
            ("$(socket..fileno)", BadRequest, "must end in .fileno or .port"),
            ("$(socket.web.fileno", BadRequest, "has no closing parenthesis: write $(socket.NAME.fileno)"),
            ("$(socket.app.port)", BadRequest, "'app' is a unix socket and has no port"),
        ):
            for asked in ({"args": (argument,)}, {"env": {"A": argument}}):
                args = asked.pop("args", ("program",))
                error = self.assertRaises(refusal, house.make, "job", *args, **asked)
                self.assertIn(said, str(error))
        self.assertRaises(NotFound, house.make, listen=("wbe",))
        self.assertEqual((house.names(), house.children.children), ([], {}))

    def test_same_request_after_the_socket_changed(self) -> None:
        """Requests are compared as they were asked, not as they were filled in."""
        house = House()
        house.socket("web")
        made = house.make("job", "$(socket.web.fileno)")
        remove(house, "web")
        self.assertEqual(house.make("job", "$(socket.web.fileno)"), made)


class ReuseportTests(SynchronousTestCase):
    """Sockets of which each process gets its own."""

    def test_each_process_gets_its_own(self) -> None:
        """Each process is given another descriptor of the same port; papa keeps none of them open."""
        house = House()
        made = house.socket("web", port=9000, reuseport=True)
        self.assertIsNone(made.fileno)
        (held,) = house.bound()
        reference = "$(socket.web.fileno)"
        first = house.child("first", reference, reference, listen=("web",)).spec
        second = house.child("second", reference).spec
        self.assertEqual(len(held.duplicates), 2)
        self.assertEqual([each.fileno for each in held.duplicates], [*first.descriptors, *second.descriptors])
        self.assertEqual(len({*first.descriptors, *second.descriptors}), 2)
        self.assertEqual([each.closed for each in held.duplicates], [True, True])
        self.assertEqual((held.closed, listed(house)), (False, {"web": made}))

    def test_closed_when_the_program_does_not_start(self) -> None:
        """What was made for a process that did not start is closed again."""
        house = House()
        house.socket("web", port=9000, reuseport=True)
        (held,) = house.bound()
        house.children.missing.add("nothing")
        self.assertRaises(SpawnFailed, house.make, "job", "nothing", "$(socket.web.fileno)")
        self.assertRaises(NotFound, house.make, "job", "$(socket.web.fileno) $(socket.unknown.fileno)")
        self.assertEqual([each.closed for each in held.duplicates], [True, True])
        self.assertEqual(house.bound(), [held])

    def test_none_made_for_a_port_or_for_the_same_again(self) -> None:
        """Where only the port is asked for, or the process is there already, no socket is made."""
        house = House()
        house.socket("web", port=9000, reuseport=True)
        (held,) = house.bound()
        self.assertEqual(house.child("port", "$(socket.web.port)").spec.args, ("9000",))
        house.make("job", "$(socket.web.fileno)")
        house.make("job", "$(socket.web.fileno)")
        self.assertEqual(len(held.duplicates), 1)
