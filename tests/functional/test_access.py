"""Who gets in, what strangers can do, and what papa's own files look like."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable

from twisted.trial.unittest import SkipTest

from tests.support import PATIENCE, KernelTestCase, RealKernel, Talk, until

#: A user that owns nothing: "nobody".
STRANGER = 65534


class Client:
    """Somebody of another user, in a process of its own: connects, sends, and reads to the end or goes at once."""

    def __init__(
        self, connect: Callable[[], socket.socket], request: bytes, *, user: int = STRANGER, patient: bool = True
    ) -> None:
        reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                with connect() as sock:
                    with contextlib.suppress(ConnectionError):  # Refused already: the reason can be read all the same.
                        sock.sendall(request)
                    while patient and (data := sock.recv(65536)):
                        os.write(writing, data)
            except ConnectionError:
                pass
            except BaseException as error:  # noqa: BLE001 - nothing may get out of this copy of the tests
                os.write(writing, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        self._reading = reading

    def said(self) -> str:
        """All that it was told; it has gone by then."""
        with open(self._reading, encoding="utf-8") as pipe:
            said = pipe.read()
        os.waitpid(self._pid, 0)
        return said


class AccessTestCase(KernelTestCase):
    """Tests with a folder that other users can look into."""

    def setUp(self) -> None:
        super().setUp()
        self.runtime = self.environ["PAPA_RUNTIME_DIR"]

    def need_root(self) -> None:
        """Skip the test where it cannot be two users."""
        if os.geteuid() != 0:
            raise SkipTest("needs root, to be another user for a while")

    def need_reachable_python(self) -> None:
        """Skip the test where another user may not run this Python."""
        try:
            subprocess.run(
                [sys.executable, "-c", "import papa.tap"], user=STRANGER, cwd="/", check=True, capture_output=True
            )
        except (PermissionError, subprocess.CalledProcessError):
            raise SkipTest(f"needs a Python that uid {STRANGER} may run") from None

    def values(self, kernel: RealKernel) -> str:
        """What is set, as papa's own user sees it."""
        with Talk(kernel.connect_unix()) as talk:
            talk.read_until(b"> ")
            return talk.ask("list values") + talk.ask("list processes")


class StrangerTests(AccessTestCase):
    """Other users of the machine."""

    def test_over_tcp(self) -> None:
        """Another user is refused with a reason before anything is read; nothing is done, and the log says who."""
        self.need_root()
        kernel = self.serve()
        said = Client(kernel.connect, b"set pwned 1\nmake process p /bin/sleep 1000\n").said()
        self.assertEqual(said, f"Error: Refused: this papa serves uid 0 and root, not uid {STRANGER}\n> ")
        self.assertEqual(self.values(kernel), "")
        self.assertIn(f"not uid {STRANGER}", kernel.said())

    def test_over_ipv6(self) -> None:
        """The same over the other loopback address."""
        self.need_root()
        kernel = self.serve("--console", "tcp:0:interface=::1")
        where = ("::1", kernel.port)
        with Talk(socket.create_connection(where, timeout=PATIENCE)) as talk:
            self.assertIn(b"Papa is home", talk.read_until(b"> "))
        said = Client(lambda: socket.create_connection(where, timeout=PATIENCE), b"set pwned 1\n").said()
        self.assertRegex(said, f"^Error: Refused: .*not uid {STRANGER}\n> $")
        self.assertEqual(self.values(kernel), "")

    def test_many_strangers_at_once(self) -> None:
        """Strangers that come in a crowd do not slip through among papa's own users."""
        self.need_root()
        kernel = self.serve()
        crowd = [Client(kernel.connect, b"set pwned%d 1\n" % number, patient=bool(number % 2)) for number in range(12)]
        for number in range(50):
            with kernel.talk() as talk:
                talk.ask(f"set own{number} 1")
        for stranger in crowd:
            stranger.said()
        self.assertEqual(len(re.findall("^own", self.values(kernel), re.MULTILINE)), 50)
        self.assertNotIn("pwned", self.values(kernel))

    def test_sends_and_goes(self) -> None:
        """A stranger that has gone by the time papa looks, and so cannot be told from root, has nothing done."""
        self.need_root()
        kernel = self.serve()
        kernel.process.send_signal(signal.SIGSTOP)
        try:
            for number in range(5):
                Client(kernel.connect, b"set pwned%d 1\n" % number, patient=False).said()
        finally:
            kernel.process.send_signal(signal.SIGCONT)
        until(lambda: kernel.said().count("refused 127.0.0.1:") == 5, "five refusals")
        self.assertEqual(self.values(kernel), "")

    def test_over_unix_path(self) -> None:
        """A Unix path in a folder that is open to all does not let another user connect."""
        self.need_root()
        os.chmod(self.folder, 0o755)
        path = os.path.join(self.folder, "papa.sock")
        kernel = self.serve("-u", path)
        self.assertIn("PermissionError", Client(kernel.connect_unix, b"set pwned 1\n").said())
        os.chmod(path, 0o666)
        said = Client(kernel.connect_unix, b"set pwned 1\n").said()
        self.assertRegex(said, f"^Error: Refused: .*not uid {STRANGER}\n> $")
        self.assertEqual(self.values(kernel), "")

    def test_root_gets_in_everywhere(self) -> None:
        """A kernel of another user serves root too, and itself, but no third one."""
        self.need_root()
        os.chmod(self.folder, 0o755)
        os.mkdir(self.runtime, 0o700)
        os.chown(self.runtime, STRANGER, STRANGER)
        self.need_reachable_python()
        become = f"import os,sys; os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER}); "
        kernel = self.serve(under=[sys.executable, "-I", "-S", "-c", become + "os.execv(sys.argv[1], sys.argv[1:])"])
        with kernel.talk() as talk:
            self.assertEqual(talk.ask("set root 1"), "")
        self.assertIn("\n> ok\n", Client(kernel.connect, b"set own 1\nquit\n").said())
        said = Client(kernel.connect, b"set pwned 1\n", user=STRANGER - 1).said()
        self.assertRegex(said, f"^Error: Refused: this papa serves uid {STRANGER} and root, not uid 65533\n")
        with kernel.talk() as talk:
            self.assertEqual(talk.ask("list values"), "own 1\nroot 1")

    def test_no_secrets(self) -> None:
        """The environment of a child is shown to nobody: no listing, no log, no error, no status, no watch."""
        kernel = self.serve()
        with kernel.talk() as talk:
            talk.send(b"make process p watch=1 env.PASSWORD=hunter2 /bin/sleep 1000\n")
            shown = talk.read_line()
            talk.send(b"q\n")
            shown += talk.read_until(b"> ").decode()
            for line in ("list processes", "make process p env.PASSWORD=other /bin/sleep 1000"):
                shown += talk.ask(line)
            talk.ask("set password hunter2")
        shown += self.papa("status").stdout
        self.assertIn("p args=/bin/sleep 1000 ", shown)
        self.assertIn("already been created with another env", shown)
        self.assertNotIn("hunter2", shown + kernel.said())


class OtherProtocolTests(AccessTestCase):
    """What a web page, or a program that took the wrong port, can send."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = self.serve()

    def check_unheard(self, *requests: bytes, dribble: bool = False) -> None:
        """Each is hung up on, with nothing done of what it says."""
        for request in requests:
            with Talk(self.kernel.connect()) as talk:
                talk.read_until(b"> ")
                if dribble:
                    talk.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(ConnectionError):
                    for piece in [request[at : at + 1] for at in range(len(request))] if dribble else [request]:
                        talk.send(piece)
                talk.read_to_end()
        self.assertEqual(self.values(self.kernel), "")

    def test_http(self) -> None:
        """Whatever the method: the body's lines are not done, and the connection is closed."""
        body = b"set pwned 1\r\nmake process p /bin/sleep 1000\nset pwned 2\n"
        self.check_unheard(
            *(
                method + b" / HTTP/1.1\r\nHost: localhost:20202\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                for method in (b"POST", b"GET", b"PUT", b"OPTIONS", b"HEAD", b"DELETE", b"PATCH", b"SET", b"LIST", b"Q")
            ),
            b"set /pwned HTTP/1.1\r\n\r\n" + body,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + body,
            b"CONNECT localhost:20202 HTTP/1.1\r\n\r\n" + body,
            b"\r\nPOST / HTTP/1.1\r\n\r\n" + body,
        )
        self.assertIn("hung up on 127.0.0.1:", self.kernel.said())

    def test_http_byte_by_byte(self) -> None:
        """The same in segments of one byte."""
        self.check_unheard(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nset pwned 1\n", dribble=True)

    def test_lines_of_headers(self) -> None:
        """A connection that begins with lines that are no commands is closed before it can get to one."""
        self.check_unheard(b"Host: localhost\nAccept: text/html\nOrigin: http://evil.example\nset pwned 1\n")

    def test_tls(self) -> None:
        """A TLS greeting is hung up on."""
        self.check_unheard(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) + b"\nset pwned 1\nset pwned 2\n",
            b"\x16\x03\x01\n\nset pwned 1\n",
        )

    def test_binary(self) -> None:
        """So is anything else that is no text."""
        self.check_unheard(b"\0\0\0\x0bHello\nset pwned 1\n", b"\xfe\xff\n\nset pwned 1\n", b"\x80\nset pwned 1\n")


class EndpointTests(AccessTestCase):
    """Places that papa does not serve at."""

    def test_beyond_loopback(self) -> None:
        """It does not start where other machines could reach it."""
        for address in ("0.0.0.0", "192.0.2.1", "::"):
            finished = self.papa("serve", "--console", f"tcp:0:interface={address}", code=2)
            self.assertIn(f"papa does not serve on {address}", finished.stderr)
        self.assertFalse(os.path.exists(self.runtime))

    def test_beyond_loopback_among_others(self) -> None:
        """One bad place spoils the whole start."""
        self.papa("serve", "-p", "0", "--console", "tcp:0:interface=0.0.0.0", code=2)
        self.assertFalse(os.path.exists(self.runtime))

    def test_taken_paths(self) -> None:
        """Where there is a file, a folder, a link, a FIFO or somebody's socket, it refuses and changes nothing."""
        victim = os.path.join(self.folder, "victim")
        for kind in ("file", "folder", "link", "dangling", "fifo", "live", "datagram"):
            with self.subTest(kind), contextlib.ExitStack() as stack:
                path = os.path.join(self.folder, kind)
                self.occupy(kind, path, victim, stack)
                before = os.lstat(path)
                finished = self.papa("serve", "-u", path, code=1)
                self.assertIn(path, finished.stderr)
                self.assertNotIn("Traceback", finished.stderr)
                after = os.lstat(path)
                self.assertEqual(
                    (after.st_ino, after.st_mode, after.st_mtime_ns),
                    (before.st_ino, before.st_mode, before.st_mtime_ns),
                )
                self.assertFalse(os.path.lexists(path + ".lock"))
        with open(victim, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def occupy(self, kind: str, path: str, victim: str, stack: contextlib.ExitStack) -> None:
        """Put something there."""
        with open(victim, "w", encoding="ascii") as file:
            file.write("precious")
        if kind == "file":
            os.link(victim, path)
        elif kind == "folder":
            os.mkdir(path)
        elif kind in ("link", "dangling"):
            os.symlink(victim if kind == "link" else os.path.join(self.folder, "nothing"), path)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            sort = socket.SOCK_STREAM if kind == "live" else socket.SOCK_DGRAM
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, sort))
            sock.bind(path)
            if kind == "live":
                sock.listen()

    def test_socket_of_another_user(self) -> None:
        """A dead socket of another user is not taken over."""
        self.need_root()
        path = os.path.join(self.folder, "theirs")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
        os.chown(path, STRANGER, STRANGER)
        self.assertIn(f"uid {STRANGER}", self.papa("serve", "-u", path, code=1).stderr)
        self.assertTrue(stat.S_ISSOCK(os.lstat(path).st_mode))

    def test_lock_is_a_link(self) -> None:
        """A link in the place of the lock file leads nowhere."""
        path = os.path.join(self.folder, "console")
        victim = os.path.join(self.folder, "victim")
        os.symlink(victim, path + ".lock")
        self.papa("serve", "-u", path, code=1)
        self.assertFalse(os.path.lexists(victim))
        self.assertTrue(os.path.islink(path + ".lock"))

    def test_path_of_a_live_kernel(self) -> None:
        """A second kernel on a path is refused, and the first one is still reached there."""
        path = os.path.join(self.folder, "console")
        first = self.serve("-u", path)
        for _ in range(3):
            self.papa("serve", "-u", path, code=1)
        with Talk(first.connect_unix()) as talk:
            talk.read_until(b"> ")
            self.assertEqual(talk.ask("set x 1"), "")

    def test_stale_path(self) -> None:
        """After a kernel was killed the next one takes its paths over."""
        path = os.path.join(self.folder, "console")
        first = self.serve("-u", path)
        first.process.kill()
        first.process.wait(PATIENCE)
        self.assertTrue(stat.S_ISSOCK(os.lstat(path).st_mode))
        second = self.serve("-u", path)
        self.assertEqual(len(second.where), len(first.where))
        with second.talk() as talk:
            self.assertEqual(talk.ask("get x"), "")

    def test_race_for_a_path(self) -> None:
        """Of several kernels that start at once after a crash, exactly one gets the path."""
        path = os.path.join(self.folder, "console")
        first = self.serve("-u", path)
        first.process.kill()
        first.process.wait(PATIENCE)
        winners: list[RealKernel] = []
        refusals: list[str] = []

        def start() -> None:
            try:
                winners.append(self.serve("-u", path))
            except AssertionError as error:
                refusals.append(str(error))

        racers = [threading.Thread(target=start) for _ in range(5)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        self.assertEqual((len(winners), len(refusals)), (1, 4), refusals)
        with winners[0].talk() as talk:
            self.assertEqual(talk.ask("get x"), "")


class FileTests(AccessTestCase):
    """Papa's own files."""

    def test_paths_that_others_have_taken_since(self) -> None:
        """In the end a kernel deletes its own sockets only: not what lies in their place by then."""
        path = os.path.join(self.folder, "console")
        kernel = self.serve("-u", path)
        os.unlink(path)
        with open(path, "xb") as file:
            file.write(b"precious")
        own = os.path.join(self.runtime, "console.sock")
        os.unlink(own)
        kernel.process.terminate()
        self.assertEqual(kernel.process.wait(PATIENCE), 0)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"precious")
        self.assertEqual([name for name in os.listdir(self.runtime) if ".sock" in name], [])
        self.assertNotIn("Traceback", kernel.said())

    def test_modes(self) -> None:
        """Under any mask the folder is 0700 and the sockets are 0600, from the moment they are there."""
        for mask in ("000", "077", "027"):
            path = os.path.join(self.folder, f"console.{mask}")
            self.environ["PAPA_RUNTIME_DIR"] = os.path.join(self.folder, f"run.{mask}")
            seen: set[int] = set()
            looking = True

            def look(path: str = path, seen: set[int] = seen) -> None:
                while looking:  # noqa: B023
                    with contextlib.suppress(FileNotFoundError):
                        seen.add(stat.S_IMODE(os.lstat(path).st_mode))

            looker = threading.Thread(target=look)
            looker.start()
            try:
                kernel = self.serve("-u", path, under=("sh", "-c", f'umask {mask} && exec "$@"', "sh"))
                until(lambda: seen)  # noqa: B023
            finally:
                looking = False
                looker.join()
            self.assertEqual({mode & 0o177 for mode in seen}, {0})
            for place in kernel.where:
                self.assertEqual(stat.S_IMODE(os.lstat(place).st_mode), 0o600, place)
            self.assertEqual(stat.S_IMODE(os.lstat(self.environ["PAPA_RUNTIME_DIR"]).st_mode), 0o700)

    def test_mask_is_never_changed(self) -> None:
        """Making Unix sockets, also those that fail, leaves the kernel's own mask alone."""
        kernel = self.serve(under=("sh", "-c", 'umask 027 && exec "$@"', "sh"))
        with kernel.talk() as talk:
            self.assertIn("Error: ", talk.ask("make socket a path=/nonexistent/x umask=0"))
            self.assertIn("umask=0", talk.ask(f"make socket b path={self.folder}/b umask=0"))
            self.assertIn("umask=63", talk.ask(f"make socket c path={self.folder}/c umask=077"))
            talk.ask(f"make socket d path={self.folder}/d")
            talk.ask("make process p /bin/sh -c umask")
            self.assertEqual(bytes(talk.watch_to_end("p")["p"].out), b"0027\n")
        modes = [stat.S_IMODE(os.lstat(os.path.join(self.folder, name)).st_mode) for name in "bcd"]
        self.assertEqual(modes, [0o777, 0o700, 0o750])

    def test_runtime_folder_of_another(self) -> None:
        """A runtime folder that is another user's, open to others, a link or a file is refused and left alone."""
        self.need_root()
        elsewhere = os.path.join(self.folder, "elsewhere")
        os.mkdir(elsewhere, 0o700)
        for kind, reason in (
            ("foreign", f"belongs to uid {STRANGER}"),
            ("open", "is open to other users"),
            ("link", "is not a folder"),
            ("file", "is not a folder"),
        ):
            folder = os.path.join(self.folder, kind)
            if kind == "link":
                os.symlink(elsewhere, folder)
            elif kind == "file":
                with open(folder, "xb"):
                    pass
            else:
                os.mkdir(folder, 0o700)
                os.chmod(folder, 0o750 if kind == "open" else 0o700)
                os.chown(folder, STRANGER if kind == "foreign" else 0, 0)
            self.environ["PAPA_RUNTIME_DIR"] = folder
            self.assertIn(reason, self.papa("serve", "-p", "0", code=1).stderr)
            self.assertIn(reason, self.papa("serve", "-p", "0", "--daemonize", code=1).stderr)
            if os.path.isdir(folder):
                self.assertEqual(os.listdir(folder), [])

    def test_log(self) -> None:
        """The log has one line an event and no control characters, whatever names, arguments and lines were sent."""
        kernel = self.serve()
        with kernel.talk() as talk:
            for name in ("\x1b[31mred", "bell\x07", "\x1b]52;c;AAAA\x07", "two\x0blines", "\u202egnp.exe", "a\x9bm"):
                self.assertRegex(talk.ask(f"make process {name} /bin/true"), "^Error: ")
                self.assertRegex(talk.ask(f"set {name} 1"), "^Error: ")
                talk.ask(f"make process p /bin/echo {name}")
                self.assertEqual(talk.watch_to_end("p")["p"].code, 0)
        for line in (
            "GET /\x1b[2J\x07 HTTP/1.1",
            "\x1b]0;owned\x07\0",
            "GET /\u2028\u202e HTTP/1.1",
            "\udc80\r\x1b[1A",
        ):
            with Talk(kernel.connect()) as talk:
                with contextlib.suppress(ConnectionError):
                    talk.send(line.encode("utf-8", "surrogateescape") + b"\n")
                talk.read_to_end()
        log = kernel.said()
        self.assertNotRegex(log, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]")
        for line in log.splitlines():
            self.assertRegex(
                line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \["
            )
        self.assertEqual(len(re.findall("process p started, pid", log)), 6)
        self.assertEqual(len(re.findall("hung up on", log)), 4)
