"""Holding sockets: the contract on both drivers, and what only a real system has."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import shutil
import socket
import stat
import struct
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from papa.commands import MakeSocket
from papa.drivers.holding import NobodyElse
from papa.drivers.memory import MemorySockets
from papa.drivers.sockets import HeldSocket, SystemSockets, listen_tcp, listen_unix
from papa.errors import LimitReached, SocketFailed
from tests.drivers.apart import apart, not_here
from tests.drivers.contracts import SocketsContract, socket_request
from tests.support import PATIENCE

LOOPBACK = {"inet": "127.0.0.1", "inet6": "::1"}
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "unix": socket.AF_UNIX}
TYPES = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}


def has_inet6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class MemorySocketsTests(SocketsContract, SynchronousTestCase):
    """The contract, kept by sockets of memory."""

    def setUp(self) -> None:
        self.sockets = MemorySockets()

    def driver(self) -> MemorySockets:
        return self.sockets

    def path(self, name: str = "s") -> str:
        return f"/run/{name}"


class RealSocketsTestCase(SynchronousTestCase):
    """Tests that hold real sockets, in a folder of their own."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sockets = SystemSockets()

    def driver(self) -> SystemSockets:
        return self.sockets

    def path(self, name: str = "s") -> str:
        return os.path.join(self.folder, name)

    def held(self, **fields: Any) -> HeldSocket:
        """A held socket."""
        held = self.sockets.hold(socket_request(**fields))
        self.addCleanup(held.close)
        return held

    def as_child(self, held: HeldSocket) -> socket.socket:
        """A held socket, as the process sees it that is given the descriptor."""
        assert held.fileno is not None
        sock = socket.socket(fileno=os.dup(held.fileno))
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        return sock

    def client(self, family: str, kind: str, address: Any) -> socket.socket:
        """A socket that is connected to an address."""
        sock = socket.socket(FAMILIES[family], TYPES[kind])
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        return sock

    def refused(self, request: MakeSocket) -> str:
        """What is said of a socket that cannot be had; nothing is left of it."""
        before, files = descriptors(), os.listdir(self.folder)
        error = self.assertRaises(SocketFailed, self.sockets.hold, request)
        self.assertEqual((descriptors(), os.listdir(self.folder)), (before, files))
        return str(error)


class RealSocketsTests(RealSocketsTestCase, SocketsContract):
    """The contract, kept by real sockets."""


class ServingTests(RealSocketsTestCase):
    """Sockets of every family and type do what they are for."""

    def check(self, family: str, kind: str, **fields: Any) -> None:
        held = self.held(family=family, type=kind, **fields)
        server = self.as_child(held)
        self.assertEqual((server.family, server.type), (FAMILIES[family], TYPES[kind]))
        address = fields["path"] if family == "unix" else (LOOPBACK[family], held.port)
        client = self.client(family, kind, address)
        client.send(b"hello")
        if kind == "dgram":
            self.assertEqual(server.recv(100), b"hello")
        else:
            connection = server.accept()[0]
            self.addCleanup(connection.close)
            self.assertEqual(connection.recv(100), b"hello")

    def test_inet(self) -> None:
        """Over IPv4, connections arrive and datagrams do."""
        for kind in ("stream", "dgram"):
            self.check("inet", kind)

    def test_inet6(self) -> None:
        """Over IPv6 too."""
        if not has_inet6():
            self.skipTest("no IPv6 here")
        for kind in ("stream", "dgram"):
            self.check("inet6", kind)

    def test_unix(self) -> None:
        """At a path there can be three types."""
        for kind in ("stream", "dgram", "seqpacket"):
            self.check("unix", kind, path=self.path(kind))

    def test_not_inheritable(self) -> None:
        """No held socket, and no duplicate, would reach a child by itself."""
        reuse = self.held(reuseport=True)
        duplicate = reuse.duplicate()
        self.addCleanup(duplicate.close)
        for held in (self.held(), self.held(path=self.path()), duplicate):
            assert held.fileno is not None
            self.assertFalse(os.get_inheritable(held.fileno))
            self.assertGreaterEqual(held.fileno, 64)

    def test_backlog(self) -> None:
        """No more connections wait than the backlog allows."""
        self.held(path=self.path(), backlog=0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in waiting:
            self.addCleanup(each.close)
            each.setblocking(False)
        self.assertEqual([each.connect_ex(self.path()) for each in waiting][1:], [errno.EAGAIN] * 2)

    def test_held_again_at_once(self) -> None:
        """A port can be held again while connections of before still fade away."""
        for reuseport in (False, True):
            held = self.sockets.hold(socket_request(reuseport=reuseport))
            served = held.duplicate() if reuseport else held
            with socket.socket(fileno=os.dup(served.fileno or 0)) as server:
                client = self.client("inet", "stream", ("127.0.0.1", held.port))
                connection = server.accept()[0]
                connection.close()  # This side closes first: it is left in TIME_WAIT.
                self.assertEqual(client.recv(1), b"")
                client.close()
            port = held.port
            for each in {served, held}:
                each.close()
            again = self.held(port=port, reuseport=reuseport)
            if reuseport:
                self.addCleanup(again.duplicate().close)


class NameTests(RealSocketsTestCase):
    """Hosts and interfaces."""

    def test_name_of_host(self) -> None:
        """A host can be a name."""
        held = self.held(host="localhost")
        self.assertEqual(self.as_child(held).getsockname(), ("127.0.0.1", held.port))

    def test_any_address(self) -> None:
        """A host can stand for all addresses."""
        held = self.held(host="0.0.0.0")
        self.assertEqual(self.as_child(held).getsockname()[0], "0.0.0.0")

    def test_host_of_other_family(self) -> None:
        """An address of the other family is refused, and the refusal says which family was wanted."""
        self.assertIn("Host '::1' has no inet address here: ", self.refused(socket_request(host="::1")))
        request = socket_request(family="inet6", host="127.0.0.1")
        self.assertIn("Host '127.0.0.1' has no inet6 address here: ", self.refused(request))

    def test_host_that_is_no_name(self) -> None:
        """What cannot even be looked up is refused like an unknown host."""
        for host in ("x" * 64, "a..b", "\ud800"):
            self.assertIn("has no inet address here: ", self.refused(socket_request(host=host)))

    def test_unknown_host(self) -> None:
        """A host that nobody knows is refused by name."""
        self.assertIn("Host 'papa.invalid' has no inet address here: ", apart(_hold_unknown_host))

    def test_silent_nameserver(self) -> None:
        """A nameserver that does not answer is soon given up; about numbers and known names it is not asked."""
        asked_for_known, said, took, environ = apart(_hold_with_silent_nameserver)
        self.assertFalse(asked_for_known)
        self.assertIn("Host 'papa.example' has no inet address here: ", said)
        self.assertLess(took, 6)
        self.assertEqual(environ, os.environ.get("RES_OPTIONS"))

    def test_foreign_address(self) -> None:
        """An address of another machine is refused with the system's reason."""
        said = self.refused(MakeSocket(name="web", host="192.0.2.1", port=8080))
        self.assertEqual(said, "Cannot bind web to 192.0.2.1 port 8080: Cannot assign requested address")

    def test_interface(self) -> None:
        """A socket can be bound to an interface; it is then open to any address of it."""
        held = self.held(interface="lo")
        server = self.as_child(held)
        self.assertEqual(server.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0"), b"lo")
        self.assertEqual(server.getsockname()[0], "0.0.0.0")
        self.client("inet", "stream", ("127.0.0.1", held.port)).sendall(b"x")
        connection = server.accept()[0]
        self.addCleanup(connection.close)
        self.assertEqual(connection.recv(1), b"x")

    def test_unknown_interface(self) -> None:
        """An interface that is not there is refused by name."""
        said = self.refused(MakeSocket(name="web", interface="papa0", port=8080))
        self.assertEqual(said, "Cannot bind web to 0.0.0.0 port 8080 on papa0: No such device")


class ReuseportTests(RealSocketsTestCase):
    """Several sockets at one port."""

    def test_connections_are_shared(self) -> None:
        """Connections go to all duplicates, and to nobody else: not to the reservation either."""
        held = self.held(reuseport=True, backlog=64)
        servers = [self.duplicate(held) for _ in range(3)]
        clients = [self.client("inet", "stream", ("127.0.0.1", held.port)) for _ in range(60)]
        accepted = [self.accept_all(server) for server in servers]
        self.assertEqual(sum(accepted), len(clients))
        self.assertTrue(all(accepted), accepted)

    def test_datagrams_are_shared(self) -> None:
        """Each datagram goes to one of the duplicates; the reservation gets none."""
        for family in ("inet", "inet6") if has_inet6() else ("inet",):
            for host in ({"inet": "127.0.0.1", "inet6": "::1"}, {"inet": "0.0.0.0", "inet6": "::"}):
                held = self.held(family=family, type="dgram", reuseport=True, host=host[family])
                servers = [self.duplicate(held) for _ in range(3)]
                for _ in range(60):
                    self.client(family, "dgram", (LOOPBACK[family], held.port)).send(b"x")
                received = [self.receive_all(server) for server in servers]
                self.assertEqual(sum(received), 60, (family, host))
                self.assertTrue(all(received), received)

    def test_duplicates_have_the_address_asked_for(self) -> None:
        """A duplicate is bound to what was asked for, all addresses too, not to what the reservation became."""
        for family, host in (("inet", "0.0.0.0"), ("inet", "127.0.0.1"), ("inet6", "::"), ("inet6", "::1")):
            if family == "inet6" and not has_inet6():
                continue
            for kind in ("stream", "dgram"):
                held = self.held(family=family, type=kind, reuseport=True, host=host)
                self.assertEqual(self.duplicate(held).getsockname()[:2], (host, held.port), kind)

    def test_on_an_interface(self) -> None:
        """A duplicate is bound to the interface as well."""
        for kind in ("stream", "dgram"):
            held = self.held(type=kind, reuseport=True, interface="lo")
            server = self.duplicate(held)
            self.assertEqual(server.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0"), b"lo")

    def test_closed_reservation_cannot_be_shared(self) -> None:
        """Where the address is lost to another program, a duplicate is refused with the reason."""
        held = self.sockets.hold(MakeSocket(name="web", reuseport=True))
        port = held.port
        held.close()
        with socket.create_server(("127.0.0.1", port or 0)):
            error = self.assertRaises(SocketFailed, held.duplicate)
        self.assertIn("Address already in use", str(error))

    def duplicate(self, held: HeldSocket) -> socket.socket:
        duplicate = held.duplicate()
        self.addCleanup(duplicate.close)
        server = self.as_child(duplicate)
        server.setblocking(False)
        return server

    def accept_all(self, server: socket.socket) -> int:
        count = 0
        while True:
            try:
                connection = server.accept()[0]
            except BlockingIOError:
                return count
            connection.close()
            count += 1

    def receive_all(self, server: socket.socket) -> int:
        count = 0
        while True:
            try:
                server.recv(10)
            except BlockingIOError:
                return count
            count += 1


class FileTests(RealSocketsTestCase):
    """The file of a unix socket."""

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.lstat(path).st_mode)

    def test_mode(self) -> None:
        """The file's mode follows from the mask that was asked for, wider or narrower than the process's own."""
        before = os.umask(0o027)
        self.addCleanup(os.umask, before)
        for mask in (0, 0o077, 0o002, 0o777):
            path = self.path(f"{mask:o}")
            self.held(path=path, umask=mask)
            self.assertEqual(self.mode(path), 0o777 & ~mask)
        self.held(path=self.path())
        self.assertEqual(self.mode(self.path()), 0o750)
        self.assertEqual(os.umask(0o027), 0o027)

    def test_close_deletes(self) -> None:
        """Closing deletes the file and its lock."""
        held = self.sockets.hold(socket_request(path=self.path()))
        held.close()
        self.assertEqual(os.listdir(self.folder), [])

    def test_close_spares_what_is_not_ours(self) -> None:
        """What somebody else has put in the file's place stays."""
        held = self.sockets.hold(socket_request(path=self.path()))
        os.unlink(self.path())
        with open(self.path(), "w", encoding="utf-8") as file:
            file.write("precious")
        held.close()
        with open(self.path(), encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")

    def test_close_with_folder_gone(self) -> None:
        """Closing when the folder has been deleted is no failure."""
        folder = tempfile.mkdtemp(dir=self.folder)
        held = self.sockets.hold(socket_request(path=os.path.join(folder, "s")))
        shutil.rmtree(folder)
        before = descriptors()
        held.close()
        self.assertEqual(descriptors(), before - 2)

    def test_child_keeps_serving(self) -> None:
        """A process that was given the socket still has it when papa has closed its own."""
        held = self.sockets.hold(socket_request(path=self.path()))
        server = self.as_child(held)
        client = self.client("unix", "stream", self.path())
        held.close()
        client.sendall(b"x")
        connection = server.accept()[0]
        self.addCleanup(connection.close)
        self.assertEqual(connection.recv(1), b"x")

    def test_refused_paths(self) -> None:
        """A path that cannot be used is refused with the reason, and nothing is left of the attempt."""
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        for path, said in (
            (self.path("x" * 150), "AF_UNIX path too long"),
            (self.path("x" * 255), "File name too long"),
            (self.path("missing/s"), "No such file or directory"),
            (self.path("file/s"), "Not a directory"),
            (self.path("file"), "is not a socket"),
        ):
            self.assertIn(said, self.refused(socket_request(path=path)))


class ExhaustionTests(SynchronousTestCase):
    """Too few descriptors."""

    def test_nothing_is_left(self) -> None:
        """However few descriptors are left, a socket is either held or refused with the reason, and nothing stays."""
        for kind, least in (("inet", 1), ("unix", 2), ("dead", 2), ("listen_unix", 2)):
            refusals = apart(_hold_with_too_few, kind)
            self.assertGreaterEqual(len(refusals), least, kind)
            for refusal, message, leaked, files in refusals:
                self.assertEqual((refusal, leaked), ("SocketFailed", []), (kind, message))
                self.assertIn("Too many open files", message)
                self.assertEqual(files, ["s"] if kind == "dead" else [], (kind, message))


class _Full(NobodyElse):
    """Has no room for anything more."""

    def hold(self, key: str, descriptors: Sequence[int]) -> None:
        raise LimitReached("not now")


class HolderTests(RealSocketsTestCase):
    """Sockets that somebody else is to hold as well."""

    def test_not_held(self) -> None:
        """One that nobody could go on with is not there: it is refused, and nothing is left behind."""
        full = SystemSockets(_Full())
        before = descriptors()
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self.assertRaises(LimitReached, full.take, "taken", bound.fileno())
        self.assertRaises(LimitReached, full.hold, MakeSocket(name="web", port=0))
        self.assertRaises(LimitReached, full.hold, MakeSocket(name="s", path=self.path()))
        self.assertEqual((descriptors(), os.path.exists(self.path())), (before, False))

    def test_no_longer_held(self) -> None:
        """That it has gone is said in the log."""
        with capturedLogs() as logs:
            self.assertRaises(SocketFailed, SystemSockets().adopt, MakeSocket(name="web", port=0), 64)
        self.assertEqual(list(map(formatEvent, logs)), ["socket web was held, and is no longer"])


class ListenTcpTests(SynchronousTestCase):
    """Papa's own listening TCP sockets."""

    def test_listens(self) -> None:
        """It listens at a port of its own, never blocks, and reaches no child."""
        with listen_tcp("127.0.0.1", 0, 16) as sock:
            host, port = sock.getsockname()
            self.assertEqual((host, sock.getblocking(), sock.get_inheritable()), ("127.0.0.1", False, False))
            with socket.create_connection((host, port), timeout=PATIENCE):
                pass

    def test_vanished_clients(self) -> None:
        """A client whose machine has gone without a word is noticed within two minutes."""
        with (
            listen_tcp("127.0.0.1", 0, 16) as sock,
            socket.create_connection(sock.getsockname(), timeout=PATIENCE),
        ):
            sock.settimeout(PATIENCE)
            with sock.accept()[0] as accepted:
                self.assertTrue(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                idle, interval, times = (
                    accepted.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )
                self.assertLessEqual(idle + interval * times, 120)

    def test_inet6(self) -> None:
        """An address with colons is one of IPv6."""
        if not has_inet6():
            self.skipTest("no IPv6 here")
        with listen_tcp("::1", 0, 16) as sock:
            self.assertEqual((sock.family, sock.getsockname()[0]), (socket.AF_INET6, "::1"))

    def test_taken(self) -> None:
        """A taken port is the system's error, and no descriptor is left."""
        with listen_tcp("127.0.0.1", 0, 16) as sock:
            before = descriptors()
            error = self.assertRaises(OSError, listen_tcp, "127.0.0.1", sock.getsockname()[1], 16)
            self.assertEqual((error.errno, descriptors()), (errno.EADDRINUSE, before))


class TakeTests(SynchronousTestCase):
    """What comes to be held."""

    def test_no_socket(self) -> None:
        """What is no socket is refused, and nothing of it stays open."""
        before = descriptors()
        with open(os.devnull, "rb") as file:
            for _ in range(3):
                with self.assertRaisesRegex(SocketFailed, "what came is no socket"):
                    SystemSockets().take("x", file.fileno())
        self.assertEqual(descriptors(), before)


class ListenUnixTests(SynchronousTestCase):
    """Papa's own listening Unix sockets."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, "s")

    def test_for_its_user_alone(self) -> None:
        """Whatever the process's mask, the file's mode is 0600."""
        for mask in (0, 0o022, 0o777):
            before = os.umask(mask)
            self.addCleanup(os.umask, before)
            sock, path = listen_unix(self.path, 16)
            with sock:
                self.assertEqual(stat.S_IMODE(os.lstat(self.path).st_mode), 0o600)
                self.assertEqual((sock.getblocking(), sock.get_inheritable()), (False, False))
            path.release()
            os.umask(before)
        self.assertEqual(os.listdir(self.folder), [])

    def test_serves(self) -> None:
        """It accepts connections."""
        sock, path = listen_unix(self.path, 16)
        self.addCleanup(path.release)
        with sock, socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            connection, _ = sock.accept()
            with connection:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.assertEqual(struct.unpack("3i", credentials)[0], os.getpid())

    def test_taken(self) -> None:
        """Where one listens, a second is refused, and the first goes on."""
        sock, path = listen_unix(self.path, 16)
        self.addCleanup(path.release)
        with sock, socket.socket(socket.AF_UNIX) as client:
            self.assertRaises(SocketFailed, listen_unix, self.path, 16)
            client.connect(self.path)

    def test_cannot_be_bound(self) -> None:
        """A path that the system refuses is refused with its reason, and nothing is left of it."""
        before = descriptors()
        error = self.assertRaises(SocketFailed, listen_unix, os.path.join(self.folder, "x" * 150), 16)
        self.assertIn("AF_UNIX path too long", str(error))
        self.assertEqual((descriptors(), os.listdir(self.folder)), (before, []))


def _hold_unknown_host() -> str:
    # Where there is a name server that does not answer, it is not waited for.
    os.environ["RES_OPTIONS"] = "attempts:1 timeout:1"
    try:
        SystemSockets().hold(MakeSocket(name="web", host="papa.invalid"))
    except SocketFailed as error:
        return str(error)
    return "it was held"


def _hold_with_too_few(kind: str) -> list[tuple[str, str, list[str], list[str]]]:
    """Try to hold a socket with no descriptor left, then one, and so on."""
    folder = tempfile.mkdtemp(prefix="papa-test-")
    path = os.path.join(folder, "s")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    request = MakeSocket(name="x") if kind == "inet" else MakeSocket(name="x", path=path)

    def hold() -> None:
        if kind == "listen_unix":
            sock, claimed = listen_unix(path, 5)
            sock.close()
            claimed.release()
        else:
            SystemSockets().hold(request).close()

    hold()
    most = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    for _ in range(most):
        if os.dup(0) > most:
            break
    before = set(os.listdir("/proc/self/fd"))
    refusals = []
    try:
        for limit in range(max(map(int, before)), most + 50):
            if kind == "dead":
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(path)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                hold()
            except Exception as error:  # noqa: BLE001 - what it is, is told
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                leaked = sorted(set(os.listdir("/proc/self/fd")) - before)
                refusals.append((type(error).__name__, str(error), leaked, sorted(os.listdir(folder))))
                if kind == "dead":
                    os.unlink(path)
            else:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                return refusals
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError("it was never held")


def _hold_with_silent_nameserver() -> tuple[bool, str, float, str | None]:
    """Use names on a machine of our own, whose nameserver takes questions and never answers."""
    new_mounts, new_network, bind, private = 0x20000, 0x40000000, 4096, 0x44000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_mounts | new_network) or libc.mount(None, b"/", None, private, None):
        not_here("only root, and not everywhere, can have a network of its own")
    with tempfile.TemporaryDirectory(prefix="papa-test-") as folder, socket.socket(type=socket.SOCK_DGRAM) as server:
        up = struct.pack("16sH14x", b"lo", 1)
        fcntl.ioctl(server, 0x8914, up)  # SIOCSIFFLAGS of linux/sockios.h
        server.bind(("127.0.0.1", 53))
        for name, text in {"resolv.conf": "nameserver 127.0.0.1", "hosts": "127.0.0.1 known"}.items():
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(f"{text}\n")
            if libc.mount(file.name.encode(), f"/etc/{name}".encode(), None, bind, None):
                not_here(f"cannot replace /etc/{name} here")
        for host in ("127.0.0.1", "known"):
            SystemSockets().hold(socket_request(host=host)).close()
        asked_for_known = bool(select.select([server], [], [], 0)[0])
        before = time.monotonic()
        try:
            SystemSockets().hold(socket_request(host="papa.example"))
        except SocketFailed as error:
            return asked_for_known, str(error), time.monotonic() - before, os.environ.get("RES_OPTIONS")
    raise AssertionError("papa.example was found")
