"""Where a client looks for its kernel."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from papa.client.location import Location, default_location
from papa.errors import BadRequest, NotAllowed
from tests.client.sharing import set_environ
from tests.support import KernelTestCase


class ReadTests(SynchronousTestCase):
    """Locations as people write them."""

    def test_ports(self) -> None:
        """A port is a number, digits, or digits behind a name of this machine."""
        for written in (40001, "40001", "127.0.0.1:40001", "localhost:40001", "tcp:40001", "tcp:127.0.0.1:40001"):
            self.assertEqual(Location.read(written), Location(port=40001), written)

    def test_paths(self) -> None:
        """A path is absolute, with or without its scheme."""
        self.assertEqual(Location.read("/run/papa/console.sock"), Location(path="/run/papa/console.sock"))
        self.assertEqual(Location.read("unix:/tmp/a b:1"), Location(path="/tmp/a b:1"))

    def test_relative_path_is_refused(self) -> None:
        """A path that would mean another place in another folder is none; the message says what would be one."""
        for written in ("console.sock", "./x", "", "unix:x"):
            error = self.assertRaises(BadRequest, Location.read, written)
            self.assertIn("must be absolute", str(error))

    def test_other_machine_is_refused(self) -> None:
        """No client connects to another machine."""
        for written in ("example.com:20202", "10.0.0.1:20202", "tcp:0.0.0.0:1"):
            self.assertRaises(BadRequest, Location.read, written)

    def test_port_out_of_range_is_refused(self) -> None:
        """A number that is no port is refused, where the system would take another port for it."""
        for written in (0, -1, 65536, 99999, "0", "65536", "tcp:70000"):
            error = self.assertRaises(BadRequest, Location.read, written)
            self.assertIn("ports are 1 to 65535", str(error))
        self.assertEqual(Location.read(65535).port, 65535)

    def test_digits_are_ascii(self) -> None:
        """Digits of other scripts are no port."""
        self.assertRaises(BadRequest, Location.read, "٤٠٠٠١")

    def test_shown(self) -> None:
        """A location is shown as it can be read again."""
        for location in (Location(port=40001), Location(path="/tmp/x y")):
            self.assertEqual(Location.read(str(location)), location)

    @given(st.text(max_size=30))
    @settings(max_examples=200)
    def test_any_text_is_a_location_or_refused(self, written: str) -> None:
        """No text makes anything but a location in range, an absolute path, or a refusal."""
        try:
            location = Location.read(written)
        except BadRequest:
            return
        if location.path is None:
            self.assertTrue(1 <= (location.port or 0) <= 65535)
        else:
            self.assertTrue(os.path.isabs(location.path))


class ConnectTests(KernelTestCase):
    """Connections."""

    def test_to_a_port(self) -> None:
        """It connects to the port of 127.0.0.1, waits as long as it takes from then on, and sends at once."""
        server = socket.create_server(("127.0.0.1", 0))
        with server, Location(port=server.getsockname()[1]).connect(10) as sock:
            self.assertIsNone(sock.gettimeout())
            self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            accepted, address = server.accept()
            accepted.close()
            self.assertEqual(address, sock.getsockname())

    def test_to_a_path(self) -> None:
        """It connects to the Unix socket."""
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            with Location(path=path).connect(10) as sock:
                self.assertEqual(sock.getpeername(), path)
                self.assertIsNone(sock.gettimeout())

    def test_nobody_there(self) -> None:
        """What the system says is passed on, and no descriptor is left open."""
        before = len(os.listdir("/proc/self/fd"))
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.assertRaises(ConnectionRefusedError, Location(port=port).connect, 10)
        self.assertRaises(FileNotFoundError, Location(path=os.path.join(self.folder, "no")).connect, 10)
        self.assertRaises(OSError, Location(path=os.path.join(self.folder, "x" * 200)).connect, 10)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class DefaultTests(KernelTestCase):
    """Where a client looks that was told nothing."""

    def test_environment_chooses(self) -> None:
        """C{$PAPA_SOCKET} is a location like any other, and counts as chosen."""
        self.assertEqual(default_location({"PAPA_SOCKET": "40001"}), Location(port=40001))
        self.assertEqual(default_location({"PAPA_SOCKET": "/x/y"}), Location(path="/x/y"))
        self.assertEqual(default_location({"PAPA_SOCKET": "/x/y"}, console=True), Location(path="/x/y"))

    def test_environment_must_be_right(self) -> None:
        """A C{$PAPA_SOCKET} that is no location is refused, not passed over."""
        self.assertRaises(BadRequest, default_location, {"PAPA_SOCKET": "somewhere"})

    def test_runtime_folder(self) -> None:
        """Otherwise it is the program's wire in the runtime folder, or the console there, which nobody chose."""
        set_environ(self, PAPA_RUNTIME_DIR=self.folder, PAPA_SOCKET=None)
        for console, name in ((False, "papa.sock"), (True, "console.sock")):
            location = default_location(console=console)
            self.assertEqual(location, Location(path=os.path.join(self.folder, name), chosen=False))

    def test_empty_variable_is_none(self) -> None:
        """An empty C{$PAPA_SOCKET} chooses nothing."""
        set_environ(self, PAPA_RUNTIME_DIR=self.folder, PAPA_SOCKET="")
        self.assertFalse(default_location().chosen)

    def test_foreign_folder_is_refused(self) -> None:
        """A runtime folder of another user is not trusted: whoever owns it could be listening there."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a folder away")
        folder = tempfile.mkdtemp(prefix="papa-test-")
        self.addCleanup(shutil.rmtree, folder)
        os.chown(folder, 65534, 65534)
        set_environ(self, PAPA_RUNTIME_DIR=folder, PAPA_SOCKET=None)
        error = self.assertRaises(NotAllowed, default_location)
        self.assertIn("belongs to uid 65534", str(error))

    def test_open_folder_is_refused(self) -> None:
        """Nor is one that others may write to, or one that is a link to who knows where."""
        set_environ(self, PAPA_RUNTIME_DIR=self.folder, PAPA_SOCKET=None)
        os.chmod(self.folder, 0o777)
        self.assertIn("is open to other users", str(self.assertRaises(NotAllowed, default_location)))
        os.chmod(self.folder, 0o700)
        link = os.path.join(self.folder, "link")
        os.symlink(self.folder, link)
        set_environ(self, PAPA_RUNTIME_DIR=link)
        self.assertIn("is not a folder", str(self.assertRaises(NotAllowed, default_location)))
